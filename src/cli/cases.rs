//! `rbuild policy test`: cases for a policy, judged and compared with what they expect.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use rbuild::diag::Sources;
use rbuild::policy::{Bases, Overrides, Policy, Report, not_toml};
use serde_json::{Value, json};

use super::exit::Exit;
use super::lint;
use super::policy::{effective, stop};
use super::shared::{PolicyArgs, Stop, count, printable};

/// What `policy test` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folders of cases, or TOML files with `[[case]]`
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only cases whose name holds this
    #[arg(short = 'k', long, value_name = "WORDS")]
    keep: Option<String>,
    /// Name the cases that went well, too
    #[arg(short, long)]
    verbose: bool,
    /// human or json
    #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = ["human", "json"])]
    format: String,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A finding as a case names it: rule, line, path in the image, layer.
type Row = (String, Option<u64>, Option<String>, Option<u64>);

/// What a case expects: a row, and which of `line`, `path`, `layer` it has. Others are not compared.
type Wanted = (Row, [bool; 3]);

/// Folders below each other, from the one that was named.
const DEEPEST: usize = 4;
const MOST: usize = 10_000;

struct Case {
    name: String,
    dockerfile: String,
    // `case.json`, or the entry of the TOML file.
    about: Value,
    expect: Value,
}

enum Outcome {
    Right,
    Wrong { missing: BTreeSet<Row>, more: BTreeSet<Row> },
    Failed(String),
    Skipped(&'static str),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    match test(args) {
        Ok(exit) => exit,
        Err(stop) => stop.tell(),
    }
}

fn test(args: &Args) -> Result<Exit, Stop> {
    let mut cases = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            folders(path, path, 0, &mut cases)?;
        } else {
            listed(path, &mut cases)?;
        }
    }
    if let Some(words) = &args.keep {
        cases.retain(|case| case.name.contains(words.as_str()));
    }
    if cases.is_empty() {
        return Err(Stop::usage("there are no cases").help(
            "a case is a folder with Dockerfile and expected.json, or a [[case]] of a TOML file",
        ));
    }
    let policy = effective(&args.policy, Path::new("."))?;
    let (mut right, mut wrong, mut skipped) = (0, 0, 0);
    let mut rows = Vec::new();
    for case in &cases {
        let outcome = judge(case, &policy);
        let (word, text) = match &outcome {
            Outcome::Right => ("ok", String::new()),
            Outcome::Wrong { missing, more } => {
                let missing = missing.iter().map(|row| format!("\n  missing: {}", shown(row)));
                let more = more.iter().map(|row| format!("\n  unexpected: {}", shown(row)));
                ("wrong", missing.chain(more).collect())
            }
            Outcome::Failed(error) => ("failed", format!("\n  {}", printable(error))),
            Outcome::Skipped(why) => ("skipped", format!(": {why}")),
        };
        match word {
            "ok" => right += 1,
            "skipped" => skipped += 1,
            _ => wrong += 1,
        }
        if args.format == "json" {
            rows.push(json!({ "name": case.name, "outcome": word, "text": text.trim() }));
        } else if args.verbose || word != "ok" {
            let _ = writeln!(std::io::stdout(), "{word:<7} {}{text}", printable(&case.name));
        }
    }
    let text = match args.format.as_str() {
        "json" => format!(
            "{:#}",
            json!({
                "version": 1, "right": right, "wrong": wrong, "skipped": skipped, "cases": rows,
                "policy": { "name": policy.name, "digest": policy.digest().to_string() },
            })
        ),
        _ => {
            let more = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
            format!("{right} of {} as expected{more}", count(right + wrong, "case"))
        }
    };
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(if wrong > 0 { Exit::Refused } else { Exit::Success })
}

fn shown((rule, line, path, layer): &Row) -> String {
    let mut out = rule.clone();
    if let Some(line) = line {
        out.push_str(&format!(" in line {line}"));
    }
    if let Some(path) = path {
        out.push_str(&format!(" at {}", printable(path)));
    }
    if let Some(layer) = layer {
        out.push_str(&format!(" of layer {layer}"));
    }
    out
}

// A folder that is a case, or the folders in it.
fn folders(top: &Path, folder: &Path, depth: usize, cases: &mut Vec<Case>) -> Result<(), Stop> {
    if folder.join("expected.json").is_file() {
        let name = folder.strip_prefix(top).ok().filter(|name| !name.as_os_str().is_empty());
        let name = name.unwrap_or(folder).display().to_string();
        let mut about = match folder.join("case.json").is_file() {
            true => document(&folder.join("case.json"))?,
            false => json!({}),
        };
        let expected = document(&folder.join("expected.json"))?;
        let dockerfile = folder.join("Dockerfile");
        if folder.join("image.json").is_file() {
            about["kind_of_case"] = "image".into();
        } else if folder.parent().is_some_and(|parent| parent.ends_with("behaviour")) {
            about["kind_of_case"] = "behaviour".into();
        }
        let text = match dockerfile.is_file() {
            true => text(&dockerfile)?,
            false if about["kind_of_case"] == "image" => String::new(),
            false => return Err(Stop::usage(format!("no Dockerfile in `{}`", folder.display()))),
        };
        cases.push(Case { name, dockerfile: text, about, expect: expected["findings"].clone() });
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
fn listed(path: &Path, cases: &mut Vec<Case>) -> Result<(), Stop> {
    const KEYS: &[&str] =
        &["name", "dockerfile", "rule", "args", "policy", "context", "bases", "expect"];
    let wrong =
        |what: String| Stop::usage(format!("`{}`: {what}", printable(&path.to_string_lossy())));
    let content = text(path)?;
    let table: toml::Table = content.parse().map_err(|error| {
        wrong(not_toml(&content, &error)).help(
            "a file of cases has an entry [[case]] with `name`, `dockerfile` and `expect` for each",
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
        cases.push(Case {
            name: string("name")?,
            dockerfile: string("dockerfile")?,
            about: one.clone(),
            expect: one["expect"].clone(),
        });
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path)
        .map_err(|error| Stop::usage(format!("cannot read `{}`: {error}", path.display())))
}

fn document(path: &Path) -> Result<Value, Stop> {
    serde_json::from_str(&text(path)?)
        .map_err(|error| Stop::usage(format!("`{}` is no JSON: {error}", path.display())))
}

fn judge(case: &Case, policy: &Policy) -> Outcome {
    match case.about["kind_of_case"].as_str() {
        Some("behaviour") => return Outcome::Skipped("what steps do shows in a build only"),
        Some("image") => return Outcome::Skipped("an image is judged by `rbuild audit`"),
        _ => {}
    }
    match findings(case, policy) {
        Err(stop) => Outcome::Failed(match stop.help {
            Some(help) => format!("{}; {help}", stop.text),
            None => stop.text,
        }),
        Ok((sources, report)) => {
            let got: BTreeSet<Row> = report
                .findings
                .iter()
                .filter(|finding| finding.counts())
                .map(|finding| {
                    let line = finding
                        .span
                        .map(|span| sources.line_column(span.source, span.start).0 as u64);
                    let image = finding.image.as_ref();
                    (
                        finding.rule.to_owned(),
                        line,
                        image.map(|image| image.path.clone()),
                        image.and_then(|image| image.layer).map(|layer| layer as u64),
                    )
                })
                .collect();
            compared(&wanted(&case.expect), &got)
        }
    }
}

// The rows of a case.
fn wanted(expect: &Value) -> Vec<Wanted> {
    let row = |row: &Value| {
        let word = |key: &str| row[key].as_str().map(str::to_owned);
        let number = |key: &str| row[key].as_u64();
        let has = ["line", "path", "layer"].map(|key| row.get(key).is_some());
        ((word("rule").unwrap_or_default(), number("line"), word("path"), number("layer")), has)
    };
    expect.as_array().into_iter().flatten().map(row).collect()
}

// Each row must be found, and each finding be one of a row.
fn compared(want: &[Wanted], got: &BTreeSet<Row>) -> Outcome {
    let is = |(want, [line, path, layer]): &Wanted, got: &Row| {
        want.0 == got.0
            && (!line || want.1 == got.1)
            && (!path || want.2 == got.2)
            && (!layer || want.3 == got.3)
    };
    let missing = want.iter().filter(|want| !got.iter().any(|got| is(want, got)));
    let missing: BTreeSet<Row> = missing.map(|(row, _)| row.clone()).collect();
    let more = got.iter().filter(|got| !want.iter().any(|want| is(want, got)));
    let more: BTreeSet<Row> = more.cloned().collect();
    match missing.is_empty() && more.is_empty() {
        true => Outcome::Right,
        false => Outcome::Wrong { missing, more },
    }
}

// The arguments of a case are those of `rbuild lint`.
#[derive(Parser, Debug)]
#[command(name = "case", no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    lint: lint::Args,
}

fn findings(case: &Case, policy: &Policy) -> Result<(Sources, Report), Stop> {
    let mut policy = policy.clone();
    if let Some(text) = case.about["policy"].as_str() {
        policy.merge(text, "the case").map_err(stop)?;
    }
    if let Some(rule) = case.about["rule"].as_str() {
        let only = Overrides { only: vec![rule.to_owned()], ..Overrides::default() };
        policy.apply(&only).map_err(stop)?;
    }
    let io = |error: std::io::Error| Stop::usage(format!("a temporary folder: {error}"));
    let place = tempfile::Builder::new().prefix("rbuild-case-").tempdir().map_err(io)?;
    let context = place.path().join("context");
    fs::create_dir(&context).map_err(io)?;
    let files: BTreeMap<&String, &Value> =
        case.about["context"].as_object().into_iter().flatten().collect();
    for (name, text) in files {
        let inside = Path::new(name).components().all(|part| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        });
        let (true, Some(text)) = (inside, text.as_str()) else {
            return Err(Stop::usage(format!("`{name}` is no file of a context")));
        };
        let path = context.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&context)).map_err(io)?;
        fs::write(path, text).map_err(io)?;
    }
    let dockerfile = place.path().join("Dockerfile");
    fs::write(&dockerfile, &case.dockerfile).map_err(io)?;
    let mut words: Vec<String> = Vec::new();
    for word in case.about["args"].as_array().into_iter().flatten() {
        let Some(word) = word.as_str() else {
            return Err(Stop::usage("`args` must be a list of strings"));
        };
        words.push(word.replace("src=", &format!("src={}/", context.display())));
    }
    words.push(context.display().to_string());
    let line = Line::try_parse_from(&words)
        .map_err(|error| Stop::usage(error.to_string().lines().next().unwrap_or("").to_owned()))?;
    let known = match &case.about["bases"] {
        Value::Null => Bases::none(),
        bases => Bases::from_json(&bases.to_string())
            .ok_or_else(|| Stop::usage("`bases` is not of that form"))?,
    };
    let text = case.dockerfile.clone().into_bytes();
    let (sources, report, _) = lint::judge_text(
        "Dockerfile".into(),
        text,
        &dockerfile,
        Some(&context),
        &line.lint,
        &policy,
        &known,
    )?;
    Ok((sources, report))
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is missing and what is too much, of findings in lines 3 and 5 of two rules.
    fn check(expect: &Value, want: (usize, usize)) {
        let row = |rule: &str, line| (rule.to_owned(), Some(line), None, None);
        let got = BTreeSet::from([row("a", 3), row("b", 5)]);
        let found = match compared(&wanted(expect), &got) {
            Outcome::Wrong { missing, more } => (missing.len(), more.len()),
            _ => (0, 0),
        };
        assert_eq!(found, want, "{expect}");
    }

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

    #[test]
    fn each_row_is_compared_by_the_keys_that_it_has() {
        check(&json!([{ "rule": "a", "line": 3 }, { "rule": "b" }]), (0, 0));
        check(&json!([{ "rule": "a" }, { "rule": "b" }]), (0, 0));
        check(&json!([{ "rule": "a", "line": 4 }, { "rule": "b" }]), (1, 1));
        check(&json!([{ "rule": "a", "path": "/x" }, { "rule": "b" }]), (1, 1));
        check(&json!([{ "rule": "a" }]), (0, 1));
        check(&json!([]), (0, 2));
        check(&json!([{ "rule": "a" }, { "rule": "b" }, { "rule": "c" }]), (1, 0));
    }
}
