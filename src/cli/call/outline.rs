//! `--call outline`: what a target may be given: build arguments, secrets, ssh agents, caches.

use std::collections::{BTreeMap, BTreeSet};

use rbuild::base::Span;
use rbuild::build::Prepared;
use rbuild::instruction::Instruction;
use rbuild::plan::{Argument, MountKind, Op, Sharing};
use serde_json::{Value, json};

use super::super::shared::printable;
use super::{Form, document, table};

/// What the steps of a target are given, in the order of ids.
#[derive(Default)]
struct Mounts {
    /// Whether a step fails without it, and where it is asked for.
    secrets: BTreeMap<String, (bool, Span)>,
    /// The same of ssh agents.
    ssh: BTreeMap<String, (bool, Span)>,
    /// How steps share it, its folder.
    caches: BTreeMap<String, (Sharing, String, Span)>,
}

pub(super) fn answer(prepared: &Prepared, form: Form) -> String {
    let plan = &prepared.plan;
    let target = &plan.stages[plan.target];
    let name = target.name.clone().unwrap_or_else(|| target.index.to_string());
    let text = &prepared.sources.get(prepared.file.source).text;
    let words = prepared.file.descriptions(text, target.span);
    let description = words.get(name.as_str()).copied();
    let arguments = described(prepared, &arguments(prepared));
    let mounts = mounts(prepared);
    if form == Form::Json {
        return document(&as_json(prepared, &name, description, &arguments, &mounts));
    }
    let mut out = format!("TARGET:      {}\n", printable(&name));
    if let Some(words) = description {
        out.push_str(&format!("DESCRIPTION: {}\n", printable(words)));
    }
    let mut part = |heading: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
            let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
            out.push('\n');
            out.push_str(&table(&rows));
        }
    };
    let rows = arguments.iter().map(|(argument, words)| {
        let value = argument.value.as_deref().unwrap_or("");
        vec![printable(&argument.name), printable(value), printable(words.unwrap_or(""))]
    });
    part(&["BUILD ARG", "VALUE", "DESCRIPTION"], rows.collect());
    let yes = |required: bool| if required { "true" } else { "" }.to_owned();
    let rows = |list: &BTreeMap<String, (bool, Span)>| {
        list.iter().map(|(id, (required, _))| vec![printable(id), yes(*required)]).collect()
    };
    part(&["SECRET", "REQUIRED"], rows(&mounts.secrets));
    part(&["SSH", "REQUIRED"], rows(&mounts.ssh));
    let rows = mounts.caches.iter().map(|(id, (sharing, target, _))| {
        vec![printable(id), printable(target), word(*sharing).to_owned()]
    });
    part(&["CACHE", "TARGET", "SHARING"], rows.collect());
    out
}

fn as_json(
    prepared: &Prepared,
    name: &str,
    description: Option<&str>,
    arguments: &[(Argument, Option<&str>)],
    mounts: &Mounts,
) -> Value {
    let place = |span: Span| prepared.sources.place(span);
    let granted = |list: &BTreeMap<String, (bool, Span)>| -> Vec<Value> {
        list.iter()
            .map(|(id, (required, span))| {
                json!({ "id": id, "required": required, "place": place(*span) })
            })
            .collect()
    };
    let arguments: Vec<Value> = arguments
        .iter()
        .map(|(argument, words)| {
            json!({
                "name": argument.name,
                "value": argument.value,
                "description": words,
                "place": place(argument.span),
            })
        })
        .collect();
    let caches: Vec<Value> = mounts
        .caches
        .iter()
        .map(|(id, (sharing, target, span))| {
            let sharing = word(*sharing);
            json!({ "id": id, "target": target, "sharing": sharing, "place": place(*span) })
        })
        .collect();
    json!({
        "version": 1,
        "target": name,
        "description": description,
        "args": arguments,
        "secrets": granted(&mounts.secrets),
        "ssh": granted(&mounts.ssh),
        "caches": caches,
    })
}

/// The arguments of the stages that the target needs, each once: with the value of its last
/// declaration, at the place of its first. Those before FROM count if a needed FROM, or another
/// that counts, names them.
fn arguments(prepared: &Prepared) -> Vec<Argument> {
    let plan = &prepared.plan;
    let mut texts: Vec<String> = Vec::new();
    for (_, stage) in plan.stages.iter() {
        texts.push(stage.from.base.raw.clone());
        texts.extend(stage.from.platform.as_ref().map(|platform| platform.raw.clone()));
    }
    let mut wanted: BTreeSet<String> = texts.iter().flat_map(|text| variables(text)).collect();
    for (_, stage) in plan.stages.iter() {
        wanted.extend(stage.arguments.iter().map(|argument| argument.name.clone()));
    }
    // A default can name earlier arguments only: one way from the end to the start finds all.
    let is_from = |instruction: &Instruction| matches!(instruction, Instruction::From(_));
    let end = prepared.instructions.iter().position(is_from).unwrap_or(0);
    for instruction in prepared.instructions[..end].iter().rev() {
        let Instruction::Arg(arg) = instruction else { continue };
        for declared in arg.args.iter().rev() {
            if wanted.contains(&declared.name.raw) {
                wanted.extend(declared.default.iter().flat_map(|word| variables(&word.raw)));
            }
        }
    }
    let globals = plan.arguments.iter().filter(|argument| wanted.contains(&argument.name));
    let own = plan.stages.iter().flat_map(|(_, stage)| &stage.arguments);
    let mut list: Vec<Argument> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for argument in globals.chain(own) {
        match places.get(argument.name.as_str()) {
            Some(at) if argument.value.is_some() => list[*at].value.clone_from(&argument.value),
            Some(_) => {}
            None => {
                places.insert(&argument.name, list.len());
                list.push(argument.clone());
            }
        }
    }
    list
}

/// The names after `$` and `${` in a word.
fn variables(text: &str) -> Vec<String> {
    let mut parts = text.split('$');
    parts.next();
    parts
        .map(|part| part.strip_prefix('{').unwrap_or(part))
        .map(|part| part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

/// Adds the words of the comment above any of an argument's declarations.
fn described<'a>(prepared: &'a Prepared, list: &[Argument]) -> Vec<(Argument, Option<&'a str>)> {
    let file = &prepared.file;
    let text = &prepared.sources.get(file.source).text;
    let mut words: BTreeMap<&str, &str> = BTreeMap::new();
    for instruction in &prepared.instructions {
        if let Instruction::Arg(arg) = instruction {
            for (name, text) in file.descriptions(text, arg.span) {
                if arg.args.iter().any(|declared| declared.name.raw == name) {
                    words.entry(name).or_insert(text);
                }
            }
        }
    }
    list.iter()
        .map(|argument| (argument.clone(), words.get(argument.name.as_str()).copied()))
        .collect()
}

fn mounts(prepared: &Prepared) -> Mounts {
    let mut found = Mounts::default();
    let require = |list: &mut BTreeMap<String, (bool, Span)>, id: &str, required, span| {
        list.entry(id.to_owned()).or_insert((false, span)).0 |= required;
    };
    for (_, step) in prepared.plan.steps.iter() {
        let Op::Run(run) = &step.op else { continue };
        for mount in &run.mounts {
            match &mount.kind {
                MountKind::Secret { id, required, .. } => {
                    require(&mut found.secrets, id, *required, mount.span);
                }
                MountKind::Ssh { id, required, .. } => {
                    require(&mut found.ssh, id, *required, mount.span);
                }
                MountKind::Cache { id, sharing, target, .. } => {
                    let cache = (*sharing, target.to_string(), mount.span);
                    found.caches.entry(id.clone()).or_insert(cache);
                }
                MountKind::Bind { .. } | MountKind::Tmpfs { .. } => {}
            }
        }
    }
    found
}

fn word(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Shared => "shared",
        Sharing::Private => "private",
        Sharing::Locked => "locked",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::prepared;
    use super::*;

    const TEXT: &str = "\
# VERSION of the base
ARG VERSION=12
ARG UNUSED=1
ARG REGISTRY=docker.io
ARG BASE=${REGISTRY}/debian
FROM $BASE:$VERSION AS build
# MODE debug or release
ARG MODE=release
ARG VERSION
ARG TOKEN
RUN --mount=type=secret,id=npm,required=true --mount=type=cache,target=/cache,sharing=locked make
RUN --mount=type=secret,id=npm --mount=type=ssh true
FROM scratch AS other
ARG NOT_NEEDED
# app is small
FROM scratch AS app
COPY --from=build /app /app
";

    #[test]
    fn what_a_target_may_be_given() {
        let prepared = prepared(TEXT, |request| {
            request.build_args.insert("MODE".to_owned(), Some("debug".to_owned()));
        });
        expect_test::expect![[r#"
            TARGET:      app
            DESCRIPTION: is small

            BUILD ARG   VALUE              DESCRIPTION
            VERSION     12                 of the base
            REGISTRY    docker.io
            BASE        docker.io/debian
            MODE        debug              debug or release
            TOKEN

            SECRET   REQUIRED
            npm      true

            SSH       REQUIRED
            default

            CACHE    TARGET   SHARING
            /cache   /cache   locked
        "#]]
        .assert_eq(&answer(&prepared, Form::Text));
        let value: Value = serde_json::from_str(&answer(&prepared, Form::Json)).unwrap();
        assert_eq!(
            value["args"][4],
            json!({
                "name": "TOKEN", "value": null, "description": null, "place": "Dockerfile:10:1",
            })
        );
        assert_eq!(value["secrets"][0]["place"], "Dockerfile:11:5");
    }

    #[test]
    fn another_target_needs_other_things() {
        let prepared = prepared(TEXT, |request| request.target = Some("other".to_owned()));
        let text = answer(&prepared, Form::Text);
        assert_eq!(text, "TARGET:      other\n\nBUILD ARG    VALUE   DESCRIPTION\nNOT_NEEDED\n");
    }
}
