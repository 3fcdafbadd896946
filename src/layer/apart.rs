//! Reads on a thread of its own, some buffers ahead of who takes the bytes.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// Bytes handed over at once, and how many times that is on its way.
const BUFFER: usize = 128 << 10;
const BUFFERS: usize = 4;

/// Bytes that another thread reads; as [`apart`] makes it.
pub struct Apart {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    now: Vec<u8>,
    at: usize,
}

/// Has a thread of `scope` read `source`, and returns a reader of the same bytes, then of the same
/// error, if there is one; behind that there is nothing more. The thread ends when the reader is dropped,
/// at the latest when a read of `source` returns. Gives `source` back where no thread is to be had.
///
/// Takes half a megabyte of memory.
pub fn apart<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    source: R,
) -> Result<Apart, R> {
    let (filled, full) = sync_channel(BUFFERS);
    let (empty, emptied) = sync_channel(BUFFERS);
    for _ in 0..BUFFERS {
        let _ = empty.send(vec![0; BUFFER]);
    }
    let (give, given) = sync_channel(1);
    let read = move || {
        let Ok(mut source) = given.recv() else { return };
        while let Ok(mut buffer) = emptied.recv() {
            let (got, failed) = fill(&mut source, &mut buffer);
            let end = got < buffer.len();
            buffer.truncate(got);
            if filled.send(Ok(buffer)).is_err() {
                return;
            }
            if let Some(error) = failed {
                let _ = filled.send(Err(error));
                return;
            }
            if end {
                return;
            }
        }
    };
    if std::thread::Builder::new().name("apart".to_owned()).spawn_scoped(scope, read).is_err() {
        return Err(source);
    }
    let _ = give.send(source);
    Ok(Apart { full, empty, now: Vec::new(), at: 0 })
}

// Fills a buffer as far as it goes: less is the end, or stands before an error.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (got, Some(error)),
        }
    }
    (got, None)
}

impl Read for Apart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.now.len() {
            match self.full.recv() {
                // The thread is done, and so are we.
                Err(_) => return Ok(0),
                Ok(next) => {
                    let used = std::mem::replace(&mut self.now, next?);
                    self.at = 0;
                    if used.len() == BUFFER {
                        // Nobody takes it any more at the end.
                        let _ = self.empty.send(used);
                    }
                }
            }
        }
        let room = buffer.len().min(self.now.len() - self.at);
        buffer[..room].copy_from_slice(&self.now[self.at..self.at + room]);
        self.at += room;
        Ok(room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    // Gives `left` bytes in pieces, now and then none at all, then an error if there is one.
    struct Source {
        left: usize,
        piece: usize,
        error: Option<&'static str>,
        turn: usize,
        reads: Arc<AtomicUsize>,
    }

    impl Source {
        fn new(left: usize, piece: usize, error: Option<&'static str>) -> Source {
            Source { left, piece, error, turn: 0, reads: Arc::default() }
        }
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.turn += 1;
            if self.turn.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let got = self.left.min(self.piece).min(buffer.len());
            for (at, byte) in buffer[..got].iter_mut().enumerate() {
                *byte = ((self.left - at) % 251) as u8;
            }
            self.left -= got;
            match (got, self.error.take()) {
                (0, Some(error)) => Err(io::Error::other(error)),
                (_, error) => {
                    self.error = error;
                    Ok(got)
                }
            }
        }
    }

    fn all(mut source: impl Read) -> (Vec<u8>, Option<String>) {
        let mut bytes = Vec::new();
        let failed = source.read_to_end(&mut bytes).err();
        (bytes, failed.map(|error| error.to_string()))
    }

    #[test]
    fn bytes_and_the_error_behind_them_are_the_same() {
        let edges = [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 9 * BUFFER + 5];
        for (left, piece) in edges.into_iter().flat_map(|left| [(left, 1000), (left, usize::MAX)]) {
            for error in [None, Some("the cable was cut")] {
                let source = || Source::new(left, piece, error);
                let want = all(source());
                assert_eq!((want.0.len(), want.1.as_deref()), (left, error));
                let got = std::thread::scope(|scope| all(apart(scope, source()).ok().unwrap()));
                assert!(got == want, "{left} {piece} {error:?} {:?}", got.1);
            }
        }
    }

    #[test]
    fn who_has_enough_ends_the_thread() {
        let source = Source::new(usize::MAX, usize::MAX, None);
        let reads = Arc::clone(&source.reads);
        std::thread::scope(|scope| {
            let mut reader = apart(scope, source).ok().unwrap();
            reader.read_exact(&mut [0; 9]).unwrap();
        });
        // No more was read than fits into the buffers.
        assert!(reads.load(Ordering::Relaxed) <= 3 * (BUFFERS + 1));
    }
}
