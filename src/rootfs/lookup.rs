//! Asking a tree what is at a path, whatever holds the answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;

use super::{Change, Error, meta};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::sys::{Follow, IdMode, Root};

/// Answers what a tree has at a path. Links are not followed, neither the last component nor
/// those before it: [`resolve`] does that, one component at a time.
pub trait Lookup {
    /// Returns what is at `path`, or `None` if nothing is.
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, Error>;

    /// Opens the regular file at `path`, if this tree has its content.
    fn open(&self, path: &ImagePath) -> Result<Option<File>, Error> {
        let _ = path;
        Ok(None)
    }
}

/// A tree without anything in it: `FROM scratch`, or what `COPY --link` sees.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Lookup for Nothing {
    fn entry(&self, _path: &ImagePath) -> Result<Option<Entry>, Error> {
        Ok(None)
    }
}

/// A tree known by its entries alone, such as the listing of an image's layers.
pub type Table = BTreeMap<ImagePath, Entry>;

impl Lookup for Table {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, Error> {
        Ok(self.get(path).cloned())
    }
}

/// A tree on disk. Whiteouts count as nothing, so a single layer's folder may stand for a tree.
#[derive(Debug)]
pub struct TreeLookup<'r> {
    root: &'r Root,
    mode: IdMode,
}

impl<'r> TreeLookup<'r> {
    /// Looks into `root`, whose owners are stored as `mode` says.
    pub fn new(root: &'r Root, mode: IdMode) -> Self {
        TreeLookup { root, mode }
    }
}

impl Lookup for TreeLookup<'_> {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, Error> {
        if path.is_root() {
            return meta::entry_of_dir(self.root.top(), path, self.mode).map(Some);
        }
        let (dir, name) = match self.root.parent(path) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        Ok(meta::entry_at(&dir, &name, path, self.mode)?.map(|(entry, _)| entry))
    }

    fn open(&self, path: &ImagePath) -> Result<Option<File>, Error> {
        match self.root.open(path, Follow::No) {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }
}

/// Returns the range of the bytes of all paths below `path`, itself not among them: from `path/` up
/// to what follows the slash.
pub(crate) fn below(path: &ImagePath) -> Range<Vec<u8>> {
    let bytes: &[u8] = if path.is_root() { b"" } else { path.as_bytes() };
    // The root is `/` itself: start right behind it.
    let start = if path.is_root() { b"/\0".to_vec() } else { [bytes, b"/"].concat() };
    start..[bytes, b"0"].concat()
}

pub(super) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Follows the links on the way to `path`, and returns the path without links that it means. The
/// last component is followed too if `last` says so. What does not exist is taken as written.
/// Links stay below the root; more than 40 are an error.
pub fn resolve(tree: &dyn Lookup, path: &ImagePath, last: Follow) -> Result<ImagePath, Error> {
    let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
    let mut at = ImagePath::root();
    let mut links = 0;
    let mut there = true;
    while let Some(name) = rest.pop() {
        if name == b".." {
            at = at.parent().unwrap_or(at);
            there = true;
            continue;
        }
        let next = at.join(&name).map_err(|source| Error::Path { path: path.clone(), source })?;
        if rest.is_empty() && last == Follow::No {
            return Ok(next);
        }
        // Below what does not exist nothing does.
        let entry = if there { tree.entry(&next)? } else { None };
        match entry.map(|entry| entry.kind) {
            Some(EntryKind::Symlink(target)) => {
                links += 1;
                if links > 40 {
                    return Err(Error::Loop(path.clone()));
                }
                if target.first() == Some(&b'/') {
                    at = ImagePath::root();
                }
                let parts = target.split(|byte| *byte == b'/').rev();
                rest.extend(
                    parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec),
                );
            }
            found => {
                there = found.is_some();
                at = next;
            }
        }
    }
    Ok(at)
}

/// Returns the changes that make the folder `path` exist, links followed: none if it does already;
/// else the folders above that exist, as they are, and the missing ones as given. An error if a
/// file is in the way. This is what WORKDIR does.
pub fn make_dirs(
    tree: &dyn Lookup,
    path: &ImagePath,
    owner: (u32, u32),
    mtime: i64,
) -> Result<Vec<Change>, Error> {
    let path = resolve(tree, path, Follow::InRoot)?;
    let mut changes = Vec::new();
    let mut missing = false;
    let mut at = ImagePath::root();
    for name in path.components() {
        at = at.join(name).map_err(|source| Error::Path { path: path.clone(), source })?;
        let found = if missing { None } else { tree.entry(&at)? };
        let entry = match found {
            Some(entry) if entry.kind == EntryKind::Dir => entry,
            Some(_) => return Err(Error::NotADirectory(at)),
            None => {
                missing = true;
                let mut entry = Entry::new(at.clone(), EntryKind::Dir, 0o755);
                (entry.uid, entry.gid, entry.mtime) = (owner.0, owner.1, mtime);
                entry
            }
        };
        changes.push(Change::bare(entry));
    }
    Ok(if missing { changes } else { Vec::new() })
}
