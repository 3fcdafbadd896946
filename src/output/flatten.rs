//! Layers to one root filesystem, without unpacking them: a first pass over the layers makes a
//! table of what is visible, a second one hands the visible entries on.
//!
//! The rules are those of `rootfs::extract`: whiteouts hide what lower layers have, never entries
//! of their own layer; links on the way to an entry are followed below the root; of one path's
//! entries in a layer the last wins. Content is held by nobody: memory grows with the number of
//! visible paths, up to a limit.
//!
//! What is handed on: all folders, parents first; then the rest by layers, bottom first, in the
//! order of each layer; the further names of a file right behind it. So whoever writes them to disk
//! needs no second look, and never passes through a link.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Bound;

use super::Error;
use crate::base::ImagePath;
use crate::image::{Image, LayerRef};
use crate::layer::{Bounds, Entry, EntryKind, Limits, Reader, decompress};
use crate::store::Store;

/// The largest table, in bytes: several million paths.
const MAX_TABLE: usize = 1 << 30;

/// Links followed on the way to one entry (`ELOOP`, Linux: 40).
const MAX_LINKS: usize = 40;

/// Takes the entries of a root filesystem.
pub(super) trait Sink {
    /// Takes one entry; of a file with all its content.
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error>;
}

/// Hands the root filesystem of an image on. The root folder itself is not an entry.
pub(super) fn flatten(image: &Image, store: &Store, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut table = Table::default();
    for (number, layer) in image.layers.iter().enumerate() {
        table.read(number, layer, store)?;
    }
    table.write(&image.layers, store, sink)
}

// What is visible, by the path's bytes, without links in the folders.
#[derive(Default)]
struct Table {
    slots: BTreeMap<Vec<u8>, Slot>,
    bytes: usize,
    // The layer that is being read, from 0.
    layer: usize,
    // The folder of the last entry, as written and without links.
    last: Option<(ImagePath, ImagePath)>,
}

struct Slot {
    // The layer that has it, or has something in it.
    layer: usize,
    what: What,
}

#[derive(Clone)]
enum What {
    Dir(Box<Entry>),
    // Anything else: the entry that makes it. Names with the same one are one file.
    Leaf { at: Position, target: Option<Box<[u8]>> },
}

// The number of a layer, and of an entry in it.
type Position = (usize, u64);

impl Table {
    fn read(&mut self, number: usize, layer: &LayerRef, store: &Store) -> Result<(), Error> {
        self.layer = number;
        self.last = None;
        let mut reader = open(layer, store)?;
        let mut ordinal = 0;
        while let Some(entry) = reader.next_entry()? {
            self.entry(entry, (number, ordinal))?;
            ordinal += 1;
            if self.bytes > MAX_TABLE {
                let (what, limit) = ("the list of all files", MAX_TABLE as u64);
                return Err(crate::layer::Error::Limit { what, limit }.into());
            }
        }
        // To the end: only then the digest was checked.
        io::copy(&mut reader.into_inner(), &mut io::sink()).map_err(crate::layer::Error::from)?;
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry, at: Position) -> Result<(), Error> {
        if entry.path.is_root() {
            return match entry.kind {
                EntryKind::Dir => Ok(()),
                _ => Err(self.wrong(&entry.path, "replaces or hides the root")),
            };
        }
        if entry.kind == EntryKind::Opaque {
            let folder = self.folder(&entry.path)?;
            self.hide_below(&folder);
            return Ok(());
        }
        let written = entry.path.parent().expect("only the root has none");
        let folder = match self.last.take() {
            Some((as_written, real)) if as_written == written => real,
            _ => self.folder(&written)?,
        };
        let path = self.join(&folder, entry.path.name())?;
        self.last = Some((written, folder));
        let there = self.slots.get(path.as_bytes());
        let what = match entry.kind {
            EntryKind::Whiteout => {
                match there {
                    Some(slot) if slot.layer < self.layer => self.remove(&path),
                    Some(Slot { what: What::Dir(_), .. }) => self.hide_below(&path),
                    _ => {}
                }
                return Ok(());
            }
            EntryKind::Dir => {
                entry.path = path.clone();
                What::Dir(Box::new(entry))
            }
            EntryKind::Hardlink(ref target) => {
                let target = self.hardlink(&path, target)?;
                self.last = None;
                target
            }
            EntryKind::Symlink(target) => {
                What::Leaf { at, target: Some(target.into_boxed_slice()) }
            }
            EntryKind::File { .. }
            | EntryKind::Char { .. }
            | EntryKind::Block { .. }
            | EntryKind::Fifo => What::Leaf { at, target: None },
            EntryKind::Opaque => unreachable!("handled above"),
        };
        let stays = matches!(
            (self.slots.get(path.as_bytes()), &what),
            (Some(Slot { what: What::Dir(_), .. }), What::Dir(_))
        );
        if !stays {
            self.remove(&path);
        }
        self.insert(&path, what);
        Ok(())
    }

    fn hardlink(&mut self, path: &ImagePath, target: &ImagePath) -> Result<What, Error> {
        let Some(parent) = target.parent() else {
            return Err(self.wrong(path, "is a hard link to the root"));
        };
        let folder = self.folder(&parent)?;
        let source = self.join(&folder, target.name())?;
        if source == *path {
            return Err(self.wrong(path, "is a hard link to itself"));
        }
        match self.slots.get(source.as_bytes()).map(|slot| &slot.what) {
            Some(leaf @ What::Leaf { .. }) => Ok(leaf.clone()),
            Some(What::Dir(_)) => Err(self.wrong(path, "is a hard link to a folder")),
            None => Err(self.wrong(path, "is a hard link to what is not there")),
        }
    }

    // Finds the folder at `path`, links followed, and makes what is missing.
    fn folder(&mut self, path: &ImagePath) -> Result<ImagePath, Error> {
        let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        let mut at = ImagePath::root();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                at = at.parent().unwrap_or_else(ImagePath::root);
                continue;
            }
            let next = self.join(&at, &name)?;
            let layer = self.layer;
            match self.slots.get_mut(next.as_bytes()) {
                Some(slot) => match &slot.what {
                    What::Dir(_) => {
                        slot.layer = layer;
                        at = next;
                    }
                    What::Leaf { target: Some(target), .. } => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(self.wrong(path, "leads through too many links"));
                        }
                        if target.first() == Some(&b'/') {
                            at = ImagePath::root();
                        }
                        let parts = target.split(|byte| *byte == b'/').rev();
                        let parts = parts.filter(|part| !part.is_empty() && *part != b".");
                        rest.extend(parts.map(<[u8]>::to_vec));
                    }
                    What::Leaf { target: None, .. } if slot.layer < layer => {
                        self.remove(&next);
                        self.make_folder(&next);
                        at = next;
                    }
                    What::Leaf { target: None, .. } => {
                        return Err(self.wrong(path, "leads through what is no folder"));
                    }
                },
                None => {
                    self.make_folder(&next);
                    at = next;
                }
            }
        }
        Ok(at)
    }

    fn make_folder(&mut self, path: &ImagePath) {
        let entry = Entry::new(path.clone(), EntryKind::Dir, 0o755);
        self.insert(path, What::Dir(Box::new(entry)));
    }

    fn insert(&mut self, path: &ImagePath, what: What) {
        let slot = Slot { layer: self.layer, what };
        self.bytes += weight(path.as_bytes(), &slot);
        if let Some(old) = self.slots.insert(path.as_bytes().to_vec(), slot) {
            self.bytes -= weight(path.as_bytes(), &old);
        }
    }

    // Removes what is at the path, with all below it.
    fn remove(&mut self, path: &ImagePath) {
        self.take(path.as_bytes());
        self.drop_below(path, |_| true);
    }

    // Removes what lower layers have below the path.
    fn hide_below(&mut self, path: &ImagePath) {
        let layer = self.layer;
        self.drop_below(path, |slot| slot.layer < layer);
    }

    fn drop_below(&mut self, path: &ImagePath, which: impl Fn(&Slot) -> bool) {
        let mut start = path.as_bytes().to_vec();
        if !path.is_root() {
            start.push(b'/');
        }
        let mut end = start.clone();
        *end.last_mut().expect("ends with a slash") += 1;
        let doomed: Vec<Vec<u8>> = self
            .slots
            .range::<[u8], _>((Bound::Excluded(&start[..]), Bound::Excluded(&end[..])))
            .filter(|(_, slot)| which(slot))
            .map(|(path, _)| path.clone())
            .collect();
        if doomed.is_empty() {
            return;
        }
        self.last = None;
        for path in doomed {
            self.take(&path);
        }
    }

    fn take(&mut self, path: &[u8]) {
        if let Some(old) = self.slots.remove(path) {
            self.bytes -= weight(path, &old);
        }
    }

    fn join(&self, folder: &ImagePath, name: &[u8]) -> Result<ImagePath, Error> {
        folder.join(name).map_err(|_| self.wrong(folder, "holds a path that is too long for Linux"))
    }

    fn wrong(&self, path: &ImagePath, why: &'static str) -> Error {
        Error::Tree { layer: self.layer + 1, path: path.to_string(), why }
    }

    fn write(self, layers: &[LayerRef], store: &Store, sink: &mut dyn Sink) -> Result<(), Error> {
        let mut leaves: Vec<(Position, ImagePath)> = Vec::new();
        for (path, slot) in self.slots {
            match slot.what {
                What::Dir(mut entry) => {
                    clean(&mut entry);
                    sink.entry(&entry, &mut io::empty())?;
                }
                What::Leaf { at, .. } => {
                    let path = ImagePath::from_entry(&path).expect("it was one before");
                    leaves.push((at, path));
                }
            }
        }
        leaves.sort();
        let mut leaves = leaves.into_iter().peekable();
        for (number, layer) in layers.iter().enumerate() {
            if leaves.peek().is_none_or(|(at, _)| at.0 != number) {
                continue;
            }
            let mut reader = open(layer, store)?;
            let mut ordinal = 0;
            while leaves.peek().is_some_and(|(at, _)| at.0 == number)
                && let Some(mut entry) = reader.next_entry()?
            {
                let at = (number, ordinal);
                ordinal += 1;
                let Some((_, first)) = leaves.next_if(|(wanted, _)| *wanted == at) else {
                    continue;
                };
                clean(&mut entry);
                entry.path = first.clone();
                sink.entry(&entry, &mut reader.content())?;
                entry.kind = EntryKind::Hardlink(first);
                entry.xattrs.clear();
                while let Some((_, path)) = leaves.next_if(|(wanted, _)| *wanted == at) {
                    entry.path = path;
                    sink.entry(&entry, &mut io::empty())?;
                }
            }
        }
        Ok(())
    }
}

fn open(layer: &LayerRef, store: &Store) -> Result<Reader<Box<dyn Read + Send>>, Error> {
    let blob = store.blob(layer.descriptor.digest)?;
    let plain = decompress(blob.verified(), layer.kind.into(), Bounds::default())?;
    Ok(Reader::layer(plain, Limits::default()))
}

// Bytes of memory, about.
fn weight(path: &[u8], slot: &Slot) -> usize {
    let more = match &slot.what {
        What::Dir(entry) => {
            let xattrs = entry.xattrs.iter().map(|(key, value)| key.len() + value.len() + 64);
            path.len() + size_of::<Entry>() + xattrs.sum::<usize>()
        }
        What::Leaf { target, .. } => target.as_ref().map_or(0, |target| target.len()),
    };
    path.len() + size_of::<Slot>() + 64 + more
}

// Attributes that mean something to a file system, a store or a security module of one machine stay
// behind.
fn clean(entry: &mut Entry) {
    entry.xattrs.retain(|name, _| {
        name == b"security.capability"
            || (name.starts_with(b"user.")
                && !name.starts_with(b"user.overlay.")
                && !name.starts_with(b"user.rbuild."))
    });
}
