//! An archive at a destination.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::super::archive::{self, Failure};
use super::super::select::Group;
use super::{Error, Placer, join};
use crate::base::ImagePath;
use crate::layer::{self, Entry, EntryKind};
use crate::rootfs::{self, Content, Lookup, clean};

impl Placer<'_> {
    /// Unpacks an archive below the folder `target`. Owners and modes are the archive's, unless
    /// `--chown` says otherwise. What is in the way is replaced; only folders merge. Nothing is
    /// written outside of `target`: links that lead out of it are an error.
    pub(super) fn unpack(
        &mut self,
        group: &Group,
        content: &Content,
        target: &ImagePath,
    ) -> Result<(), Error> {
        let name = group.path.to_string();
        let broken = |source| Error::Archive { path: name.clone(), source };
        let mut reader = match archive::open(content) {
            Ok(reader) => reader,
            Err(Failure::Tree(error)) => return Err(error.into()),
            Err(Failure::Archive(error)) => return Err(broken(error)),
        };
        while let Some(mut entry) = reader.next_entry().map_err(broken)? {
            let refuse = |entry: &ImagePath, reason| Error::ArchiveEntry {
                archive: name.clone(),
                entry: entry.clone(),
                reason,
            };
            let inside = entry.path.clone();
            if inside.is_root() {
                continue;
            }
            if inside.name().starts_with(b".wh.") {
                return Err(refuse(&inside, "names that begin with `.wh.` mean removed files"));
            }
            let Some(path) = self.inside(target, &inside, true)? else {
                return Err(refuse(&inside, "a link on the way leads out of the destination"));
            };
            entry.path = path.clone();
            clean(&mut entry.xattrs);
            if let Some((uid, gid)) = self.how.chown {
                (entry.uid, entry.gid) = (uid, gid);
            }
            match entry.kind.clone() {
                EntryKind::Hardlink(old) => {
                    let Some(old) = self.inside(target, &old, false)? else {
                        return Err(refuse(&inside, "the target of the hard link is not there"));
                    };
                    if old == path {
                        return Err(refuse(&inside, "is a hard link to itself"));
                    }
                    if !self.link(&old, &path)? {
                        return Err(refuse(&inside, "the target of the hard link is not there"));
                    }
                }
                EntryKind::Dir => {
                    let there = self.entry(&path)?.map(|entry| entry.kind);
                    let merges = there == Some(EntryKind::Dir);
                    if !merges {
                        self.remove(&path)?;
                    }
                    let fresh = self.done.get(path.as_bytes()).is_some_and(|old| old.fresh);
                    self.set(entry, Content::Empty, None, fresh || !merges);
                }
                EntryKind::File { size } => {
                    self.remove(&path)?;
                    let content = self.spool(&mut reader.content(), size).map_err(broken)?;
                    self.set(entry, content, None, false);
                }
                _ => {
                    self.remove(&path)?;
                    self.set(entry, Content::Empty, None, false);
                }
            }
        }
        Ok(())
    }

    /// Returns the path that an entry of the archive has in the image, links before its last
    /// component followed; `None` if that is outside of `target`. Missing folders are made if
    /// `make` says so.
    fn inside(
        &mut self,
        target: &ImagePath,
        entry: &ImagePath,
        make: bool,
    ) -> Result<Option<ImagePath>, Error> {
        let Some(parent) = entry.parent() else { return Ok(None) };
        let written = join(target, parent.relative())?;
        let real = rootfs::resolve(self, &written, crate::sys::Follow::InRoot)?;
        if !real.starts_with(target) {
            return Ok(None);
        }
        if make {
            self.make_dirs(&real)?;
        }
        join(&real, entry.name()).map(Some)
    }

    /// Gives the file `old` the further name `path`.
    fn link(&mut self, old: &ImagePath, path: &ImagePath) -> Result<bool, Error> {
        if !self.done.contains_key(old.as_bytes()) {
            // It lies in the image: the layer gets a copy, which both are names of.
            let Some(entry) = self.below(old)? else { return Ok(false) };
            let content = match &entry.kind {
                EntryKind::File { size: 0 } => Content::Empty,
                EntryKind::File { size } => {
                    let Some(mut file) = self.lower.open(old)? else { return Ok(false) };
                    self.spool(&mut file, *size)
                        .map_err(|source| Error::Archive { path: old.to_string(), source })?
                }
                EntryKind::Dir => return Ok(false),
                _ => Content::Empty,
            };
            self.set(entry, content, None, false);
        }
        let next = self.files + 1;
        let Some(placed) = self.done.get_mut(old.as_bytes()) else { return Ok(false) };
        if placed.change.entry.kind == EntryKind::Dir {
            return Ok(false);
        }
        let file = match placed.change.entry.kind {
            EntryKind::File { .. } => Some(*placed.file.get_or_insert(next)),
            _ => None,
        };
        let mut change = placed.change.clone();
        self.files = self.files.max(file.unwrap_or(0));
        self.remove(path)?;
        change.entry.path = path.clone();
        self.set(change.entry, change.content, file, false);
        Ok(true)
    }

    /// Removes what is at `path`, with all below it.
    fn remove(&mut self, path: &ImagePath) -> Result<(), Error> {
        let below = rootfs::below(path);
        let inside: Vec<Vec<u8>> = self.done.range(below).map(|(path, _)| path.clone()).collect();
        for path in inside {
            self.done.remove(&path);
        }
        let was_fresh = self.done.remove(path.as_bytes()).is_some_and(|placed| placed.fresh);
        if !was_fresh && self.below(path)?.is_some_and(|old: Entry| old.kind == EntryKind::Dir) {
            self.gone.insert(path.as_bytes().to_vec());
        }
        Ok(())
    }

    /// Appends content to the temporary file and returns where it is.
    fn spool(&mut self, content: &mut dyn Read, size: u64) -> Result<Content, layer::Error> {
        if size == 0 {
            return Ok(Content::Empty);
        }
        if self.spool.is_none() {
            let path = self.store.tmp_path().map_err(io::Error::from)?;
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            // Nameless from here on: it goes with its last handle.
            std::fs::remove_file(&path)?;
            self.spool = Some((Arc::new(file), 0));
        }
        let (file, end) = self.spool.as_mut().expect("made above");
        let offset = *end;
        let mut sink: &File = file;
        let written = io::copy(&mut content.take(size), &mut sink)?;
        sink.flush()?;
        *end += written;
        if written != size {
            return Err(layer::Error::Truncated);
        }
        Ok(Content::Part { file: Arc::clone(file), offset, size })
    }
}
