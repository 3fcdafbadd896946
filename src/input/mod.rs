//! All that a build reads from outside: contexts, archives, URLs, base images.
//!
//! What COPY and ADD do is done in three moves. [`select`] finds what the source patterns mean in a
//! [`Context`] (a folder less what its ignore file excludes, a tar stream, or the tree of another
//! stage). [`Selection::digest`] says what was found, for the cache key. [`place`] works out what
//! that makes of a destination, as a sorted list of `rootfs::Change`s, which goes into a layer or a
//! tree. Rules where a choice was open are BuildKit's.

mod ahead;
mod archive;
mod artifact;
mod base;
mod beside;
mod chmod;
mod context;
mod error;
mod finished;
pub mod git;
mod glob;
pub mod http;
mod ignore;
pub(crate) mod lenient;
mod pattern;
mod place;
mod select;

pub use archive::{START, looks_packed};
pub use artifact::Artifact;
pub use base::{BaseError, BaseImage, BaseSource, fetch_layers, resolve};
pub use beside::Paper;
pub use chmod::Chmod;
pub use context::{Context, Owners};
pub use error::Error;
pub use finished::{Finished, FinishedLayer, FinishedSource};
pub use ignore::{Ignore, LIMIT as IGNORE_LIMIT, PatternError, Rule};
pub use place::{Part, Placement, place};
pub use select::{Pick, Selection, select, select_known};

#[cfg(test)]
mod tests;
