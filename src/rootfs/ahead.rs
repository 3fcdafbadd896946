//! Reads small files ahead of who packs them, on threads of its own.
//!
//! To open a small file, read it and ask for its state takes twice as long as to put it into a layer. Large files
//! are read by the packer, into the place where it wants their bytes.

use std::io::Read;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
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
/// So many loads of each thread may wait; with those in hands it is 2 MiB.
pub(super) const FILES: usize = 256;
const BYTES: u64 = 256 << 10;
const WAITING: usize = 2;

/// Files that are read ahead, in the order of the changes.
pub(super) struct Ahead {
    /// They take turns.
    threads: Vec<Thread>,
    turn: usize,
    load: Load,
    next: usize,
}

/// A thread that reads.
struct Thread {
    loads: Receiver<Load>,
    /// Takes loads back, to be filled again.
    taken: Sender<Load>,
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
        let mut threads = Vec::with_capacity(THREADS);
        for own in 0..THREADS {
            let (sender, loads) = mpsc::sync_channel(WAITING);
            let (taken, empty) = mpsc::channel();
            let reader = Reader { changes, own, marking, loads: sender, empty };
            let thread = Builder::new().name("read".to_owned());
            thread.spawn_scoped(scope, move || reader.run()).ok()?;
            threads.push(Thread { loads, taken });
        }
        Some(Ahead { threads, turn: 0, load: Load::default(), next: 0 })
    }

    /// Returns the file of a change that was read ahead, or why it could not be; `None` for others. To be
    /// asked for all changes, in their order, up to the first error.
    pub(super) fn next_of(&mut self, change: &Change) -> Option<Result<Small<'_>, Error>> {
        if !is_small(change) {
            return None;
        }
        if self.next == self.load.files.len() {
            let thread = &self.threads[self.turn];
            let load = thread.loads.recv().expect("a reader ends with its last load");
            // To who has read its last one it is of no use.
            let _ = thread.taken.send(std::mem::replace(&mut self.load, load));
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

struct Reader<'a> {
    changes: &'a [Change],
    /// Which turn is this thread's.
    own: usize,
    marking: bool,
    loads: SyncSender<Load>,
    empty: Receiver<Load>,
}

impl Reader<'_> {
    // Reads each load whose turn is its own.
    fn run(self) {
        let mut turn = 0;
        let (mut files, mut bytes) = (0, 0);
        let mut load = Load::default();
        let mut small = self.changes.iter().filter(|change| is_small(change)).peekable();
        while let Some(change) = small.next() {
            let size = change.entry.size();
            if turn == self.own {
                // Room for all of them, as long as it is used.
                load.bytes.resize((BYTES + SMALL) as usize, 0);
                load.files.push(read(change, self.marking, bytes as usize, &mut load.bytes));
            }
            files += 1;
            bytes += size;
            if files < FILES && bytes < BYTES && small.peek().is_some() {
                continue;
            }
            if turn == self.own {
                // Nobody takes it where the packer has failed, or has met the error in it.
                if self.loads.send(load).is_err() {
                    return;
                }
                load = self.empty.try_recv().unwrap_or_default();
                load.files.clear();
            }
            turn = (turn + 1) % THREADS;
            (files, bytes) = (0, 0);
        }
    }
}

// Reads what the file was when it was looked at, from a place in `bytes` on: an error if it is another by now.
fn read(change: &Change, marking: bool, from: usize, bytes: &mut [u8]) -> Result<One, Error> {
    let path = &change.entry.path;
    let changed = || Error::Changed(path.clone());
    let mut file = change.content.open_watched()?.ok_or_else(changed)?;
    let size = usize::try_from(change.entry.size()).map_err(|_| changed())?;
    let bytes = &mut bytes[from..from + size];
    let whole = file.read_exact(bytes);
    // That it is another file by now says more than what came of reading it.
    let stamp = file.settled()?;
    whole.map_err(Error::io("read", path))?;
    let mark = marking.then(|| {
        let mut marker = Marker::default();
        marker.update(bytes);
        (stamp, marker.finish())
    });
    Ok(One { bytes: from..from + size, mark })
}
