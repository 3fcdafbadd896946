//! Processes that a step leaves, and steps that want all there is (73, 75).

use std::time::{Duration, Instant};

use super::{hostile, processes, wrote};
use crate::ground::{Mode, every_mode};

#[test]
fn attack_73_what_a_step_leaves_running_dies_with_it() {
    every_mode(|ground| {
        let seconds = format!("73{:05}", std::process::id() % 100_000);
        // In the background, in a session of its own, twice forked, with closed and with held output,
        // and deaf to signals; then three hundred orphans that end at once.
        let text = format!(
            "FROM busybox\n\
             RUN sleep {seconds} & (setsid sleep {seconds} &) ; (setsid sh -c 'sleep {seconds} & sleep {seconds}' >/dev/null 2>&1 </dev/null &) ; \
                 (trap '' HUP INT TERM; sleep {seconds} & ) ; echo left\n\
             RUN for n in $(seq 300); do (sh -c 'true &' &); done; sleep 0.5; echo zombies $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)\n\
             RUN (while true; do echo talking; done) & sleep 0.2; echo quiet\n"
        );
        let started = Instant::now();
        let outcome = ground.build(&text).run();
        wrote(&outcome, &["left", "zombies 0", "quiet"]);
        assert!(started.elapsed() < Duration::from_secs(25), "nobody waits for them");
        assert_eq!(processes(&format!("sleep\0{seconds}")), 0, "they outlived the step");
    });
}

#[test]
fn attack_75_a_step_that_wants_all_there_is() {
    every_mode(|ground| {
        let seconds = format!("75{:05}", std::process::id() % 100_000);
        let fds = hostile::step(ground, "", "hold");
        // A bomb, with an end in case that the limit is none.
        let processes_of = format!(
            "FROM busybox\nRUN for n in $(seq 400); do sleep {seconds} & done; echo all of them\n"
        );
        let outcome = ground.build(&processes_of).arg("--ulimit=nproc=60:60").run();
        outcome.survived();
        assert_eq!(processes(&format!("sleep\0{seconds}")), 0, "they outlived the step");
        let outcome =
            ground.build(&format!("FROM busybox\n{fds}")).arg("--ulimit=nofile=100:100").run();
        wrote(&outcome, &["held 99"]);
        // Memory: the address space is bounded, the step fails and the builder tells.
        let text = "FROM busybox\nRUN dd if=/dev/zero of=/dev/null bs=900M count=1\n";
        ground
            .build(text)
            .arg("--ulimit=as=300000000")
            .run()
            .refused_with(4, &["did not complete"]);
        // Disk: one file, and the memory of /dev/shm.
        let text = "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=8\n";
        let outcome = ground.build(text).arg("--ulimit=fsize=2000000").run();
        outcome.refused_with(4, &["did not complete"]);
        let text = "FROM busybox\nRUN ! dd if=/dev/zero of=/dev/shm/big bs=1M count=8 2>/dev/null && echo full\n";
        if ground.mode() == Mode::Chroot {
            // Exception: a folder of the store's disk, which has no limit of its own; none of it is kept.
            let text = text.replace("RUN !", "RUN").replace("full", "no limit");
            let outcome = ground.build(&text).arg("--shm-size=2m").run();
            outcome.says(&["| no limit"]);
            assert!(!outcome.built().tree.keys().any(|name| name.ends_with("big")));
            return;
        }
        wrote(&ground.build(text).arg("--shm-size=2m").run(), &["full"]);
    });
}
