//! The folder that a step wrote into, as a list of changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, Content, Error, Lookup, Stacking, meta};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::store::FileStamp;
use crate::sys::own::{self, Own};
use crate::sys::{Dir, FileKind, Follow, IdMode, Root, Stat, xattr};

/// Lists what the overlay folder `upper` changes in `lower`, sorted by the bytes of the paths.
///
/// Names of one file in `upper` become hard links to the first of them. Whiteouts and opaque
/// folders are listed only where they hide something: overlayfs marks every new folder opaque.
/// The root folder itself, sockets, and the attributes of overlayfs and of ours are left out.
///
/// A whiteout in the form that stands in for overlayfs's is one only in a folder that was filled for
/// [`Stacking::Plain`]; in the upper folder of an overlay it is a step that set the mark, which is removed.
pub fn changes(
    upper: &Arc<Root>,
    stacking: Stacking,
    mode: IdMode,
    lower: &dyn Lookup,
) -> Result<Vec<Change>, Error> {
    let mut found = Vec::new();
    // Folders still to be read. Depth costs neither stack nor descriptors: each is opened by its
    // path when its turn comes.
    let mut folders = vec![ImagePath::root()];
    // The first name of each file that has several; the smallest one after sorting.
    let mut names: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        let dir = upper.open_dir(&folder, Follow::No).map_err(Error::io("read", &folder))?;
        for (name, _) in dir.list().map_err(Error::io("read", &folder))? {
            let path = folder
                .join(&name)
                .map_err(|source| Error::Path { path: folder.clone(), source })?;
            let Some(stat) = dir.stat_opt(&name).map_err(Error::io("read", &path))? else {
                continue;
            };
            let gone = match stacking {
                Stacking::Plain => meta::is_whiteout(&dir, &name, &stat),
                Stacking::Overlay { .. } => {
                    meta::unmark(&dir, &name, &stat).map(|()| stat.is_whiteout())
                }
            };
            if gone.map_err(Error::io("read", &path))? {
                if lower.entry(&path)?.is_some() {
                    found.push(Change::bare(Entry::new(path, EntryKind::Whiteout, 0)));
                }
                continue;
            }
            let Some((entry, stat)) = meta::left_at(&dir, &name, &path, mode)? else { continue };
            match entry.kind {
                EntryKind::Dir => {
                    folders.push(path.clone());
                    found.push(Change::bare(entry));
                    if hides(&dir, &name, &path, lower)? {
                        found.push(Change::bare(Entry::new(path, EntryKind::Opaque, 0)));
                    }
                }
                _ => {
                    if stat.links > 1 {
                        names.entry((stat.dev, stat.ino)).or_default().push(found.len());
                    }
                    let content = content_of(upper, &entry, &stat);
                    found.push(Change { entry, content });
                }
            }
        }
    }
    for same in names.values() {
        let Some(first) = same.iter().map(|at| &found[*at].entry.path).min().cloned() else {
            continue;
        };
        for at in same {
            if found[*at].entry.path != first {
                found[*at].entry.kind = EntryKind::Hardlink(first.clone());
                found[*at].content = Content::Empty;
            }
        }
    }
    // Stable: an opaque mark stays behind its folder.
    found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    Ok(found)
}

/// Makes plain files of the device nodes that a step recorded in `root` without being allowed to make
/// any, on disk and in `found`; those that `lower` has stay, also where the step has moved or linked them
/// to, as do nodes that the kernel made.
pub fn forget_nodes(
    found: &mut [Change],
    root: &Root,
    mode: IdMode,
    lower: &dyn Lookup,
) -> Result<(), Error> {
    // Most steps have no such node: then nothing is asked.
    let mut sources = None;
    for at in 0..found.len() {
        if !is_node(&found[at].entry.kind) {
            continue;
        }
        let entry = &found[at].entry;
        let path = &entry.path;
        let (dir, name) = root.parent(path).map_err(Error::io("read", path))?;
        let stat = dir.stat_opt(&name).map_err(Error::io("read", path))?;
        let recorded = stat.is_some_and(|stat| stat.kind == FileKind::File);
        if !recorded || lower.entry(path)?.is_some_and(|old| old.kind == entry.kind) {
            continue;
        }
        let moved = match &mut sources {
            Some(sources) => sources,
            none => none.insert(Moved::of(found, lower)?),
        };
        if moved.brought(entry, lower)? {
            continue;
        }
        let file = dir.open_meta(&name).map_err(Error::io("read", path))?;
        let own = Own::of(entry.uid, entry.gid);
        match mode.has_many() || own.is_usual() {
            true => xattr::remove(&file, own::ATTRIBUTE),
            false => xattr::set(&file, own::ATTRIBUTE, own.to_string().as_bytes()),
        }
        .map_err(Error::io("set the owner of", path))?;
        found[at].entry.kind = EntryKind::File { size: 0 };
        found[at].content = Content::Empty;
    }
    Ok(())
}

fn is_node(kind: &EntryKind) -> bool {
    matches!(kind, EntryKind::Char { .. } | EntryKind::Block { .. })
}

/// The most places that are looked at for where a node came from; beyond that it is none.
const MOST_LOOKS: usize = 100_000;

/// What a step may have moved or linked elsewhere: the nodes that are no longer where `lower` has them, or
/// a name of another there, and the folders that are gone or were emptied.
struct Moved {
    nodes: Vec<EntryKind>,
    folders: Vec<ImagePath>,
    looks: usize,
}

impl Moved {
    fn of(found: &[Change], lower: &dyn Lookup) -> Result<Self, Error> {
        let mut moved = Moved { nodes: Vec::new(), folders: Vec::new(), looks: 0 };
        for Change { entry, .. } in found {
            let Some(old) = lower.entry(&entry.path)? else { continue };
            if old.kind == EntryKind::Dir && entry.kind != EntryKind::Dir {
                moved.folders.push(entry.path.clone());
            } else if is_node(&old.kind) && old.kind != entry.kind {
                moved.nodes.push(old.kind);
            }
        }
        Ok(moved)
    }

    // Tells whether `lower` has this node, at another path.
    fn brought(&mut self, entry: &Entry, lower: &dyn Lookup) -> Result<bool, Error> {
        if self.nodes.contains(&entry.kind) {
            return Ok(true);
        }
        // Out of a folder: its last names are those that it had there.
        let names: Vec<&[u8]> = entry.path.components().collect();
        for folder in &self.folders {
            for start in (0..names.len()).rev() {
                self.looks += 1;
                if self.looks > MOST_LOOKS {
                    return Ok(false);
                }
                let old = names[start..].iter().try_fold(folder.clone(), |at, name| at.join(name));
                let Ok(old) = old else { break };
                if lower.entry(&old)?.is_some_and(|old| old.kind == entry.kind) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// Tells whether the folder is opaque, and there is something to hide.
fn hides(dir: &Dir, name: &[u8], path: &ImagePath, lower: &dyn Lookup) -> Result<bool, Error> {
    let inner = dir.open_dir(name).map_err(Error::io("read", path))?;
    Ok(meta::is_opaque(&inner).map_err(Error::io("read", path))?
        && lower.entry(path)?.is_some_and(|entry| entry.kind == EntryKind::Dir))
}

/// Returns where the bytes of an entry read from `root` are.
pub(super) fn content_of(root: &Arc<Root>, entry: &Entry, stat: &Stat) -> Content {
    match entry.kind {
        EntryKind::File { size } if size > 0 => Content::File {
            root: Arc::clone(root),
            path: entry.path.clone(),
            // Nothing writes to a tree of the store; but its files may get further names.
            stamp: FileStamp::of_ours(stat),
        },
        _ => Content::Empty,
    }
}
