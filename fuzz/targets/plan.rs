//! A Dockerfile: as the target `parse`, then planned, and what is wrong with it shown.
#![no_main]

#[path = "../../src/plan/holds.rs"]
mod holds;
#[path = "../../src/instruction/holds.rs"]
mod text;

use libfuzzer_sys::fuzz_target;
use rbuild::base::{Platform, SourceId};
use rbuild::diag::{Diagnostic, Sources, render};
use rbuild::dockerfile::{Dockerfile, Line, parse};
use rbuild::instruction::{Instruction, parse_all};
use rbuild::plan::{Found, Request, Wanted, plan};
use text::parsed;

fuzz_target!(|text: &str| {
    holds::planned(text);
});
