//! A stack of layers without the kernel's overlay: for hosts that mount nothing for us, and for
//! stores on file systems that an overlay cannot lie on.
//!
//! [`Stacked`] answers what is at a path by looking into the layers from the top. [`flatten`] makes
//! one folder of them all: of further names of their files, where it will only be read, or of
//! copies, where a step will write. Neither ever writes to a layer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::lookup::is_absent;
use super::{Error, Lookup, meta};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::store::Store;
use crate::sys::own;
use crate::sys::{self, Dir, FileKind, Follow, IdMode, OverlayError, Root, Stat};

/// How this host shows a stack of layers as one tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stacking {
    /// By the kernel's overlay, of at most so many layers.
    Overlay {
        /// How many.
        most: usize,
    },
    /// By looking into the layers one by one, and by copies where a step writes.
    Plain,
}

impl Stacking {
    /// Finds out by trying in the folders of `store`; with [`Stacking::Plain`], why it is that.
    pub fn probe(store: &Store) -> Result<(Stacking, Option<OverlayError>), Error> {
        let folder = store.tmp_path()?;
        let [a, b, upper, work] = ["a", "b", "upper", "work"].map(|name| folder.join(name));
        let made = std::fs::create_dir(&folder)
            .and_then(|()| [&a, &b, &upper, &work].into_iter().try_for_each(std::fs::create_dir));
        made.map_err(Error::io("make a folder in the store for", &ImagePath::root()))?;
        let upper = sys::Upper { upper: &upper, work: &work };
        let tried = sys::overlay_mount(&[a, b], Some(upper));
        // Overlayfs leaves a folder in `work` that only the next sweep may be able to remove.
        let _ = crate::store::remove_tree(&folder);
        Ok(match tried {
            Ok(_) => (Stacking::Overlay { most: sys::most_layers() }, None),
            Err(error) => (Stacking::Plain, Some(error)),
        })
    }
}

/// Layers looked at one by one.
#[derive(Debug)]
pub struct Stacked {
    /// Bottom first.
    layers: Vec<Root>,
    mode: IdMode,
}

impl Stacked {
    /// Opens the folders of layers, bottom first.
    pub fn open(layers: &[PathBuf], mode: IdMode) -> Result<Stacked, Error> {
        let open = |path: &PathBuf| {
            Root::open_host(path).map_err(Error::io("open the layer", &ImagePath::root()))
        };
        Ok(Stacked { layers: layers.iter().map(open).collect::<Result<_, _>>()?, mode })
    }

    /// The topmost layer that has something at `path`, unless it is hidden or in no folder.
    fn find(&self, path: &ImagePath) -> Result<Option<(&Root, Entry)>, Error> {
        for layer in self.layers.iter().rev() {
            match look(layer, path, self.mode)? {
                Look::Found(entry) => return Ok(Some((layer, entry))),
                Look::Hidden => return Ok(None),
                Look::Below => {}
            }
        }
        Ok(None)
    }
}

impl Lookup for Stacked {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, Error> {
        Ok(self.find(path)?.map(|(_, entry)| entry))
    }

    fn open(&self, path: &ImagePath) -> Result<Option<File>, Error> {
        match self.find(path)? {
            Some((layer, Entry { kind: EntryKind::File { .. }, .. })) => {
                layer.open(path, Follow::No).map(Some).map_err(Error::io("read", path))
            }
            _ => Ok(None),
        }
    }
}

/// What one layer says of a path.
enum Look {
    Found(Entry),
    /// Nothing is there, whatever lies below.
    Hidden,
    /// The layers below decide.
    Below,
}

fn look(layer: &Root, path: &ImagePath, mode: IdMode) -> Result<Look, Error> {
    if path.is_root() {
        return Ok(Look::Found(meta::entry_of_dir(layer.top(), path, mode)?));
    }
    let mut dir = layer.top().try_clone().map_err(Error::io("open", path))?;
    let mut opaque = meta::is_opaque(&dir).map_err(Error::io("read", path))?;
    let below = |opaque: bool| Ok(if opaque { Look::Hidden } else { Look::Below });
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let Some(stat) = dir.stat_opt(name).map_err(Error::io("read", path))? else {
            return below(opaque);
        };
        if meta::is_whiteout(&dir, name, &stat).map_err(Error::io("read", path))? {
            return Ok(Look::Hidden);
        }
        if names.peek().is_none() {
            return Ok(match meta::entry_at(&dir, name, path, mode)? {
                Some((entry, _)) => Look::Found(entry),
                None => Look::Hidden,
            });
        }
        if stat.kind != FileKind::Dir {
            return Ok(Look::Hidden);
        }
        dir = match dir.open_dir(name) {
            Ok(dir) => dir,
            Err(error) if is_absent(&error) => return below(opaque),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        opaque |= meta::is_opaque(&dir).map_err(Error::io("read", path))?;
    }
    below(opaque)
}

/// How files come into one folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flatten {
    /// As further names of those of the layers: the folder is for reading only.
    Link,
    /// As copies (sharing blocks where the file system can): the folder may be written to.
    Copy,
}

/// Puts what is seen of `layers` (bottom first) into the empty folder `into`, as it lies on disk in
/// `mode`, without whiteouts and marks.
pub fn flatten(layers: &[PathBuf], into: &Path, how: Flatten, mode: IdMode) -> Result<(), Error> {
    let top = ImagePath::root();
    let stacked = Stacked::open(layers, mode)?;
    let into = Root::open_host(into).map_err(Error::io("open", &top))?;
    let mut work = Work { layers: &stacked.layers, into: &into, how, mode, names: BTreeMap::new() };
    let all: Vec<usize> = (0..layers.len()).rev().collect();
    let mut folders: Vec<(ImagePath, usize)> = Vec::new();
    let mut todo = vec![(top, all)];
    while let Some((path, inside)) = todo.pop() {
        let Some(first) = inside.first() else { continue };
        folders.push((path.clone(), *first));
        work.folder(&path, &inside, &mut todo)?;
    }
    // What lies in them is in place: now their times stay.
    for (path, layer) in folders.iter().rev() {
        let from = stacked.layers[*layer].open_dir(path, Follow::No);
        let to = into.open_dir(path, Follow::No);
        from.and_then(|from| sys::copy::copy_metadata(from, to?, mode.has_many(), is_kept))
            .map_err(Error::io("set the metadata of", path))?;
    }
    Ok(())
}

/// Tells whether an attribute on disk goes with a copy: those of an image, and our records.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(meta::OVERLAY))
}

struct Work<'a> {
    layers: &'a [Root],
    into: &'a Root,
    how: Flatten,
    mode: IdMode,
    /// The first name of each copied file that has several.
    names: BTreeMap<(u64, u64), ImagePath>,
}

/// A name in a folder that several layers have.
struct Seen {
    /// The layers whose folders of this name are seen, top first; for anything else the one that has it.
    layers: Vec<usize>,
    what: What,
    /// Layers further down are not seen.
    closed: bool,
}

enum What {
    Nothing,
    Folder,
    Other(Stat),
}

impl Work<'_> {
    /// Fills one folder; the folders in it are added to `todo`.
    fn folder(
        &mut self,
        path: &ImagePath,
        inside: &[usize],
        todo: &mut Vec<(ImagePath, Vec<usize>)>,
    ) -> Result<(), Error> {
        let to = self.into.open_dir(path, Follow::No).map_err(Error::io("open", path))?;
        let mut sources = BTreeMap::new();
        let mut names: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        for layer in inside {
            let dir = self.layers[*layer]
                .open_dir(path, Follow::No)
                .map_err(Error::io("open the layer's", path))?;
            for (name, _) in dir.list().map_err(Error::io("read", path))? {
                if names.get(&name).is_some_and(|seen| seen.closed) {
                    continue;
                }
                self.see(&dir, *layer, path, name, &mut names)?;
            }
            sources.insert(*layer, dir);
        }
        for (name, seen) in names {
            let at =
                path.join(&name).map_err(|source| Error::Path { path: path.clone(), source })?;
            match seen.what {
                What::Nothing => {}
                What::Folder => {
                    to.mkdir(&name).map_err(Error::io("create", &at))?;
                    todo.push((at, seen.layers));
                }
                What::Other(stat) => {
                    let from = seen.layers.first().and_then(|layer| sources.get(layer));
                    if let Some(from) = from {
                        self.file(from, &name, &stat, &to, &at).map_err(Error::io("copy", &at))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn see(
        &self,
        dir: &Dir,
        layer: usize,
        path: &ImagePath,
        name: Vec<u8>,
        names: &mut BTreeMap<Vec<u8>, Seen>,
    ) -> Result<(), Error> {
        let io = |error| Error::io("read", path)(error);
        let Some(stat) = dir.stat_opt(&name).map_err(io)? else { return Ok(()) };
        let folder = stat.kind == FileKind::Dir;
        let opaque = folder && meta::is_opaque(&dir.open_dir(&name).map_err(io)?).map_err(io)?;
        match names.get_mut(&name) {
            // A folder of a layer above; what is no folder here ends it.
            Some(seen) => {
                if folder {
                    seen.layers.push(layer);
                }
                seen.closed = !folder || opaque;
            }
            None => {
                let what = if folder {
                    What::Folder
                } else if meta::is_whiteout(dir, &name, &stat).map_err(io)? {
                    What::Nothing
                } else {
                    What::Other(stat)
                };
                names.insert(name, Seen { layers: vec![layer], what, closed: !folder || opaque });
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        from: &Dir,
        name: &[u8],
        stat: &Stat,
        to: &Dir,
        at: &ImagePath,
    ) -> io::Result<()> {
        if self.how == Flatten::Link {
            match to.link(from, name, name) {
                // On another file system, or at the limit of names of one file.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::CrossesDevices
                            | io::ErrorKind::TooManyLinks
                            | io::ErrorKind::PermissionDenied
                    ) => {}
                result => return result,
            }
        }
        let owner = self.mode.has_many();
        // Of these the record is no attribute that `copy_metadata` could take along.
        let record = || match own::of_special(from, name)? {
            Some(own) if !owner => own::set_special(to, name, own),
            _ => Ok(()),
        };
        match stat.kind {
            FileKind::File => {
                if stat.links > 1 {
                    if let Some(first) = self.names.get(&(stat.dev, stat.ino)) {
                        let (dir, old) = self.into.parent(first)?;
                        return to.link(&dir, &old, name);
                    }
                    self.names.insert((stat.dev, stat.ino), at.clone());
                }
                let (source, copy) = (from.open_file(name)?, to.create_file(name)?);
                sys::copy::copy_file(&source, &copy)?;
                sys::copy::copy_metadata(&source, &copy, owner, is_kept)
            }
            FileKind::Symlink => {
                to.symlink(&from.readlink(name)?, name)?;
                record()?;
                sys::copy::copy_metadata_of_name(to, name, stat, owner)
            }
            FileKind::Fifo => {
                to.fifo(name)?;
                record()?;
                sys::copy::copy_metadata_of_name(to, name, stat, owner)?;
                sys::set_mode(to.open_meta(name)?, stat.mode)
            }
            // Devices are records in empty files; sockets are in no layer.
            FileKind::Char | FileKind::Block | FileKind::Other | FileKind::Dir => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::sys::xattr;

    const MODE: IdMode = IdMode::Bare;

    /// Three layers, with a whiteout of either form, an opaque folder, a file over a folder and the other
    /// way round. Returns them and what is seen of them.
    fn layers(temp: &Path) -> (Vec<PathBuf>, Vec<&'static str>) {
        let layer = |number: usize, files: &[&str]| {
            for file in files {
                let path = temp.join(number.to_string()).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, format!("{number} {file}")).unwrap();
            }
            temp.join(number.to_string())
        };
        let paths = vec![
            layer(0, &["a/1", "a/2", "b/1", "c/1", "d", "e/1", "f/deep/1", "top"]),
            layer(1, &["a/3", "b/2", "c", "d/1", "f/deep/2"]),
            layer(2, &["a/1", "g"]),
        ];
        let open = |path: &str| Root::open_host(&temp.join(path)).unwrap();
        xattr::set(open("1/b"), meta::OPAQUE, b"y").unwrap();
        open("2").top().whiteout(b"e").unwrap();
        let empty = fs::File::create(temp.join("2/a/2")).unwrap();
        xattr::set(&empty, b"user.rbuild.whiteout", b"y").unwrap();
        symlink("a", temp.join("2/link")).unwrap();
        fs::hard_link(temp.join("2/g"), temp.join("2/h")).unwrap();
        let seen = vec![
            "/a",
            "/a/1 2",
            "/a/3 1",
            "/b",
            "/b/2 1",
            "/c 1",
            "/d",
            "/d/1 1",
            "/f",
            "/f/deep",
            "/f/deep/1 0",
            "/f/deep/2 1",
            "/g 2",
            "/h 2",
            "/link",
            "/top 0",
        ];
        (paths, seen)
    }

    #[test]
    fn layers_are_looked_at_from_the_top() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (layers, seen) = layers(temp.path());
        let stacked = Stacked::open(&layers, MODE).unwrap();
        let at = |text: &str| ImagePath::from_entry(text.as_bytes()).unwrap();
        for line in seen {
            let (path, layer) = line.split_once(' ').unwrap_or((line, ""));
            assert!(stacked.entry(&at(path)).unwrap().is_some(), "{path}");
            if !layer.is_empty() {
                let file = stacked.open(&at(path)).unwrap().unwrap();
                let text = io::read_to_string(file).unwrap();
                assert!(text.starts_with(layer), "{path}: {text}");
            }
        }
        for gone in ["a/2", "b/1", "c/1", "d/2", "e", "e/1", "link/1", "a/1/x", "none"] {
            assert!(stacked.entry(&at(gone)).unwrap().is_none(), "{gone}");
        }
    }

    #[test]
    fn one_folder_is_made_of_all() {
        for how in [Flatten::Link, Flatten::Copy] {
            let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            let (layers, seen) = layers(temp.path());
            let into = temp.path().join("into");
            fs::create_dir(&into).unwrap();
            flatten(&layers, &into, how, MODE).unwrap();
            let mut found = Vec::new();
            let mut folders = vec![into.clone()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    let stat = fs::symlink_metadata(&path).unwrap();
                    let mut line =
                        path.to_str().unwrap()[into.to_str().unwrap().len()..].to_owned();
                    if stat.is_dir() {
                        folders.push(path);
                    } else if stat.is_file() {
                        let text = fs::read_to_string(&path).unwrap();
                        line = format!("{line} {}", &text[..1]);
                        let shared = fs::metadata(layers[2].join("g")).unwrap().ino() == stat.ino();
                        if line.starts_with("/g") {
                            assert_eq!(shared, how == Flatten::Link);
                        }
                    }
                    found.push(line);
                }
            }
            found.sort();
            assert_eq!(found, seen, "{how:?}");
            // Two names of one file stay that.
            let number = |name: &str| fs::metadata(into.join(name)).unwrap().ino();
            assert_eq!(number("g"), number("h"));
        }
    }
}
