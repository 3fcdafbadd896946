//! A layer's stream into a folder, in overlay form. The stream is a stranger's.
//!
//! Every file is reached through the open folder that holds it; the last component is never
//! followed, links before it are followed below the root. Metadata is set by descriptor. Folders
//! get their times at the end, since filling them changes those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::lookup::below;
use super::{Error, Lookup, meta};
use crate::base::ImagePath;
use crate::layer::{self, Entry, EntryKind, Limits, Observer, Reader};
use crate::sys::{self, Dir, FileKind, Follow, IdMode, Root, Stat, xattr};

/// What [`extract`] found out on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// A folder that holds an entry has no entry itself. Its metadata (or that it is a link) come
    /// from `lower`: such a tree is good above those layers only, and one that was unpacked
    /// without them is good at the bottom of a stack only.
    pub implicit_parents: bool,
}

/// Unpacks the uncompressed tar of one layer into the empty folder `into`, in overlay form.
///
/// Whiteouts hide what lower layers have, never entries of this layer. Of one path's entries the
/// last wins. `lower` is what lies beneath, for folders that the layer does not list itself;
/// [`super::Nothing`] if that is not known. Device nodes are kept as records. Memory is bounded by
/// the number of folders, depth of paths costs none. On an error the folder is to be thrown away.
pub fn extract(
    tar: impl Read,
    into: &Root,
    mode: IdMode,
    lower: &dyn Lookup,
    observers: &mut [&mut dyn Observer],
) -> Result<Extracted, Error> {
    read(Reader::layer(tar, Limits::default()), into, Some(mode), lower, observers)
}

/// Unpacks an uncompressed tar that is no layer, such as a build context, into the empty folder
/// `into`. Names that begin with `.wh.` are names like others, and all becomes this process's own.
pub fn unpack(tar: impl Read, into: &Root) -> Result<(), Error> {
    let reader = Reader::archive(tar, Limits::default());
    read(reader, into, None, &super::Nothing, &mut []).map(drop)
}

fn read(
    mut reader: Reader<impl Read>,
    into: &Root,
    owners: Option<IdMode>,
    lower: &dyn Lookup,
    observers: &mut [&mut dyn Observer],
) -> Result<Extracted, Error> {
    let top = into.top();
    sys::set_mode(top, 0o755).map_err(Error::io("set the mode of", &ImagePath::root()))?;
    let mut work = Extract {
        root: into,
        mode: owners.unwrap_or(IdMode::Single),
        lower,
        times: BTreeMap::new(),
        opaque: BTreeSet::new(),
        last: None,
        done: Extracted::default(),
    };
    while let Some(mut entry) = reader.next_entry()? {
        if owners.is_none() {
            (entry.uid, entry.gid) = (0, 0);
        }
        tell(&mut reader, observers);
        observers.iter_mut().for_each(|observer| observer.entry(&entry));
        let mut content = Observed { content: reader.content(), observers };
        work.entry(entry, &mut content)?;
        observers.iter_mut().for_each(|observer| observer.end());
    }
    if !observers.is_empty() {
        reader.read_trail()?;
        tell(&mut reader, observers);
    }
    work.finish()
}

fn tell(reader: &mut Reader<impl Read>, observers: &mut [&mut dyn Observer]) {
    for (name, what) in reader.anomalies() {
        observers.iter_mut().for_each(|observer| observer.anomaly(&name, &what));
    }
}

struct Extract<'a> {
    root: &'a Root,
    mode: IdMode,
    lower: &'a dyn Lookup,
    /// Times of all folders, by the bytes of the path without links.
    times: BTreeMap<Vec<u8>, i64>,
    /// Folders that this layer makes opaque.
    opaque: BTreeSet<Vec<u8>>,
    /// The folder of the last entry: as written, without links, open.
    last: Option<(ImagePath, Place)>,
    done: Extracted,
}

struct Place {
    path: ImagePath,
    dir: Dir,
}

impl Extract<'_> {
    fn entry(
        &mut self,
        mut entry: Entry,
        content: &mut Observed<'_, '_, impl Read>,
    ) -> Result<(), Error> {
        meta::clean(&mut entry.xattrs);
        if entry.path.is_root() {
            return self.root_entry(&entry);
        }
        if entry.kind == EntryKind::Opaque {
            let place = self.folder(&entry.path, false)?;
            self.last = None;
            return self.make_opaque(&place.dir, place.path);
        }
        let parent = entry.path.parent().expect("only the root has none");
        let place = match self.last.take() {
            Some((written, place)) if written == parent => place,
            _ => self.folder(&parent, false)?,
        };
        let result = self.place(&entry, &place, content);
        if result? {
            self.last = Some((parent, place));
        }
        Ok(())
    }

    fn root_entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let reason = match entry.kind {
            EntryKind::Dir => {
                meta::apply(self.root.top(), entry, self.mode)?;
                self.times.insert(b"/".to_vec(), entry.mtime);
                return Ok(());
            }
            EntryKind::Opaque | EntryKind::Whiteout => "hides the whole image",
            _ => "would replace the root directory",
        };
        Err(Error::Entry { path: entry.path.clone(), reason: reason.into() })
    }

    /// Puts one entry into its folder. Returns whether open folders are still good.
    fn place(
        &mut self,
        entry: &Entry,
        place: &Place,
        content: &mut Observed<'_, '_, impl Read>,
    ) -> Result<bool, Error> {
        let (dir, name) = (&place.dir, entry.path.name());
        let real = join(&place.path, name)?;
        let there = dir.stat_opt(name).map_err(Error::io("read", &real))?;
        if entry.kind == EntryKind::Whiteout {
            match there {
                None => meta::put_whiteout(dir, name).map_err(Error::io("remove", &real))?,
                // The entry is this layer's own, the whiteout is for the layers below.
                Some(stat) if stat.kind == FileKind::Dir => {
                    let inner = dir.open_dir(name).map_err(Error::io("open", &real))?;
                    self.make_opaque(&inner, real)?;
                }
                Some(_) => {}
            }
            return Ok(true);
        }
        let mut keep_open = true;
        let was_whiteout = is_whiteout(dir, name, there.as_ref(), &real)?;
        if let EntryKind::Hardlink(target) = &entry.kind {
            return self.hardlink(entry, target, place, &real, there.map(|stat| stat.kind));
        }
        match there.map(|stat| stat.kind) {
            Some(FileKind::Dir) if entry.kind == EntryKind::Dir => {}
            Some(FileKind::Dir) => {
                self.forget(&real);
                dir.remove_all(name).map_err(Error::io("replace", &real))?;
                keep_open = false;
            }
            Some(_) => dir.unlink(name).map_err(Error::io("replace", &real))?,
            None => {}
        }
        match &entry.kind {
            EntryKind::File { size } => {
                let file = dir.create_file(name).map_err(Error::io("create", &real))?;
                write_content(&file, content, *size).map_err(|error| {
                    match layer::Error::from(error) {
                        layer::Error::Io(error) => Error::io("write", &real)(error),
                        other => other.into(),
                    }
                })?;
                meta::apply(&file, entry, self.mode)?;
            }
            EntryKind::Dir => {
                if there.is_none_or(|stat| stat.kind != FileKind::Dir) {
                    dir.mkdir(name).map_err(Error::io("create", &real))?;
                }
                let inner = dir.open_dir(name).map_err(Error::io("open", &real))?;
                meta::apply(&inner, entry, self.mode)?;
                self.times.insert(real.as_bytes().to_vec(), entry.mtime);
                if was_whiteout {
                    self.make_opaque(&inner, real)?;
                }
            }
            EntryKind::Symlink(target) => {
                dir.symlink(target, name).map_err(Error::io("create", &real))?;
                meta::apply_special(dir, name, entry, self.mode)?;
            }
            EntryKind::Fifo => {
                dir.fifo(name).map_err(Error::io("create", &real))?;
                meta::apply_special(dir, name, entry, self.mode)?;
            }
            EntryKind::Char { .. } | EntryKind::Block { .. } => {
                let file = dir.create_file(name).map_err(Error::io("create", &real))?;
                meta::apply(&file, entry, self.mode)?;
            }
            EntryKind::Hardlink(_) | EntryKind::Whiteout | EntryKind::Opaque => {
                unreachable!("handled above")
            }
        }
        Ok(keep_open)
    }

    fn hardlink(
        &mut self,
        entry: &Entry,
        target: &ImagePath,
        place: &Place,
        real: &ImagePath,
        there: Option<FileKind>,
    ) -> Result<bool, Error> {
        let refuse = |reason: String| Error::Entry { path: entry.path.clone(), reason };
        let Some(parent) = target.parent() else {
            return Err(refuse("is a hard link to the root directory".into()));
        };
        let from = self.folder(&parent, true)?;
        let source = join(&from.path, target.name())?;
        if source == *real {
            return Err(refuse("is a hard link to itself".into()));
        }
        let found = from.dir.stat_opt(target.name()).map_err(Error::io("read", &source))?;
        let hidden = is_whiteout(&from.dir, target.name(), found.as_ref(), &source)?;
        let found = found.filter(|_| !hidden);
        if found.is_some_and(|stat| stat.kind == FileKind::Dir) {
            return Err(refuse(format!("is a hard link to the directory `{target}`")));
        }
        let lower = match found {
            Some(_) => None,
            // The file of a lower layer: this layer gets a copy, as overlayfs would make one.
            None => match (self.lower.entry(&source)?, self.lower.open(&source)?) {
                (Some(entry), Some(file)) => Some((entry, file)),
                _ => {
                    return Err(refuse(format!(
                        "is a hard link to `{target}`, which is not there"
                    )));
                }
            },
        };
        let (dir, name) = (&place.dir, entry.path.name());
        match there {
            Some(FileKind::Dir) => {
                self.forget(real);
                dir.remove_all(name).map_err(Error::io("replace", real))?;
            }
            Some(_) => dir.unlink(name).map_err(Error::io("replace", real))?,
            None => {}
        }
        match lower {
            None => dir.link(&from.dir, target.name(), name).map_err(Error::io("link", real))?,
            Some((mut old, content)) => {
                let file = dir.create_file(name).map_err(Error::io("create", real))?;
                sys::copy::copy_file(&content, &file).map_err(Error::io("write", real))?;
                old.path = entry.path.clone();
                meta::apply(&file, &old, self.mode)?;
            }
        }
        Ok(there != Some(FileKind::Dir))
    }

    /// Opens the folder at `path`, links followed below the root, and makes what is missing. With
    /// `existing` nothing is made in the way of a link's target, but missing folders are no error
    /// either: they are made empty, which the caller will find.
    fn folder(&mut self, path: &ImagePath, existing: bool) -> Result<Place, Error> {
        // The common case: all folders are there, and none is a link.
        if self.times.contains_key(path.as_bytes())
            && let Ok(dir) = self.root.open_dir(path, Follow::No)
        {
            return Ok(Place { path: path.clone(), dir });
        }
        let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        let root = || self.root.top().try_clone().map_err(Error::io("open", path));
        let mut at = Place { path: ImagePath::root(), dir: root()? };
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                let up = at.path.parent().unwrap_or_else(ImagePath::root);
                let dir = self.root.open_dir(&up, Follow::No).map_err(Error::io("open", &up))?;
                at = Place { path: up, dir };
                continue;
            }
            let next = join(&at.path, &name)?;
            let stat = at.dir.stat_opt(&name).map_err(Error::io("read", &next))?;
            let mut link = None;
            match stat {
                Some(stat) if stat.kind == FileKind::Dir => {}
                Some(stat) if stat.kind == FileKind::Symlink => {
                    link = Some(at.dir.readlink(&name).map_err(Error::io("read", &next))?);
                }
                Some(stat) if is_whiteout(&at.dir, &name, Some(&stat), &next)? => {
                    // Removed below, and made anew without an entry of its own.
                    at.dir.unlink(&name).map_err(Error::io("replace", &next))?;
                    self.make_dir(
                        &at.dir,
                        &name,
                        &Entry::new(next.clone(), EntryKind::Dir, 0o755),
                    )?;
                    let dir = at.dir.open_dir(&name).map_err(Error::io("open", &next))?;
                    self.make_opaque(&dir, next.clone())?;
                }
                Some(_) => return Err(Error::NotADirectory(next)),
                None => {
                    self.done.implicit_parents |= !existing;
                    let below =
                        if self.is_hidden(&next) { None } else { self.lower.entry(&next)? };
                    let mut made = Entry::new(next.clone(), EntryKind::Dir, 0o755);
                    match below {
                        Some(Entry { kind: EntryKind::Symlink(target), .. }) => link = Some(target),
                        Some(entry) if entry.kind == EntryKind::Dir => made = entry,
                        _ => {}
                    }
                    if link.is_none() {
                        self.make_dir(&at.dir, &name, &made)?;
                    }
                }
            }
            match link {
                None => {
                    let dir = at.dir.open_dir(&name).map_err(Error::io("open", &next))?;
                    at = Place { path: next, dir };
                }
                Some(target) => {
                    links += 1;
                    if links > 40 {
                        return Err(Error::Loop(path.clone()));
                    }
                    if target.first() == Some(&b'/') {
                        at = Place { path: ImagePath::root(), dir: root()? };
                    }
                    let parts = target.split(|byte| *byte == b'/').rev();
                    rest.extend(
                        parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec),
                    );
                }
            }
        }
        Ok(at)
    }

    fn make_dir(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), Error> {
        dir.mkdir(name).map_err(Error::io("create", &entry.path))?;
        let inner = dir.open_dir(name).map_err(Error::io("open", &entry.path))?;
        meta::apply(inner, entry, self.mode)?;
        self.times.insert(entry.path.as_bytes().to_vec(), entry.mtime);
        Ok(())
    }

    fn make_opaque(&mut self, dir: &Dir, path: ImagePath) -> Result<(), Error> {
        xattr::set(dir, meta::OPAQUE, b"y").map_err(Error::io("mark", &path))?;
        self.opaque.insert(path.as_bytes().to_vec());
        Ok(())
    }

    /// Forgets what was noted of the folder `path` and those below it.
    fn forget(&mut self, path: &ImagePath) {
        self.opaque.remove(path.as_bytes());
        self.times.remove(path.as_bytes());
        let below = below(path);
        while let Some((folder, _)) = self.times.range(below.clone()).next() {
            let folder = folder.clone();
            self.times.remove(&folder);
            self.opaque.remove(&folder);
        }
    }

    /// Tells whether this layer hides what lower ones have at `path`.
    fn is_hidden(&self, path: &ImagePath) -> bool {
        let mut at = Some(path.clone());
        while let Some(folder) = at {
            if self.opaque.contains(folder.as_bytes()) {
                return true;
            }
            at = folder.parent();
        }
        false
    }

    fn finish(self) -> Result<Extracted, Error> {
        for (path, mtime) in &self.times {
            let path = ImagePath::from_entry(path).expect("it was one before");
            let dir = self.root.open_dir(&path, Follow::No).map_err(Error::io("open", &path))?;
            sys::set_mtime(dir, *mtime).map_err(Error::io("set the time of", &path))?;
        }
        Ok(self.done)
    }
}

fn is_whiteout(
    dir: &Dir,
    name: &[u8],
    stat: Option<&Stat>,
    path: &ImagePath,
) -> Result<bool, Error> {
    match stat {
        Some(stat) => meta::is_whiteout(dir, name, stat).map_err(Error::io("read", path)),
        None => Ok(false),
    }
}

fn join(at: &ImagePath, name: &[u8]) -> Result<ImagePath, Error> {
    at.join(name).map_err(|source| Error::Path { path: at.clone(), source })
}

/// Hands the content on to the observers while it is read.
struct Observed<'a, 'o, R: Read> {
    content: layer::Content<'a, R>,
    observers: &'a mut [&'o mut dyn Observer],
}

impl<R: Read> Read for Observed<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.content.read(buffer)?;
        self.observers.iter_mut().for_each(|observer| observer.content(&buffer[..got]));
        Ok(got)
    }
}

/// Writes the content, leaving holes where the archive has them. Observers are not shown holes of
/// more than 64 KiB in full: nothing is found in zeros.
fn write_content<R: Read>(
    mut file: &File,
    content: &mut Observed<'_, '_, R>,
    size: u64,
) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 64 * 1024];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let hole = content.content.skip_hole();
        if hole > 0 {
            file.seek(SeekFrom::Current(i64::try_from(hole).map_err(io::Error::other)?))?;
            let shown = usize::try_from(hole).unwrap_or(ZEROS.len()).min(ZEROS.len());
            content.observers.iter_mut().for_each(|observer| observer.content(&ZEROS[..shown]));
        }
        match content.read(&mut buffer)? {
            0 if hole > 0 => {}
            0 => break,
            got => file.write_all(&buffer[..got])?,
        }
    }
    file.set_len(size)
}
