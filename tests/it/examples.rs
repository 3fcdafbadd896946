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
