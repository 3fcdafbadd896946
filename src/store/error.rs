//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::{Blob, Digest};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("store: cannot {what} `{path}`: {source}", path = path.display())]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store was made by another version of rbuild.
    #[error(
        "the store `{path}` has format `{found}`, this rbuild knows format 1: choose another \
         folder with `--root`, or delete this one (it is a cache, no result is lost)",
        path = path.display()
    )]
    Version {
        /// The store.
        path: PathBuf,
        /// What its `version` file says.
        found: String,
    },
    /// The folder has content, but is no store.
    #[error(
        "`{path}` is not empty and is no store of rbuild: choose another folder with `--root`",
        path = path.display()
    )]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// No such blob.
    #[error("the store has no blob `{0}`")]
    Missing(Digest<Blob>),
    /// The bytes are not those of the digest.
    #[error("content of `{want}` is damaged: found `{found}`, {size} bytes")]
    Corrupt {
        /// The digest asked for.
        want: Digest<Blob>,
        /// The digest of the bytes.
        found: Digest<Blob>,
        /// The number of the bytes.
        size: u64,
    },
    /// More or fewer bytes than announced.
    #[error("`{digest}` has {found} bytes instead of {want}")]
    Size {
        /// The digest.
        digest: Digest<Blob>,
        /// Bytes announced.
        want: u64,
        /// Bytes there.
        found: u64,
    },
    /// Waiting for a lock was given up because the caller said so.
    #[error("cancelled while waiting for the cache mount `{0}`")]
    Cancelled(String),
}

impl Error {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { what, path, source }
    }
}

impl From<Error> for io::Error {
    /// Wraps the error, so that it can travel through [`io::Read`].
    fn from(error: Error) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
