//! Looks into an image of an OCI layout with the library: checks it, reads each layer once as a
//! stream, and judges what it finds.
//!
//! ```sh
//! cargo run --example audit_layout -- image.oci
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)] // an example is a command line

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use rbuild::base::Platform;
use rbuild::diag::Sources;
use rbuild::facts::{ImageFacts, LayerFacts, Needles, Origin, TableObserver};
use rbuild::image::{Layout, Selector, read_layout, validate};
use rbuild::layer::{Bounds, Limits, Reader, decompress, observe};
use rbuild::policy::{ImageInput, Policy, check_image};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: audit_layout DIR");
        return ExitCode::from(2);
    };
    match audit(Path::new(&path)) {
        Ok(true) => ExitCode::FAILURE,
        Ok(false) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Prints what is found; tells whether the profile `hardened` refuses the image.
fn audit(path: &Path) -> Result<bool, Failure> {
    let image = read_layout(path, &Selector::Only, &Platform::host())?;
    let layout = Layout::open(path)?;
    for problem in
        validate(&image, |digest| Ok(Box::new(std::fs::File::open(layout.blob_path(digest))?)))
    {
        println!("not valid: {problem}");
    }
    let mut layers = Vec::new();
    let mut history = image.config.history.iter().filter(|entry| !entry.empty_layer);
    for layer in &image.layers {
        let blob = std::fs::File::open(layout.blob_path(layer.descriptor.digest))?;
        let plain = decompress(blob, layer.kind.into(), Bounds::default())?;
        let mut table = TableObserver::new();
        observe(Reader::audit(plain, Limits::default()), &mut [&mut table])?;
        let told = history.next().and_then(|entry| entry.created_by.clone()).unwrap_or_default();
        let table = table.finish();
        println!("{}  {:>6} entries  {told}", layer.descriptor.digest, table.files.len());
        layers.push(LayerFacts {
            table,
            origin: Origin::Foreign(told),
            leaks: Vec::new(),
            steps: BTreeMap::new(),
        });
    }
    let facts =
        ImageFacts::new(image.config.clone(), layers, &BTreeMap::new(), &Needles::default());
    let policy = Policy::builtin("hardened").expect("a built-in profile");
    let report = check_image(ImageInput { facts: &facts, text: None }, &policy);
    println!("{}", report.human(&Sources::new(), &policy, false));
    Ok(report.verdict(policy.fail_on).refused)
}
