//! Judges a Dockerfile with the library, as `rbuild lint` does: pure, no store, no network.
//!
//! ```sh
//! cargo run --example lint_a_file -- examples/hello/Dockerfile
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)] // an example is a command line

use std::process::ExitCode;

use rbuild::base::Platform;
use rbuild::build::{Job, prepare};
use rbuild::diag::Diagnostic;
use rbuild::plan::{Found, Request, Wanted};
use rbuild::policy::Policy;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: lint_a_file DOCKERFILE");
        return ExitCode::from(2);
    };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("cannot read `{path}`: {error}");
            return ExitCode::from(2);
        }
    };
    let job = Job::new(path, text, Request::new(Platform::host()));
    let policy = Policy::builtin("hardened").expect("a built-in profile");
    // A base could be looked up here; without one, rules that need it are told as skipped.
    let bases = |_: &Wanted| -> Result<Found, Diagnostic> { Ok(Found::Unread) };
    let (sources, report) = match prepare(&job, &policy, &bases) {
        Ok(prepared) => (prepared.sources, prepared.report),
        Err(not) => (not.sources, not.report),
    };
    println!("{}", report.human(&sources, &policy, false));
    match report.verdict(policy.fail_on).refused {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
