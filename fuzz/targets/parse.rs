//! A Dockerfile: parsed, read as instructions, planned, printed and parsed again.
#![no_main]

#[path = "../../src/plan/holds.rs"]
mod holds;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| holds::planned(text));
