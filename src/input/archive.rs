//! Archives that ADD unpacks: told by their content, never by their name.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::read::MultiBzDecoder;
use lzma_rust2::XzReader;

use crate::layer::{self, Bounds, Format, Limits, Reader, decompress};
use crate::rootfs::{self, Content};

/// KiB that a dictionary of xz may take. `xz -9` needs 64 MiB.
const XZ_MEMORY: u32 = 256 << 10;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Layer(Format),
    Bzip2,
    Xz,
}

fn sniff(start: &[u8]) -> Packing {
    match start {
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        _ => Packing::Layer(Format::sniff(start)),
    }
}

/// Opens an archive's entries.
pub(super) fn open(content: &Content) -> Result<Reader<Box<dyn Read + Send>>, Failure> {
    Ok(Reader::archive(plain(content.open()?)?, Limits::default()))
}

/// How many bytes of a stream [`looks_packed`] wants to see.
pub const START: u64 = 512;

/// Tells by its start whether a stream is a tar, compressed or not, rather than a text.
pub fn looks_packed(start: &[u8]) -> bool {
    // POSIX.1 pax and ustar, and old GNU.
    let is_tar = start.get(257..262) == Some(b"ustar");
    is_tar || sniff(start) != Packing::Layer(Format::sniff(b""))
}

/// Takes the compression off, whichever it is.
pub(super) fn plain(
    mut source: impl Read + Send + 'static,
) -> Result<Box<dyn Read + Send>, layer::Error> {
    let mut start = Vec::new();
    source.by_ref().take(6).read_to_end(&mut start)?;
    let packing = sniff(&start);
    let source = io::Cursor::new(start).chain(source);
    Ok(match packing {
        Packing::Layer(format) => decompress(source, format, Bounds::default())?,
        Packing::Bzip2 => bounded(source, |source| Box::new(MultiBzDecoder::new(source))),
        Packing::Xz => {
            bounded(source, |source| Box::new(XzReader::new_mem_limit(source, true, XZ_MEMORY)))
        }
    })
}

/// Tells whether the file is an archive with something in it: Docker unpacks nothing else.
pub(super) fn is_archive(content: &Content) -> Result<bool, rootfs::Error> {
    match open(content) {
        // An entry that is refused for its name is an entry of an archive still.
        Ok(mut reader) => Ok(matches!(
            reader.next_entry(),
            Ok(Some(_)) | Err(layer::Error::Name { .. } | layer::Error::Limit { .. })
        )),
        Err(Failure::Tree(error)) => Err(error),
        Err(Failure::Archive(_)) => Ok(false),
    }
}

/// Why an archive could not be opened.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file could not be read.
    Tree(rootfs::Error),
    /// It is none, or damaged.
    Archive(layer::Error),
}

impl From<rootfs::Error> for Failure {
    fn from(error: rootfs::Error) -> Self {
        Failure::Tree(error)
    }
}

impl From<layer::Error> for Failure {
    fn from(error: layer::Error) -> Self {
        Failure::Archive(error)
    }
}

/// Puts the usual bounds around a decoder.
fn bounded<R: Read + Send + 'static>(
    source: R,
    decoder: impl FnOnce(Counted<R>) -> Box<dyn Read + Send>,
) -> Box<dyn Read + Send> {
    let taken = Arc::new(AtomicU64::new(0));
    let source = Counted { source, taken: Arc::clone(&taken) };
    Box::new(Bounded { decoder: decoder(source), taken, given: 0, bounds: Bounds::default() })
}

/// Counts what is read through it.
struct Counted<R> {
    source: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

struct Bounded {
    decoder: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
    given: u64,
    bounds: Bounds,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(buffer)?;
        self.given += got as u64;
        let Bounds { ratio, grace, total, .. } = self.bounds;
        let taken = self.taken.load(Ordering::Relaxed);
        let over = |what, limit| Err(layer::Error::Limit { what, limit }.into());
        if self.given > total {
            return over("the size of the unpacked archive", total);
        }
        if self.given > grace && self.given / ratio > taken {
            return over("the compression ratio of the archive", ratio);
        }
        Ok(got)
    }
}
