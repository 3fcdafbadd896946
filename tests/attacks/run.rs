//! D. RUN and its mounts (attacks 60 to 84).

mod doors;
mod hostile;
mod identity;
mod kills;
mod mounts;
mod powers;
mod processes;
mod secrets;
mod signals;
mod stores;

use std::fs;

use crate::ground::Outcome;

/// The lines that steps wrote, without the place in front.
fn lines(err: &str) -> Vec<&str> {
    err.lines().filter_map(|line| line.split_once("] | ").map(|(_, text)| text)).collect()
}

/// Asserts success, and that steps wrote these lines, among others.
#[track_caller]
fn wrote(outcome: &Outcome<'_>, want: &[&str]) {
    let err = outcome.err();
    let lines = lines(&err);
    for line in want {
        assert!(lines.contains(line), "no step wrote `{line}`\n{}", outcome.story());
    }
    outcome.built();
}

/// How many processes of the host have this text in their command line (NULs between words).
fn processes(text: &str) -> usize {
    let holds = |line: Vec<u8>| String::from_utf8_lossy(&line).contains(text);
    let all = fs::read_dir("/proc").expect("a /proc").flatten();
    all.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| holds(line.clone()))
        .count()
}

/// The processes below a builder that are the program again: what is forked for steps, and of each step the
/// outer, and below it the inner.
fn below(pid: u32) -> Vec<u32> {
    let (mut found, mut rest) = (Vec::new(), vec![pid]);
    while let Some(pid) = rest.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            rest.extend(list.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
        }
        let line = fs::read(format!("/proc/{pid}/cmdline"));
        if line.is_ok_and(|line| line == b"rbuild\0__sandbox\0") {
            found.push(pid);
        }
    }
    found
}
