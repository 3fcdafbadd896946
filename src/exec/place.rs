//! Where a step works, on hosts of every kind: layers below an overlay, or a copy of them all.
//!
//! The overlay is the main road. Where the kernel mounts none ([`Stacking::Plain`]), trees are looked at
//! layer by layer, what reads a whole tree gets a folder with further names of the layers' files, and a
//! RUN gets a copy, whose changes are found by comparing it before and after.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::ImagePath;
use crate::rootfs::{self, Flatten, Lookup, Snapshot, Stacking, Tree, TreeLookup, Work};
use crate::sandbox::{Isolation, Lent, MountKind, Source};
use crate::store::{self, Store};
use crate::sys::{self, Follow, Root};

/// A folder in the store's `tmp/` that goes with this.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(store: &Store) -> Result<Scratch, Failure> {
        let path = store.tmp_path()?;
        std::fs::create_dir(&path).map_err(|error| no_folder(&error))?;
        Ok(Scratch(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is swept by the next build.
        let _ = store::remove_tree(&self.0);
    }
}

fn no_folder(error: &std::io::Error) -> Failure {
    Failure::new(Cause::Internal, "store", format!("cannot make a work folder: {error}"))
}

/// Folders that several layers were made one of, by the layers' folders; kept as long as the build
/// runs, because packers read from them.
pub(super) type Merged = Mutex<BTreeMap<Vec<PathBuf>, Arc<Scratch>>>;

/// The tree of a step.
pub(super) struct Place {
    /// The layers below, bottom first; none where the whole tree is a copy.
    pub(super) lowers: Vec<PathBuf>,
    /// What the step writes to.
    pub(super) upper: PathBuf,
    copy: Option<(Scratch, Snapshot)>,
}

/// Copies that a step was given of folders which outlive it.
#[derive(Default)]
pub(super) struct Loans {
    copies: Vec<Scratch>,
    /// A copy, and the folder that it replaces afterwards.
    back: Vec<(PathBuf, PathBuf)>,
}

impl Loans {
    /// Puts what came back of the step in place of what it was a copy of.
    pub(super) fn give_back(&mut self) -> Result<(), Failure> {
        for (copy, of) in self.back.drain(..) {
            take_back(&copy, &of).map_err(|error| {
                Failure::new(
                    Cause::Internal,
                    "store",
                    format!("cannot keep what the step left in a cache: {error}"),
                )
            })?;
        }
        Ok(())
    }
}

/// Puts `copy` in place of the cache `of`. Where it is gone, the step has emptied the cache; a cache is
/// never anything but a folder.
fn take_back(copy: &Path, of: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(copy) {
        Ok(left) if left.is_dir() => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir(copy)?;
            let (from, to) = (std::fs::File::open(of)?, std::fs::File::open(copy)?);
            sys::copy::copy_metadata(&from, &to, true, |name| name.starts_with(b"user."))?;
        }
        Err(error) => return Err(error),
    }
    sys::exchange(copy, of)
}

impl Execution<'_> {
    /// Tells whether steps run in a mere change of the root folder.
    pub(super) fn is_chroot(&self) -> bool {
        self.services.isolation == Isolation::Chroot
    }

    /// Makes the tree that a step over `layers` works in.
    pub(super) fn place(&self, layers: Vec<PathBuf>, work: &Work) -> Result<Place, Failure> {
        if self.stacking() != Stacking::Plain {
            return Ok(Place { lowers: layers, upper: work.upper().to_owned(), copy: None });
        }
        let mode = self.services.id_mode;
        let copy = Scratch::new(self.services.store)?;
        rootfs::flatten(&layers, copy.path(), Flatten::Copy, mode)?;
        let snapshot = Snapshot::take(copy.path(), mode)?;
        let upper = copy.path().to_owned();
        Ok(Place { lowers: Vec::new(), upper, copy: Some((copy, snapshot)) })
    }

    /// Puts what the step changed into `work`, if it is not there already. Records of device nodes are
    /// taken only if it is `by_record` that it makes them.
    pub(super) fn settle(
        &self,
        place: Place,
        lent: &Lent,
        work: &Work,
        lower: &dyn Lookup,
        by_record: bool,
    ) -> Result<(), Failure> {
        let Some((copy, snapshot)) = place.copy else { return Ok(()) };
        let mode = self.services.id_mode;
        let mut changes = snapshot.changes(copy.path(), &lent.spared, &lent.inodes, mode)?;
        if !by_record {
            let root = Root::open_host(copy.path()).map_err(|error| no_folder(&error))?;
            rootfs::forget_nodes(&mut changes, &root, mode, lower)?;
        }
        rootfs::materialise(&changes, &work.root()?, mode, lower)?;
        Ok(())
    }

    /// Opens layers (bottom first, one at least) as one folder.
    pub(super) fn opened(&self, layers: Vec<PathBuf>) -> Result<Root, Failure> {
        let layers = match self.stacking() {
            Stacking::Overlay { .. } => self.bounded(layers)?,
            Stacking::Plain if layers.len() > 1 => {
                vec![self.merged(layers)?]
            }
            Stacking::Plain => layers,
        };
        Ok(Tree { layers }.root()?)
    }

    /// Makes one of the lowest layers where there are more than an overlay takes.
    pub(super) fn bounded(&self, mut layers: Vec<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
        let Stacking::Overlay { most } = self.stacking() else { return Ok(layers) };
        // In large steps: a stack that grows by one layer finds the same lowest ones merged.
        let step = most - most / 5;
        let over = layers.len().saturating_sub(most - 1);
        if layers.len() <= most {
            return Ok(layers);
        }
        let lowest = over.div_ceil(step) * step;
        let above = layers.split_off(lowest.min(layers.len()));
        let mut bounded = vec![self.merged(layers)?];
        bounded.extend(above);
        Ok(bounded)
    }

    /// A folder for reading, of further names of the files of `layers`; made once.
    fn merged(&self, layers: Vec<PathBuf>) -> Result<PathBuf, Failure> {
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = merged.get(&layers) {
            return Ok(known.path().to_owned());
        }
        let folder = Scratch::new(self.services.store)?;
        rootfs::flatten(&layers, folder.path(), Flatten::Link, self.services.id_mode)?;
        let path = folder.path().to_owned();
        merged.insert(layers, Arc::new(folder));
        Ok(path)
    }

    /// The mount of `path` in a tree of `layers`, for a step of this host. A step with all powers
    /// (`insecure`) is never shown the store's own folders: it could make their mount writable.
    pub(super) fn shown_mount(
        &self,
        layers: Vec<PathBuf>,
        path: &ImagePath,
        (writable, insecure): (bool, bool),
        loans: &mut Loans,
    ) -> Result<MountKind, Failure> {
        if self.stacking() != Stacking::Plain {
            let source = Source::Tree { lowers: self.bounded(layers)?, path: path.clone() };
            return Ok(MountKind::Bind { source, writable });
        }
        let mode = self.services.id_mode;
        // Without a mount nothing keeps a step from writing: it gets a copy, as if it had asked to.
        let own = writable || self.is_chroot();
        let (folder, kind): (PathBuf, fn(Source) -> MountKind) = if own || insecure {
            let copy = Scratch::new(self.services.store)?;
            rootfs::flatten(&layers, copy.path(), Flatten::Copy, mode)?;
            let path = copy.path().to_owned();
            loans.copies.push(copy);
            // A folder that nobody else has, and that goes with the step.
            match own {
                true => (path, |source| MountKind::Cache { source, readonly: false }),
                false => (path, |source| MountKind::Bind { source, writable: false }),
            }
        } else {
            let path = if layers.len() > 1 { Some(self.merged(layers.clone())?) } else { None };
            let path = path.or_else(|| layers.into_iter().next()).unwrap_or_default();
            (path, |source| MountKind::Bind { source, writable: false })
        };
        let root = Root::open_host(&folder).map_err(|error| no_folder(&error))?;
        let tree = TreeLookup::new(&root, mode);
        let real = rootfs::resolve(&tree, path, Follow::InRoot)?;
        if tree.entry(&real)?.is_none() {
            let text = format!("open `{path}` for a mount: no such file or directory");
            return Err(Failure::new(Cause::Sandbox, "sandbox", text));
        }
        let inside = match real.is_root() {
            true => folder,
            false => folder.join(std::ffi::OsStr::from_bytes(real.relative())),
        };
        Ok(kind(Source::Path(inside)))
    }

    /// The folder that a step is given as the cache `cache`: itself, or a copy that takes its place when
    /// the step is over.
    pub(super) fn lent_cache(
        &self,
        cache: &Path,
        readonly: bool,
        loans: &mut Loans,
    ) -> Result<PathBuf, Failure> {
        if !self.is_chroot() {
            return Ok(cache.to_owned());
        }
        let copy = Scratch::new(self.services.store)?;
        let mode = self.services.id_mode;
        rootfs::flatten(&[cache.to_owned()], copy.path(), Flatten::Copy, mode)?;
        let path = copy.path().to_owned();
        loans.copies.push(copy);
        if !readonly {
            loans.back.push((path.clone(), cache.to_owned()));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_folder_becomes_a_cache() {
        let check = |leave: &dyn Fn(&Path, &Path), want: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            let [cache, copy, host] = ["cache", "copy", "host"].map(|name| dir.path().join(name));
            for (folder, text) in [(&cache, "old"), (&copy, "new"), (&host, "host")] {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join("f"), text).unwrap();
            }
            leave(&copy, &host);
            take_back(&copy, &cache).unwrap();
            assert!(fs::symlink_metadata(&cache).unwrap().is_dir());
            assert_eq!(fs::read_to_string(cache.join("f")).ok().as_deref(), want);
        };
        check(&|_, _| {}, Some("new"));
        check(&|copy, _| fs::remove_dir_all(copy).unwrap(), None);
        let replace = |copy: &Path, host: &Path| {
            fs::remove_dir_all(copy).unwrap();
            std::os::unix::fs::symlink(host, copy).unwrap();
        };
        check(&replace, Some("old"));
    }
}
