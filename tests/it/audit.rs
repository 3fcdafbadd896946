//! `--audit`: which programs a step ran, whom they connected to, how they ended.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Build, Outcome, Place, Who, measured};

/// The steps of the metadata file of a build that noted what they did.
fn steps(place: &Place, outcome: &Outcome) -> Vec<Value> {
    outcome.digest();
    let meta = fs::read(place.at("meta.json")).expect("it is written");
    let meta: Value = serde_json::from_slice(&meta).expect("JSON");
    meta["rbuild"]["behaviour"]["steps"].as_array().expect("steps").clone()
}

fn audited<'a>(place: &'a Place, text: &str) -> Build<'a> {
    let meta = place.at("meta.json");
    Build::text(place, text).arg("--audit=exec").arg(format!("--metadata-file={}", meta.display()))
}

/// The one program with these arguments.
#[track_caller]
fn program<'a>(step: &'a Value, argv: &[&str]) -> &'a Value {
    let execs = step["execs"].as_array().expect("a list");
    let found: Vec<_> = execs.iter().filter(|one| one["argv"] == Value::from(argv)).collect();
    assert_eq!(found.len(), 1, "{argv:?} in {execs:#?}");
    found[0]
}

const TEXT: &str = "FROM busybox\n\
    RUN cp /bin/busybox /usr-sh && ln -s usr-sh /sh\n\
    RUN (/bin/cat /etc/passwd | /bin/grep root > /out); /sh -c 'exit 3' || true; \
        /sh -c 'kill -9 $$' || true; \
        /bin/nc -w 1 127.0.0.1 1 2>&1; /bin/mount -t tmpfs none /tmp 2>&1; trap 'echo got it' TERM; kill -TERM $$; \
        /bin/env -i /bin/echo one two; /bin/sleep 0.01 & wait; exec /bin/true\n";

#[test]
fn programs_are_noted_with_their_chain_and_end() {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let hash: String = Sha256::digest(busybox.expect("the base is made of it"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for who in Who::every() {
        let place = Place::new(who);
        let outcome = audited(&place, TEXT).run();
        outcome.says(&["| got it", "| one two", "audit: ", "programs, 1 connections"]);
        // The call itself was made.
        outcome.says(&["Connection refused", "mount: permission denied"]);
        let steps = steps(&place, &outcome);
        assert_eq!(steps.len(), 2);
        // The first one asked for nothing that is refused; that is known.
        assert_eq!(steps[0]["denied"].as_array().map(Vec::len), Some(0));
        let step = &steps[1];
        let at = step["place"].as_str().expect("a place");
        assert!(at.ends_with("Dockerfile:3:1"), "{at}");

        let cat = program(step, &["/bin/cat", "/etc/passwd"]);
        assert_eq!(cat["path"], "/bin/busybox");
        assert_eq!(cat["sha256"], hash);
        assert_eq!(cat["status"], 0);
        assert_eq!(cat["parents"], serde_json::json!(["/bin/busybox"]), "the step's shell");
        let exit = program(step, &["/sh", "-c", "exit 3"]);
        assert_eq!((&exit["path"], &exit["status"]), (&"/usr-sh".into(), &3.into()));
        assert_eq!(exit["sha256"], hash);
        assert_eq!(program(step, &["/sh", "-c", "kill -9 $$"])["status"], 137);
        let env = program(step, &["/bin/env", "-i", "/bin/echo", "one", "two"]);
        assert!(env["status"].is_null(), "another took its place: {env}");
        let echo = program(step, &["/bin/echo", "one", "two"]);
        assert_eq!(echo["parents"].as_array().expect("a chain").len(), 2, "{echo}");
        assert_eq!(program(step, &["/bin/true"])["status"], 0);
        let connects = step["connects"].as_array().expect("a list");
        assert_eq!(connects[0]["addr"], "127.0.0.1:1");
        assert_eq!(connects[0]["by"], "/bin/busybox");
        let denied = step["denied"].as_array().expect("a list");
        let mount = denied.iter().find(|one| one["syscall"] == "mount").expect("it was asked");
        assert_eq!((&mount["by"], &mount["parents"][0]), (&cat["path"], &cat["path"]));
        assert!(mount["count"].as_u64() >= Some(1), "{mount}");
        // With a single id the supervisor of owners is asked for programs, and not the tracer.
        assert_eq!(step["failed"].is_array(), who != Who::Single);

        // What is taken from the store is known as well; where it was not watched, that is said.
        let again = audited(&place, TEXT).run();
        again.says(&["CACHED", "audit: "]);
        assert_eq!(self::steps(&place, &again)[1]["execs"], step["execs"]);
    }
}

#[test]
fn a_step_that_leaves_busy_loops_behind_ends_all_the_same() {
    let place = Place::new(Who::usual());
    // Each turn of each loop makes events: a process, a program, a refused call, an end.
    let text = "FROM busybox\n\
        RUN for i in 1 2 3 4 5 6 7 8; do \
            (while :; do /bin/mount -t tmpfs none /tmp 2>/dev/null; done) & done; exit 0\n";
    let outcome = audited(&place, text).run();
    let step = &steps(&place, &outcome)[0];
    assert!(!step["left"].as_array().expect("a list").is_empty(), "{step}");
}

#[test]
fn what_a_step_does_only_in_its_second_run_is_told_too() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\n\
        RUN [ $(hostname) = buildkitsandbox ] || { /bin/nc -w 1 127.0.0.1 1; exit 1; }\n";
    let outcome = audited(&place, text).arg("--verify").run();
    outcome.says(&["it failed the second time"]);
    let step = &steps(&place, &outcome)[0];
    assert_eq!(step["connects"][0]["addr"], "127.0.0.1:1", "{step}");
    assert_eq!(step["varying"][0]["how"], "end", "{step}");
}

#[test]
fn what_was_not_watched_is_skipped_and_not_passed() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nRUN /bin/true\n";
    let outcome = Build::text(&place, text).run();
    outcome.digest();
    assert!(!outcome.err().contains("audit"), "{}", outcome.story());
    let outcome = audited(&place, text).run();
    outcome.says(&["audit: skipped: its result was in the store"]);
    let steps = steps(&place, &outcome);
    assert!(steps[0]["skipped"].is_string() && steps[0]["execs"].is_null(), "{steps:?}");
}

#[test]
fn an_audited_step_keeps_secrets_times_and_threads() {
    let place = Place::new(Who::usual());
    let file = place.file("token", "audit-S3cret-Value/77");
    let text = "FROM busybox\n\
        RUN --mount=type=secret,id=t /bin/echo $(/bin/cat /run/secrets/t)\n";
    let build = audited(&place, text).arg(format!("--secret=id=t,src={}", file.display()));
    let outcome = build.run();
    let steps = steps(&place, &outcome);
    program(&steps[0], &["/bin/echo", "***"]);
    let store = std::process::Command::new("grep")
        .args(["-rlF", "audit-S3cret-Value"])
        .arg(place.at("store"))
        .output()
        .expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&store.stdout), "");

    let _ = fs::remove_dir_all(place.at("image.oci"));
    let text = "FROM busybox\nRUN echo waiting; /bin/sleep 1000\n";
    let outcome = audited(&place, text).arg("--step-timeout=1s").run();
    outcome.fails(4, &["ran longer than 1s"]);
    assert!(outcome.done.wall < Duration::from_secs(9), "{:?}", outcome.done.wall);
    audited(&place, "FROM busybox\nRUN /bin/sleep 1000 & exit 7\n")
        .run()
        .fails(4, &["exit code: 7"]);
    // A profile that leaves nothing unexplained asks for it by itself.
    let text = "FROM busybox\nRUN /bin/true\nUSER 10001\n";
    let paranoid = |flag: &str| {
        let build = Build::text(&place, text).policy(Some("paranoid")).arg("--no-cache");
        build.arg("--only=final-user-root").arg(flag).run()
    };
    paranoid("--jobs=1").says(&["audit: "]);
    assert!(!paranoid("--audit=none").err().contains("audit: "));
    // So does what extends it, under whatever name.
    for (policy, watched) in [
        ("extends = \"paranoid\"\nname = \"ours\"\n", true),
        ("extends = \"paranoid\"\nname = \"ours\"\nbehaviour = \"auto\"\n", false),
        ("extends = \"hardened\"\nname = \"paranoid\"\n", false),
    ] {
        let file = place.file("policy.toml", policy).display().to_string();
        let build = Build::text(&place, text).policy(Some(&file)).arg("--no-cache");
        let outcome = build.arg("--only=final-user-root").run();
        assert_eq!(outcome.err().contains("audit: "), watched, "{policy}{}", outcome.story());
    }
}

#[test]
fn many_processes_are_noted_at_small_cost() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\n\
        RUN i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done\n";
    let plain = Build::text(&place, text).run();
    plain.digest();
    let outcome = audited(&place, text).arg("--no-cache").run();
    let steps = steps(&place, &outcome);
    assert_eq!(steps[0]["execs"].as_array().expect("a list").len(), 1001);
    measured(&format!(
        "1000 programs: {:?} under an audit, {:?} without",
        outcome.done.wall, plain.done.wall
    ));
}
