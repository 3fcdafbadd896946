//! `kill -9` in the middle of a step leaves nothing behind that the next build trips over.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Build, Place, Who};

/// Ids of processes (not ours) with this word on their command line.
fn processes(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(word)
        })
        .collect()
}

fn wait(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Mounts that name this place, as this process sees them.
fn mounts(place: &Place) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("a /proc");
    let path = place.path().display().to_string();
    text.lines().filter(|line| line.contains(&path)).map(str::to_owned).collect()
}

/// Starts a build whose step sleeps, sends the signal, and gives how long all took to be gone.
fn interrupt(place: &Place, seconds: &str, signal: Signal) -> Option<i32> {
    let text = format!(
        "FROM busybox\nRUN echo first > /first\n\
         RUN [ -e /never ] || {{ sleep {seconds} & setsid sleep {seconds} & test -e /go || sleep {seconds}; }}\n"
    );
    let build = Build::text(place, &text);
    let mut command: Command = build.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().expect("the program");
    let line = format!("sleep\0{seconds}");
    wait("the step to run", 30, || processes(&line).len() >= 2);
    // The layer of the step before is packed while this one runs.
    wait("the record of the step before", 30, || {
        fs::read_dir(place.at("store/records/key")).is_ok_and(|records| records.count() >= 1)
    });
    // `setpriv` executes the program: the child is the program itself.
    kill_process(Pid::from_child(&child), signal).expect("it runs");
    let status = child.wait().expect("a child");
    wait("the step's processes to be gone", 10, || processes(&line).is_empty());
    assert!(!place.at("image.oci").exists());
    status.code()
}

#[test]
fn kill_9_in_a_step_then_the_same_command() {
    for (who, seconds) in Who::every().into_iter().zip(["7001", "7002", "7003"]) {
        let place = Place::new(who);
        interrupt(&place, seconds, Signal::KILL);
        assert_eq!(mounts(&place), Vec::<String>::new(), "no mount is left");
        // The same Dockerfile, but the step ends at once.
        let text = fs::read_to_string(place.at("Dockerfile")).expect("it was written");
        let text = text.replace("RUN [ -e /never ]", "RUN [ ! -e /never ]");
        let (outcome, image) = Build::text(&place, &text).image();
        outcome.says(&["CACHED RUN echo first"]);
        assert_eq!(image.text("first"), "first\n");
        let left: Vec<_> =
            fs::read_dir(place.at("store/tmp")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "a later build sweeps the work of the dead: {left:?}");
    }
}

#[test]
fn ctrl_c_ends_a_build() {
    let place = Place::new(Who::usual());
    let code = interrupt(&place, "7101", Signal::INT);
    assert!(matches!(code, Some(130) | None), "exit {code:?}");
    let code = interrupt(&place, "7102", Signal::TERM);
    assert!(matches!(code, Some(143) | None), "exit {code:?}");
}

#[test]
fn what_a_step_starts_dies_with_it() {
    for (who, seconds) in Who::every().into_iter().zip(["7201", "7202", "7203"]) {
        let place = Place::new(who);
        let text = format!(
            "FROM busybox\nRUN sleep {seconds} & (setsid sleep {seconds} > /dev/null 2>&1 &) ; echo started\n"
        );
        let (outcome, _) = Build::text(&place, &text).image();
        assert!(outcome.done.wall < Duration::from_secs(20), "nobody waits for them");
        wait("the step's processes to be gone", 5, || {
            processes(&format!("sleep\0{seconds}")).is_empty()
        });
    }
}
