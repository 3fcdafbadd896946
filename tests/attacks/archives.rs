//! A. Layers and archives: base image layers, what ADD unpacks, layouts (attacks 1 to 28).
//!
//! The cases are tables: [`check`] makes a base image of each, and runs a step on it in every mode.
//! Attack 57 runs the same tables through ADD.

mod bytes;
mod streams;
mod trees;

pub(crate) use bytes::framing;
pub(crate) use trees::paths;

use crate::ground::{Ground, every_mode};
use crate::layout::{Hostile, Layer};

/// A hostile image: layers over busybox, and what has to come of it.
pub(crate) struct Case {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) want: Want,
}

/// What has to come of a case.
pub(crate) enum Want {
    /// A clean error that says this.
    Error(&'static str),
    /// Success; this script passes in a step.
    Tree(String),
}

/// A case with one layer that is refused.
pub(crate) fn refused(layer: Vec<u8>, said: &'static str) -> Case {
    Case { layers: vec![layer], want: Want::Error(said) }
}

/// A case with one layer in whose tree the script passes.
pub(crate) fn fine(layer: Vec<u8>, script: impl Into<String>) -> Case {
    Case { layers: vec![layer], want: Want::Tree(script.into()) }
}

/// Runs the cases in each mode, as layers of a base.
#[track_caller]
fn check(cases: impl Fn(&Ground) -> Vec<Case>) {
    every_mode(|ground| cases(ground).iter().for_each(|case| check_case(ground, case)));
}

#[track_caller]
fn check_case(ground: &Ground, case: &Case) {
    let layers = case.layers.iter().map(|layer| Layer::tar(layer));
    let Some(base) = Hostile::on_busybox(layers) else { return };
    match &case.want {
        Want::Error(said) => {
            ground.build_on(&base, "FROM base\nRUN true\n").run().refused(&[said]);
        }
        Want::Tree(script) => {
            let text = format!("FROM base\nRUN <<EOT\nset -eux\n{script}\nEOT\n");
            // The image is not read: what the base's layers are is not for the judge of images.
            ground.build_on(&base, &text).arg("--output=type=cacheonly").run().passed();
        }
    }
}
