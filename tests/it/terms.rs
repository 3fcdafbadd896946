//! How long a step may take, and how much it may use.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Build, Place, Who, is_root, measured, run};

#[test]
fn a_step_that_takes_too_long_is_stopped() {
    for who in Who::every() {
        let place = Place::new(who);
        let meta = place.at("meta.json");
        let outcome = Build::text(&place, "FROM busybox\nRUN echo waiting; sleep 1000\n")
            .arg("--step-timeout=1s")
            .arg(format!("--metadata-file={}", meta.display()))
            .run();
        outcome.fails(
            4,
            &["step-timeout", "ran longer than 1s", "it wrote last: waiting", "Dockerfile:2:1"],
        );
        assert!(outcome.done.wall < Duration::from_secs(9), "{:?}", outcome.done.wall);
        let meta = fs::read_to_string(meta).expect("it is written");
        assert!(meta.contains("step-timeout"), "{meta}");
    }
}

#[test]
fn a_step_that_says_nothing_is_stopped() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\n\
        RUN for i in 1 2 3 4 5 6 7 8; do echo tick $i; sleep 0.5; done; \
        trap 'echo asked to end; exit 0' TERM; sleep 1000 & wait\n";
    let outcome = Build::text(&place, text).arg("--stall-timeout=3s").run();
    // Ticks keep it alive; when it ends by itself after that, it still did not do its work.
    outcome.fails(4, &["wrote nothing for 3s", "tick 8", "it wrote last: asked to end"]);
}

#[test]
fn a_step_that_does_not_want_to_end_is_killed() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nRUN trap '' TERM; while :; do sleep 1; done\n";
    let outcome = Build::text(&place, text).arg("--step-timeout=1s").run();
    outcome.fails(4, &["ran longer than 1s"]);
    let wall = outcome.done.wall;
    assert!(wall >= Duration::from_secs(10), "it was given ten seconds to end: {wall:?}");
}

#[test]
fn a_step_within_its_time_is_left_alone() {
    let place = Place::new(Who::usual());
    let build = Build::text(&place, "FROM busybox\nRUN echo x > /x\n");
    build.arg("--step-timeout=50s").arg("--stall-timeout=50s").image();
    let outcome = Build::of(&place).arg("--step-timeout=soon").run();
    assert_eq!(outcome.done.code(), 2, "{}", outcome.story());
    outcome.says(&["not a duration"]);
}

#[test]
fn memory_is_limited_by_a_group_or_by_process() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nRUN dd if=/dev/zero of=/dev/null bs=300M count=1\n";
    let outcome = Build::text(&place, text).arg("--resource=memory=64m").run();
    let err = outcome.fails(4, &["Dockerfile:2:1"]);
    let grouped = err.contains("out-of-memory") && err.contains("--resource memory=");
    let alone = err.contains("without a control group") && err.contains("for each process");
    assert!(grouped != alone, "{}", outcome.story());
    measured(if grouped { "memory: limited by a group" } else { "memory: limited by process" });
    Build::text(&place, text).run().image();
}

#[test]
fn a_step_that_the_kernel_kills_for_memory_is_told_so() {
    // A group of memory that the builder is put in from outside, as in a container.
    let (top, limit) = match ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new) {
        [v1, _] if v1.join("memory.limit_in_bytes").exists() => (v1, "memory.limit_in_bytes"),
        [_, v2] => (v2, "memory.max"),
    };
    let group = top.join(format!("rbuild-test-{}", std::process::id()));
    if !is_root() || fs::create_dir(&group).is_err() {
        return measured("out of memory: no group of control can be made here");
    }
    if fs::write(group.join(limit), "200000000").is_err() {
        let _ = fs::remove_dir(&group);
        return measured("out of memory: this host does not count memory");
    }
    let _ = fs::write(group.join("memory.swap.max"), "0");
    let place = Place::new(Who::Root);
    // `dd` asks for all at once, and writes into it.
    let text = "FROM busybox\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1\n";
    let build = Build::text(&place, text);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.display()));
    command.arg("sh").arg(place.program()).args(build.line()).current_dir(place.path());
    let done = run(&mut command, Duration::from_secs(60));
    let _ = fs::remove_dir(&group);
    assert_eq!(done.code(), 4, "{}", done.err());
    for said in ["out-of-memory", "the container that the build runs in", "--jobs 1"] {
        assert!(done.err().contains(said), "{said}: {}", done.err());
    }
}
