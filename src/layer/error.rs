//! What can be wrong with a layer.

use std::io;

/// Why a layer could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the source, or writing to the sink, failed.
    #[error(transparent)]
    Io(io::Error),
    /// The stream ends inside an entry or its headers.
    #[error("the archive is truncated")]
    Truncated,
    /// The archive breaks the format.
    #[error("malformed archive: {0}")]
    Malformed(String),
    /// An entry's name or link target cannot be a path in an image.
    #[error("archive entry `{name}`: {reason}")]
    Name {
        /// The name, escaped for showing.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit was reached: the archive is a bomb, or larger than allowed.
    #[error("{what} is over the limit of {limit}")]
    Limit {
        /// What was measured.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The compressed data are damaged or of another format than claimed.
    #[error("cannot decompress as {format}: {reason}")]
    Compressed {
        /// The format that was claimed.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The content handed to the writer ended early: the file shrank while it was read.
    #[error("`{path}` ended after {got} of {want} bytes: it changed while it was read")]
    ContentShort {
        /// The entry.
        path: String,
        /// Bytes promised.
        want: u64,
        /// Bytes there.
        got: u64,
    },
    /// Entries were not handed to the writer sorted by path bytes, each path once.
    #[error("internal error: entry `{0}` is out of order")]
    Order(String),
    /// The entry cannot be written in a layer.
    #[error("`{path}` cannot be put in a layer: {reason}")]
    Unwritable {
        /// The entry.
        path: String,
        /// Why.
        reason: &'static str,
    },
}

impl From<io::Error> for Error {
    /// Unwraps an [`Error`] that travelled through [`io::Read`] inside of an [`io::Error`].
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(inner) => inner,
            Err(error) => Error::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    /// Wraps the error, so that it can travel through [`io::Read`].
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Truncated => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}
