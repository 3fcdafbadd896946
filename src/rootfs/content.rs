//! A change to a tree, and where its bytes are.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Error;
use crate::base::ImagePath;
use crate::layer::Entry;
use crate::store::FileStamp;
use crate::sys::{Follow, Root, stat_of};

/// One change to a tree: what is then at a path, or that nothing is.
#[derive(Debug, Clone)]
pub struct Change {
    /// The path and all that is kept of it.
    pub entry: Entry,
    /// Where the bytes of a file are; [`Content::Empty`] for anything else.
    pub content: Content,
}

impl Change {
    /// Makes a change of something that has no bytes.
    pub fn bare(entry: Entry) -> Self {
        Change { entry, content: Content::Empty }
    }
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub enum Content {
    /// There are none.
    Empty,
    /// In a file of a tree or a context.
    File {
        /// The tree.
        root: Arc<Root>,
        /// The file in it; not followed if it is a link by now.
        path: ImagePath,
        /// What it was when it was looked at: another file, or a changed one, is an error.
        stamp: FileStamp,
    },
    /// In memory.
    Bytes(Arc<[u8]>),
    /// A part of an open file: what was unpacked from an archive.
    Part {
        /// The file.
        file: Arc<File>,
        /// Where the part begins.
        offset: u64,
        /// Its length.
        size: u64,
    },
}

impl Content {
    /// Opens the bytes for reading from the start. For a file of a tree, an error if it is not the
    /// one that was looked at; the reader gives an error too if it changes while it is read.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match self {
            Content::Empty => Box::new(io::empty()),
            Content::File { path, .. } => {
                let (file, stamp) = self.open_checked()?.expect("this is a file");
                Box::new(Watched { file, stamp, path: path.clone() })
            }
            Content::Bytes(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
            Content::Part { file, offset, size } => {
                Box::new(Part { file: Arc::clone(file), at: *offset, left: *size })
            }
        })
    }

    /// Opens a file of a tree to be read and marked on the way; `None` for any other content. Whether it is
    /// the one that was looked at is not known before [`Watched::settled`] has told.
    pub(super) fn open_watched(&self) -> Result<Option<Watched>, Error> {
        let Content::File { root, path, stamp } = self else { return Ok(None) };
        let file = root.open_unseen(path, Follow::No).map_err(Error::io("read", path))?;
        Ok(Some(Watched { file, stamp: *stamp, path: path.clone() }))
    }

    /// Opens the whole file that has the bytes, for cheap copying; `None` where there is none of
    /// its own. Compare [`FileStamp`]s after reading ([`Content::unchanged`]).
    pub fn open_checked(&self) -> Result<Option<(File, FileStamp)>, Error> {
        let Content::File { root, path, stamp } = self else { return Ok(None) };
        let (file, now) = root.open_with_stat(path, Follow::No).map_err(Error::io("read", path))?;
        if !stamp.is_of(&now) {
            return Err(Error::Changed(path.clone()));
        }
        Ok(Some((file, *stamp)))
    }
}

/// Reads a file and compares its stamp at the end.
pub(super) struct Watched {
    file: File,
    stamp: FileStamp,
    path: ImagePath,
}

impl Watched {
    /// The file is what it was when it was looked at: an error if not. To be asked when all of it was read,
    /// and before anything is believed of what was.
    pub(super) fn settled(&self) -> Result<FileStamp, Error> {
        let now = stat_of(&self.file).map_err(Error::io("read", &self.path))?;
        if self.stamp.is_of(&now) { Ok(self.stamp) } else { Err(Error::Changed(self.path.clone())) }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        if got == 0 && !buffer.is_empty() {
            self.settled().map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(got)
    }
}

/// Reads a part of a file without moving its position, which others share.
struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}
