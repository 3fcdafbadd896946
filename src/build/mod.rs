//! The river itself, with the policy gates in it.
//!
//! [`prepare`] turns a text into a plan and judges it; nothing has run yet, and without a store or a
//! network it is what `lint` does. [`look`] gathers the facts of a finished image for `audit`. [`execute`] runs the plan, judges the image, and writes it to its
//! outputs. A refusal at any gate leaves nothing behind.

mod ahead;
mod audit;
mod bases;
#[cfg(feature = "rego")]
mod custom;
mod execute;
mod listing;
mod papers;
mod pass;
mod prepare;
mod recall;
mod recipe;

pub use audit::{Known, broken, look};
pub use bases::{NamedSource, NamedSourceError, Resolver};
#[cfg(feature = "rego")]
pub(crate) use custom::rego_main;
#[cfg(feature = "rego")]
pub use custom::run_rego;
pub use execute::{Done, Ended, Judged, Work, deliver, execute};
pub use listing::FolderFiles;
pub use prepare::{Job, NotPrepared, Prepared, parse, prepare, prepare_known};
pub use recall::recall;
pub use recipe::{Recipe, RecipeEntry, RecipeKind, RecipeLayer, RecipeSignature, Tamper};
