//! `rbuild doctor`: what it says is what a build then meets.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Build, Done, Place, Who, have, run};

/// Runs `rbuild doctor` after these commands of a shell, in a user and mount namespace of its own.
fn within(place: &Place, before: &str, arguments: &str) -> Done {
    let mut command = place.who().command("unshare", &place.at("home"));
    let script = format!(
        "{before}\nexec {} doctor --root {} {arguments}",
        place.program().display(),
        place.at("store").display()
    );
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script]);
    run(command.current_dir(place.path()), Duration::from_secs(60))
}

/// What was found of one ability; each "no" has a cause and a cure.
#[track_caller]
fn ability(done: &Done, id: &str) -> Value {
    let found: Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", done.out(), done.err()));
    assert_eq!(found["version"], 1);
    let list = found["abilities"].as_array().expect("a list");
    for one in list {
        let no = one["works"] == false;
        assert_eq!(no, one["cause"].is_string() && one["cure"].is_string(), "{one}");
    }
    assert_eq!(found["isolated"] == true, done.code() == 0, "{found}");
    list.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no `{id}`: {found}")).clone()
}

#[test]
fn a_host_that_builds_is_said_to() {
    for who in Who::every() {
        let place = Place::new(who);
        let doctor = |flag: &str| {
            let mut command = who.command(place.program(), &place.at("home"));
            command.args(["doctor", "--root"]).arg(place.at("store"));
            command.args((!flag.is_empty()).then_some(flag)).current_dir(place.path());
            run(&mut command, Duration::from_secs(60))
        };
        let text = doctor("");
        assert_eq!(text.code(), 0, "{}{}", text.out(), text.err());
        assert!(text.out().starts_with("steps run isolated, "), "{}", text.out());
        assert_eq!(text.err(), "");
        let found = doctor("--json");
        for id in ["user-namespace", "overlay", "namespaces", "seccomp", "step", "store"] {
            assert_eq!(ability(&found, id)["works"], true, "{id} as {who:?}: {}", found.out());
        }
        let ids: Value = serde_json::from_slice(&found.stdout).expect("JSON");
        let (want, many) = match who {
            Who::Root => ("root", true),
            Who::Range => ("range", true),
            Who::Single => ("single", false),
        };
        assert_eq!(ids["ids"], want);
        assert_eq!(ability(&found, "id-range")["works"], many);
        if !many {
            let why = ability(&found, "id-range").to_string();
            assert!(why.contains("/etc/subuid") || why.contains("newuidmap"), "{why}");
        }
        let left = std::fs::read_dir(place.at("store")).expect("a folder").count();
        assert_eq!(left, 0, "nothing is left in the store's folder");
    }
}

#[test]
fn without_user_namespaces_the_cause_is_told() {
    if !have(&["unshare"]) {
        return;
    }
    let place = Place::new(Who::usual());
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces";
    let found = within(&place, limit, "--json");
    assert_eq!(found.code(), 7, "{}", found.out());
    for id in ["user-namespace", "overlay", "step"] {
        let one = ability(&found, id);
        // Without an overlay alone, steps would work in a copy.
        assert!(one["works"] == false && one["needed"] == (id != "overlay"), "{one}");
        assert!(one.to_string().contains("user.max_user_namespaces"), "{one}");
    }
    let text = within(&place, limit, "").out();
    assert!(text.starts_with("no step can be isolated here"), "{text}");
    assert!(
        text.contains("no! user-namespace") && text.contains("cure: as root: sysctl"),
        "{text}"
    );
}

#[test]
fn a_masked_proc_and_a_store_without_programs_are_told() {
    if !have(&["unshare"]) {
        return;
    }
    let place = Place::new(Who::usual());
    let found = within(&place, "mount --bind /dev/null /proc/uptime", "--json");
    let proc = ability(&found, "proc");
    assert!(proc["cause"].to_string().contains("masked"), "{proc}");
    assert_eq!(ability(&found, "overlay")["works"], true);

    let mount = format!("mount -t tmpfs -o noexec none {}", place.at("store").display());
    let store = ability(&within(&place, &mount, "--json"), "store");
    assert!(store["cause"].to_string().contains("noexec"), "{store}");
    let mount = format!("mount -t tmpfs -o ro none {}", place.at("store").display());
    let found = within(&place, &mount, "--json");
    assert!(ability(&found, "store")["cause"].to_string().contains("read-only"));
    assert!(ability(&found, "step")["cause"].to_string().contains("cannot write"));
}

#[test]
fn a_registry_is_asked_only_when_it_is_named() {
    let place = Place::new(Who::usual());
    let doctor = |flags: &[&str]| {
        let mut command = place.who().command(place.program(), &place.at("home"));
        command.args(["doctor", "--json", "--root"]).arg(place.at("store")).args(flags);
        run(command.current_dir(place.path()), Duration::from_secs(60))
    };
    // Nobody listens at port 1.
    let found = doctor(&["--registry=127.0.0.1:1/team/app:1"]);
    let one = ability(&found, "registry");
    assert!(one["works"] == false && found.code() == 0, "{one}");
    let wrong = doctor(&["--registry=UPPER CASE"]);
    assert_eq!(wrong.code(), 2, "{}", wrong.err());
    assert!(!doctor(&[]).out().contains("\"registry\""));
    // It leaves nothing that a build would stumble over.
    Build::text(&place, "FROM busybox\nRUN true\n").image();
}
