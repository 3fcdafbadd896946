//! Every Dockerfile of the conformance suite, cut off at each byte and with bytes changed: it parses
//! and plans, or says what is wrong, and never panics; what parses prints as what parses the same.
//!
//! Runs when `RBUILD_CONFORMANCE` names the folder of the suite; else it is skipped, and says so.

#[path = "holds.rs"]
mod holds;
#[path = "../instruction/holds.rs"]
mod text;

use std::path::PathBuf;

use self::holds::planned;
use self::text::parsed;
use super::{Found, Request, Wanted, plan};
use crate::base::{Platform, SourceId};
use crate::diag::{Diagnostic, Sources, render};
use crate::dockerfile::{Dockerfile, Line, parse};
use crate::instruction::{Instruction, parse_all};

fn holds(bytes: &[u8]) -> bool {
    planned(&String::from_utf8_lossy(bytes))
}

// Changed copies of each file, beside its prefixes.
const MUTATIONS: usize = 40;

// Files longer than this are cut at every 37th byte alone.
const SMALL: usize = 1024;

fn files() -> Option<Vec<Vec<u8>>> {
    let Some(suite) = std::env::var_os("RBUILD_CONFORMANCE") else {
        eprintln!("skipped: RBUILD_CONFORMANCE does not name the suite");
        return None;
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(PathBuf::from(suite).join("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let read = |folder: PathBuf| std::fs::read(folder.join("Dockerfile")).ok();
    let files: Vec<_> = folders.into_iter().filter_map(read).collect();
    assert!(files.len() > 400, "the suite has {} Dockerfiles", files.len());
    Some(files)
}

#[test]
fn every_prefix_of_every_case() {
    let Some(files) = files() else { return };
    let mut planned = 0;
    for file in files {
        let step = if file.len() <= SMALL { 1 } else { 37 };
        planned += (0..=file.len()).step_by(step).filter(|end| holds(&file[..*end])).count();
    }
    assert!(planned > 10_000, "{planned} prefixes can be planned");
}

#[test]
fn every_case_with_bytes_changed() {
    let Some(files) = files() else { return };
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below.max(1)
    };
    for file in files.iter().filter(|file| !file.is_empty()) {
        for _ in 0..if file.len() <= SMALL { MUTATIONS } else { 3 } {
            let mut bytes = file.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = b"\\`\"'<-=$ {}[\n\r\t#,\0\xff"[next(19)],
                    1 => bytes[at] = next(256) as u8,
                    2 => bytes.insert(at, bytes[at / 2]),
                    // A piece of another case.
                    _ => {
                        let other = &files[next(files.len())];
                        let from = next(other.len());
                        let to = other.len().min(from + next(40));
                        bytes.splice(at..at, other[from..to].iter().copied());
                    }
                }
            }
            holds(&bytes);
        }
    }
}
