//! Layers: tar in and out, whiteouts, compression.
//!
//! Stands between the store (bytes by digest) and `rootfs` (trees). A layer is written once, in
//! one pass: [`LayerWriter`] makes the tar, hashes it, compresses it on other threads, hashes the
//! result and hands it to a sink; what wants to see the content rides along as an [`Observer`].
//! A layer is read as a stream too: [`decompress`] with limits against bombs, then [`Reader`],
//! which yields entries and their content. Nothing here touches a file system: putting entries
//! into a tree, and finding them there, is the job of `rootfs`.
//!
//! The bytes written depend on the entries and the [`Compression`] alone: not on the number of
//! threads, the sizes of reads and writes, the processor, or the time.

mod apart;
mod compress;
mod decompress;
mod entry;
mod error;
mod gzip;
mod header;
mod inflate;
mod observe;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use apart::{Apart, apart};
pub use compress::Compression;
pub use decompress::{Bounds, DiffReader, Format, decompress};
pub use entry::{Entry, EntryKind};
pub use error::Error;
pub use inflate::Inflate;
pub use observe::observe;
pub use reader::{Content, Limits, Reader};
pub use writer::{LayerWriter, Observer, Written};
