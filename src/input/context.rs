//! Where sources are taken from: a folder, a tar stream, the tree of a stage.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::ignore::Verdict;
use super::{Error, Ignore};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::rootfs::{self, Lookup, entry_unless_plain};
use crate::store::{FileStamp, StatCache, Store, TreeDraft};
use crate::sys::{Dir, FileKind, Follow, IdMode, Root, Stat};

/// Whose the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Nobody's of the image: all become root's. So it is with files of the host.
    Root,
    /// Those that the tree says, stored in this mode.
    Kept(IdMode),
}

/// A place that sources are taken from.
pub struct Context {
    root: Arc<Root>,
    ignore: Option<Ignore>,
    owners: Owners,
    // Keeps what was unpacked for this context alone.
    _unpacked: Option<TreeDraft>,
}

impl Context {
    /// Opens a folder of the host, less what `ignore` excludes.
    pub fn open(dir: &Path, ignore: Option<Ignore>) -> Result<Context, Error> {
        let root = Root::open_host(dir).map_err(|source| Error::Io {
            what: "open the build context",
            path: dir.display().to_string(),
            source,
        })?;
        Ok(Context { root: Arc::new(root), ignore, owners: Owners::Root, _unpacked: None })
    }

    /// Takes an open folder of the host, less what `ignore` excludes.
    pub fn of_root(root: Root, ignore: Option<Ignore>) -> Context {
        Context { root: Arc::new(root), ignore, owners: Owners::Root, _unpacked: None }
    }

    /// Takes the tree of a stage or an image, with the owners that it has.
    pub fn tree(root: Root, mode: IdMode) -> Context {
        Context { root: Arc::new(root), ignore: None, owners: Owners::Kept(mode), _unpacked: None }
    }

    /// Unpacks a tar stream, compressed or not, aside and takes that. `ignore` is then set by
    /// [`Context::with_ignore`], since its file may lie in the stream.
    pub fn from_tar(tar: impl Read + Send + 'static, store: &Store) -> Result<Context, Error> {
        let tar = super::archive::plain(tar).map_err(rootfs::Error::from)?;
        let draft = store.tree_draft()?;
        let root = Root::open_host(draft.path()).map_err(|source| Error::Io {
            what: "open",
            path: draft.path().display().to_string(),
            source,
        })?;
        rootfs::unpack(tar, &root)?;
        Ok(Context {
            root: Arc::new(root),
            ignore: None,
            owners: Owners::Root,
            _unpacked: Some(draft),
        })
    }

    /// Leaves out what `ignore` excludes.
    pub fn with_ignore(mut self, ignore: Option<Ignore>) -> Context {
        self.ignore = ignore;
        self
    }

    /// Returns the folder that is taken from, ignored files included.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Returns the ignore patterns in force.
    pub fn ignore(&self) -> Option<&Ignore> {
        self.ignore.as_ref()
    }

    /// Tells whether digests of files are worth remembering from one build to the next.
    pub(super) fn lasts(&self) -> bool {
        self.owners == Owners::Root && self._unpacked.is_none()
    }

    /// Tells whether it is a tree of the store, which nobody else writes to.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.owners, Owners::Kept(_))
    }

    /// Returns what is at `name` in `dir`, as a source. Files that `seen` knows to have no attributes
    /// are not asked for them.
    pub(super) fn entry_in(
        &self,
        dir: &Dir,
        name: &[u8],
        path: &ImagePath,
        seen: Option<&StatCache>,
    ) -> Result<Option<(Entry, Stat)>, Error> {
        let mode = match self.owners {
            Owners::Root => IdMode::Root,
            Owners::Kept(mode) => mode,
        };
        let plain = |stat: &Stat| {
            seen.filter(|_| self.lasts()).is_some_and(|seen| seen.is_plain(&FileStamp::of(stat)))
        };
        let found = entry_unless_plain(dir, name, path, mode, plain)?;
        let Some((mut entry, stat)) = found else { return Ok(None) };
        if self.owners == Owners::Root {
            (entry.uid, entry.gid) = (0, 0);
            // Attributes that mean something to us mean nothing on files of others.
            if stat.kind == FileKind::File {
                entry.kind = EntryKind::File { size: stat.size };
            }
            entry.xattrs.retain(|name, _| !name.starts_with(b"user.overlay."));
        }
        Ok(Some((entry, stat)))
    }

    /// Judges a path by the ignore patterns, from the top.
    pub(super) fn judge(&self, path: &ImagePath) -> Verdict {
        self.ignore
            .as_ref()
            .map_or_else(Verdict::default, |ignore| ignore.judge_all(path, |_, _| ()))
    }

    /// Tells whether a path may be seen: not excluded, or a folder in which something may not be.
    fn may_be_seen(&self, path: &ImagePath, is_dir: bool) -> bool {
        let Some(ignore) = &self.ignore else { return true };
        !self.judge(path).excluded || (is_dir && ignore.brings_back())
    }
}

impl Lookup for Context {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, rootfs::Error> {
        if path.is_root() {
            return Ok(Some(Entry::new(path.clone(), EntryKind::Dir, 0o755)));
        }
        let io = |source| rootfs::Error::Io { what: "read", path: path.clone(), source };
        let (dir, name) = match self.root.parent(path) {
            Ok(found) => found,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(io(error)),
        };
        let Some(stat) = dir.stat_opt(&name).map_err(io)? else { return Ok(None) };
        if !self.may_be_seen(path, stat.kind == FileKind::Dir) {
            return Ok(None);
        }
        match self.entry_in(&dir, &name, path, None) {
            Ok(found) => Ok(found.map(|(entry, _)| entry)),
            Err(Error::Tree(error)) => Err(error),
            Err(other) => Err(io(std::io::Error::other(other.to_string()))),
        }
    }

    fn open(&self, path: &ImagePath) -> Result<Option<std::fs::File>, rootfs::Error> {
        let file = self.root.open(path, Follow::No);
        file.map(Some).map_err(|source| rootfs::Error::Io {
            what: "read",
            path: path.clone(),
            source,
        })
    }
}
