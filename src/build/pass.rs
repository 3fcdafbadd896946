//! One layer of a finished image as it streams by: its bytes are hashed as they are stored and as
//! they come out, and shown to all that wants to see what is in them.

use std::io::{self, Read};
use std::sync::Arc;

use crate::base::{Blob, Diff, Digest, Hasher};
use crate::facts::{Budget, LayerTable, Leak, LeakScan, Needles, TableObserver};
use crate::input::{BaseError, Finished, FinishedLayer};
use crate::layer::{self, Bounds, DiffReader, Format, Reader, apart, decompress, observe};

/// How a layer is read.
pub(super) struct Way<'a> {
    /// Secrets to search for.
    pub(super) needles: &'a Needles,
    /// What its table may cost, with those of all that are read at once.
    pub(super) budget: Arc<Budget>,
    /// What may come out of it.
    pub(super) bounds: Bounds,
    /// Whether it is decompressed on a thread of its own.
    pub(super) apart: bool,
    /// Whether reading ends where the budget does.
    pub(super) gives_up: bool,
    /// Whether a layer whose content cannot be read so will be read anew, without these bounds.
    pub(super) again: bool,
}

/// A layer that was read.
pub(super) struct Seen {
    /// What is in it.
    pub(super) table: Arc<LayerTable>,
    /// The secrets in it.
    pub(super) leaks: Arc<[Leak]>,
    /// What both cost.
    pub(super) cost: u64,
    /// What its bytes are, and how many.
    pub(super) blob: (Digest<Blob>, u64),
    content: Result<Digest<Diff>, String>,
    failed: Option<String>,
}

impl Seen {
    /// Reads a layer. What is wrong with its bytes is told by [`Seen::wrong`]; an error is one of
    /// the place that it is in.
    pub(super) fn of(image: &Finished<'_>, index: usize, way: &Way<'_>) -> Result<Seen, BaseError> {
        let mut pass = Pass {
            table: TableObserver::within(&way.budget),
            leaks: LeakScan::new(way.needles.clone()),
            blob: (Hasher::new().finish(), 0),
            content: Err("it was not read".into()),
            failed: None,
        };
        let format = image.layers[index].format;
        match image.layer(index, &mut |source| pass.run(source, format, way)) {
            Ok(()) => {}
            // Told by `wrong`: the bytes have been counted.
            Err(error) if error.is_mismatch() => {}
            Err(error) => return Err(error),
        }
        Ok(pass.end(&way.budget))
    }

    /// Tells whether all of it could be read, whatever its digests are.
    pub(super) fn is_whole(&self) -> bool {
        self.content.is_ok() && self.failed.is_none()
    }

    /// Tells what is not as this mention of the layer claims.
    pub(super) fn wrong(&self, layer: &FinishedLayer) -> Option<String> {
        if let Some(failed) = &self.failed {
            return Some(format!("it cannot be read to its end: {failed}"));
        }
        let (found, size) = self.blob;
        match (layer.blob.filter(|wanted| *wanted != self.blob), &self.content) {
            (Some((digest, wanted)), _) => {
                Some(format!("wanted {digest} of {wanted} bytes, found {found} of {size}"))
            }
            (None, Err(error)) => Some(format!("it is no layer: {error}")),
            (None, Ok(diff)) if *diff != layer.diff => {
                Some(format!("its content is {diff}, the config says {}", layer.diff))
            }
            (None, Ok(_)) => None,
        }
    }
}

struct Pass {
    table: TableObserver,
    leaks: LeakScan,
    // What was found, once it was read.
    blob: (Digest<Blob>, u64),
    content: Result<Digest<Diff>, String>,
    failed: Option<String>,
}

// Counts and hashes what is read, as long as there is a budget.
struct Checked<'a, R> {
    source: R,
    hasher: Hasher,
    size: u64,
    failed: Option<String>,
    budget: Option<&'a Budget>,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.is_some_and(Budget::is_spent) {
            return Ok(0);
        }
        let got = self.source.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(error.to_string());
            }
        })?;
        self.hasher.update(&buffer[..got]);
        self.size += got as u64;
        Ok(got)
    }
}

impl Pass {
    fn run(&mut self, source: &mut (dyn Read + Send), format: Option<Format>, way: &Way<'_>) {
        let budget = way.gives_up.then_some(&*way.budget);
        let mut checked = Checked { source, hasher: Hasher::new(), size: 0, failed: None, budget };
        self.content = self.inside(&mut checked, format, way).map_err(|error| error.to_string());
        // To the end, whatever was found: the digest is of all bytes.
        let wanted = self.content.is_ok() || !way.again;
        if wanted && checked.failed.is_none() && io::copy(&mut checked, &mut io::sink()).is_err() {
            checked.failed.get_or_insert_with(|| "an error".into());
        }
        self.failed = checked.failed;
        self.blob = (checked.hasher.finish(), checked.size);
    }

    fn end(self, budget: &Budget) -> Seen {
        let leaks = self.leaks.finish();
        let found = leaks.iter().map(|leak| (leak.path.len() + leak.secret.len()) as u64).sum();
        budget.take(found);
        Seen {
            cost: self.table.cost() + found,
            table: Arc::new(self.table.finish()),
            leaks: leaks.into(),
            blob: self.blob,
            content: self.content,
            failed: self.failed,
        }
    }

    fn inside<R: Read + Send>(
        &mut self,
        source: &mut R,
        format: Option<Format>,
        way: &Way<'_>,
    ) -> Result<Digest<Diff>, layer::Error> {
        // Without a claim the first bytes say what it is.
        let mut start = Vec::new();
        if format.is_none() {
            (&mut *source).take(4).read_to_end(&mut start)?;
        }
        let format = format.unwrap_or_else(|| Format::sniff(&start));
        let source = io::Cursor::new(start).chain(source);
        let plain = decompress(source, format, way.bounds)?;
        match way.apart {
            true => std::thread::scope(|scope| match apart(scope, plain) {
                Ok(plain) => self.content(plain),
                Err(plain) => self.content(plain),
            }),
            false => self.content(plain),
        }
    }

    fn content(&mut self, plain: impl Read) -> Result<Digest<Diff>, layer::Error> {
        let reader = Reader::audit(DiffReader::new(plain), layer::Limits::default());
        let read = observe(reader, &mut [&mut self.table, &mut self.leaks])?;
        read.finish().map(|(diff, _)| diff)
    }
}
