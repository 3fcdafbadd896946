//! `--call targets`: the stages that can be built.

use rbuild::build::Prepared;
use rbuild::instruction::{From, Instruction};
use serde_json::{Value, json};

use super::super::shared::printable;
use super::{Form, document, table};

pub(super) fn answer(prepared: &Prepared, form: Form) -> String {
    let stages: Vec<&From> = prepared
        .instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(from),
            _ => None,
        })
        .collect();
    let text = &prepared.sources.get(prepared.file.source).text;
    let described = stages.iter().enumerate().map(|(index, from)| {
        let name = from.name.as_ref().map(|name| name.raw.as_str());
        let words = prepared.file.descriptions(text, from.span);
        let description = words.get(name.unwrap_or("")).copied();
        (index, name, *from, description, index + 1 == stages.len())
    });
    if form == Form::Json {
        let targets: Vec<Value> = described
            .map(|(index, name, from, description, default)| {
                json!({
                    "index": index,
                    "name": name,
                    "default": default,
                    "description": description,
                    "base": from.base.raw,
                    "platform": from.platform.as_ref().map(|platform| &platform.raw),
                    "place": prepared.sources.place(from.span),
                })
            })
            .collect();
        return document(&json!({ "version": 1, "targets": targets }));
    }
    let mut rows = vec![["TARGET", "BASE", "DESCRIPTION"].map(str::to_owned).to_vec()];
    rows.extend(described.map(|(index, name, from, description, default)| {
        let name = name.map_or_else(|| index.to_string(), str::to_owned);
        let mark = if default { " (default)" } else { "" };
        vec![
            format!("{}{mark}", printable(&name)),
            printable(&from.base.raw),
            printable(description.unwrap_or("")),
        ]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::super::tests::prepared;
    use super::*;

    #[test]
    fn stages_with_names_and_words() {
        let text = "ARG V=12\n# build compiles\nFROM debian:$V AS build\n\
                    FROM scratch\n# app what ships\nFROM scratch AS app\n";
        let prepared = prepared(text, |_| {});
        expect_test::expect![[r#"
            TARGET          BASE        DESCRIPTION
            build           debian:$V   compiles
            1               scratch
            app (default)   scratch     what ships
        "#]]
        .assert_eq(&answer(&prepared, Form::Text));
        let value: Value = serde_json::from_str(&answer(&prepared, Form::Json)).unwrap();
        assert_eq!(value["targets"][2]["default"], true);
        assert_eq!(value["targets"][1]["name"], Value::Null);
        assert_eq!(value["targets"][0]["place"], "Dockerfile:3:1");
    }
}
