//! `rbuild policy test`: cases for a policy, judged and compared with what they expect.

mod read;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;
use rbuild::build::Recipe;
use rbuild::diag::Sources;
use rbuild::image::Selector;
use rbuild::input::FinishedSource;
use rbuild::policy::{Bases, Overrides, Policy, Report, Tested, tap_of};
use serde_json::{Value, json};

pub(crate) use steps::policy_of;

use super::audit;
use super::exit::Exit;
use super::lint;
use super::policy::{KeyFolders, effective_with_keys, stop};
use super::shared::{KeyValue, PolicyArgs, Stop, StoreArgs, count, printable};

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
    /// human, json or tap
    #[arg(long, value_name = "FORMAT", default_value = "human",
          value_parser = ["human", "json", "tap"])]
    format: String,
    /// Where cases about steps take the base NAME from, as `rbuild build` takes it: a folder,
    /// `oci-layout://DIR[:TAG]`, `docker-image://REF`
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<KeyValue>,
    /// A case that cannot be judged here is wrong
    #[arg(long)]
    no_skip: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A finding as a case names it: rule, line, path in the image, layer.
type Row = (String, Option<u64>, Option<String>, Option<u64>);

/// What a case expects: a row, and which of `line`, `path`, `layer` it has. Others are not compared.
type Wanted = (Row, [bool; 3]);

struct Case {
    name: String,
    kind: Kind,
    // `case.json`, or the entry of the TOML file.
    about: Value,
    expect: Value,
    // The file that says it: keys of its policy lie beside it.
    file: PathBuf,
}

/// What a case is about.
enum Kind {
    /// The text of a Dockerfile: judged as `rbuild lint` does.
    Text(String),
    /// An image: judged as `rbuild audit` does.
    Image(Box<Recipe>),
    /// What the steps of this Dockerfile do: built.
    Steps(String),
}

impl Kind {
    fn word(&self) -> &'static str {
        match self {
            Kind::Text(_) => "text",
            Kind::Image(_) => "image",
            Kind::Steps(_) => "steps",
        }
    }
}

enum Outcome {
    Right,
    Wrong { missing: BTreeSet<Row>, more: BTreeSet<Row> },
    Failed(String),
    Skipped(String),
}

/// What was found in a case, or why it could not be judged on this host.
enum Seen {
    Found(BTreeSet<Row>),
    Skipped(String),
}

/// What all cases are judged with.
struct Setting<'a> {
    args: &'a Args,
    policy: Policy,
    keys: KeyFolders,
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
            read::folders(path, path, 0, &mut cases)?;
        } else {
            read::listed(path, &mut cases)?;
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
    let (policy, keys) = effective_with_keys(&args.policy, &args.store, Path::new("."))?;
    let setting = Setting { args, policy, keys };
    let human = args.format == "human";
    let mut tests: Vec<(&Case, Tested)> = Vec::new();
    for case in &cases {
        let tested = told(judge(case, &setting));
        let (word, text) = match &tested {
            Tested::Passed => ("ok", String::new()),
            Tested::Failed(what) => match what["error"].as_str() {
                Some(error) => ("failed", format!("\n  {}", printable(error))),
                None => ("wrong", differences(what)),
            },
            Tested::Skipped(why) => ("skipped", format!(": {}", printable(why))),
        };
        if human && (args.verbose || word != "ok") {
            let _ = writeln!(std::io::stdout(), "{word:<7} {}{text}", printable(&case.name));
        }
        tests.push((case, tested));
    }
    let of = |is: fn(&Tested) -> bool| tests.iter().filter(|(_, tested)| is(tested)).count();
    let right = of(|tested| *tested == Tested::Passed);
    let skipped = of(|tested| matches!(tested, Tested::Skipped(_)));
    let wrong = tests.len() - right - skipped;
    let text = match args.format.as_str() {
        "json" => document_of(&tests, &setting.policy, [right, wrong, skipped]),
        "tap" => tap_of(tests.iter().map(|(case, tested)| (case.name.as_str(), tested))),
        _ => {
            let more = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
            format!("{right} of {} as expected{more}\n", count(right + wrong, "case"))
        }
    };
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    if right + wrong == 0 && !args.no_skip {
        // Whoever waits for a good end must not get one of nothing.
        return Err(Stop::usage("no case could be judged here: all were skipped"));
    }
    Ok(if wrong > 0 || (args.no_skip && skipped > 0) { Exit::Refused } else { Exit::Success })
}

fn told(outcome: Outcome) -> Tested {
    let rows = |rows: &BTreeSet<Row>| rows.iter().map(shown).collect::<Vec<String>>();
    match outcome {
        Outcome::Right => Tested::Passed,
        Outcome::Wrong { missing, more } => {
            Tested::Failed(json!({ "missing": rows(&missing), "unexpected": rows(&more) }))
        }
        Outcome::Failed(error) => Tested::Failed(json!({ "error": error })),
        Outcome::Skipped(why) => Tested::Skipped(why),
    }
}

fn differences(what: &Value) -> String {
    let lines = |key: &str| {
        let list = what[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        list.map(|row| format!("\n  {key}: {row}")).collect::<String>()
    };
    lines("missing") + &lines("unexpected")
}

fn document_of(tests: &[(&Case, Tested)], policy: &Policy, counts: [usize; 3]) -> String {
    let row = |(case, tested): &(&Case, Tested)| {
        let (word, text) = match tested {
            Tested::Passed => ("ok", String::new()),
            Tested::Failed(what) => match what["error"].as_str() {
                Some(error) => ("failed", error.to_owned()),
                None => ("wrong", differences(what).trim().to_owned()),
            },
            Tested::Skipped(why) => ("skipped", why.clone()),
        };
        json!({ "name": case.name, "kind": case.kind.word(), "outcome": word, "text": text })
    };
    let rows: Vec<Value> = tests.iter().map(row).collect();
    let [right, wrong, skipped] = counts;
    let document = json!({
        "version": 1, "right": right, "wrong": wrong, "skipped": skipped, "cases": rows,
        "policy": { "name": policy.name, "digest": policy.digest().to_string() },
    });
    format!("{document:#}\n")
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

fn judge(case: &Case, setting: &Setting<'_>) -> Outcome {
    let seen = match &case.kind {
        Kind::Text(text) => of_text(case, text, setting),
        Kind::Image(recipe) => of_image(case, recipe, setting),
        Kind::Steps(text) => steps::seen(case, text, setting.args),
    };
    match seen {
        Ok(Seen::Found(got)) => compared(&wanted(&case.expect), &got),
        Ok(Seen::Skipped(why)) => Outcome::Skipped(why),
        Err(stop) => Outcome::Failed(match stop.help {
            Some(help) => format!("{}; {help}", stop.text),
            None => stop.text,
        }),
    }
}

// What counts of a report.
fn rows(report: &Report, sources: &Sources) -> BTreeSet<Row> {
    let counted = report.findings.iter().filter(|finding| finding.counts());
    counted
        .map(|finding| {
            let line =
                finding.span.map(|span| sources.line_column(span.source, span.start).0 as u64);
            // Of a file in an image, its line.
            let line = line.or_else(|| finding.evidence.get("line").and_then(Value::as_u64));
            let image = finding.image.as_ref();
            (
                finding.rule.to_owned(),
                line,
                image.map(|image| image.path.clone()),
                image.and_then(|image| image.layer).map(|layer| layer as u64),
            )
        })
        .collect()
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

/// What a case is judged by: on top of the policy that is in force what the case says, and of its
/// rule alone.
fn demanded(mut policy: Policy, about: &Value) -> Result<Policy, Stop> {
    if let Some(text) = about["policy"].as_str() {
        policy.merge(text, "the case").map_err(stop)?;
    }
    if let Some(rule) = about["rule"].as_str() {
        let only = Overrides { only: vec![rule.to_owned()], ..Overrides::default() };
        policy.apply(&only).map_err(stop)?;
    }
    Ok(policy)
}

/// A folder for one case, gone with it.
fn place() -> Result<tempfile::TempDir, Stop> {
    let made = tempfile::Builder::new().prefix("rbuild-case-").tempdir();
    made.map_err(|error| Stop::usage(format!("a temporary folder: {error}")))
}

/// The Dockerfile and the context of a case, as files.
struct Files {
    place: tempfile::TempDir,
    context: PathBuf,
    dockerfile: PathBuf,
}

impl Files {
    fn of(case: &Case, text: &str) -> Result<Files, Stop> {
        let io = |error: std::io::Error| Stop::usage(format!("a temporary folder: {error}"));
        let place = place()?;
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
        fs::write(&dockerfile, text).map_err(io)?;
        Ok(Files { place, context, dockerfile })
    }

    /// The arguments of a case: files that they name lie in its context.
    fn arguments(&self, case: &Case) -> Result<Vec<String>, Stop> {
        let mut words = Vec::new();
        for word in case.about["args"].as_array().into_iter().flatten() {
            let Some(word) = word.as_str() else {
                return Err(Stop::usage("`args` must be a list of strings"));
            };
            words.push(word.replace("src=", &format!("src={}/", self.context.display())));
        }
        Ok(words)
    }
}

fn of_text(case: &Case, text: &str, setting: &Setting<'_>) -> Result<Seen, Stop> {
    let policy = demanded(setting.policy.clone(), &case.about)?;
    let files = Files::of(case, text)?;
    let mut words = files.arguments(case)?;
    words.push(files.context.display().to_string());
    let line = Line::try_parse_from(&words)
        .map_err(|error| Stop::usage(error.to_string().lines().next().unwrap_or("").to_owned()))?;
    let known = match &case.about["bases"] {
        Value::Null => Bases::none(),
        bases => Bases::from_json(&bases.to_string())
            .ok_or_else(|| Stop::usage("`bases` is not of that form"))?,
    };
    let (sources, report, _) = lint::judge_text(
        "Dockerfile".into(),
        text.as_bytes().to_vec(),
        &files.dockerfile,
        Some(&files.context),
        &line.lint,
        &policy,
        &known,
    )?;
    Ok(Seen::Found(rows(&report, &sources)))
}

// A layout is made of the recipe, and looked at as `rbuild audit` looks at any.
fn of_image(case: &Case, recipe: &Recipe, setting: &Setting<'_>) -> Result<Seen, Stop> {
    for key in ["args", "context", "bases"] {
        if !case.about[key].is_null() {
            return Err(Stop::usage(format!("`{key}` is for cases with a Dockerfile")));
        }
    }
    let policy = demanded(setting.policy.clone(), &case.about)?;
    let place = place()?;
    recipe.write(place.path()).map_err(Stop::usage)?;
    let keys = match recipe.signatures {
        // They are told, and not looked at.
        Some(_) => Vec::new(),
        None => {
            let mut folders = setting.keys.clone();
            folders.add(&policy, &case.file);
            audit::keys(&policy, &folders)?
        }
    };
    let facts = audit::Facts {
        secrets: recipe.secrets.clone(),
        attestations: recipe.attestations.clone(),
        signatures: recipe.signatures.clone(),
        sbom_files: recipe.sbom_files.clone(),
        platform: None,
    };
    let known = facts.known(recipe.base_layers(), keys);
    let source = FinishedSource::Folder(place.path().to_owned(), Selector::Only);
    let platform = recipe.platform().map_err(Stop::usage)?;
    let seen = audit::judged_as(&source, &platform, None, &known, &policy, 1)?;
    Ok(Seen::Found(rows(&seen.report, &Sources::new())))
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
