//! A Dockerfile: parsed, printed and parsed again, and read as instructions.
#![no_main]

#[path = "../../src/instruction/holds.rs"]
mod holds;

use libfuzzer_sys::fuzz_target;
use rbuild::base::SourceId;
use rbuild::diag::Diagnostic;
use rbuild::dockerfile::{Dockerfile, Line, parse};
use rbuild::instruction::{Instruction, parse_all};

fuzz_target!(|text: &str| {
    drop(holds::parsed(SourceId(0), text));
});
