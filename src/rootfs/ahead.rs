//! Reads small files ahead of who packs them, on threads of its own.
//!
//! To open a small file, read it and ask for its state takes twice as long as to put it into a layer. Large files
//! are read by the packer, into the place where it wants their bytes.

use std::io::Read;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{Builder, Scope};

use super::{Change, Content, Error};
use crate::layer::EntryKind;
use crate::store::{FileStamp, Mark, Marker};

/// Files up to this size in bytes are read ahead.
const SMALL: u64 = 16 << 10;

/// So many such files are worth threads, and so many threads keep a packer busy.
const WORTH: usize = 512;
const THREADS: usize = 2;

/// A load is handed over when it has so many files, or bytes: who waits for it is woken once for all of them.
/// So many loads of each thread may wait; with those in hands it is half a megabyte.
const FILES: usize = 64;
const BYTES: u64 = 48 << 10;
const WAITING: usize = 2;

/// Files that are read ahead, in the order of the changes.
pub(super) struct Ahead {
    /// Of each thread; they take turns.
    loads: Vec<Receiver<Load>>,
    turn: usize,
    load: Load,
    next: usize,
}

/// Some files, one after the other.
#[derive(Default)]
struct Load {
    bytes: Vec<u8>,
    files: Vec<Result<One, Error>>,
}

struct One {
    bytes: Range<usize>,
    mark: Option<(FileStamp, Mark)>,
}

/// The bytes of a file, and what it was and how it is marked where marks are asked for.
type Small<'a> = (&'a [u8], Option<(FileStamp, Mark)>);

impl Ahead {
    /// Begins to read; `None` where the files are few, or no thread is to be had.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        changes: &'scope [Change],
        marking: bool,
    ) -> Option<Ahead> {
        changes.iter().filter(|change| is_small(change)).nth(WORTH - 1)?;
        let mut loads = Vec::with_capacity(THREADS);
        for own in 0..THREADS {
            let (sender, received) = mpsc::sync_channel(WAITING);
            let thread = Builder::new().name("read".to_owned());
            thread.spawn_scoped(scope, move || read_loads(changes, own, marking, &sender)).ok()?;
            loads.push(received);
        }
        Some(Ahead { loads, turn: 0, load: Load::default(), next: 0 })
    }

    /// Returns the file of a change that was read ahead, or why it could not be; `None` for others. To be
    /// asked for all changes, in their order, up to the first error.
    pub(super) fn next_of(&mut self, change: &Change) -> Option<Result<Small<'_>, Error>> {
        if !is_small(change) {
            return None;
        }
        if self.next == self.load.files.len() {
            self.load = self.loads[self.turn].recv().expect("a reader ends with its last load");
            self.turn = (self.turn + 1) % THREADS;
            self.next = 0;
        }
        let taken = || Error::Changed(change.entry.path.clone());
        let one = std::mem::replace(&mut self.load.files[self.next], Err(taken()));
        self.next += 1;
        Some(one.map(|one| (&self.load.bytes[one.bytes], one.mark)))
    }
}

fn is_small(change: &Change) -> bool {
    matches!(change.entry.kind, EntryKind::File { size } if size <= SMALL)
        && matches!(change.content, Content::File { .. })
}

// Reads each load whose turn is the thread's own.
fn read_loads(changes: &[Change], own: usize, marking: bool, loads: &SyncSender<Load>) {
    let mut turn = 0;
    let (mut files, mut bytes) = (0, 0);
    let mut load = Load::default();
    let mut small = changes.iter().filter(|change| is_small(change)).peekable();
    while let Some(change) = small.next() {
        if turn == own {
            load.files.push(read(change, marking, &mut load.bytes));
        }
        files += 1;
        bytes += change.entry.size();
        if files < FILES && bytes < BYTES && small.peek().is_some() {
            continue;
        }
        // Nobody takes it where the packer has failed, or has met the error in it.
        if turn == own && loads.send(std::mem::take(&mut load)).is_err() {
            return;
        }
        turn = (turn + 1) % THREADS;
        (files, bytes) = (0, 0);
    }
}

// Reads what the file was when it was looked at: an error if it is another by now.
fn read(change: &Change, marking: bool, bytes: &mut Vec<u8>) -> Result<One, Error> {
    let path = &change.entry.path;
    let changed = || Error::Changed(path.clone());
    let mut file = change.content.open_watched()?.ok_or_else(changed)?;
    let from = bytes.len();
    let size = usize::try_from(change.entry.size()).map_err(|_| changed())?;
    bytes.resize(from + size, 0);
    let whole = file.read_exact(&mut bytes[from..]);
    // That it is another file by now says more than what came of reading it.
    let stamp = file.settled()?;
    whole.map_err(Error::io("read", path))?;
    let mark = marking.then(|| {
        let mut marker = Marker::default();
        marker.update(&bytes[from..]);
        (stamp, marker.finish())
    });
    Ok(One { bytes: from..from + size, mark })
}
