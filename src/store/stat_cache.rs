//! Marks of files that were read before, so that unchanged ones need not be read again.
//!
//! Files that are only ever appended to, of lines of 88 bytes, numbers little endian:
//!
//! ```text
//! 0     8     16     24         32         40            72      80      88
//! | dev | ino | size | mtime ns | ctime ns | BLAKE3 (32) | plain | check |
//! ```
//!
//! `plain` is 1 of a file without attributes worth a place in an image, else 0. `check` is the first 8 bytes
//! of the SHA-256 of what stands before it. Writers hold a lock and cut off a torn line first, so a process
//! killed in the middle costs its last lines at most.
//!
//! There are 256 such files, and 256 neighbouring inodes are in one of them: a build reads those that its
//! own files are in, not all that was ever seen.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Error;
use super::mark::Mark;
use super::tmp::is_at;
use crate::base::{Blob, Digest};
use crate::sys::{Stat, stat_of};

const LINE: usize = 88;
const PARTS: usize = 256;
// 6 000 files; 1.5 million in all parts. A longer one is begun anew: files of builds long ago are most of it.
const LARGEST: u64 = 512 << 10;

/// What tells that a file is the one that was read before, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// The file system.
    pub dev: u64,
    /// The file on it.
    pub ino: u64,
    /// Bytes of content.
    pub size: u64,
    /// Time of the last change of content, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Time of the last change of anything, nanoseconds since 1970. Cannot be set by programs.
    /// [`FileStamp::ANY_TIME`] where it does not count.
    pub ctime_ns: i64,
}

impl FileStamp {
    /// A `ctime_ns` that does not count: of files that only we write to, whose status changes when
    /// they get further names.
    pub const ANY_TIME: i64 = i64::MIN;

    /// Takes the stamp from what `fstat` said before the file was read.
    pub fn of(stat: &Stat) -> Self {
        let ns = |seconds: i64, ns: u32| {
            seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(ns))
        };
        FileStamp {
            dev: stat.dev,
            ino: stat.ino,
            size: stat.size,
            mtime_ns: ns(stat.mtime, stat.mtime_nsec),
            ctime_ns: ns(stat.ctime, stat.ctime_nsec),
        }
    }

    /// Takes the stamp of a file of our own trees: without its `ctime_ns`.
    pub fn of_ours(stat: &Stat) -> Self {
        FileStamp { ctime_ns: Self::ANY_TIME, ..FileStamp::of(stat) }
    }

    /// Tells whether `stat` is of this file, unchanged.
    pub fn is_of(&self, stat: &Stat) -> bool {
        *self
            == match self.ctime_ns {
                Self::ANY_TIME => FileStamp::of_ours(stat),
                _ => FileStamp::of(stat),
            }
    }
}

/// Marks by [`FileStamp`].
pub struct StatCache {
    folder: PathBuf,
    // The clock of the file system when this process began to look: 0 if it could not be asked.
    began_ns: i64,
    parts: Vec<Mutex<Part>>,
}

#[derive(Default)]
struct Part {
    // Read when it is first asked.
    known: Option<HashMap<FileStamp, Known>>,
    fresh: Vec<u8>,
}

// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    mark: Mark,
    plain: bool,
}

impl StatCache {
    pub(super) fn new(folder: PathBuf) -> Self {
        // A file made now has the time of now, by the clock that stamps the others too.
        let began_ns = folder
            .parent()
            .and_then(|records| tempfile::Builder::new().prefix(".now-").tempfile_in(records).ok())
            .and_then(|file| stat_of(&file).ok())
            .map_or(0, |stat| FileStamp::of(&stat).mtime_ns);
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        StatCache { folder, began_ns, parts }
    }

    /// Returns the mark of the file's content, if it was read before and has not changed.
    pub fn get(&self, stamp: &FileStamp) -> Option<Mark> {
        self.look_up(stamp).map(|known| known.mark)
    }

    /// Tells whether the file is known to have no attributes: whoever sets one changes its `ctime`.
    pub fn is_plain(&self, stamp: &FileStamp) -> bool {
        stamp.ctime_ns != FileStamp::ANY_TIME
            && self.look_up(stamp).is_some_and(|known| known.plain)
    }

    fn look_up(&self, stamp: &FileStamp) -> Option<Known> {
        let number = number_of(stamp);
        self.known(&mut self.part(number), number).get(stamp).copied()
    }

    /// Remembers the mark of a file that had this stamp **before** it was read, and whether it is
    /// `plain`: it had no attributes worth a place in an image.
    ///
    /// Files that changed just now are not remembered: a second change within the same tick of
    /// the clock would leave the stamp as it is.
    pub fn put(&self, stamp: FileStamp, mark: Mark, plain: bool) {
        // Ticks are 10 ms or less, but of file systems without fractions, where they are 1 or 2 s.
        let coarse = stamp.ctime_ns % 1_000_000_000 == 0;
        let tick_ns: i64 = if coarse { 3_000_000_000 } else { 50_000_000 };
        if stamp.ctime_ns.saturating_add(tick_ns) >= self.began_ns {
            return;
        }
        let number = number_of(&stamp);
        let mut part = self.part(number);
        let known = Known { mark, plain };
        if self.known(&mut part, number).insert(stamp, known) != Some(known) {
            write_line(&stamp, &known, &mut part.fresh);
        }
    }

    /// Writes down what was learned. Done too when the store is dropped.
    pub fn flush(&self) -> Result<(), Error> {
        for number in 0..PARTS {
            let fresh = std::mem::take(&mut self.part(number).fresh);
            if !fresh.is_empty() {
                let path = self.path(number);
                append(&path, &fresh).map_err(Error::io("write", &path))?;
            }
        }
        Ok(())
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number:02x}"))
    }

    fn part(&self, number: usize) -> MutexGuard<'_, Part> {
        self.parts[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A part that cannot be read is an empty one.
    fn known<'part>(
        &self,
        part: &'part mut Part,
        number: usize,
    ) -> &'part mut HashMap<FileStamp, Known> {
        part.known.get_or_insert_with(|| {
            let mut bytes = Vec::new();
            if let Ok(file) = File::open(self.path(number)) {
                let size = file.metadata().map_or(0, |found| found.len().min(LARGEST));
                bytes.reserve(size as usize + 1);
                let _ = file.take(LARGEST).read_to_end(&mut bytes);
            }
            bytes.chunks_exact(LINE).filter_map(read_line).collect()
        })
    }
}

fn number_of(stamp: &FileStamp) -> usize {
    (stamp.ino >> 8).wrapping_add(stamp.dev) as usize % PARTS
}

fn append(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = loop {
        let file = File::options().append(true).read(true).create(true).mode(0o600).open(path)?;
        file.lock()?;
        if is_at(&file, path) {
            break file;
        }
    };
    let size = file.metadata()?.len();
    if size + lines.len() as u64 > LARGEST {
        file.set_len(0)?;
    } else if size % LINE as u64 != 0 {
        file.set_len(size - size % LINE as u64)?;
    }
    // What was learned in one build may be more than a part holds.
    let most = lines.len().min(LARGEST as usize / LINE * LINE);
    file.write_all(&lines[lines.len() - most..])
}

impl Drop for StatCache {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

fn write_line(stamp: &FileStamp, known: &Known, out: &mut Vec<u8>) {
    let start = out.len();
    for number in [stamp.dev, stamp.ino, stamp.size, stamp.mtime_ns as u64, stamp.ctime_ns as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(known.mark.as_bytes());
    out.extend_from_slice(&u64::from(known.plain).to_le_bytes());
    let check = Digest::<Blob>::of(&out[start..]);
    out.extend_from_slice(&check.as_bytes()[..8]);
}

fn read_line(line: &[u8]) -> Option<(FileStamp, Known)> {
    let (data, check) = line.split_at_checked(LINE - 8)?;
    if Digest::<Blob>::of(data).as_bytes()[..8] != *check {
        return None;
    }
    let number = |at: usize| {
        data[at * 8..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes))
    };
    let stamp = FileStamp {
        dev: number(0),
        ino: number(1),
        size: number(2),
        mtime_ns: number(3) as i64,
        ctime_ns: number(4) as i64,
    };
    let mark = Mark::from_bytes(*data[40..].first_chunk()?);
    Some((stamp, Known { mark, plain: number(9) == 1 }))
}
