//! Stacks of unpacked layers, and the folder on top that a step writes into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Change, Error, Lookup, Stacking, changes, meta};
use crate::base::ImagePath;
use crate::store::{Store, TreeDraft, TreeId};
use crate::sys::{self, IdMode, Root};

/// Unpacked layers seen as one tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The folders, bottom first.
    pub layers: Vec<PathBuf>,
}

impl Tree {
    /// Opens the tree for reading: a detached mount that goes with its last handle. A single layer
    /// is opened as it is; none at all is an error ([`super::Nothing`] is the empty tree).
    pub fn root(&self) -> Result<Root, Error> {
        match self.layers.as_slice() {
            [only] => {
                Root::open_host(only).map_err(Error::io("open the layer below", &ImagePath::root()))
            }
            layers => Root::from_mount(sys::overlay_mount(layers, None)?)
                .map_err(Error::io("open the layers below", &ImagePath::root())),
        }
    }
}

/// A folder that takes what a step writes over a tree. Dropped, it is gone.
pub struct Work {
    draft: TreeDraft,
}

impl Work {
    /// Makes an empty one. Its top folder has owner and mode of the root of `lower`, since that is
    /// what overlayfs shows as `/`; 0755 and root's where that does not say.
    pub fn new(store: &Store, lower: &dyn Lookup, mode: IdMode) -> Result<Work, Error> {
        let draft = store.tree_draft()?;
        let top = ImagePath::root();
        let root = Root::open_host(draft.path()).map_err(Error::io("open", &top))?;
        let entry = lower.entry(&top)?.unwrap_or_else(|| {
            crate::layer::Entry::new(top.clone(), crate::layer::EntryKind::Dir, 0o755)
        });
        meta::apply(root.top(), &entry, mode)?;
        Ok(Work { draft })
    }

    /// Returns the folder that takes the writes (an overlay's `upperdir`).
    pub fn upper(&self) -> &Path {
        self.draft.path()
    }

    /// Returns the folder that overlayfs works in (its `workdir`).
    pub fn work(&self) -> &Path {
        self.draft.work()
    }

    /// Opens the folder that takes the writes.
    pub fn root(&self) -> Result<Root, Error> {
        Root::open_host(self.upper()).map_err(Error::io("open", &ImagePath::root()))
    }

    /// Lists what was changed, sorted. Nothing may write into it any more.
    pub fn changes(
        &self,
        lower: &dyn Lookup,
        stacking: Stacking,
        mode: IdMode,
    ) -> Result<Vec<Change>, Error> {
        changes(&Arc::new(self.root()?), stacking, mode, lower)
    }

    /// Keeps it as a tree of the store. The contents of changes listed before stay readable.
    pub fn commit(self) -> Result<TreeId, Error> {
        Ok(self.draft.commit()?)
    }
}
