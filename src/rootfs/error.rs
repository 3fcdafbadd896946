//! What can go wrong with trees.

use std::io;

use crate::base::{ImagePath, PathError};
use crate::{layer, store, sys};

/// Why a tree could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} `{path}`: {source}")]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// Where in the image.
        path: ImagePath,
        /// What the kernel said.
        source: io::Error,
    },
    /// A folder is needed where something else is.
    #[error("`{0}` is not a directory")]
    NotADirectory(ImagePath),
    /// A folder is where a file has to go.
    #[error("cannot replace the directory `{0}` with a file")]
    IsADirectory(ImagePath),
    /// Links that lead in a circle.
    #[error("too many symbolic links on the way to `{0}`")]
    Loop(ImagePath),
    /// A path that cannot be.
    #[error("path `{path}`: {source}")]
    Path {
        /// The path as far as it is one.
        path: ImagePath,
        /// What is wrong.
        source: PathError,
    },
    /// An entry of a layer that makes no sense.
    #[error("layer entry `{path}`: {reason}")]
    Entry {
        /// The entry.
        path: ImagePath,
        /// What is wrong with it.
        reason: String,
    },
    /// An owner that this user namespace has no id for.
    #[error(
        "`{path}` is owned by {uid}:{gid}, which has no counterpart here: give this account more \
         subordinate ids (`/etc/subuid`, `/etc/subgid`), or run with a single id"
    )]
    Unmapped {
        /// The entry.
        path: ImagePath,
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
    /// A file changed between being looked at and being read.
    #[error("`{0}` changed while it was read")]
    Changed(ImagePath),
    /// The layer stream.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The overlay mount.
    #[error(transparent)]
    Overlay(#[from] sys::OverlayError),
}

impl Error {
    pub(super) fn io<'p>(
        what: &'static str,
        path: &'p ImagePath,
    ) -> impl FnOnce(io::Error) -> Error + use<'p> {
        move |source| Error::Io { what, path: path.clone(), source }
    }
}
