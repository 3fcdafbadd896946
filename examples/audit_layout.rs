//! Looks into an image of an OCI layout with the library: reads each layer once as a stream, checks it
//! against its digests, and judges what it finds.
//!
//! ```sh
//! cargo run --example audit_layout -- image.oci
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)] // an example is a command line

use std::process::ExitCode;

use rbuild::base::Platform;
use rbuild::build::{Known, look};
use rbuild::diag::Sources;
use rbuild::image::Selector;
use rbuild::input::{Finished, FinishedSource};
use rbuild::policy::{ImageInput, Policy, check_image};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: audit_layout DIR");
        return ExitCode::from(2);
    };
    match audit(path) {
        Ok(true) => ExitCode::FAILURE,
        Ok(false) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Prints what is found; tells whether the profile `hardened` refuses the image.
fn audit(path: String) -> Result<bool, Failure> {
    let source = FinishedSource::Folder(path.into(), Selector::Only);
    let image = Finished::open(&source, &Platform::host(), None)?;
    let facts = look(&image, &Known::default(), 1)?;
    for (layer, facts) in image.layers.iter().zip(&facts.layers) {
        println!("{}  {:>6} entries", layer.path(), facts.table.files.len());
    }
    let policy = Policy::builtin("hardened").expect("a built-in profile");
    let report = check_image(ImageInput { facts: &facts, text: None }, &policy);
    println!("{}", report.human(&Sources::new(), &policy, false));
    Ok(report.verdict(policy.fail_on).refused)
}
