//! What can go wrong with what a build reads.

use std::io;

use super::PatternError;
use crate::base::{ImagePath, PathError};
use crate::{layer, rootfs, store};

/// Why a context, a source or an archive could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} `{path}`: {source}")]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// Where in the context, or on the host.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is more to look at than was wanted.
    #[error("there are too many files")]
    TooMany,
    /// A source is not in the context or tree.
    #[error("`{path}`: not found{hint}")]
    NotFound {
        /// As written, from the root of the context.
        path: String,
        /// Empty, or why that may be: the rule of the ignore file.
        hint: String,
    },
    /// A pattern of an ignore file, of `--exclude` or of a source.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A mode that is none.
    #[error("invalid --chmod `{text}`: {reason}")]
    Chmod {
        /// As written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something is in the way at the destination.
    #[error("cannot copy to `{path}`: {reason}")]
    Destination {
        /// Where in the image.
        path: ImagePath,
        /// What is there.
        reason: &'static str,
    },
    /// A name that a layer cannot hold.
    #[error("`{path}`: names that begin with `.wh.` mean removed files in a layer")]
    WhiteoutName {
        /// Where it would be in the image.
        path: ImagePath,
    },
    /// A path that cannot be.
    #[error("`{path}`: {source}")]
    Path {
        /// As written.
        path: String,
        /// What is wrong.
        source: PathError,
    },
    /// The name of a heredoc or of a fetched file that is no file name.
    #[error("`{name}` is no name of a file: give the destination a file name")]
    FileName {
        /// The name.
        name: String,
    },
    /// An ignore file that is too large.
    #[error("`{path}` is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// An archive that ADD unpacks.
    #[error("cannot unpack `{path}`: {source}")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong with it.
        source: layer::Error,
    },
    /// An entry of an archive that ADD unpacks.
    #[error("cannot unpack `{archive}`: entry `{entry}`: {reason}")]
    ArchiveEntry {
        /// The archive.
        archive: String,
        /// The entry.
        entry: ImagePath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tree could not be read.
    #[error(transparent)]
    Tree(#[from] rootfs::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub(super) fn io<'p>(
        what: &'static str,
        path: &'p ImagePath,
    ) -> impl FnOnce(io::Error) -> Error + use<'p> {
        move |source| Error::Io { what, path: path.to_string(), source }
    }
}
