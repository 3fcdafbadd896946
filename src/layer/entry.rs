//! One entry of a layer: a path and all that is kept of it.

use std::collections::BTreeMap;

use crate::base::ImagePath;

/// An entry of a layer, without its content.
///
/// Sockets have no form in a tar and thus none here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in the image. For [`EntryKind::Whiteout`] the path that is hidden, for
    /// [`EntryKind::Opaque`] the folder whose lower content is hidden.
    pub path: ImagePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with set-uid, set-gid and sticky: `0o7777` at most.
    pub mode: u32,
    /// The owner, as the image sees it.
    pub uid: u32,
    /// The group, as the image sees it.
    pub gid: u32,
    /// Seconds since 1970; negative before it.
    pub mtime: i64,
    /// Extended attributes by full name, for example `security.capability`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file with `size` bytes of content.
    File {
        /// Bytes of content; of a sparse file with its holes.
        size: u64,
    },
    /// A folder.
    Dir,
    /// A symbolic link with this text, verbatim.
    Symlink(Vec<u8>),
    /// Another name of the file at this path, which stands earlier in the layer.
    Hardlink(ImagePath),
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// Hides what lower layers have at the path (OCI image specification, layer.md, "Whiteouts").
    Whiteout,
    /// Hides all that lower layers have in the folder at the path ("Opaque Whiteout").
    Opaque,
}

impl Entry {
    /// Returns an entry owned by root, at time 0, with no extended attributes.
    pub fn new(path: ImagePath, kind: EntryKind, mode: u32) -> Self {
        Entry { path, kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    /// Returns the bytes of content: 0 for all but files.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size } => size,
            EntryKind::Dir
            | EntryKind::Symlink(_)
            | EntryKind::Hardlink(_)
            | EntryKind::Char { .. }
            | EntryKind::Block { .. }
            | EntryKind::Fifo
            | EntryKind::Whiteout
            | EntryKind::Opaque => 0,
        }
    }
}
