//! The examples that newcomers start with: they pass the default profile, for every kind of user.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Build, Place, Who, ok};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn hello_builds_on_a_base_made_of_the_machines_own_shell() {
    let mut digests = Vec::new();
    for who in Who::every() {
        let place = Place::new(who);
        let folder = example("hello");
        for name in ["Dockerfile", "greeting.sh"] {
            let content = fs::read(folder.join(name)).expect("a file of the example");
            place.file(&format!("ctx/{name}"), content);
        }
        place.file("Dockerfile", fs::read(folder.join("Dockerfile")).expect("a Dockerfile"));
        let base = place.at("base");
        ok(Command::new("sh").arg(folder.join("base.sh")).arg(&base));
        ok(Command::new("chmod").args(["-R", "a+rX"]).arg(&base));
        let token = place.file("token", "not-a-real-token-0123456789\n");
        let build = Build::of(&place)
            .policy(None)
            .arg(format!("--build-context=base={}", base.display()))
            .arg(format!("--secret=id=token,src={}", token.display()));
        let (outcome, image) = build.image();
        outcome.says(&["token of 27 characters accepted"]);
        assert_eq!(image.config["config"]["User"], "10001:10001");
        assert!(image.text("usr/local/bin/greet").contains("VERSION=1.0"));
        digests.push(image.digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the user does not matter");
}

#[test]
fn hello_passes_lint_without_its_base() {
    let lint =
        Command::new(env!("CARGO_BIN_EXE_rbuild")).arg("lint").arg(example("hello")).output();
    let lint = lint.expect("rbuild runs");
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
fn the_dockerfiles_among_the_examples_give_the_errors_that_they_announce() {
    let mut seen = 0;
    for entry in fs::read_dir(example("dockerfiles")).expect("the folder").flatten() {
        let path = entry.path();
        let text = fs::read_to_string(&path).expect("a Dockerfile");
        let announced = text.lines().find_map(|line| line.strip_prefix("# expect: "));
        let announced = announced.unwrap_or_else(|| panic!("{path:?} announces nothing"));
        let mut want: Vec<&str> = announced.split(' ').filter(|word| *word != "nothing").collect();
        want.sort_unstable();
        let output = Command::new(env!("CARGO_BIN_EXE_rbuild"))
            .args(["lint", "--offline", "--format", "json"])
            .arg(&path)
            .output()
            .expect("rbuild runs");
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("a JSON report");
        let findings = report["findings"].as_array().expect("a list");
        let errors = findings.iter().filter(|finding| finding["severity"] == "error");
        let mut found: Vec<&str> =
            errors.map(|finding| finding["rule"].as_str().expect("an id")).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, want, "{path:?}");
        assert_eq!(output.status.code(), Some(i32::from(!want.is_empty())), "{path:?}");
        seen += 1;
    }
    assert!(seen >= 6);
}
