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
        let listed = dir.list().map_err(Error::io("read", &folder))?;
        // One round after the other: what is looked at is not kept beside what is found.
        for round in listed.chunks(SHARE * MOST_THREADS) {
            for left in look_at_all(&dir, round, &folder, stacking, mode)? {
                let (entry, stat) = match left {
                    Left::There(entry, stat) => (entry, stat),
                    Left::Gone(path) => {
                        if lower.entry(&path)?.is_some() {
                            found.push(Change::bare(Entry::new(path, EntryKind::Whiteout, 0)));
                        }
                        continue;
                    }
                };
                match entry.kind {
                    EntryKind::Dir => {
                        let path = entry.path.clone();
                        folders.push(path.clone());
                        found.push(Change::bare(entry));
                        if hides(&dir, path.name(), &path, lower)? {
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

/// What a step left at a path.
enum Left {
    There(Entry, Stat),
    /// The mark of a removed name.
    Gone(ImagePath),
}

/// So many names in a folder are worth another thread, each of which takes as many; and so many threads look
/// at most: more of them wait for each other in the kernel.
const SHARE: usize = 2000;
const MOST_THREADS: usize = 4;

/// Looks at names of a folder, in their order; on several threads where they are many. What is found, and
/// which error comes first, does not depend on them.
fn look_at_all(
    dir: &Dir,
    names: &[(Vec<u8>, FileKind)],
    folder: &ImagePath,
    stacking: Stacking,
    mode: IdMode,
) -> Result<Vec<Left>, Error> {
    let look = |names: &[(Vec<u8>, FileKind)]| -> Result<Vec<Left>, Error> {
        let mut all = Vec::with_capacity(names.len());
        for (name, _) in names {
            all.extend(look_at(dir, name, folder, stacking, mode)?);
        }
        Ok(all)
    };
    let threads = (names.len() / SHARE).clamp(1, MOST_THREADS);
    let mut shares = names.chunks(names.len().div_ceil(threads).max(1));
    let Some(first) = shares.next() else { return Ok(Vec::new()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| {
                let thread = std::thread::Builder::new().name("look".to_owned());
                (share, thread.spawn_scoped(scope, move || look(share)))
            })
            .collect();
        let mut all = look(first)?;
        for (share, other) in others {
            all.extend(match other {
                Ok(thread) => thread.join().expect("looking does not panic")?,
                // No thread is to be had.
                Err(_) => look(share)?,
            });
        }
        Ok(all)
    })
}

fn look_at(
    dir: &Dir,
    name: &[u8],
    folder: &ImagePath,
    stacking: Stacking,
    mode: IdMode,
) -> Result<Option<Left>, Error> {
    let path = folder.join(name).map_err(|source| Error::Path { path: folder.clone(), source })?;
    let Some(stat) = dir.stat_opt(name).map_err(Error::io("read", &path))? else {
        return Ok(None);
    };
    let gone = match stacking {
        Stacking::Plain => meta::is_whiteout(dir, name, &stat),
        Stacking::Overlay { .. } => meta::unmark(dir, name, &stat).map(|()| stat.is_whiteout()),
    };
    if gone.map_err(Error::io("read", &path))? {
        return Ok(Some(Left::Gone(path)));
    }
    let left = meta::left_at(dir, name, stat, &path, mode)?;
    Ok(left.map(|(entry, stat)| Left::There(entry, stat)))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::rootfs::Nothing;

    fn of(folder: &Path) -> Result<Vec<Change>, Error> {
        let root = Arc::new(Root::open_host(folder).unwrap());
        changes(&root, Stacking::Plain, IdMode::Root, &Nothing)
    }

    #[test]
    fn a_large_folder_is_listed_as_a_small_one() {
        let place = tempfile::tempdir().unwrap();
        let count = MOST_THREADS * SHARE + 1;
        for number in 0..count {
            fs::write(place.path().join(format!("f{number:05}")), "x".repeat(number % 3)).unwrap();
        }
        let found = of(place.path()).unwrap();
        assert_eq!(found.len(), count);
        for (number, change) in found.iter().enumerate() {
            assert_eq!(change.entry.path.to_string(), format!("/f{number:05}"));
            assert_eq!(change.entry.kind, EntryKind::File { size: number as u64 % 3 });
        }
    }
}
