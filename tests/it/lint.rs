//! `rbuild lint`: no build, no store, no network.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Done, Place, Who, run};

fn lint(place: &Place, arguments: &[&str]) -> Done {
    let mut command = place.who().command(place.program(), &place.at("home"));
    command.arg("lint").args(arguments).current_dir(place.path());
    run(&mut command, Duration::from_secs(30))
}

fn check(dockerfile: &str, arguments: &[&str], code: i32, said: &[&str]) {
    let place = Place::new(Who::usual());
    place.file("Dockerfile", dockerfile);
    let done = lint(&place, &[arguments, &["Dockerfile"]].concat());
    let text = done.out() + &done.err();
    assert_eq!(done.code(), code, "{text}");
    for words in said {
        assert!(text.contains(words), "not said: {words}\n{text}");
    }
    assert!(!place.at("home/.cache").exists(), "no store is made");
}

const GOOD: &str = "FROM busybox@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AS build\nRUN true\n\
                    FROM scratch\nCOPY --from=build /bin/busybox /busybox\nUSER 10001:10001\n\
                    HEALTHCHECK CMD [\"/busybox\", \"true\"]\nENTRYPOINT [\"/busybox\"]\n";
const BAD: &str = "FROM debian:latest\nRUN curl -s https://example.org/install | sh\nENV API_TOKEN=abcdef0123456789\n";

#[test]
fn exit_codes() {
    check(GOOD, &["--offline"], 0, &[]);
    check(
        BAD,
        &["--offline"],
        1,
        &["final-user-root", "base-tag-latest", "pipe-to-interpreter", "secret-in-env"],
    );
    check(BAD, &["--offline", "--fail-on=never"], 0, &["final-user-root"]);
    check(BAD, &["--offline", "--policy=none"], 0, &[]);
    check("FRM x\n", &["--offline"], 3, &["FRM", "Dockerfile:1:1"]);
    check(GOOD, &["--no-such-flag"], 2, &["--no-such-flag"]);
    check(GOOD, &["--policy=hardend"], 2, &["hardened"]);
}

#[test]
fn a_missing_file_is_wrong_use() {
    let place = Place::new(Who::usual());
    let done = lint(&place, &["--offline", "No.such"]);
    assert_eq!(done.code(), 2, "{}", done.err());
    assert!(done.err().contains("No.such"), "{}", done.err());
}

#[test]
fn json_has_places_and_a_version() {
    let place = Place::new(Who::usual());
    place.file("Dockerfile", BAD);
    let done = lint(&place, &["--offline", "--format=json", "Dockerfile"]);
    assert_eq!(done.code(), 1, "{}", done.err());
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON on stdout");
    assert_eq!(report["version"], 1);
    let findings = report["findings"].as_array().expect("findings");
    let pipe = findings.iter().find(|finding| finding["rule"] == "pipe-to-interpreter");
    let pipe = pipe.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(pipe["severity"], "error");
    assert!(pipe["span"].to_string().contains('2'), "line 2: {pipe}");
    let again = lint(&place, &["--offline", "--format=json", "Dockerfile"]);
    assert_eq!(done.stdout, again.stdout, "the same input gives the same report");
}

#[test]
fn the_examples_are_clean() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let place = Place::new(Who::usual());
    let mut count = 0;
    for entry in fs::read_dir(examples).expect("examples").flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("Dockerfile")) else { continue };
        let name = format!("{}.Dockerfile", entry.file_name().display());
        place.file(&name, text);
        let done = lint(&place, &["--offline", "--build-context=base=.", &name]);
        // But for the incident, which is there for what is found in it.
        let want = i32::from(name == "forensics.Dockerfile");
        assert_eq!(done.code(), want, "{name}: {}{}", done.out(), done.err());
        count += 1;
    }
    assert!(count > 0, "there are examples with a Dockerfile");
}
