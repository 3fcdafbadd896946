//! `type=local`: the root filesystem as files.
//!
//! Written aside and renamed into place where there is nothing yet. Into a folder with content the
//! files are moved one by one (`mode=copy`): those of the same name are replaced, the others stay;
//! with `mode=delete` the folder is exchanged for the new one. Owners are set by real root alone;
//! else the files are the user's, and what was lost stands in `<dest>.owners`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flatten::{Sink, flatten};
use super::owners::Owners;
use super::{Attributes, Error, Means, Output, Place, TargetError, Type, file};
use crate::base::{ImagePath, ImageRef};
use crate::image::Image;
use crate::layer::{Entry, EntryKind};
use crate::sys::{self, Dir, FileKind, Follow, IdMode, Root, xattr};

pub(super) const TYPE: Type = Type {
    name: "local",
    keys: &["dest", "mode", "platform-split"],
    make: |attributes| make(attributes),
};

#[derive(Debug)]
pub(super) struct Local {
    dest: PathBuf,
    delete: bool,
    split: bool,
}

impl Local {
    /// With all defaults.
    pub(super) fn at(dest: &str) -> Self {
        Local { dest: dest.into(), delete: false, split: false }
    }
}

fn make(mut attributes: Attributes) -> Result<Arc<dyn Output>, TargetError> {
    let dest = attributes.path("dest")?;
    let dest = dest.ok_or_else(|| TargetError::new("type=local needs dest=FOLDER"))?;
    if dest.as_os_str() == "-" {
        return Err(TargetError::new("a folder cannot go to standard output: write type=tar"));
    }
    let delete = match attributes.word("mode").as_deref() {
        None | Some("copy") => false,
        Some("delete") => true,
        Some(other) => {
            return Err(TargetError::new(format!("mode=`{other}`: write copy or delete")));
        }
    };
    let split = attributes.flag("platform-split")?.unwrap_or(false);
    Ok(Arc::new(Local { dest, delete, split }))
}

impl Output for Local {
    fn place(&self) -> Place<'_> {
        Place::Path(&self.dest)
    }

    fn beside(&self) -> Option<PathBuf> {
        Some(owners_of(&self.dest))
    }

    fn permission(&self) -> Option<&'static str> {
        self.delete.then_some("local.delete")
    }

    fn check(&self, _: &[ImageRef]) -> Result<(), Error> {
        match fs::symlink_metadata(&self.dest) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("look into", &self.dest)(error)),
            Ok(_) if self.dest.is_dir() => Ok(()),
            Ok(_) => Err(Error::Occupied { path: self.dest.clone(), what: "is no folder" }),
        }
    }

    fn write(&self, image: &Image, _: &[ImageRef], means: &Means<'_>) -> Result<String, Error> {
        let dest = if self.split {
            self.dest.join(image.platform().to_string().replace('/', "_"))
        } else {
            self.dest.clone()
        };
        write(&dest, self.delete, image, means)?;
        Ok(format!("root filesystem {}", dest.display()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the destination is the user's own path on the host")]
fn write(dest: &Path, delete: bool, image: &Image, means: &Means<'_>) -> Result<(), Error> {
    let io = Error::io("write", dest);
    let parent = file::parent(dest);
    fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
    // A link to a folder stays a link.
    let dest = match fs::canonicalize(dest) {
        Ok(real) => real,
        Err(_) => dest.to_owned(),
    };
    let dest = dest.as_path();
    let aside = tempfile::Builder::new()
        .prefix(".rbuild-")
        .tempdir_in(file::parent(dest))
        .map_err(Error::io("write into", parent))?;
    let root = Root::open_host(aside.path()).map_err(&io)?;
    let mut tree = Tree {
        root: &root,
        owned: means.id_mode == IdMode::Root,
        folders: Vec::new(),
        owners: Owners::default(),
        last: None,
    };
    flatten(image, means.store, &mut tree)?;
    let Tree { folders, owners, owned, .. } = tree;

    let there = match fs::read_dir(dest) {
        Ok(mut list) => Some(list.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(io(error)),
    };
    match there {
        // Not on a mount point: that cannot be replaced, but filled.
        Some(content) if !content || !delete => {
            let to = Root::open_host(dest).map_err(&io)?;
            merge(&root, &to, &folders)?;
            finish(&to, &folders, owned)?;
        }
        Some(_) => {
            finish(&root, &folders, owned)?;
            let mode = fs::metadata(dest).map_err(&io)?.permissions();
            fs::set_permissions(aside.path(), mode).map_err(&io)?;
            sys::exchange(aside.path(), dest).map_err(Error::io("replace", dest))?;
        }
        None => {
            finish(&root, &folders, owned)?;
            // tempfile makes folders 0700; an output is for others to read.
            fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o755)).map_err(&io)?;
            let made = aside.keep();
            fs::rename(&made, dest).map_err(|source| {
                let _ = crate::store::remove_tree(&made);
                io(source)
            })?;
            return write_owners(dest, owners);
        }
    }
    let _ = crate::store::remove_tree(&aside.keep());
    write_owners(dest, owners)
}

fn owners_of(dest: &Path) -> PathBuf {
    let mut name = dest.as_os_str().to_owned();
    name.push(".owners");
    PathBuf::from(name)
}

fn write_owners(dest: &Path, owners: Owners) -> Result<(), Error> {
    let path = owners_of(dest);
    match owners.text() {
        Some(text) => file::write(&path, |sink| {
            sink.write_all(text.as_bytes()).map_err(Error::io("write", &path))
        }),
        // One of an earlier image would be wrong.
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &path)(error))
            }
            _ => Ok(()),
        },
    }
}

// Writes entries below a folder of ours. Every folder is there before what it holds, and none of
// them is a link.
struct Tree<'a> {
    root: &'a Root,
    /// Owners are set.
    owned: bool,
    /// Folders, parents first: they get their modes and times at the end.
    folders: Vec<Entry>,
    owners: Owners,
    /// The folder of the last entry.
    last: Option<(ImagePath, Dir)>,
}

impl Sink for Tree<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        let io = |source| Error::io("write", Path::new(&*entry.path.display()))(source);
        let parent = entry.path.parent().expect("the root is no entry");
        let dir = match self.last.take() {
            Some((path, dir)) if path == parent => dir,
            _ => self.root.open_dir(&parent, Follow::No).map_err(io)?,
        };
        self.place(&dir, entry, content).map_err(|error| {
            match crate::layer::Error::from(error) {
                crate::layer::Error::Io(error) => io(error),
                other => other.into(),
            }
        })?;
        self.last = Some((parent, dir));
        Ok(())
    }
}

impl Tree<'_> {
    fn place(&mut self, dir: &Dir, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let name = entry.path.name();
        let device = matches!(entry.kind, EntryKind::Char { .. } | EntryKind::Block { .. });
        let other = |entry: &Entry| {
            (entry.uid, entry.gid) != (0, 0)
                || entry.mode & 0o6000 != 0 && !matches!(entry.kind, EntryKind::Dir)
                || entry.xattrs.contains_key(&b"security.capability"[..])
        };
        let link = matches!(entry.kind, EntryKind::Hardlink(_));
        if !link && (device || !self.owned && other(entry)) {
            self.owners.add(entry);
        }
        match &entry.kind {
            EntryKind::File { .. } => {
                let mut file = dir.create_file(name)?;
                copy(content, &mut file)?;
                if self.owned {
                    sys::set_owner(&file, entry.uid, entry.gid)?;
                }
                sys::set_mode(&file, mode(entry, self.owned))?;
                set_xattrs(&file, entry, self.owned)?;
                sys::set_mtime(&file, entry.mtime)
            }
            EntryKind::Dir => {
                dir.mkdir(name)?;
                self.folders.push(entry.clone());
                Ok(())
            }
            EntryKind::Symlink(target) => {
                dir.symlink(target, name)?;
                if self.owned {
                    dir.set_owner(name, entry.uid, entry.gid)?;
                }
                dir.set_mtime(name, entry.mtime)
            }
            EntryKind::Hardlink(target) => {
                let (from, old) = self.root.parent(target)?;
                match dir.link(&from, &old, name) {
                    // The further name of a device, which is not there.
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    done => done,
                }
            }
            EntryKind::Fifo => {
                dir.fifo(name)?;
                if self.owned {
                    dir.set_owner(name, entry.uid, entry.gid)?;
                }
                sys::set_mode(dir.open_meta(name)?, mode(entry, self.owned))?;
                dir.set_mtime(name, entry.mtime)
            }
            // Nothing of an image's devices is made on a host.
            EntryKind::Char { .. } | EntryKind::Block { .. } => Ok(()),
            EntryKind::Whiteout | EntryKind::Opaque => unreachable!("flattening applies them"),
        }
    }
}

// A set-uid file of the user's own would be one of another owner than the image says.
fn mode(entry: &Entry, owned: bool) -> u32 {
    if owned || entry.kind == EntryKind::Dir { entry.mode } else { entry.mode & 0o1777 }
}

fn set_xattrs(fd: impl std::os::fd::AsFd, entry: &Entry, owned: bool) -> io::Result<()> {
    for (name, value) in &entry.xattrs {
        if owned || name.starts_with(b"user.") {
            match xattr::set(fd.as_fd(), name, value) {
                // Best effort: not every file system has them, nor room for all.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Unsupported
                            | ErrorKind::PermissionDenied
                            | ErrorKind::StorageFull
                            | ErrorKind::ArgumentListTooLong
                    ) => {}
                done => done?,
            }
        }
    }
    Ok(())
}

// Copies, and leaves holes where there are zeros alone: a sparse file must not fill the disk.
fn copy(content: &mut dyn Read, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let mut got = 0;
        while got < buffer.len() {
            match content.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if got == 0 {
            return file.set_len(size);
        }
        size += got as u64;
        if got == buffer.len() && buffer.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(got as i64))?;
        } else {
            file.write_all(&buffer[..got])?;
        }
    }
}

// Opens a folder of ours, by an earlier image. An owner without other powers has to let himself in
// first; the folder gets its mode at the end.
fn opened(to: &Root, path: &ImagePath) -> io::Result<Dir> {
    if path.is_root() {
        return to.open_dir(path, Follow::No);
    }
    match to.open_dir(path, Follow::No) {
        Ok(dir) if dir.own_stat()?.mode & 0o700 == 0o700 => Ok(dir),
        Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
        // Not ours to change, but open enough, perhaps.
        opened => {
            let (parent, name) = to.parent(path)?;
            parent.open_dir_writable(&name).or(opened)
        }
    }
}

// Moves everything below `from` to the same place below `to`. Links there are not followed: what is
// in the way of a folder, and is none, is an error, before anything is moved.
fn merge(from: &Root, to: &Root, folders: &[Entry]) -> Result<(), Error> {
    let io = |path: &ImagePath| {
        let path = path.to_string();
        move |source| Error::io("write", Path::new(&path))(source)
    };
    let mut moves: Vec<(ImagePath, Vec<u8>)> = Vec::new();
    let top = ImagePath::root();
    // Folders of the image that move with one above them: nothing was at its place.
    let mut whole: BTreeSet<ImagePath> = BTreeSet::new();
    for path in std::iter::once(&top).chain(folders.iter().map(|entry| &entry.path)) {
        if path.parent().is_some_and(|above| whole.contains(&above)) {
            whole.insert(path.clone());
        }
        if whole.contains(path) {
            continue;
        }
        let source = from.open_dir(path, Follow::No).map_err(io(path))?;
        let there = opened(to, path).map_err(io(path))?;
        for (name, kind) in source.list().map_err(io(path))? {
            let below =
                path.join(&name).map_err(|_| io(path)(ErrorKind::InvalidFilename.into()))?;
            let occupied = |what| Error::Occupied { path: below.to_string().into(), what };
            match there.stat_opt(&name).map_err(io(&below))?.map(|stat| stat.kind) {
                Some(FileKind::Dir) if kind == FileKind::Dir => {}
                Some(FileKind::Dir) => return Err(occupied("is a folder, in the image it is not")),
                Some(_) if kind == FileKind::Dir => {
                    return Err(occupied("is no folder, in the image it is one"));
                }
                _ => {
                    if kind == FileKind::Dir {
                        whole.insert(below);
                    }
                    moves.push((path.clone(), name));
                }
            }
        }
    }
    for (folder, name) in moves {
        let source = from.open_dir(&folder, Follow::No).map_err(io(&folder))?;
        let there = to.open_dir(&folder, Follow::No).map_err(io(&folder))?;
        let moved = source.move_to(&name, &there).or_else(|error| match error.kind() {
            // A read-only folder of ours, by an earlier image; it gets its mode at the end.
            ErrorKind::PermissionDenied if !folder.is_root() => {
                sys::set_mode(&there, 0o700)?;
                source.move_to(&name, &there)
            }
            _ => Err(error),
        });
        moved.map_err(io(&folder))?;
    }
    Ok(())
}

// Modes and times of folders, the deepest first: filling a folder changes its time.
fn finish(root: &Root, folders: &[Entry], owned: bool) -> Result<(), Error> {
    for entry in folders.iter().rev() {
        let io = |source| Error::io("write", Path::new(&*entry.path.display()))(source);
        let dir = root.open_dir(&entry.path, Follow::No).map_err(io)?;
        if owned {
            sys::set_owner(&dir, entry.uid, entry.gid).map_err(io)?;
        }
        set_xattrs(&dir, entry, owned).map_err(io)?;
        sys::set_mtime(&dir, entry.mtime).map_err(io)?;
        sys::set_mode(&dir, mode(entry, owned)).map_err(io)?;
    }
    Ok(())
}
