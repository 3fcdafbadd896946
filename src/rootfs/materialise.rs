//! Changes into a folder in overlay form, so that a later step can see them.

use super::{Change, Content, Error, Lookup, meta};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::sys::{self, Dir, FileKind, Follow, IdMode, Root, xattr};

/// Puts sorted changes into the empty folder `into`, which then lies over `lower`. Folders on the
/// way that the changes do not list get the metadata that `lower` has for them, so that the merged
/// view keeps it. Content is shared with its source where the file system can.
pub fn materialise(
    changes: &[Change],
    into: &Root,
    mode: IdMode,
    lower: &dyn Lookup,
) -> Result<(), Error> {
    // Deepest folder last: times are set backwards, after all was put in.
    let mut folders: Vec<Entry> = Vec::new();
    let mut last: Option<(ImagePath, Dir)> = None;
    for change in changes {
        let entry = &change.entry;
        let Some(parent) = entry.path.parent() else {
            if entry.kind == EntryKind::Dir {
                meta::apply(into.top(), entry, mode)?;
                folders.push(entry.clone());
            }
            continue;
        };
        let dir = match last.take() {
            Some((path, dir)) if path == parent => dir,
            _ => open_or_make(into, &parent, mode, lower, &mut folders)?,
        };
        put(change, &dir, into, mode)?;
        if entry.kind == EntryKind::Dir {
            folders.push(entry.clone());
        }
        last = Some((parent, dir));
    }
    for entry in folders.iter().rev() {
        let dir = into.open_dir(&entry.path, Follow::No).map_err(Error::io("open", &entry.path))?;
        sys::set_mtime(dir, entry.mtime).map_err(Error::io("set the time of", &entry.path))?;
    }
    Ok(())
}

fn put(change: &Change, dir: &Dir, into: &Root, mode: IdMode) -> Result<(), Error> {
    let (entry, name) = (&change.entry, change.entry.path.name());
    let create = |error| Error::io("create", &entry.path)(error);
    match &entry.kind {
        EntryKind::File { size } => {
            let file = dir.create_file(name).map_err(create)?;
            let mut sink = &file;
            let written = match change.content.open_checked()? {
                Some((source, stamp)) => {
                    let size = sys::copy::copy_file(&source, &file)
                        .map_err(Error::io("write", &entry.path))?;
                    let now = sys::stat_of(&source).map_err(Error::io("read", &entry.path))?;
                    if !stamp.is_of(&now) {
                        return Err(Error::Changed(entry.path.clone()));
                    }
                    size
                }
                None => std::io::copy(&mut change.content.open()?, &mut sink)
                    .map_err(Error::io("write", &entry.path))?,
            };
            if written != *size {
                return Err(Error::Changed(entry.path.clone()));
            }
            meta::apply(&file, entry, mode)
        }
        EntryKind::Char { .. } | EntryKind::Block { .. } => {
            debug_assert!(matches!(change.content, Content::Empty));
            meta::apply(dir.create_file(name).map_err(create)?, entry, mode)
        }
        EntryKind::Dir => {
            // An opaque mark for a folder that stands before it in the list made it already.
            if dir.stat_opt(name).map_err(create)?.is_none() {
                dir.mkdir(name).map_err(create)?;
            }
            meta::apply(dir.open_dir(name).map_err(create)?, entry, mode)
        }
        EntryKind::Opaque => {
            let inner = dir.open_dir(name).map_err(create)?;
            xattr::set(inner, meta::OPAQUE, b"y").map_err(Error::io("mark", &entry.path))
        }
        EntryKind::Symlink(target) => {
            dir.symlink(target, name).map_err(create)?;
            meta::apply_special(dir, name, entry, mode)
        }
        EntryKind::Fifo => {
            dir.fifo(name).map_err(create)?;
            meta::apply_special(dir, name, entry, mode)
        }
        EntryKind::Hardlink(first) => {
            let (from, old) = into.parent(first).map_err(create)?;
            dir.link(&from, &old, name).map_err(create)
        }
        EntryKind::Whiteout => {
            meta::put_whiteout(dir, name).map_err(Error::io("remove", &entry.path))
        }
    }
}

/// Opens the folder `path`, making it and those above it with the metadata that `lower` has.
fn open_or_make(
    into: &Root,
    path: &ImagePath,
    mode: IdMode,
    lower: &dyn Lookup,
    folders: &mut Vec<Entry>,
) -> Result<Dir, Error> {
    if let Ok(dir) = into.open_dir(path, Follow::No) {
        return Ok(dir);
    }
    let mut dir = into.top().try_clone().map_err(Error::io("open", path))?;
    let mut at = ImagePath::root();
    for name in path.components() {
        at = at.join(name).map_err(|source| Error::Path { path: path.clone(), source })?;
        match dir.stat_opt(name).map_err(Error::io("read", &at))? {
            Some(stat) if stat.kind == FileKind::Dir => {}
            Some(_) => return Err(Error::NotADirectory(at)),
            None => {
                let entry = match lower.entry(&at)? {
                    Some(entry) if entry.kind == EntryKind::Dir => entry,
                    _ => Entry::new(at.clone(), EntryKind::Dir, 0o755),
                };
                dir.mkdir(name).map_err(Error::io("create", &at))?;
                let made = dir.open_dir(name).map_err(Error::io("open", &at))?;
                meta::apply(made, &entry, mode)?;
                folders.push(entry);
            }
        }
        dir = dir.open_dir(name).map_err(Error::io("open", &at))?;
    }
    Ok(dir)
}
