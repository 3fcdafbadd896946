//! Where cases come from: folders with files, and lists in TOML.

use std::fs;
use std::path::{Path, PathBuf};

use rbuild::build::Recipe;
use rbuild::policy::not_toml;
use serde_json::{Value, json};

use super::{Case, Kind};
use crate::cli::shared::{Stop, printable};

/// Folders below each other, from the one that was named.
const DEEPEST: usize = 4;
const MOST: usize = 10_000;

// A folder that is a case, or the folders in it.
pub(super) fn folders(
    top: &Path,
    folder: &Path,
    depth: usize,
    cases: &mut Vec<Case>,
) -> Result<(), Stop> {
    if folder.join("expected.json").is_file() {
        let name = folder.strip_prefix(top).ok().filter(|name| !name.as_os_str().is_empty());
        let name = name.unwrap_or(folder).display().to_string();
        let file = folder.join("case.json");
        let about = if file.is_file() { document(&file)? } else { json!({}) };
        let expected = document(&folder.join("expected.json"))?;
        let (dockerfile, image) = (folder.join("Dockerfile"), folder.join("image.json"));
        let steps = about["build"] == true
            || folder.parent().is_some_and(|parent| parent.ends_with("behaviour"));
        let kind = if image.is_file() {
            Kind::Image(recipe(document(&image)?, &image)?)
        } else if !dockerfile.is_file() {
            return Err(Stop::usage(format!("no Dockerfile in `{}`", folder.display())));
        } else if steps {
            Kind::Steps(text(&dockerfile)?)
        } else {
            Kind::Text(text(&dockerfile)?)
        };
        let expect = expected["findings"].clone();
        cases.push(Case { name, kind, about, expect, file });
        return Ok(());
    }
    if depth >= DEEPEST {
        return Ok(());
    }
    let fail = |error| Stop::usage(format!("cannot read `{}`: {error}", folder.display()));
    let mut below: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        match path.extension().and_then(|end| end.to_str()) {
            _ if path.is_dir() => below.push(path),
            Some("toml") => listed(&path, cases)?,
            _ => {}
        }
    }
    below.sort();
    for path in below {
        folders(top, &path, depth + 1, cases)?;
        if cases.len() > MOST {
            return Err(Stop::usage("there are more than 10,000 cases"));
        }
    }
    Ok(())
}

// The cases of a TOML file.
pub(super) fn listed(path: &Path, cases: &mut Vec<Case>) -> Result<(), Stop> {
    const KEYS: &[&str] = &[
        "name",
        "dockerfile",
        "image",
        "build",
        "rule",
        "args",
        "policy",
        "context",
        "bases",
        "expect",
    ];
    let wrong =
        |what: String| Stop::usage(format!("`{}`: {what}", printable(&path.to_string_lossy())));
    let content = text(path)?;
    let table: toml::Table = content.parse().map_err(|error| {
        wrong(not_toml(&content, &error)).help(
            "a file of cases has an entry [[case]] with `name` and `expect` for each, and a `dockerfile`, an \
             `image` or a `build`",
        )
    })?;
    let value = serde_json::to_value(&table).map_err(|error| wrong(error.to_string()))?;
    if let Some(key) = table.keys().find(|key| *key != "case") {
        return Err(wrong(format!("unknown key `{key}`; cases stand in [[case]]")));
    }
    for one in value["case"].as_array().into_iter().flatten() {
        let mut keys = one.as_object().into_iter().flat_map(|map| map.keys());
        if let Some(key) = keys.find(|key| !KEYS.contains(&key.as_str())) {
            let near = rbuild::diag::nearest(key, KEYS.iter().copied());
            let mut stop = wrong(format!("unknown key `{key}` of a case"));
            stop.help = near.map(|near| format!("did you mean `{near}`?"));
            return Err(stop);
        }
        let string = |key: &str| {
            let text = one[key].as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(format!("a case needs `{key}`")))
        };
        if !one["expect"].is_array() {
            return Err(wrong("a case needs `expect`: a list, which may be empty".into()));
        }
        let kind = match (&one["image"], &one["build"]) {
            (Value::Null, Value::Bool(true)) => Kind::Steps(string("dockerfile")?),
            (Value::Null, _) => Kind::Text(string("dockerfile")?),
            (image, _) if one["dockerfile"].is_null() => Kind::Image(recipe(image.clone(), path)?),
            _ => return Err(wrong("a case has a `dockerfile` or an `image`, not both".into())),
        };
        cases.push(Case {
            name: string("name")?,
            kind,
            about: one.clone(),
            expect: one["expect"].clone(),
            file: path.to_owned(),
        });
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path)
        .map_err(|error| Stop::usage(format!("cannot read `{}`: {error}", path.display())))
}

pub(super) fn document(path: &Path) -> Result<Value, Stop> {
    serde_json::from_str(&text(path)?)
        .map_err(|error| Stop::usage(format!("`{}` is no JSON: {error}", path.display())))
}

fn recipe(value: Value, path: &Path) -> Result<Box<Recipe>, Stop> {
    let wrong = |error| Stop::usage(format!("`{}`: an image: {error}", path.display()));
    serde_json::from_value(value).map(Box::new).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_toml_is_told_by_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.toml");
        fs::write(&path, "[[case]]\nname = \"a\"\ntoken = hunter2\n").unwrap();
        let stop = listed(&path, &mut Vec::new()).unwrap_err();
        assert!(stop.text.contains("cases.toml`: not TOML: line 3, column 9: "), "{}", stop.text);
        assert!(!stop.text.contains("hunter2") && !stop.text.contains('\n'), "{}", stop.text);
        assert!(stop.help.is_some_and(|help| help.contains("[[case]]")));
    }
}
