//! What tells the contents of two files apart: quicker to take than the digest of a blob, and as hard to
//! forge.

use std::collections::HashMap;

use super::FileStamp;
use crate::base::hex;

/// The BLAKE3 hash (256 bits) of a file's content. Never leaves the store: it is part of cache keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 32]);

impl Mark {
    /// Returns the mark of `data`.
    pub fn of(data: &[u8]) -> Self {
        let mut marker = Marker::default();
        marker.update(data);
        marker.finish()
    }

    /// Returns the mark with these bytes.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Mark(bytes)
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// Takes content in pieces and gives its [`Mark`].
#[derive(Clone, Default)]
pub struct Marker(blake3::Hasher);

impl Marker {
    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Returns the mark of all that was added.
    pub fn finish(&self) -> Mark {
        Mark(*self.0.finalize().as_bytes())
    }
}

/// Marks of files that were read on the way into a layer: what was packed is what is marked.
#[derive(Debug, Clone, Default)]
pub struct Marks(HashMap<FileStamp, Mark>);

impl Marks {
    /// Notes the mark of a file that had this stamp before it was read, and has it now.
    pub fn note(&mut self, stamp: FileStamp, mark: Mark) {
        self.0.insert(stamp, mark);
    }

    /// Returns the mark of a file that was noted.
    pub fn get(&self, stamp: &FileStamp) -> Option<Mark> {
        self.0.get(stamp).copied()
    }
}
