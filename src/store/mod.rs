//! The store: bytes by digest, trees, cache records, cache mounts.
//!
//! One folder that several builds use at once. Whatever gets a good name in it is complete: it is
//! written aside in `tmp/` and renamed. A process may be killed at any moment; what it leaves
//! behind in `tmp/` has no owner any more (its lock is free), and the next one to open the store
//! removes it. Everything in here can be made again: deleting the folder loses no result.
//!
//! ```text
//! version                              "1\n": the format of the whole
//! oci-layout, index.json               with blobs/, a valid OCI layout
//! blobs/sha256/<hex>                   blobs by digest
//! trees/<tree id>/fs                   one layer, unpacked, in the form that overlayfs reads
//! records/key/<hex>                    cache records
//! records/op/<hex>/<hex of key>        the records of an operation, whatever its parents
//! records/slot/<hex>                   the last record of a place in a Dockerfile: its key
//! records/tree/<hex>                   the tree of a layer: its id; by diff id and owner of files
//! records/facts/<hex of diff id>/<kind>  what was found in a layer
//! records/stat                         digests of files that were read before
//! cache/<hex>                          cache mounts
//! locks/                               lock files: of cache mounts, of the store's users
//! tmp/<name>/, tmp/<name>.lock         unfinished things of one process, and its lock
//! ```

mod blob;
mod cache_mount;
mod error;
mod facts;
mod open;
mod record;
mod remove;
mod mark;
mod stat_cache;
mod tmp;
mod tree;

pub use blob::{Blob, Draft, RawDraft, Verified};
pub use cache_mount::{CacheMount, Sharing};
pub use error::Error;
pub use mark::{Mark, Marker, Marks};
pub use open::Store;
pub use record::{CacheRecord, KeyPart};
pub use remove::remove_tree;
pub use stat_cache::{FileStamp, StatCache};
pub use tree::{TreeDraft, TreeId};

#[cfg(test)]
mod tests;
