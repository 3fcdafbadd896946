//! Packs layers behind the steps: tar, hash, compress, hash, in one pass, with facts and the search
//! for secrets riding along. A layer that does not ship is only hashed.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError};

use super::copied::Files;
use super::copy::Reading;
use super::key::{CONTENT, Request};
use super::promise::Keeper;
use super::stack::{Cell, Done, Stack, StepResult, add_parents};
use super::stage::{Execution, Packers};
use super::{Cause, Failure, Packed, Times, copy, packed_kind};
use crate::base::{Diff, Digest, StepId};
use crate::event::Event;
use crate::facts::{LayerTable, LeakScan, TableObserver};
use crate::image::LayerRef;
use crate::layer::{
    Bounds, Compression, LayerWriter, Limits, Observer, Reader, Written, decompress,
};
use crate::rootfs::{self, Change};
use crate::store::{CacheRecord, Marks, RawDraft, TreeId};
use crate::sys::Root;

/// A step's result on its way into a layer.
pub(super) struct Job {
    pub(super) step: StepId,
    pub(super) request: Request,
    pub(super) parents: Stack,
    pub(super) cell: Cell,
    pub(super) changes: Vec<Change>,
    /// The tree of the same layer, if it has one.
    pub(super) tree: Option<TreeId>,
    /// The changes are what the tree holds, so that the layer can be made from it again.
    pub(super) from_tree: bool,
    /// What is copied.
    pub(super) reading: Reading,
}

/// Where a tar goes: a blob, or nowhere when only its digest is asked for.
enum Sink {
    Blob(RawDraft),
    Nowhere,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Blob(draft) => draft.write(data),
            Sink::Nowhere => Ok(data.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Execution<'_> {
    /// Packs on another thread. The step's cell gets its digest when that is done.
    pub(super) fn pack<'scope>(&'scope self, packers: Packers<'scope, '_>, mut job: Job) {
        packers.spawn(move || {
            let keeper = Keeper::new(job.cell.promise());
            let span = self.plan.steps[job.step].span;
            if let Err(failure) = self.pack_now(&mut job, keeper) {
                if let Some(tree) = &job.tree {
                    self.doomed.lock().unwrap_or_else(PoisonError::into_inner).push(tree.clone());
                }
                self.fail(failure.at(job.step, span));
            }
        });
    }

    fn pack_now(&self, job: &mut Job, keeper: Keeper<Done>) -> Result<(), Failure> {
        let store = self.services.store;
        let packs = self.needs[job.step.index()].pack;
        let mut marks = Marks::default();
        let (written, leaked) = {
            // Of many files they are megabytes, which the key made below has a use for.
            let changes = std::mem::take(&mut job.changes);
            let _slot = self.packs.take();
            if self.cancel().is_cancelled() {
                return Err(Failure::stopped());
            }
            self.write(packs, Some(job.step), |out| {
                let times = rootfs_times(self.options.times);
                match job.reading {
                    Reading::WhenPacked(_) => {
                        rootfs::pack_marking(&changes, out, times, &mut marks)?;
                    }
                    Reading::Nothing | Reading::Done(_) => rootfs::pack(&changes, out, times)?,
                }
                Ok(())
            })?
        };
        if let Some(tree) = &job.tree {
            self.bind_tree(written.diff, tree)?;
        }
        let mut request = job.request.clone();
        let put_files =
            |files: &Files| store.put_facts(written.diff, Files::KIND, files.as_bytes());
        match &job.reading {
            Reading::Nothing => {}
            Reading::Done(files) => put_files(files)?,
            Reading::WhenPacked(taken) => {
                let (digest, read) = self.digest(taken, &marks)?;
                request.input(CONTENT, digest);
                put_files(&copy::files_of(taken, &read))?;
            }
        }
        keeper.keep(Done { diff: written.diff, size: written.size });
        if leaked {
            return Ok(()); // such a result is never taken from the cache
        }
        add_parents(&mut request, &job.parents)?;
        self.keep_conduct(job.step, written.diff, &request)?;
        let result =
            StepResult { diff: written.diff, size: written.size, from_tree: job.from_tree };
        store.put_record(&CacheRecord {
            key: request.key(),
            op: request.operation_digest(),
            slot: self.slot(job.step, &self.plan.steps[job.step]),
            parts: request.parts(),
            result: serde_json::to_value(&result).expect("digests, numbers and flags"),
        })?;
        Ok(())
    }

    /// Writes one layer; `fill` gives its entries. Tells whether a secret was found in it (and that
    /// was no error).
    fn write(
        &self,
        packs: bool,
        step: Option<StepId>,
        fill: impl FnOnce(&mut LayerWriter<'_, Sink>) -> Result<(), Failure>,
    ) -> Result<(Written, bool), Failure> {
        let store = self.services.store;
        let mut table = self.options.tables.then(TableObserver::new);
        let mut secrets = (!self.needles.is_empty()).then(|| LeakScan::new(self.needles.clone()));
        let mut observers: Vec<&mut dyn Observer> = Vec::new();
        if let Some(table) = table.as_mut() {
            observers.push(table);
        }
        if let Some(secrets) = secrets.as_mut() {
            observers.push(secrets);
        }
        let (sink, compression) = if packs {
            (Sink::Blob(store.raw_draft()?), self.options.compression)
        } else {
            (Sink::Nowhere, Compression::None)
        };
        let mut out = LayerWriter::new(sink, compression, self.options.threads, observers)?;
        fill(&mut out)?;
        let (sink, written) = out.finish()?;

        let leaks = secrets.map(LeakScan::finish).unwrap_or_default();
        if let Some(step) = step {
            self.report_leaks(step, &leaks)?;
        }
        if step.is_some() || leaks.is_empty() {
            self.was_searched(written.diff);
        }
        if let Some(table) = table {
            store.put_facts(written.diff, LayerTable::KIND, &table.finish().to_bytes())?;
        }
        if let Sink::Blob(draft) = sink {
            draft.commit(written.blob, written.packed)?;
            let packed = Packed { blob: written.blob, packed: written.packed, size: written.size };
            let bytes = serde_json::to_vec(&packed).expect("digests and numbers");
            store.put_facts(written.diff, &packed_kind(self.options.compression), &bytes)?;
            if let Some(step) = step {
                self.services.events.send(Event::LayerPacked {
                    step,
                    size: written.size,
                    packed: written.packed,
                });
            }
        }
        Ok((written, !leaks.is_empty()))
    }

    /// Packs a layer that an earlier build made and packed otherwise, or not at all.
    pub(super) fn repack(&self, done: Done, below: &[Cell]) -> Result<LayerRef, Failure> {
        let store = self.services.store;
        let _slot = self.packs.take();
        let (written, _) = match self.packed_anyhow(done.diff) {
            Some(layer) => {
                let blob = store.blob(layer.descriptor.digest)?;
                let plain = decompress(blob.verified(), layer.kind.into(), Bounds::default())?;
                self.write(true, None, |out| {
                    let mut reader = Reader::layer(plain, Limits::default());
                    while let Some(entry) = reader.next_entry()? {
                        out.entry(&entry, &mut reader.content())?;
                    }
                    Ok(())
                })?
            }
            None => {
                let tree = self.tree_of(done.diff).ok_or_else(|| lost(done.diff))?;
                let root = Root::open_host(&store.tree_path(&tree)).map_err(|_| lost(done.diff))?;
                let mode = self.services.id_mode;
                let changes =
                    rootfs::changes(&Arc::new(root), self.stacking(), mode, &self.lower(below)?)?;
                self.write(true, None, |out| {
                    rootfs::pack(&changes, out, rootfs_times(self.options.times))?;
                    Ok(())
                })?
            }
        };
        if written.diff != done.diff {
            return Err(lost(done.diff));
        }
        self.packed_as(done.diff, self.options.compression).ok_or_else(|| lost(done.diff))
    }

    /// Packs the layers of all steps of a stack as one, on top of the layers of its base.
    pub(super) fn squash(&self, stack: &Stack) -> Result<Option<(LayerRef, Done)>, Failure> {
        let (own, base): (Stack, Stack) = stack.iter().cloned().partition(|c| c.step().is_some());
        if own.is_empty() {
            return Ok(None);
        }
        let mut request = Request::new("squash");
        request.operation("times", super::run::times_part(self.options.times));
        add_parents(&mut request, stack)?;
        let store = self.services.store;
        let known = (!self.options.no_cache).then(|| store.record(request.key())).flatten();
        if let Some(result) =
            known.and_then(|record| serde_json::from_value::<StepResult>(record.result).ok())
            && let Some(layer) = self.packed_as(result.diff, self.options.compression)
        {
            return Ok(Some((layer, Done { diff: result.diff, size: result.size })));
        }
        let mut layers = Vec::with_capacity(own.len());
        for (path, below) in self.trees(stack)?.iter().zip(0..).skip(base.len()) {
            let root = Root::open_host(path).map_err(|error| {
                Failure::new(Cause::Internal, "store", format!("cannot open a tree: {error}"))
            })?;
            let lower = self.lower(&stack[..below])?;
            layers.push(rootfs::changes(
                &Arc::new(root),
                self.stacking(),
                self.services.id_mode,
                &lower,
            )?);
        }
        let changes = rootfs::merge(layers, &self.lower(&base)?)?;
        let (written, _) = self.write(true, None, |out| {
            rootfs::pack(&changes, out, rootfs_times(self.options.times))?;
            Ok(())
        })?;
        let result = StepResult { diff: written.diff, size: written.size, from_tree: false };
        store.put_record(&CacheRecord {
            key: request.key(),
            op: request.operation_digest(),
            slot: "squash".to_owned(),
            parts: request.parts(),
            result: serde_json::to_value(&result).expect("digests, numbers and flags"),
        })?;
        let layer = self
            .packed_as(written.diff, self.options.compression)
            .ok_or_else(|| lost(written.diff))?;
        Ok(Some((layer, Done { diff: written.diff, size: written.size })))
    }
}

pub(super) fn lost(diff: Digest<Diff>) -> Failure {
    Failure::new(
        Cause::Internal,
        "store",
        format!("the layer `{diff}` is no longer in the store as it was made"),
    )
    .help("build with --no-cache, or delete the store: it is a cache, nothing is lost")
}

fn rootfs_times(times: Times) -> rootfs::Times {
    match times {
        Times::Fixed(time) => rootfs::Times::Fixed(time),
        Times::Preserve(_) => rootfs::Times::Preserve,
    }
}
