//! Builds that are ended from outside (74).

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{below, processes};
use crate::ground::{Attempt, Ground, Mode, every_mode};

/// A text whose second step sleeps, once only.
fn sleeper(seconds: &str, deaf: bool) -> String {
    let trap = if deaf { "trap '' INT TERM HUP; " } else { "" };
    format!(
        "FROM busybox\nRUN echo first > /first\n\
         RUN --mount=type=cache,id=once,target=/c,sharing=locked test -e /c/done || {{ touch /c/done; {trap}sleep {seconds} & setsid sleep {seconds} & while sleep {seconds}; do :; done; sleep {seconds}; }}\n"
    )
}

fn wait(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(attempt: &Attempt<'_>, stdout: Stdio) -> Child {
    let mut command = attempt.command();
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("the program")
}

/// Nothing of a build is left that was ended: no process, mount, lock, result.
fn nothing_left(ground: &Ground, seconds: &str) {
    wait("the step to be gone", 10, || processes(&format!("sleep\0{seconds}")) == 0);
    let place = ground.place();
    let path = place.path().display().to_string();
    assert_eq!(processes(&path), 0, "a process of the build");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a /proc");
    assert!(!mounts.contains(&path), "a mount of the build");
    for lock in fs::read_dir(place.at("store/locks")).into_iter().flatten().flatten() {
        let file = File::open(lock.path()).expect("a lock");
        file.try_lock().unwrap_or_else(|_| panic!("{:?} is still held", lock.path()));
    }
    for entry in fs::read_dir(place.path()).expect("the place").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with("image.oci") && !name.starts_with('.'), "{name} is left");
    }
}

fn check(ground: &Ground, number: u32, deaf: bool, signals: &[Signal], code: Option<i32>) {
    let seconds = format!("74{number}{:05}", std::process::id() % 100_000);
    let text = sleeper(&seconds, deaf);
    let attempt = ground.build(&text);
    let mut child = start(&attempt, Stdio::null());
    wait("the step to run", 30, || processes(&format!("sleep\0{seconds}")) >= 2);
    for signal in signals {
        kill_process(Pid::from_child(&child), *signal).expect("it runs");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = Instant::now();
    let status = child.wait().expect("a child");
    assert!(ended.elapsed() < Duration::from_secs(15), "after {:?}", ended.elapsed());
    assert_eq!(status.code(), code, "{signals:?}");
    nothing_left(ground, &seconds);
    // Exception: without namespaces a step has a copy of a cache, which comes back with its end. What a
    // step that was killed has written is gone, and this one would begin to sleep again.
    let text = match ground.mode() {
        Mode::Chroot => text.replace("test -e /c/done", "true"),
        _ => text,
    };
    // The next one starts at once: no lock is waited for.
    let started = Instant::now();
    let outcome = ground.build(&text).run();
    outcome.says(&["CACHED RUN echo first"]);
    outcome.built();
    assert!(started.elapsed() < Duration::from_secs(8), "after {:?}", started.elapsed());
}

#[test]
fn attack_74_ended_by_a_signal() {
    every_mode(|ground| check(ground, 1, false, &[Signal::INT], Some(130)));
    every_mode(|ground| check(ground, 2, false, &[Signal::TERM], Some(143)));
    every_mode(|ground| check(ground, 3, true, &[Signal::KILL], None));
}

#[test]
fn attack_74_the_impatient_twice() {
    // A step that is deaf has ten seconds; who asks again does not wait for it.
    every_mode(|ground| check(ground, 4, true, &[Signal::INT, Signal::INT], Some(130)));
    every_mode(|ground| check(ground, 5, true, &[Signal::TERM, Signal::INT], Some(130)));
}

#[test]
fn attack_74_a_keeper_that_is_stopped() {
    // Without a pid namespace two processes keep a step; before Linux 6.12 it can stop them.
    if !Mode::every().contains(&Mode::Chroot) {
        return;
    }
    let of = |pid: u32| Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let stop = |pid: u32| kill_process(of(pid), Signal::STOP).expect("it runs");
    for (number, both, killed) in [(6, false, false), (7, true, false), (8, false, true)] {
        let ground = Ground::new(Mode::Chroot);
        let seconds = format!("74{number}{:05}", std::process::id() % 100_000);
        let attempt = ground.build(&sleeper(&seconds, true));
        let mut command = attempt.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("the program");
        wait("the step to run", 30, || processes(&format!("sleep\0{seconds}")) >= 2);
        let keepers = below(child.id());
        let [_, outer, inner] = keepers[..] else { panic!("two keepers: {keepers:?}") };
        stop(inner);
        if both {
            stop(outer);
        }
        if killed {
            child.kill().expect("it runs");
        }
        let stopped = Instant::now();
        let mut over = false;
        while !over && stopped.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
            over = child.try_wait().expect("a child").is_some();
        }
        if !over {
            // Nothing of it may be left by a test that fails either.
            let _ = child.kill();
            kill_process(of(outer), Signal::KILL).expect("it is stopped, or waits");
            kill_process(of(inner), Signal::CONT).expect("it is stopped");
        }
        let told = child.wait_with_output().expect("a child");
        let err = String::from_utf8_lossy(&told.stderr);
        assert!(over, "it did not end\n{err}");
        if !killed {
            assert_eq!(told.status.code(), Some(7), "{err}");
            assert!(err.contains("was stopped, and has been killed"), "{err}");
        }
        nothing_left(&ground, &seconds);
    }
}

#[test]
fn attack_74_output_that_nobody_reads() {
    every_mode(|ground| {
        // Both ends of the talk are closed: the build goes on, and tells at its end what it could not.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let attempt = ground
            .build("FROM busybox\nRUN for n in $(seq 2000); do echo a line of some length; done\n");
        let mut command = attempt.command();
        command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let started = Instant::now();
        let status = command.spawn().expect("the program").wait().expect("a child");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(status.code().is_some_and(|code| [0, 2, 70].contains(&code)), "{status}");
        // What is there is whole.
        if ground.place().at("image.oci").exists() {
            crate::harness::Image::read(&ground.place().at("image.oci"));
            fs::remove_dir_all(ground.place().at("image.oci")).expect("ours");
        }
        nothing_left(ground, "none such");
        let outcome = ground
            .build("FROM busybox\nRUN for n in $(seq 2000); do echo a line of some length; done\n")
            .run();
        outcome.says(&["CACHED"]);
        outcome.built();
    });
}
