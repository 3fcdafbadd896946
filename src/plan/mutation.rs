//! Every Dockerfile of the conformance suite, cut off at each byte and with bytes changed: it parses
//! and plans, or says what is wrong, and never panics; what parses prints as what parses the same.
//!
//! Runs when `RBUILD_CONFORMANCE` names the folder of the suite; else it is skipped, and says so.

use std::path::PathBuf;

use super::{Found, Request, Wanted, plan};
use crate::base::Platform;
use crate::diag::{Sources, render};
use crate::dockerfile::{Dockerfile, parse};
use crate::instruction::parse_all;

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

// The words of the tree, without places.
fn shape(file: &Dockerfile) -> String {
    let mut out = format!("{:?}", file.escape);
    for line in &file.lines {
        let mut at = Some(line);
        while let Some(line) = at {
            let flags: Vec<_> = line
                .flags
                .iter()
                .map(|flag| (&flag.name, flag.value.as_ref().map(|value| value.as_str())))
                .collect();
            let docs: Vec<_> = line
                .heredocs
                .iter()
                .map(|doc| (&doc.name, doc.expand, doc.strip_tabs, doc.fd, &doc.content))
                .collect();
            out +=
                &format!("\n{:?} {flags:?} {:?} {docs:?}", line.keyword.text, line.body.as_str());
            at = line.nested.as_deref();
        }
    }
    out
}

// Whether it was planned.
fn holds(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text.clone());
    let (file, mut errors) = parse(source, &text);
    if errors.is_empty() {
        let printed = file.to_string();
        let (again, errors) = parse(source, &printed);
        assert!(errors.is_empty(), "{text:?} prints as {printed:?}: {errors:?}");
        assert_eq!(shape(&file), shape(&again), "{text:?} prints as {printed:?}");
    }
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    if errors.is_empty() {
        let request = Request::new(Platform::new("linux", "amd64", None));
        let unread = |_: &Wanted| Ok(Found::Unread);
        match plan(&file, &instructions, &request, &unread, &mut sources) {
            Ok(_) => return true,
            Err(found) => errors.extend(found),
        }
    }
    assert!(!errors.is_empty(), "neither a plan nor an error: {text:?}");
    errors.iter().for_each(|error| drop(render(error, &sources, false)));
    false
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
