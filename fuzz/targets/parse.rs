//! A Dockerfile: parsed, read as instructions, planned, printed and parsed again.
#![no_main]

#[path = "../../src/plan/holds.rs"]
mod holds;

use libfuzzer_sys::fuzz_target;
use rbuild::base::Platform;
use rbuild::diag::{Sources, render};
use rbuild::dockerfile::{Dockerfile, Line, parse};
use rbuild::instruction::parse_all;
use rbuild::plan::{Found, Request, Wanted, plan};

fuzz_target!(|text: &str| {
    holds::planned(text);
});
