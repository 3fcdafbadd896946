//! The one pass that makes a layer: tar, SHA-256, compression, SHA-256, sink.

use std::io::{self, Read, Write};

use super::{Compression, Entry, Error};
use crate::base::{Blob, Diff, Digest};

/// Looks at a layer while it is written or read: facts and the search for secrets.
///
/// For each entry [`entry`](Observer::entry) is called, then [`content`](Observer::content) with
/// the pieces of a file's content in order, then [`end`](Observer::end).
pub trait Observer: Send {
    /// An entry begins.
    fn entry(&mut self, entry: &Entry);
    /// More of the entry's content; never called for what is no file.
    fn content(&mut self, data: &[u8]);
    /// The entry is over.
    fn end(&mut self);
}

/// What a [`LayerWriter`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Digest of the uncompressed tar.
    pub diff: Digest<Diff>,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// Digest of the bytes that went to the sink.
    pub blob: Digest<Blob>,
    /// Bytes that went to the sink.
    pub packed: u64,
    /// The media type of the bytes that went to the sink.
    pub media_type: &'static str,
}

/// Writes a layer.
///
/// Entries must come sorted by the bytes of their paths (the order of `ImagePath`), each path
/// once; an `Opaque` may follow the `Dir` of the same path. Memory is bounded (about 20 MB)
/// whatever comes.
pub struct LayerWriter<'o, W: Write> {
    sink: W,
    observers: Vec<&'o mut dyn Observer>,
}

impl<'o, W: Write> LayerWriter<'o, W> {
    /// Starts a layer that goes to `sink`, compressed on up to `threads` threads (at least 1; the
    /// bytes do not depend on it). Big pieces are written: `sink` needs no buffer.
    pub fn new(
        sink: W,
        compression: Compression,
        threads: usize,
        observers: Vec<&'o mut dyn Observer>,
    ) -> Self {
        let _ = (compression, threads);
        LayerWriter { sink, observers }
    }

    /// Adds an entry. For a file exactly its `size` bytes are taken from `content`; fewer are an
    /// error, more are not looked at. For anything else `content` is not touched.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        let _ = (entry, content, &mut self.observers);
        todo!()
    }

    /// Adds an entry without content; a file must have size 0.
    pub fn bare(&mut self, entry: &Entry) -> Result<(), Error> {
        self.entry(entry, &mut io::empty())
    }

    /// Writes the end, waits for the compressing threads, and returns the sink.
    pub fn finish(self) -> Result<(W, Written), Error> {
        let _ = self.sink;
        todo!()
    }
}

impl<'o> LayerWriter<'o, io::Sink> {
    /// Starts a layer that is only hashed: gives the diff id, and feeds the observers, at the
    /// price of SHA-256 alone. `Written::blob` is then the digest of the plain tar.
    pub fn hash_only(observers: Vec<&'o mut dyn Observer>) -> Self {
        LayerWriter::new(io::sink(), Compression::None, 1, observers)
    }
}
