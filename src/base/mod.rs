//! Values that cannot be wrong: digests that know what they are the digest of, paths that stay
//! inside an image, references that follow the grammar, spans that point into a known text.
//!
//! First row of the module table: names nothing of the project, touches neither disk nor clock.

mod arena;
mod digest;
mod path;
mod platform;
mod reference;
mod secret;
#[cfg(test)]
mod skipped;
mod span;
mod sum;
mod time;

pub use arena::{Arena, Id, StageId, StageMark, StepId, StepMark};
pub use digest::{
    Blob, Cache, Chain, Config, Diff, Digest, DigestError, Hasher, Kind, Manifest, chain_above,
    chain_of, hex,
};
pub use path::{ImagePath, PathError};
pub use platform::{Platform, PlatformError};
pub use reference::{ImageRef, PinnedRef, ReferenceError};
pub use secret::{Masker, Secret};
#[cfg(test)]
pub(crate) use skipped::skipped;
pub use span::{SourceId, Span};
pub use sum::Sums;
pub use time::{Timestamp, TimestampError};
