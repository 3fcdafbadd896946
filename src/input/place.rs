//! What a COPY or ADD makes of its destination.

mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::archive::is_archive;
use super::select::{Group, Item};
use super::{Chmod, Error, Selection};
use crate::base::{ImagePath, PathError};
use crate::layer::{Entry, EntryKind};
use crate::rootfs::{self, Change, Content, Lookup, resolve};
use crate::store::Store;
use crate::sys::Follow;

/// One thing to be put at the destination.
pub enum Part<'a> {
    /// What sources meant.
    Selected(&'a Selection),
    /// A heredoc.
    Inline {
        /// Its name: the file's, in a destination folder.
        name: &'a str,
        /// Its bytes.
        content: Arc<[u8]>,
    },
    /// A file that was fetched: mode 0600, root's.
    Fetched {
        /// The name that its address gives it.
        name: &'a str,
        /// The open file.
        file: Arc<File>,
        /// Its length.
        size: u64,
        /// Its time, seconds since 1970.
        mtime: i64,
        /// Whether it is unpacked if it is an archive.
        unpack: bool,
    },
}

/// How and where.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// The destination, links not followed yet.
    pub dest: &'a ImagePath,
    /// The destination is a folder whatever is there: it was written with a slash at its end, or
    /// as `.`.
    pub directory: bool,
    /// `--chown`, looked up (`rootfs::passwd::owner`); also for folders that are made on the way.
    pub chown: Option<(u32, u32)>,
    /// `--chmod`; also for folders that are made on the way.
    pub chmod: Option<&'a Chmod>,
    /// Whether archives among the selected files are unpacked: ADD.
    pub unpack: bool,
    /// The time of what is made here (folders on the way, heredocs), seconds since 1970.
    pub made: i64,
}

/// Works out what putting `parts`, one after the other, at the destination changes in `lower`.
///
/// The list is sorted. It has the folders above each change too: those that exist as they are, so
/// that applying it leaves them so. `COPY --link` is this over `rootfs::Nothing`. Links of `lower` on
/// the way to the destination are followed, and it itself; links inside what is copied are not.
/// Archives are unpacked into a temporary file of `store`.
pub fn place(
    parts: &[Part<'_>],
    lower: &dyn Lookup,
    how: &Placement<'_>,
    store: &Store,
) -> Result<Vec<Change>, Error> {
    let mut placer = Placer {
        lower,
        how,
        store,
        done: BTreeMap::new(),
        gone: BTreeSet::new(),
        files: 0,
        spool: None,
    };
    for part in parts {
        match part {
            Part::Selected(selection) => {
                for group in &selection.groups {
                    placer.group(group, how.unpack)?;
                }
            }
            Part::Inline { name, content } => {
                let kind = EntryKind::File { size: content.len() as u64 };
                let mut entry = Entry::new(placer.named(name)?, kind, 0o644);
                entry.mtime = how.made;
                placer.group(&single(entry, Content::Bytes(Arc::clone(content))), false)?;
            }
            Part::Fetched { name, file, size, mtime, unpack } => {
                let kind = EntryKind::File { size: *size };
                let mut entry = Entry::new(placer.named(name)?, kind, 0o600);
                entry.mtime = *mtime;
                let content = Content::Part { file: Arc::clone(file), offset: 0, size: *size };
                placer.group(&single(entry, content), *unpack)?;
            }
        }
    }
    placer.finish()
}

fn single(entry: Entry, content: Content) -> Group {
    let (name, path) = (entry.path.name().to_vec(), entry.path.clone());
    let item = Item::alone(entry, content);
    Group { name, path, items: vec![item] }
}

/// What was put at a path.
struct Placed {
    change: Change,
    /// Paths with the same number are names of one file.
    file: Option<u64>,
    /// A folder that `lower` does not have: what is below it needs no look there.
    fresh: bool,
}

struct Placer<'a> {
    lower: &'a dyn Lookup,
    how: &'a Placement<'a>,
    store: &'a Store,
    /// By the bytes of the path, so that what is below a folder is a range.
    done: BTreeMap<Vec<u8>, Placed>,
    /// Paths of `lower` that were removed, with what is below them.
    gone: BTreeSet<Vec<u8>>,
    /// Numbers given to files of several names.
    files: u64,
    /// Where unpacked contents go, and its length.
    spool: Option<(Arc<File>, u64)>,
}

/// The tree as it is so far.
impl Lookup for Placer<'_> {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, rootfs::Error> {
        if path.is_root() {
            // There also where nothing is.
            return Ok(Some(Entry::new(path.clone(), EntryKind::Dir, 0o755)));
        }
        if let Some(placed) = self.done.get(path.as_bytes()) {
            return Ok(Some(placed.change.entry.clone()));
        }
        self.below(path)
    }
}

impl Placer<'_> {
    /// Returns what `lower` has at a path that was not placed, less what was removed.
    fn below(&self, path: &ImagePath) -> Result<Option<Entry>, rootfs::Error> {
        let mut at = path.clone();
        loop {
            if self.gone.contains(at.as_bytes()) {
                return Ok(None);
            }
            let Some(parent) = at.parent() else { break };
            if let Some(placed) = self.done.get(parent.as_bytes()) {
                if placed.fresh || placed.change.entry.kind != EntryKind::Dir {
                    return Ok(None);
                }
                // A folder that `lower` has: nothing above it was removed.
                if self.gone.is_empty() {
                    break;
                }
            }
            at = parent;
        }
        self.lower.entry(path)
    }

    /// Takes the name of a file from outside as one component. Where the destination names the
    /// file, any will do.
    fn named(&self, name: &str) -> Result<ImagePath, Error> {
        match ImagePath::from_entry(name.as_bytes()) {
            Ok(path) if path.relative() == name.as_bytes() && path.components().count() == 1 => {
                return Ok(path);
            }
            _ => {}
        }
        let target = resolve(self, self.how.dest, Follow::InRoot)?;
        let there = self.entry(&target)?;
        if self.how.directory || there.is_some_and(|entry| entry.kind == EntryKind::Dir) {
            return Err(Error::FileName { name: name.escape_default().to_string() });
        }
        Ok(target)
    }

    fn group(&mut self, group: &Group, unpack: bool) -> Result<(), Error> {
        let Some((top, rest)) = group.items.split_first() else { return Ok(()) };
        let written = self.how.dest.clone();
        if unpack && is_file(&top.entry) && is_archive(&top.content)? {
            let target = resolve(self, &written, Follow::InRoot)?;
            self.make_dirs(&target)?;
            return self.unpack(group, &top.content, &target);
        }
        let ensure = if self.how.directory { Some(written.clone()) } else { written.parent() };
        if let Some(folder) = ensure {
            let folder = resolve(self, &folder, Follow::InRoot)?;
            self.make_dirs(&folder)?;
        }
        let mut target = resolve(self, &written, Follow::InRoot)?;
        let there = self.entry(&target)?.map(|entry| entry.kind);
        if top.entry.kind == EntryKind::Dir {
            match there {
                // The destination keeps its own metadata, or gets that of a new folder.
                None => self.make_dirs(&target)?,
                Some(EntryKind::Dir) => {}
                Some(_) => {
                    return Err(Error::Destination {
                        path: target,
                        reason: "cannot copy a directory to a non-directory",
                    });
                }
            }
        } else {
            if there == Some(EntryKind::Dir) {
                target = join(&target, &group.name)?;
            } else if let Some(parent) = target.parent() {
                self.make_dirs(&parent)?;
            }
            self.put(top, target.clone(), &mut BTreeMap::new())?;
        }
        let mut inodes = BTreeMap::new();
        for item in rest {
            let path = join(&target, item.below())?;
            self.put(item, path, &mut inodes)?;
        }
        Ok(())
    }

    /// Puts one file or folder at `path`, whose parents are there.
    fn put(
        &mut self,
        item: &Item,
        path: ImagePath,
        inodes: &mut BTreeMap<(u64, u64), u64>,
    ) -> Result<(), Error> {
        if path.name().starts_with(b".wh.") {
            return Err(Error::WhiteoutName { path });
        }
        let there = self.entry(&path)?;
        let mut entry = item.entry.clone();
        entry.path = path.clone();
        if let Some((uid, gid)) = self.how.chown {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let (Some(chmod), false) = (self.how.chmod, matches!(entry.kind, EntryKind::Symlink(_)))
        {
            entry.mode = chmod.apply(entry.mode, entry.kind == EntryKind::Dir);
        }
        match (there, &entry.kind) {
            (None, _) => {
                let fresh = entry.kind == EntryKind::Dir;
                let file = self.number(item.inode, inodes);
                self.set(entry, item.content.clone(), file, fresh);
            }
            (Some(old), EntryKind::Dir) if old.kind == EntryKind::Dir => {
                let fresh = self.done.get(path.as_bytes()).is_some_and(|placed| placed.fresh);
                let entry = if item.on_the_way {
                    // Asked for was only what is in it.
                    Entry { mode: entry.mode, ..old }
                } else {
                    entry
                };
                self.set(entry, Content::Empty, None, fresh);
            }
            (Some(_), EntryKind::Dir) => {
                return Err(Error::Destination {
                    path,
                    reason: "cannot copy a directory to a non-directory",
                });
            }
            (Some(old), _) if old.kind == EntryKind::Dir => {
                return Err(Error::Destination {
                    path,
                    reason: "cannot replace a directory with a file",
                });
            }
            (Some(_), _) => {
                let file = self.number(item.inode, inodes);
                self.set(entry, item.content.clone(), file, false);
            }
        }
        Ok(())
    }

    /// Returns the number of a file of several names, the same for each within one source.
    fn number(
        &mut self,
        inode: Option<(u64, u64)>,
        inodes: &mut BTreeMap<(u64, u64), u64>,
    ) -> Option<u64> {
        let inode = inode?;
        Some(*inodes.entry(inode).or_insert_with(|| {
            self.files += 1;
            self.files
        }))
    }

    fn set(&mut self, entry: Entry, content: Content, file: Option<u64>, fresh: bool) {
        let key = entry.path.as_bytes().to_vec();
        self.done.insert(key, Placed { change: Change { entry, content }, file, fresh });
    }

    /// Makes the folder `path`, which has no links in it, and those above it.
    fn make_dirs(&mut self, path: &ImagePath) -> Result<(), Error> {
        let mut at = ImagePath::root();
        let mut missing = false;
        for name in path.components() {
            at = join(&at, name)?;
            let there = if missing { None } else { self.entry(&at)? };
            match there.map(|entry| entry.kind) {
                Some(EntryKind::Dir) => {}
                Some(_) => {
                    return Err(Error::Destination { path: at, reason: "not a directory" });
                }
                None => {
                    missing = true;
                    let mode = self.how.chmod.map_or(0o755, |chmod| chmod.apply(0o755, true));
                    let mut entry = Entry::new(at.clone(), EntryKind::Dir, mode);
                    (entry.uid, entry.gid) = self.how.chown.unwrap_or((0, 0));
                    entry.mtime = self.how.made;
                    self.set(entry, Content::Empty, None, true);
                }
            }
        }
        Ok(())
    }

    /// Turns what was placed into a list: hard links named, opaque marks and existing parents added.
    fn finish(mut self) -> Result<Vec<Change>, Error> {
        let mut parents = BTreeMap::new();
        for placed in self.done.values() {
            let mut at = placed.change.entry.path.parent();
            while let Some(parent) = at {
                let known = self.done.contains_key(parent.as_bytes())
                    || parents.contains_key(parent.as_bytes());
                if parent.is_root() || known {
                    break;
                }
                if let Some(entry) = self.lower.entry(&parent)? {
                    parents.insert(parent.as_bytes().to_vec(), entry);
                }
                at = parent.parent();
            }
        }
        for entry in parents.into_values() {
            self.set(entry, Content::Empty, None, false);
        }
        let mut changes = Vec::with_capacity(self.done.len());
        let mut first_names: BTreeMap<u64, ImagePath> = BTreeMap::new();
        for (key, placed) in self.done {
            let mut change = placed.change;
            let path = change.entry.path.clone();
            if let Some(file) = placed.file {
                match first_names.get(&file) {
                    Some(first) => {
                        change.entry.kind = EntryKind::Hardlink(first.clone());
                        change.content = Content::Empty;
                    }
                    None => {
                        first_names.insert(file, path.clone());
                    }
                }
            }
            let hides = change.entry.kind == EntryKind::Dir && self.gone.contains(&key);
            changes.push(change);
            if hides && self.lower.entry(&path)?.is_some_and(|old| old.kind == EntryKind::Dir) {
                changes.push(Change::bare(Entry::new(path, EntryKind::Opaque, 0)));
            }
        }
        Ok(changes)
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { size } if size > 0)
}

fn join(at: &ImagePath, below: &[u8]) -> Result<ImagePath, Error> {
    at.join(below).map_err(|source: PathError| Error::Path { path: at.to_string(), source })
}
