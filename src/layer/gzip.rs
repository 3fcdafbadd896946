//! Parallel gzip whose bytes do not depend on the number of threads.
//!
//! The input is cut into blocks of 256 KiB. Each is deflated on its own, with the 32 KiB before it
//! as dictionary, and ended at a byte border by an empty stored block (a sync flush); so the pieces
//! set end to end are one deflate stream, and one gzip member (RFC 1952). One thread takes the same
//! way. At most `3/2 × threads + 2` blocks exist at a time, whatever the length of the stream.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use flate2::{Compress, Compression, FlushCompress, Status};

// With half of it, entering dictionaries takes 5 % more instructions, for the same size of the whole.
const BLOCK: usize = 256 << 10;
// The window of deflate (RFC 1951, section 2).
const WINDOW: usize = 32 << 10;
// Each worker takes 1.5 to 3 MB, as the allocator pleases: its state, and one and a half blocks with
// their output. Eight of them at level 6 take in 650 MB/s.
const MOST_WORKERS: usize = 8;

// Deflate needs a few kilobytes.
const STACK: usize = 256 << 10;

// No name, no time, no extra flags, operating system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it into `sink`; [`Gzip::finish`] must end it.
pub(super) struct Gzip<W: Write> {
    sink: W,
    level: u32,
    threads: usize,
    // The dictionary of the block, then the block as far as it has come.
    block: Vec<u8>,
    dictionary: usize,
    crc: crc32fast::Hasher,
    size: u64,
    pool: Option<Pool>,
    // Buffers whose content is no longer needed.
    spare: Vec<Vec<u8>>,
    begun: bool,
}

struct Block {
    index: u64,
    data: Vec<u8>,
    dictionary: usize,
    last: bool,
    out: Vec<u8>,
}

struct Deflated {
    index: u64,
    data: Vec<u8>,
    out: Vec<u8>,
    crc: crc32fast::Hasher,
}

impl<W: Write> Gzip<W> {
    pub(super) fn new(sink: W, level: u32, threads: usize) -> Self {
        Gzip {
            sink,
            level: level.min(9),
            threads: threads.clamp(1, MOST_WORKERS),
            block: Vec::with_capacity(WINDOW + BLOCK),
            dictionary: 0,
            crc: crc32fast::Hasher::new(),
            size: 0,
            pool: None,
            spare: Vec::new(),
            begun: false,
        }
    }

    /// Writes what is left and the trailer, and returns the sink.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.submit(true)?;
        if let Some(mut pool) = self.pool.take() {
            while pool.in_flight() > 0 {
                let done = pool.oldest()?;
                self.emit(done)?;
            }
        }
        self.sink.write_all(&self.crc.finalize().to_le_bytes())?;
        self.sink.write_all(&(self.size as u32).to_le_bytes())?;
        Ok(self.sink)
    }

    fn submit(&mut self, last: bool) -> io::Result<()> {
        let mut next = self.spare.pop().unwrap_or_default();
        next.clear();
        if !last {
            next.reserve_exact(WINDOW + BLOCK);
            next.extend_from_slice(&self.block[self.block.len() - WINDOW..]);
        }
        let data = std::mem::replace(&mut self.block, next);
        let dictionary = std::mem::replace(&mut self.dictionary, self.block.len());
        let mut out = self.spare.pop().unwrap_or_default();
        out.clear();
        // More than deflate ever needs: a block that cannot be compressed is stored. All buffers
        // are alike, and made by this thread, so that they go round.
        out.reserve_exact(WINDOW + BLOCK);
        let block = Block { index: 0, data, dictionary, last, out };
        // A layer of one block is not worth a thread.
        if self.threads == 1 || (last && self.pool.is_none()) {
            let done = deflate(block, self.level)?;
            return self.emit(done);
        }
        let (threads, level) = (self.threads, self.level);
        let mut pool = self.pool.take().unwrap_or_else(|| Pool::new(threads, level));
        while pool.is_full() {
            let done = pool.oldest()?;
            self.emit(done)?;
        }
        pool.push(block)?;
        while let Some(done) = pool.ready() {
            self.emit(done)?;
        }
        self.pool = Some(pool);
        Ok(())
    }

    fn emit(&mut self, done: Deflated) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.sink.write_all(&HEADER)?;
        }
        self.crc.combine(&done.crc);
        self.sink.write_all(&done.out)?;
        self.spare.extend([done.out, done.data]);
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut left = data;
        while !left.is_empty() {
            // Only when more comes is it known that the full block is not the last.
            if self.block.len() == self.dictionary + BLOCK {
                self.submit(false)?;
            }
            let room = (self.dictionary + BLOCK - self.block.len()).min(left.len());
            self.block.extend_from_slice(&left[..room]);
            left = &left[room..];
        }
        self.size += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// Raw deflate: header and trailer of gzip stand around all blocks together.
//
// Each block gets a new state. A reset one would save 20 µs, but it remembers: bytes of an earlier
// block lie behind the end of the window, where they decide between matches of equal length, so
// that the output would depend on which blocks a thread happened to have before.
fn deflate(block: Block, level: u32) -> io::Result<Deflated> {
    let Block { index, data, dictionary, last, mut out } = block;
    let mut compress = Compress::new(Compression::new(level), false);
    let (before, input) = data.split_at(dictionary);
    if !before.is_empty() {
        compress.set_dictionary(before).map_err(io::Error::other)?;
    }
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let rest = &input[compress.total_in() as usize..];
        let status = compress.compress_vec(rest, &mut out, flush).map_err(io::Error::other)?;
        // A flush is complete when room is left behind it (zlib.h, `deflate`).
        let complete = if last { status == Status::StreamEnd } else { out.len() < out.capacity() };
        if complete && compress.total_in() as usize == input.len() {
            break;
        }
        out.reserve(16 << 10);
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(input);
    Ok(Deflated { index, data, out, crc })
}

/// Workers that deflate blocks, and the blocks that are with them, in order.
struct Pool {
    level: u32,
    threads: usize,
    workers: usize,
    jobs: Sender<Block>,
    shared_jobs: Arc<Mutex<Receiver<Block>>>,
    done: Receiver<io::Result<Deflated>>,
    done_sender: Sender<io::Result<Deflated>>,
    // The oldest in front; `None` where the worker has not answered.
    order: VecDeque<Option<Deflated>>,
    first: u64,
}

impl Pool {
    fn new(threads: usize, level: u32) -> Self {
        let (jobs, shared_jobs) = channel();
        let (done_sender, done) = channel();
        Pool {
            level,
            threads,
            workers: 0,
            jobs,
            shared_jobs: Arc::new(Mutex::new(shared_jobs)),
            done,
            done_sender,
            order: VecDeque::new(),
            first: 0,
        }
    }

    fn in_flight(&self) -> usize {
        self.order.len()
    }

    fn is_full(&self) -> bool {
        self.order.len() >= self.threads + self.threads / 2 + 2
    }

    fn push(&mut self, mut block: Block) -> io::Result<()> {
        block.index = self.first + self.order.len() as u64;
        self.order.push_back(None);
        if self.workers < self.threads && self.workers < self.order.len() {
            self.hire()?;
        }
        self.jobs.send(block).map_err(|_| lost())
    }

    fn hire(&mut self) -> io::Result<()> {
        let (jobs, done, level) = (self.shared_jobs.clone(), self.done_sender.clone(), self.level);
        let work = move || {
            loop {
                let job = jobs.lock().map(|jobs| jobs.recv());
                // The sender is gone: the layer is finished, or given up.
                let Ok(Ok(block)) = job else { return };
                if done.send(deflate(block, level)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("gzip".to_owned()).stack_size(STACK);
        match thread.spawn(work) {
            Ok(_) => self.workers += 1,
            // Fewer will do, but none will not.
            Err(error) if self.workers == 0 => return Err(error),
            Err(_) => self.threads = self.workers,
        }
        Ok(())
    }

    /// Returns the oldest block, and waits for it if need be.
    fn oldest(&mut self) -> io::Result<Deflated> {
        loop {
            if let Some(done) = self.take_front() {
                return Ok(done);
            }
            let done = self.done.recv().map_err(|_| lost())??;
            self.place(done);
        }
    }

    /// Returns the oldest block if it is there.
    fn ready(&mut self) -> Option<Deflated> {
        while let Ok(Ok(done)) = self.done.try_recv() {
            self.place(done);
        }
        self.take_front()
    }

    fn place(&mut self, done: Deflated) {
        let at = (done.index - self.first) as usize;
        self.order[at] = Some(done);
    }

    fn take_front(&mut self) -> Option<Deflated> {
        let done = self.order.front_mut()?.take()?;
        self.order.pop_front();
        self.first += 1;
        Some(done)
    }
}

fn lost() -> io::Error {
    io::Error::other("a compressing thread has died")
}
