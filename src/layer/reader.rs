//! Reads a tar stream: entries and their content, hostile input expected.

use std::io::{self, Read};

use super::{Entry, Error};

/// What a [`Reader`] takes before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of names, PAX records and sparse maps of one entry.
    pub metadata: u64,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of content of all files, holes included.
    pub content: u64,
}

impl Default for Limits {
    /// 1 MiB of metadata, 10 million entries, 64 GiB of content.
    fn default() -> Self {
        Limits { metadata: 1 << 20, entries: 10_000_000, content: 64 << 30 }
    }
}

/// Reads entries from an uncompressed tar.
///
/// ```ignore
/// while let Some(entry) = reader.next_entry()? {
///     io::copy(&mut reader.content(), &mut file)?;   // may be left unread
/// }
/// ```
///
/// Names are effective ones (PAX over GNU over ustar), cleaned: no leading slash, no `..`. Types,
/// owners and modes are as written; which extended attributes to believe is the caller's choice.
/// Times are clamped to the years 1 to 9999.
pub struct Reader<R: Read> {
    source: R,
}

impl<R: Read> Reader<R> {
    /// Reads a layer: names that begin with `.wh.` are whiteouts.
    pub fn layer(source: R, limits: Limits) -> Self {
        let _ = limits;
        Reader { source }
    }

    /// Reads an archive as ADD unpacks it: there are no whiteouts, and `.wh.x` is a name.
    pub fn archive(source: R, limits: Limits) -> Self {
        let _ = limits;
        Reader { source }
    }

    /// Returns the next entry; `None` at the end marker or where the stream ends between entries.
    /// What was left of the content of the entry before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        todo!()
    }

    /// Returns the content of the last entry: empty for what is no file.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    /// Returns the source, positioned behind what was read so far. Bytes behind the end marker
    /// have not been read: a diff id covers them too ([`super::DiffReader::finish`]).
    pub fn into_inner(self) -> R {
        self.source
    }
}

/// The content of an entry, holes read as zeros.
pub struct Content<'a, R: Read> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Content<'_, R> {
    /// If the next bytes are a hole of a sparse file, skips it and returns its length; else 0.
    pub fn skip_hole(&mut self) -> u64 {
        0
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.source.read(buffer)
    }
}
