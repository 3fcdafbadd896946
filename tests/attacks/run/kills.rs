//! Builds in a row, each ended at a moment of chance: nothing may pile up.
//!
//! `RBUILD_KILLS=1000` makes it a thousand in each mode, `RBUILD_KILLS_MODE=single` in that one alone (`root`,
//! `range`, `single`, `chroot`); `RBUILD_KILLS_SEED` is another row.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::processes;
use crate::ground::{Ground, every_mode};
use crate::harness::measured;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers as by chance, the same for the same seed (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

// Two stages, a cache, steps that are new and steps that were made before.
fn text(round: u64) -> String {
    format!(
        "FROM busybox AS first\nRUN echo {} > /a; head -c 50000 /dev/urandom > /r\n\
         RUN true\nFROM busybox\nCOPY --from=first /a /a\n\
         RUN --mount=type=cache,id=c,target=/c,sharing=locked echo {round} >> /c/list; cp /a /b\n\
         COPY file /file\n",
        round % 5
    )
}

/// Asserts that nothing of the dead is left after a build that was not ended.
fn whole(ground: &Ground, round: u64) {
    let place = ground.place();
    // Judges the image, each blob of the store, its `tmp`.
    ground.build(&text(round)).run().built();
    let path = place.path().display().to_string();
    assert_eq!(processes(&path), 0, "a process is left after {round}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a /proc");
    assert!(!mounts.contains(&path), "a mount is left after {round}");
    for lock in fs::read_dir(place.at("store/locks")).expect("the store").flatten() {
        let file = File::open(lock.path()).expect("a lock");
        file.try_lock().unwrap_or_else(|_| panic!("{:?} is still held", lock.path()));
    }
    let names = |folder: &str| -> BTreeSet<String> {
        let all = fs::read_dir(place.at(folder)).expect("a folder").flatten();
        all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let rest: Vec<_> = names("").into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(rest.is_empty(), "beside the output: {rest:?} after {round}");
    let bound: BTreeSet<String> = names("store/records/tree")
        .iter()
        .map(|name| fs::read_to_string(place.at("store/records/tree").join(name)).expect("ours"))
        .collect();
    // A tree that this very build has replaced goes when the next one begins.
    let replaced = names("store/records/replaced");
    let lost: Vec<_> = names("store/trees")
        .into_iter()
        .filter(|id| !bound.contains(id) && !replaced.contains(id))
        .collect();
    assert!(lost.is_empty(), "trees that nobody finds: {lost:?} after {round}");
}

#[test]
fn attack_74_killed_again_and_again() {
    let rounds = number("RBUILD_KILLS", 12);
    let only = std::env::var("RBUILD_KILLS_MODE").ok();
    every_mode(|ground| {
        let name = format!("{:?}", ground.mode());
        if only.as_ref().is_some_and(|only| !name.eq_ignore_ascii_case(only)) {
            return;
        }
        let place = ground.place();
        place.file("ctx/file", "x");
        whole(ground, 0);
        let started = Instant::now();
        let mut command = ground.build(&text(1)).command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("the program");
        let usual = started.elapsed();
        fs::remove_dir_all(place.at("image.oci")).expect("ours");
        let mut chance = Chance(number("RBUILD_KILLS_SEED", 0x9e37_79b9_7f4a_7c15));
        let (mut ended, mut slowest) = ([0u64; 4], Duration::ZERO);
        for round in 1..=rounds {
            let mut command = ground.build(&text(round)).command();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("the program");
            // At most as long as a whole build takes: most are caught at work.
            let limit = usual.as_micros().clamp(20_000, 300_000) as u64;
            std::thread::sleep(Duration::from_micros(chance.below(limit)));
            let (kind, signal) = match chance.below(4) {
                0 => (0, Signal::INT),
                1 => (1, Signal::TERM),
                _ => (2, Signal::KILL),
            };
            match child.try_wait().expect("a child") {
                Some(_) => ended[3] += 1,
                None => {
                    kill_process(Pid::from_child(&child), signal).expect("it is ours");
                    ended[kind] += 1;
                }
            }
            let asked = Instant::now();
            let _ = child.wait();
            slowest = slowest.max(asked.elapsed());
            assert!(slowest < Duration::from_secs(15), "round {round}: {slowest:?} to end");
            let _ = fs::remove_dir_all(place.at("image.oci"));
            if round % 100 == 0 {
                whole(ground, round + 1);
            }
        }
        whole(ground, rounds + 1);
        whole(ground, rounds + 1);
        assert_eq!(fs::read_dir(place.at("store/records/replaced")).expect("ours").count(), 0);
        let [int, term, kill, late] = ended;
        measured(&format!(
            "{name}: {rounds} builds, {kill} killed, {int} interrupted, {term} terminated, {late} were faster; \
             the slowest end took {slowest:?}"
        ));
    });
}
