//! Cases about what steps do: each is built by this program, in a process of its own, and judged there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rbuild::base::Platform;
use rbuild::build::{Job, NamedSource, prepare};
use rbuild::diag::Diagnostic;
use rbuild::plan::{Found, Request, Wanted};
use rbuild::policy::Policy;
use serde_json::{Value, json};

use super::{Args, Case, Files, Row, Seen, demanded};
use crate::cli::environment;
use crate::cli::exit::Exit;
use crate::cli::policy::effective;
use crate::cli::shared::{KeyValue, PolicyArgs, Stop, StoreArgs, attributes};

/// Returns the policy of a build that is a case (`--as-case FILE`, which is in no help text): that of
/// the current folder, with what the case says on top.
pub(crate) fn policy_of(file: &Path, args: &PolicyArgs, store: &StoreArgs) -> Result<Policy, Stop> {
    let policy = effective(args, store, Path::new("."))?;
    demanded(policy, &super::read::document(file)?)
}

/// Builds a case, and returns what its report tells.
pub(super) fn seen(case: &Case, text: &str, args: &Args) -> Result<Seen, Stop> {
    let absent = absent(text, &args.build_context)?;
    if let Some(name) = absent.first() {
        let why = format!("its base `{name}` is not given: --build-context {name}=SOURCE");
        return Ok(Seen::Skipped(why));
    }
    modest(&case.about["args"])?;
    let files = Files::of(case, text)?;
    let io = |error: std::io::Error| Stop::usage(format!("cannot build a case: {error}"));
    let (about, report) =
        (files.place.path().join("case.json"), files.place.path().join("report.json"));
    let own = json!({ "policy": case.about["policy"], "rule": case.about["rule"] });
    fs::write(&about, own.to_string()).map_err(io)?;
    let mut build = Command::new(environment::program());
    build.args(["build", "--quiet", "--no-cache", "--output", "type=cacheonly", "--as-case"]);
    build.arg(&about).arg("--report").arg(format!("json={}", report.display()));
    build.arg("--file").arg(&files.dockerfile);
    // A target of the environment is another build's.
    build.env_remove("RBUILD_TARGET");
    build.args(words(args)).args(files.arguments(case)?).arg(&files.context);
    let done = build.output().map_err(io)?;
    let said = String::from_utf8_lossy(&done.stderr);
    let error = |line: &str| Some(line.strip_prefix("error")?.split_once(": ")?.1.to_owned());
    let first = said.lines().find_map(error);
    if done.status.code() == Some(Exit::Sandbox as i32) {
        let why = first.unwrap_or_else(|| "`rbuild doctor` tells why".to_owned());
        return Ok(Seen::Skipped(format!("this host cannot run steps: {why}")));
    }
    let Ok(bytes) = fs::read(&report) else {
        let how = match done.status.code() {
            Some(code) => format!("with exit code {code}"),
            None => "by a signal".to_owned(),
        };
        return Err(Stop::usage(format!("the build ended {how}: {}", first.unwrap_or_default())));
    };
    let report: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Stop::usage(format!("the report of the build: {error}")))?;
    Ok(told(&report, case.about["rule"].as_str()))
}

/// Flags of `rbuild build` that a case may have: what it is built of, and how its steps are watched.
const FLAGS: &[&str] = &[
    "--build-arg",
    "--label",
    "--network",
    "--platform",
    "--resource",
    "--secret",
    "--squash",
    "--stall-timeout",
    "--step-timeout",
    "--tag",
    "--target",
    "--verify",
    "-t",
];

/// Refuses arguments that reach out of the case: cases come with a repository, and may be anybody's.
/// Outputs, grants, agents, variables and files of this user are not for them.
fn modest(args: &Value) -> Result<(), Stop> {
    let words: Vec<&str> =
        args.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut last = "";
    for word in words {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if word.starts_with("--") => (flag, Some(value)),
            _ => (word, None),
        };
        if word.starts_with('-') {
            if !FLAGS.contains(&flag) {
                let flag: String = flag.escape_default().take(40).collect();
                return Err(Stop::usage(format!("`{flag}` is not for the `args` of a case"))
                    .help(format!("there are {}", FLAGS.join(", "))));
            }
            last = flag;
        }
        let spec = if word.starts_with('-') { value } else { Some(word) };
        // Without a value it would be one of the environment.
        if last == "--build-arg" && spec.is_some_and(|spec| !spec.contains('=')) {
            return Err(Stop::usage("a build argument of a case has a value")
                .help("write --build-arg NAME=VALUE"));
        }
        if let ("--secret", Some(spec)) = (last, spec) {
            let fields = attributes(spec).map_err(Stop::usage)?;
            let own = |(key, value): &(String, String)| match key.as_str() {
                "id" => true,
                "src" => Path::new(value)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_) | Component::CurDir)),
                _ => false,
            };
            if !fields.iter().all(own) || !fields.iter().any(|(key, _)| key == "src") {
                return Err(Stop::usage("a secret of a case is a file of its context")
                    .help("write --secret id=ID,src=FILE"));
            }
        }
    }
    Ok(())
}

// The report, as rows. A rule that could not look has not passed.
fn told(report: &Value, rule: Option<&str>) -> Seen {
    let list = |key: &str| report[key].as_array().into_iter().flatten();
    if let Some(skipped) = list("skipped").find(|one| rule.is_some_and(|id| one["rule"] == id)) {
        return Seen::Skipped(skipped["reason"].as_str().unwrap_or("").to_owned());
    }
    let counts = |one: &&Value| {
        one["suppressed"].is_null() && matches!(one["severity"].as_str(), Some("warn" | "error"))
    };
    let row = |one: &Value| -> Row {
        (
            one["rule"].as_str().unwrap_or("").to_owned(),
            one["span"]["line"].as_u64(),
            one["image"]["path"].as_str().map(str::to_owned),
            one["image"]["layer"].as_u64(),
        )
    };
    Seen::Found(list("findings").filter(counts).map(row).collect())
}

// What this command was told of policy, store and bases, for the build.
fn words(args: &Args) -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    let mut add = |flag: &str, value: &std::ffi::OsStr| words.extend([flag.into(), value.into()]);
    let pair = |pair: &KeyValue| format!("{}={}", pair.key, pair.value);
    let (policy, store) = (&args.policy, &args.store);
    policy.policy.iter().for_each(|text| add("--policy", text.as_ref()));
    policy.set.iter().for_each(|set| add("--set", pair(set).as_ref()));
    policy.only.iter().for_each(|text| add("--only", text.as_ref()));
    policy.skip.iter().for_each(|text| add("--skip", text.as_ref()));
    policy.fail_on.iter().for_each(|text| add("--fail-on", text.as_ref()));
    policy.rego_input.iter().for_each(|text| add("--rego-input", text.as_ref()));
    args.build_context.iter().for_each(|given| add("--build-context", pair(given).as_ref()));
    store.root.iter().for_each(|path| add("--root", path.as_ref()));
    store.registry_config.iter().for_each(|path| add("--registry-config", path.as_ref()));
    store.ca_file.iter().for_each(|path| add("--ca-file", path.as_ref()));
    store.authfile.iter().for_each(|path| add("--authfile", path.as_ref()));
    if store.offline {
        words.push("--offline".into());
    }
    words
}

/// The bases that a text needs and that nobody gives: a case is not a reason to go and fetch one.
fn absent(text: &str, given: &[KeyValue]) -> Result<Vec<String>, Stop> {
    let mut request = Request::new(Platform::host());
    for pair in given {
        let source = NamedSource::parse(&pair.value)
            .map_err(|error| Stop::usage(format!("--build-context {}: {error}", pair.key)))?;
        request.named_contexts.insert(pair.key.clone(), source.kind());
    }
    let job = Job::new("Dockerfile", text, request);
    let asked = Mutex::new(BTreeSet::new());
    let lookup = |wanted: &Wanted| -> Result<Found, Diagnostic> {
        if wanted.reference.is_some() {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.name.clone());
        }
        Ok(Found::Unread)
    };
    let none = Policy::builtin("none").expect("a built-in profile");
    // What is wrong with the text, the build will tell.
    let _ = prepare(&job, &none, &lookup);
    Ok(asked.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_that_nobody_gives_are_named() {
        let check = |text: &str, given: &[&str], want: &[&str]| {
            let given: Vec<KeyValue> = given.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(absent(text, &given).unwrap(), want, "{text}");
        };
        let text = "FROM busybox AS a\nFROM debian:12\nCOPY --from=a / /\nRUN true\n";
        check(text, &[], &["busybox", "debian:12"]);
        check(text, &["busybox=oci-layout://b"], &["debian:12"]);
        check(text, &["busybox=oci-layout://b", "debian:12=folder"], &[]);
        check("FROM scratch\n", &[], &[]);
        check("FROM", &[], &[]);
    }

    #[test]
    fn arguments_of_a_case_stay_in_it() {
        for good in [
            json!(null),
            json!(["--verify", "--build-arg", "A=1", "--target=x", "-t", "a:1"]),
            json!(["--secret", "id=t,src=t.txt", "--secret=id=u,src=./d/u"]),
        ] {
            modest(&good).unwrap();
        }
        for bad in [
            json!(["--push"]),
            json!(["-o", "type=local,dest=/home"]),
            json!(["--output=/home"]),
            json!(["--allow", "security.insecure"]),
            json!(["--ssh", "default"]),
            json!(["--build-context", "a=/home"]),
            json!(["-qo/home"]),
            json!(["--secret", "id=t,env=TOKEN"]),
            json!(["--secret", "id=t"]),
            json!(["--build-arg", "TOKEN"]),
            json!(["--build-arg=TOKEN"]),
            json!(["--secret", "id=t,src=../../key"]),
            json!(["--secret", "id=t,src=/etc/shadow"]),
            json!(["--secret", "id=t,\"src=a\",source=/etc/shadow"]),
            json!(["--secret=id=t,src=a/../../b"]),
            json!(["--"]),
        ] {
            assert!(modest(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_that_could_not_look_has_not_passed() {
        let report = json!({
            "skipped": [{ "rule": "a", "reason": "nobody looked" }],
            "findings": [
                { "rule": "b", "severity": "warn", "span": { "line": 2 }, "suppressed": null },
                { "rule": "b", "severity": "note", "span": { "line": 3 }, "suppressed": null },
                { "rule": "b", "severity": "error", "suppressed": { "kind": "inSource" } },
            ],
        });
        assert!(matches!(told(&report, Some("a")), Seen::Skipped(why) if why == "nobody looked"));
        let row = ("b".to_owned(), Some(2), None, None);
        for rule in [Some("b"), None] {
            let Seen::Found(rows) = told(&report, rule) else { panic!("it was judged") };
            assert_eq!(rows, BTreeSet::from([row.clone()]));
        }
    }
}
