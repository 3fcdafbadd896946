//! The layers that a state stands on: each a digest that may still be on its way, and a tree that
//! is unpacked when somebody looks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::copied::Files;
use super::key::{BASE, BEFORE, Request};
use super::promise::{Promise, Stopped};
use super::stage::Execution;
use super::{Cause, Failure, Packed, packed_kind};
use crate::base::{Chain, Diff, Digest, Hasher, ImagePath, StepId, chain_above};
use crate::facts::{LayerTable, TableObserver};
use crate::image::{Descriptor, LayerKind, LayerRef};
use crate::layer::{Bounds, Compression, DiffReader, Observer, decompress};
use crate::plan::{BaseId, Plan};
use crate::rootfs::{self, Lookup, Nothing, Stacked, Stacking, TreeLookup};
use crate::store::{CacheRecord, TreeDraft, TreeId};
use crate::sys::{IdMode, Root};
use crate::{input, layer};

/// What is known of a layer once it has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Done {
    /// The digest of its tar.
    pub(super) diff: Digest<Diff>,
    /// Bytes of its tar; 0 for a layer of a base, where nobody has counted.
    pub(super) size: u64,
}

/// One layer. Clones are handles to the same one.
#[derive(Clone)]
pub(super) struct Cell(Arc<State>);

struct State {
    origin: Origin,
    done: Promise<Done>,
    tree: Mutex<Option<PathBuf>>,
    // See `chain`.
    chain: OnceLock<Digest<Chain>>,
    // The form in which it ships, where that was in the store when it was found there.
    packed: Option<LayerRef>,
}

#[derive(Clone, Copy)]
enum Origin {
    Step(StepId),
    Base(BaseId, usize),
}

/// Layers, bottom first.
pub(super) type Stack = Vec<Cell>;

impl Cell {
    /// A layer of a step that was just made: its tree is there (if it has one), its digest is not.
    pub(super) fn fresh(step: StepId, tree: Option<PathBuf>) -> Self {
        Cell::new(Origin::Step(step), Promise::new(), tree, None)
    }

    /// A layer of a step that was found in the store, packed as it ships or not.
    pub(super) fn found(step: StepId, done: Done, packed: Option<LayerRef>) -> Self {
        Cell::new(Origin::Step(step), Promise::kept(done), None, packed)
    }

    fn new(
        origin: Origin,
        done: Promise<Done>,
        tree: Option<PathBuf>,
        packed: Option<LayerRef>,
    ) -> Self {
        let tree = Mutex::new(tree);
        Cell(Arc::new(State { origin, done, tree, chain: OnceLock::new(), packed }))
    }

    /// The form in which it ships, if it was found in the store so.
    pub(super) fn packed(&self) -> Option<&LayerRef> {
        self.0.packed.as_ref()
    }

    /// The promise of its digest.
    pub(super) fn promise(&self) -> &Promise<Done> {
        &self.0.done
    }

    /// Waits for its digest.
    pub(super) fn done(&self) -> Result<Done, Stopped> {
        self.0.done.wait()
    }

    /// The step that made it; `None` for a layer of a base.
    pub(super) fn step(&self) -> Option<StepId> {
        match self.0.origin {
            Origin::Step(step) => Some(step),
            Origin::Base(..) => None,
        }
    }

    fn tree(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.0.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layers of the plan's images, made at first use and shared by all stages.
pub(super) struct BaseCells {
    stacks: Vec<Mutex<Option<Stack>>>,
    fetched: Vec<Mutex<bool>>,
}

impl BaseCells {
    pub(super) fn new(plan: &Plan) -> Self {
        BaseCells {
            stacks: plan.bases.iter().map(|_| Mutex::default()).collect(),
            fetched: plan.bases.iter().map(|_| Mutex::default()).collect(),
        }
    }
}

/// Adds what came before to a key, waiting for its digests.
pub(super) fn add_parents(request: &mut Request, parents: &Stack) -> Result<(), Stopped> {
    if request.has(BASE) {
        return Ok(());
    }
    let (base, before) = parents.split_at(parents.partition_point(|cell| cell.step().is_none()));
    for (name, cells) in [(BASE, base), (BEFORE, before)] {
        request.input(name, chain(cells)?.map(|chain| chain.to_string()).unwrap_or_default());
    }
    Ok(())
}

/// The chain id of a base's layers, or of those that steps have made, waiting for their digests.
///
/// A layer stands on the same ones in every stack, and so remembers the chain id that ends with it:
/// the next step hashes one digest, not all.
fn chain(cells: &[Cell]) -> Result<Option<Digest<Chain>>, Stopped> {
    let known = cells.iter().rposition(|cell| cell.0.chain.get().is_some());
    let mut chain = known.and_then(|at| cells[at].0.chain.get().copied());
    for cell in &cells[known.map_or(0, |at| at + 1)..] {
        let next = chain_above(chain, &cell.done()?.diff);
        chain = Some(*cell.0.chain.get_or_init(|| next));
    }
    Ok(chain)
}

/// Names the owners that files of trees have, and the way in which they are recorded.
pub(super) fn owners(mode: IdMode, maps: &str) -> Digest<Diff> {
    let mut hasher = Hasher::new();
    hasher.field(b"owners");
    hasher.field(format!("{mode:?}").as_bytes());
    if !mode.has_many() {
        // How owners are recorded: the first way lost those of symlinks and pipes.
        hasher.field(b"records 2");
    }
    // The kernel pads the columns.
    hasher.field(maps.split_whitespace().collect::<Vec<_>>().join(" ").as_bytes());
    hasher.finish()
}

/// Layers seen as one tree; nothing at all for no layers.
pub(super) enum Lower {
    Nothing,
    Mounted(Root, IdMode),
    Stacked(Stacked),
}

impl Lookup for Lower {
    fn entry(&self, path: &ImagePath) -> Result<Option<layer::Entry>, rootfs::Error> {
        match self {
            Lower::Nothing => Ok(None),
            Lower::Mounted(root, mode) => TreeLookup::new(root, *mode).entry(path),
            Lower::Stacked(layers) => layers.entry(path),
        }
    }

    fn open(&self, path: &ImagePath) -> Result<Option<std::fs::File>, rootfs::Error> {
        match self {
            Lower::Nothing => Ok(None),
            Lower::Mounted(root, mode) => TreeLookup::new(root, *mode).open(path),
            Lower::Stacked(layers) => layers.open(path),
        }
    }
}

/// The result of a step, as a record holds it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct StepResult {
    pub(super) diff: Digest<Diff>,
    pub(super) size: u64,
    /// The same layer can be packed from its tree.
    pub(super) from_tree: bool,
}

impl Execution<'_> {
    /// The layers of an image of the plan.
    pub(super) fn base_stack(&self, id: BaseId) -> Result<Stack, Failure> {
        let mut stack =
            self.bases.stacks[id.index()].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = stack.as_ref() {
            return Ok(stack.clone());
        }
        let made: Stack = self
            .resolved(id)?
            .image
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                let done = Promise::kept(Done { diff: layer.diff, size: 0 });
                Cell::new(Origin::Base(id, index), done, None, None)
            })
            .collect();
        *stack = Some(made.clone());
        Ok(made)
    }

    fn resolved(&self, id: BaseId) -> Result<&input::BaseImage, Failure> {
        self.services.bases.get(&id).map(Arc::as_ref).ok_or_else(|| {
            let name = &self.plan.bases[id].wanted.name;
            Failure::new(Cause::Input, "base-unread", format!("`{name}` was not looked up"))
        })
    }

    fn fetched(&self, id: BaseId) -> MutexGuard<'_, bool> {
        self.bases.fetched[id.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the layers of an image into the store, once.
    pub(super) fn fetch(&self, id: BaseId) -> Result<(), Failure> {
        let mut fetched = self.fetched(id);
        if !*fetched {
            let services = self.services;
            input::fetch_layers(
                self.resolved(id)?,
                services.store,
                services.registry,
                services.events,
            )?;
            *fetched = true;
        }
        Ok(())
    }

    /// Returns the folders of a stack, bottom first; what is not unpacked yet is unpacked, several
    /// layers at a time.
    pub(super) fn trees(&self, stack: &[Cell]) -> Result<Vec<PathBuf>, Failure> {
        let missing: Vec<usize> =
            (0..stack.len()).filter(|index| stack[*index].tree().is_none()).collect();
        if missing.len() > 1 {
            let next = AtomicUsize::new(0);
            let failed = Mutex::new(None);
            std::thread::scope(|scope| {
                for _ in 0..self.options.threads.clamp(1, 8).min(missing.len()) {
                    scope.spawn(|| {
                        while let Some(index) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                            if let Err(failure) = self.tree(stack, *index, false) {
                                let mut first =
                                    failed.lock().unwrap_or_else(PoisonError::into_inner);
                                first.get_or_insert(failure);
                                break;
                            }
                        }
                    });
                }
            });
            if let Some(failure) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
                return Err(failure);
            }
        }
        let mut paths = Vec::with_capacity(stack.len());
        for index in 0..stack.len() {
            // In order: a layer that takes its folders from those below finds them unpacked.
            paths.extend(self.tree(stack, index, true)?);
        }
        Ok(paths)
    }

    /// Returns the folder of one layer of a stack. Without `all`, a layer that cannot be unpacked
    /// without those below it is left for later (`None`).
    fn tree(&self, stack: &[Cell], index: usize, all: bool) -> Result<Option<PathBuf>, Failure> {
        let cell = &stack[index];
        let mut tree = cell.tree();
        if let Some(path) = tree.as_ref() {
            return Ok(Some(path.clone()));
        }
        let store = self.services.store;
        let diff = cell.done()?.diff;
        let known = self.tree_of(diff).or_else(|| store.tree_of(self.tied(stack, index).ok()?));
        let id = match known {
            Some(id) => id,
            None => match self.unpack(stack, index, all)? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let path = store.tree_path(&id);
        *tree = Some(path.clone());
        Ok(Some(path))
    }

    /// The name of a layer's tree whose files have the owners of this build: a hash that is no
    /// layer's diff id.
    fn owned(&self, diff: Digest<Diff>) -> Digest<Diff> {
        let mut hasher = Hasher::new();
        hasher.field(b"tree with these owners");
        hasher.field(self.owners().as_bytes());
        hasher.field(diff.as_bytes());
        hasher.finish()
    }

    /// Returns the tree of a layer, if there is one that this build can read.
    pub(super) fn tree_of(&self, diff: Digest<Diff>) -> Option<TreeId> {
        self.services.store.tree_of(self.owned(diff))
    }

    /// Records that the tree is that of this layer.
    pub(super) fn bind_tree(&self, diff: Digest<Diff>, id: &TreeId) -> Result<(), Failure> {
        Ok(self.services.store.bind_tree(self.owned(diff), id)?)
    }

    /// The name of a tree that is good on top of just these layers: a hash of their digests, which
    /// is no layer's diff id.
    fn tied(&self, stack: &[Cell], index: usize) -> Result<Digest<Diff>, Stopped> {
        let mut hasher = Hasher::new();
        hasher.field(b"tree over these layers");
        hasher.field(self.owners().as_bytes());
        for cell in &stack[..=index] {
            hasher.field(cell.done()?.diff.as_bytes());
        }
        Ok(hasher.finish())
    }

    /// Unpacks a layer. If its blob turns out to be damaged (a disk, a power failure, an edit in
    /// a layout that shares it), it is brought again once.
    fn unpack(&self, stack: &[Cell], index: usize, all: bool) -> Result<Option<TreeId>, Failure> {
        let failure = match self.unpack_blob(stack, index, all) {
            Err(failure) => failure,
            done => return done,
        };
        let digest = self.blob(&stack[index])?.descriptor.digest;
        if !self.services.store.discard_if_damaged(digest)? {
            return Err(failure);
        }
        match stack[index].0.origin {
            Origin::Base(id, _) => {
                self.services
                    .events
                    .note(format!("the blob {digest} in the store was damaged: bringing it again"));
                *self.fetched(id) = false;
                self.unpack_blob(stack, index, all)
            }
            // Its record finds no blob any more: the next build makes the step anew.
            Origin::Step(_) => Err(failure.help("it was damaged, and is removed: build again")),
        }
    }

    /// Unpacks a layer whose blob is in the store.
    fn unpack_blob(
        &self,
        stack: &[Cell],
        index: usize,
        all: bool,
    ) -> Result<Option<TreeId>, Failure> {
        let store = self.services.store;
        let layer = self.blob(&stack[index])?;
        let attempt = |lower: &dyn Lookup| -> Result<(TreeDraft, bool), Failure> {
            let blob = store.blob(layer.descriptor.digest)?;
            let draft = store.tree_draft()?;
            let root = Root::open_host(draft.path()).map_err(|error| {
                Failure::new(Cause::Internal, "store", format!("cannot open a tree: {error}"))
            })?;
            // The diff id is checked below: the blob's own digest would be a second look at the same bytes.
            let plain = decompress(blob.unchecked(), layer.kind.into(), Bounds::default())
                .map_err(|error| Failure::malformed(&layer, &error))?;
            let mut tar = DiffReader::new(plain);
            let mut table = self.options.tables.then(TableObserver::new);
            let mut observers: Vec<&mut dyn Observer> = Vec::new();
            if let Some(table) = table.as_mut() {
                observers.push(table);
            }
            let mode = self.services.id_mode;
            let extracted = rootfs::extract(&mut tar, &root, mode, lower, &mut observers)
                .map_err(|error| Failure::malformed(&layer, &error))?;
            let (diff, _) = tar.finish().map_err(|error| Failure::malformed(&layer, &error))?;
            Failure::unless_same(&layer, diff)?;
            store.note_form_of(layer.descriptor.digest, diff)?;
            if let Some(table) = table {
                store.put_facts(diff, LayerTable::KIND, &table.finish().to_bytes())?;
            }
            Ok((draft, extracted.implicit_parents))
        };
        let (draft, implicit) = attempt(&Nothing)?;
        if !implicit {
            let id = draft.commit()?;
            self.bind_tree(layer.diff, &id)?;
            return Ok(Some(id));
        }
        if index > 0 && !all {
            return Ok(None);
        }
        let draft = if index == 0 {
            draft
        } else {
            drop(draft);
            attempt(&self.lower(&stack[..index])?)?.0
        };
        let id = draft.commit()?;
        store.bind_tree(self.tied(stack, index)?, &id)?;
        Ok(Some(id))
    }

    /// Opens the layers as one tree, for looking.
    pub(super) fn lower(&self, stack: &[Cell]) -> Result<Lower, Failure> {
        let mode = self.services.id_mode;
        if stack.is_empty() {
            return Ok(Lower::Nothing);
        }
        let layers = self.trees(stack)?;
        Ok(match self.stacking() {
            Stacking::Plain => Lower::Stacked(Stacked::open(&layers, mode)?),
            Stacking::Overlay { .. } => Lower::Mounted(self.opened(layers)?, mode),
        })
    }

    /// Returns the blob of a layer in whatever form there is; it is in the store then.
    fn blob(&self, cell: &Cell) -> Result<LayerRef, Failure> {
        match cell.0.origin {
            Origin::Base(id, index) => {
                self.fetch(id)?;
                Ok(self.resolved(id)?.image.layers[index].clone())
            }
            Origin::Step(_) => {
                let diff = cell.done()?.diff;
                self.packed_anyhow(diff).ok_or_else(|| super::pack::lost(diff))
            }
        }
    }

    /// Returns the blob of a layer in the form in which it ships; it is in the store then.
    pub(super) fn packed(&self, stack: &[Cell], index: usize) -> Result<LayerRef, Failure> {
        let cell = &stack[index];
        match cell.0.origin {
            Origin::Base(..) => self.blob(cell),
            Origin::Step(_) => {
                if let Some(layer) = cell.packed() {
                    return Ok(layer.clone());
                }
                let done = cell.done()?;
                match self.packed_as(done.diff, self.options.compression) {
                    Some(layer) => Ok(layer),
                    None => self.repack(done, &stack[..index]),
                }
            }
        }
    }

    /// Returns the layer packed in this way, if it was and its blob is there.
    pub(super) fn packed_as(&self, diff: Digest<Diff>, how: Compression) -> Option<LayerRef> {
        let store = self.services.store;
        let facts = store.facts(diff, &packed_kind(how))?;
        let packed: Packed = serde_json::from_slice(&facts).ok()?;
        store.has(packed.blob).then(|| LayerRef {
            descriptor: Descriptor::new(how.media_type(), packed.blob, packed.packed),
            kind: LayerKind::of(how.media_type()).expect("a media type of our own"),
            diff,
        })
    }

    /// Returns the layer packed in any way.
    pub(super) fn packed_anyhow(&self, diff: Digest<Diff>) -> Option<LayerRef> {
        let usual = [
            self.options.compression,
            Compression::default(),
            Compression::Zstd { level: 3 },
            Compression::None,
        ];
        usual.into_iter().find_map(|how| self.packed_as(diff, how))
    }

    /// Makes a cell of a record, if its result is still there in the form that is needed.
    pub(super) fn cell_of_record(&self, step: StepId, record: &CacheRecord) -> Option<Cell> {
        let result: StepResult = serde_json::from_value(record.result.clone()).ok()?;
        let needs = self.needs[step.index()];
        let packed = self.packed_as(result.diff, self.options.compression);
        // From a blob all can be made; a tree is looked for where there is none.
        let there = packed.is_some() || self.packed_anyhow(result.diff).is_some() || {
            let tree = self.tree_of(result.diff).is_some();
            (!needs.tree || tree) && (!needs.pack || (tree && result.from_tree))
        };
        there.then(|| Cell::found(step, Done { diff: result.diff, size: result.size }, packed))
    }

    /// The files that a COPY took when the record was made.
    pub(super) fn copied_files(&self, record: &CacheRecord) -> Option<Files> {
        let result: StepResult = serde_json::from_value(record.result.clone()).ok()?;
        Files::from_bytes(self.services.store.facts(result.diff, Files::KIND)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_remembers_the_chain_that_ends_with_it() {
        let diff = |number: usize| Digest::of(format!("layer {number}").as_bytes());
        let mut ids = crate::base::Arena::new();
        let mut step =
            |number: usize| Cell::found(ids.push(()), Done { diff: diff(number), size: 1 }, None);
        let cells: Vec<Cell> = (0..5).map(&mut step).collect();
        let diffs: Vec<_> = (0..5).map(diff).collect();
        // One by one, as steps come; then from the middle, as a stage does that stands on another.
        for count in [0, 1, 2, 5, 3, 5] {
            let found = chain(&cells[..count]).unwrap();
            assert_eq!(found, crate::base::chain_of(&diffs[..count]), "{count}");
        }
        assert!(cells.iter().all(|cell| cell.0.chain.get().is_some()));
    }

    #[test]
    fn trees_of_other_owners_are_other_trees() {
        let maps = "0 1000 1\n1 100000 65536";
        let range = owners(IdMode::Range, maps);
        assert_eq!(range, owners(IdMode::Range, "  0   1000     1\n  1 100000  65536\n"));
        assert_ne!(range, owners(IdMode::Range, "0 1000 1\n1 200000 65536"));
        assert_ne!(owners(IdMode::Root, "0 0 1"), owners(IdMode::Single, "0 0 1"));
    }
}
