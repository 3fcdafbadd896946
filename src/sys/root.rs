//! Directory handles: the only way to the files of an image or a context.
//!
//! [`Root`] is a folder that is taken for `/`: paths below it are resolved as a process inside it
//! would (`openat2(2)` with `RESOLVE_IN_ROOT`), so that no symlink leads out. [`Dir`] is one open
//! folder whose names are single components and never followed. Nothing here takes a host path but
//! [`Root::open_host`]. Metadata is set through descriptors, or by a single name without following.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid,
};
use rustix::io::Errno;

use crate::base::ImagePath;

/// Links that are followed on the way to one file before it counts as a loop (`ELOOP`, Linux: 40).
const MAX_LINKS: usize = 40;

/// Whether a symlink as the last component of a path is followed. Those before it always are,
/// below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Follows it, absolute targets and `..` staying below the root.
    InRoot,
    /// Takes the link itself.
    No,
}

/// What a name in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A character device; 0:0 is an overlay whiteout.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// A socket, or what the kernel does not tell.
    Other,
}

/// Metadata of one file, as `fstat(2)` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777`.
    pub mode: u32,
    /// Owner, as this process's user namespace sees it.
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// 512-byte blocks in use: fewer than the size needs in a file with holes.
    pub blocks: u64,
    /// Last change of content: seconds since 1970.
    pub mtime: i64,
    /// Its nanoseconds.
    pub mtime_nsec: u32,
    /// Last change of content or metadata: seconds since 1970.
    pub ctime: i64,
    /// Its nanoseconds.
    pub ctime_nsec: u32,
    /// Device that holds it.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Names that it has.
    pub links: u64,
    /// Device numbers of a device node.
    pub major: u32,
    /// See `major`.
    pub minor: u32,
}

impl Stat {
    /// Tells whether this is how overlayfs marks a removed name: a character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileKind::Char && self.major == 0 && self.minor == 0
    }
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Dir,
            FileType::Symlink => FileKind::Symlink,
            FileType::CharacterDevice => FileKind::Char,
            FileType::BlockDevice => FileKind::Block,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket | FileType::Unknown => FileKind::Other,
        }
    }
}

impl From<rustix::fs::Stat> for Stat {
    // The field types of `struct stat` differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: rustix::fs::Stat) -> Self {
        Stat {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size.max(0) as u64,
            blocks: stat.st_blocks.max(0) as u64,
            mtime: stat.st_mtime as i64,
            mtime_nsec: stat.st_mtime_nsec as u32,
            ctime: stat.st_ctime as i64,
            ctime_nsec: stat.st_ctime_nsec as u32,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        }
    }
}

/// An open folder. Its methods take a single name in it, and never follow a link.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> OwnedFd {
        dir.0
    }
}

impl Dir {
    /// Takes an open folder.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Dir(fd)
    }

    /// Makes a second handle on the same folder.
    pub fn try_clone(&self) -> io::Result<Dir> {
        Ok(Dir(self.0.try_clone()?))
    }

    /// Returns the folder's own metadata.
    pub fn own_stat(&self) -> io::Result<Stat> {
        stat_of(self)
    }

    /// Returns the names in it with what they are, sorted by bytes, without `.` and `..`.
    pub fn list(&self) -> io::Result<Vec<(Vec<u8>, FileKind)>> {
        // A descriptor of its own, since reading moves the position that clones share; this also
        // makes a path-only handle readable.
        let fd = openat(self.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        let mut dir = rustix::fs::Dir::new(fd)?;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some filesystems do not tell the type here.
                FileType::Unknown => self.stat(name)?.kind,
                kind => kind.into(),
            };
            names.push((name.to_vec(), kind));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Tells whether nothing is in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.list()?.is_empty())
    }

    /// Returns the metadata of `name`.
    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let name = single(name)?;
        Ok(rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// Returns the metadata of `name`, or `None` if there is none.
    pub fn stat_opt(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        absent(self.stat(name))
    }

    /// Opens the folder `name`.
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok(Dir(openat(self.as_fd(), single(name)?, flags)?))
    }

    /// Opens the regular file `name` for reading. Anything else is an error, and does not hang.
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        regular(openat(self.as_fd(), single(name)?, READ | OFlags::NOFOLLOW)?)
    }

    /// Opens the file or folder `name` so that its metadata can be set. Not for links and nodes.
    pub fn open_meta(&self, name: &[u8]) -> io::Result<OwnedFd> {
        openat(self.as_fd(), single(name)?, READ | OFlags::NOFOLLOW)
    }

    /// Creates the file `name`, open for reading and writing; an error if the name is taken.
    pub fn create_file(&self, name: &[u8]) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(self, single(name)?, flags, Mode::from(0o600))?))
    }

    /// Creates the folder `name`, mode 0700 until [`set_mode`] says otherwise.
    pub fn mkdir(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self, single(name)?, Mode::from(0o700))?)
    }

    /// Creates the symlink `name` with `target` verbatim.
    pub fn symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self, single(name)?)?)
    }

    /// Returns the text of the symlink `name`.
    pub fn readlink(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self, single(name)?, Vec::new())?.into_bytes())
    }

    /// Creates `name` as a further name of `old` in `from`, which is not followed.
    pub fn link(&self, from: &Dir, old: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::linkat(from, single(old)?, self, single(name)?, AtFlags::empty())?)
    }

    /// Creates the named pipe `name`.
    pub fn fifo(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::mknodat(self, single(name)?, FileType::Fifo, Mode::from(0o600), 0)?)
    }

    /// Creates overlayfs's mark of a removed name: a character device 0:0, the one device that
    /// needs no privilege.
    pub fn whiteout(&self, name: &[u8]) -> io::Result<()> {
        let kind = FileType::CharacterDevice;
        Ok(rustix::fs::mknodat(self, single(name)?, kind, Mode::empty(), 0)?)
    }

    /// Removes the name of anything but a folder.
    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, single(name)?, AtFlags::empty())?)
    }

    /// Removes the empty folder `name`.
    pub fn rmdir(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, single(name)?, AtFlags::REMOVEDIR)?)
    }

    /// Renames `old` to `new` in this folder, replacing what `rename(2)` may replace.
    pub fn rename(&self, old: &[u8], new: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, single(old)?, self, single(new)?)?)
    }

    /// Moves `name` into the folder `to` of the same file system, replacing what `rename(2)` may
    /// replace.
    pub fn move_to(&self, name: &[u8], to: &Dir) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, single(name)?, to, single(name)?)?)
    }

    /// Removes `name` with all below it; no error if it is not there. Depth costs no stack, and
    /// no more than a few descriptors.
    pub fn remove_all(&self, name: &[u8]) -> io::Result<()> {
        let Some(stat) = self.stat_opt(name)? else { return Ok(()) };
        if stat.kind != FileKind::Dir {
            return self.unlink(name);
        }
        // Folders found below are moved up into the top one before they are emptied, so that depth
        // never shows. Names that are already there get a number.
        let top = self.open_dir(name)?;
        set_mode(&top, 0o700)?;
        let mut counter = 0u64;
        loop {
            let names = top.list()?;
            if names.is_empty() {
                break;
            }
            for (child, kind) in names {
                if kind != FileKind::Dir {
                    top.unlink(&child)?;
                    continue;
                }
                let dir = top.open_dir_writable(&child)?;
                for (inner, kind) in dir.list()? {
                    if kind != FileKind::Dir {
                        dir.unlink(&inner)?;
                    } else {
                        // A folder whose mode forbids it cannot be moved by a plain user.
                        drop(dir.open_dir_writable(&inner)?);
                        loop {
                            counter += 1;
                            let new = format!(".rm-{counter}");
                            if top.stat_opt(new.as_bytes())?.is_none() {
                                rustix::fs::renameat(&dir, inner.as_slice(), &top, new.as_str())?;
                                break;
                            }
                        }
                    }
                }
                top.rmdir(&child)?;
            }
        }
        self.rmdir(name)
    }

    /// Opens the folder `name` and gives it mode 0700 first, which its owner can do whatever it was.
    pub fn open_dir_writable(&self, name: &[u8]) -> io::Result<Dir> {
        match self.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                rustix::fs::chmodat(self, single(name)?, Mode::from(0o700), AtFlags::empty())?;
                self.open_dir(name)
            }
            Ok(dir) => {
                set_mode(&dir, 0o700)?;
                Ok(dir)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives `name` another owner, without following it.
    pub fn set_owner(&self, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = ids(uid, gid)?;
        let name = single(name)?;
        Ok(rustix::fs::chownat(self, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the time of last change of `name`, without following it.
    pub fn set_mtime(&self, name: &[u8], seconds: i64) -> io::Result<()> {
        let name = single(name)?;
        Ok(rustix::fs::utimensat(self, name, &times(seconds), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// A folder that is the root of a tree: no path or link below it leads out.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Root {
    /// Opens a folder of the host: the context as named on the command line, or one of the store.
    pub fn open_host(path: &Path) -> io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { dir: Dir(rustix::fs::open(path, flags, Mode::empty())?) })
    }

    /// Takes an open folder.
    pub fn from_fd(fd: OwnedFd) -> Root {
        Root { dir: Dir(fd) }
    }

    /// Takes a detached mount. What the kernel hands out for one is a mere place (`O_PATH`): it is
    /// opened here, so that it can be listed and asked for attributes. The mount lives as long.
    pub fn from_mount(mount: OwnedFd) -> io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&mount, ".", flags, Mode::empty())?;
        Ok(Root { dir: Dir(fd) })
    }

    /// Makes a second handle on the same tree.
    pub fn try_clone(&self) -> io::Result<Root> {
        Ok(Root { dir: self.dir.try_clone()? })
    }

    /// Returns the top folder.
    pub fn top(&self) -> &Dir {
        &self.dir
    }

    /// Opens the regular file at `path` for reading; anything else is an error, and does not hang.
    pub fn open(&self, path: &ImagePath, follow: Follow) -> io::Result<File> {
        regular(self.open_with(path, follow, READ)?)
    }

    /// Opens the folder at `path`.
    pub fn open_dir(&self, path: &ImagePath, follow: Follow) -> io::Result<Dir> {
        Ok(Dir(self.open_with(path, follow, OFlags::RDONLY | OFlags::DIRECTORY)?))
    }

    /// Opens the folder at `path` where no part of it is a link, not even one that stays inside: for
    /// trees that somebody else may be changing right now. One handle leads to the next, so nothing
    /// is looked up twice.
    pub fn open_dir_without_links(&self, path: &ImagePath) -> io::Result<Dir> {
        let mut at = self.dir.try_clone()?;
        for name in path.components() {
            at = at.open_dir(name)?;
        }
        Ok(at)
    }

    /// Returns the metadata of what is at `path`.
    pub fn stat(&self, path: &ImagePath, follow: Follow) -> io::Result<Stat> {
        stat_of(self.open_with(path, follow, OFlags::PATH)?)
    }

    /// Returns the metadata of what is at `path`, or `None` if nothing is, or if something on the
    /// way is no folder.
    pub fn stat_opt(&self, path: &ImagePath, follow: Follow) -> io::Result<Option<Stat>> {
        absent(self.stat(path, follow))
    }

    /// Returns the text of the symlink at `path`.
    pub fn readlink(&self, path: &ImagePath) -> io::Result<Vec<u8>> {
        let fd = self.open_with(path, Follow::No, OFlags::PATH)?;
        Ok(rustix::fs::readlinkat(fd, "", Vec::new())?.into_bytes())
    }

    /// Opens the folder that holds `path`, links before the last component followed, and returns
    /// it with the last name. An error for the root, which has no name.
    pub fn parent(&self, path: &ImagePath) -> io::Result<(Dir, Vec<u8>)> {
        let parent = path.parent().ok_or(Errno::ISDIR)?;
        Ok((self.open_dir(&parent, Follow::InRoot)?, path.name().to_vec()))
    }

    fn open_with(&self, path: &ImagePath, follow: Follow, flags: OFlags) -> io::Result<OwnedFd> {
        let mut flags = flags | OFlags::CLOEXEC;
        if follow == Follow::No {
            flags |= OFlags::NOFOLLOW;
        }
        let name: &[u8] = if path.is_root() { b"." } else { path.relative() };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename or mount went on meanwhile, and the kernel could not be sure.
        for _ in 0..128 {
            match rustix::fs::openat2(&self.dir, name, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                Err(Errno::AGAIN) => {}
                // Kernels before 5.6, or the filter of an old container host.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(path, follow, flags),
                Err(error) => return Err(error.into()),
            }
        }
        self.walk(path, follow, flags)
    }

    /// Does in steps what `RESOLVE_IN_ROOT` does in the kernel. Every step opens one component
    /// without following it; links are spliced into the path by hand, `..` goes back in the list of
    /// open folders and stops at the root.
    fn walk(&self, path: &ImagePath, follow: Follow, flags: OFlags) -> io::Result<OwnedFd> {
        let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        let mut open: Vec<OwnedFd> = vec![self.dir.0.try_clone()?];
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let here = open.last().expect("the root is never taken off").as_fd();
            if name == b".." {
                if open.len() > 1 {
                    open.pop();
                }
                continue;
            }
            let last = rest.is_empty();
            let probe = openat(here, &name, OFlags::PATH | OFlags::NOFOLLOW)?;
            let kind = stat_of(&probe)?.kind;
            if kind == FileKind::Symlink && !(last && follow == Follow::No) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&probe, "", Vec::new())?.into_bytes();
                if target.first() == Some(&b'/') {
                    open.truncate(1);
                }
                let parts = target.split(|byte| *byte == b'/').rev();
                rest.extend(
                    parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec),
                );
            } else if last {
                return openat(here, &name, flags | OFlags::NOFOLLOW);
            } else if kind == FileKind::Dir {
                open.push(probe);
            } else {
                return Err(Errno::NOTDIR.into());
            }
        }
        let here = open.last().expect("the root is never taken off").as_fd();
        openat(here, b".", flags)
    }
}

/// Reading without surprises: a FIFO does not block, a terminal does not become ours.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Returns the metadata of an open file.
pub fn stat_of(fd: impl AsFd) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(fd)?.into())
}

/// Sets owner and group of an open file. This clears setuid, setgid and capabilities: set those
/// afterwards.
pub fn set_owner(fd: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = ids(uid, gid)?;
    Ok(rustix::fs::fchown(fd, Some(uid), Some(gid))?)
}

/// Sets the permission bits (`0o7777`) of an open file.
pub fn set_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777))?)
}

/// Sets the time of last change of an open file.
pub fn set_mtime(fd: impl AsFd, seconds: i64) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &times(seconds))?)
}

fn times(seconds: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
    }
}

/// The kernel takes `u32::MAX` for "leave as it is".
fn ids(uid: u32, gid: u32) -> io::Result<(Uid, Gid)> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

fn openat(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty())?)
}

fn regular(fd: OwnedFd) -> io::Result<File> {
    match stat_of(&fd)?.kind {
        FileKind::File => Ok(File::from(fd)),
        FileKind::Dir => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Refuses what is not one component.
fn single(name: &[u8]) -> io::Result<&[u8]> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(Errno::INVAL.into());
    }
    Ok(name)
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_entry(text.as_bytes()).unwrap()
    }

    /// A folder with `in/f` ("inside"), and links that try to leave it.
    fn fixture() -> (tempfile::TempDir, Root) {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("secret"), "outside").unwrap();
        let top = temp.path().join("root");
        std::fs::create_dir_all(top.join("in")).unwrap();
        std::fs::write(top.join("in/f"), "inside").unwrap();
        std::fs::write(top.join("secret"), "clamped").unwrap();
        for (target, name) in [
            ("in/f", "link"),
            ("/in", "abs"),
            ("../../../../secret", "up"),
            ("loop", "loop"),
            ("nowhere", "dangling"),
            ("abs/f", "twice"),
        ] {
            std::os::unix::fs::symlink(target, top.join(name)).unwrap();
        }
        let root = Root::open_host(&top).unwrap();
        (temp, root)
    }

    fn read(file: io::Result<impl Into<File>>) -> String {
        match file {
            Ok(file) => {
                let mut text = String::new();
                file.into().read_to_string(&mut text).unwrap();
                text
            }
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn links_stay_below_the_root_in_the_kernel_and_in_the_walk() {
        let (_temp, root) = fixture();
        for (at, want) in [
            ("in/f", "inside"),
            ("link", "inside"),
            ("abs/f", "inside"),
            ("up", "clamped"),
            ("twice", "inside"),
            ("loop", "FilesystemLoop"),
            ("dangling", "NotFound"),
            ("in/f/x", "NotADirectory"),
        ] {
            assert_eq!(read(root.open(&path(at), Follow::InRoot)), want, "{at}");
            let walked = root.walk(&path(at), Follow::InRoot, READ);
            assert_eq!(read(walked), want, "{at} by the walk");
        }
        assert!(root.open(&path("link"), Follow::No).is_err());
        assert_eq!(root.readlink(&path("up")).unwrap(), b"../../../../secret");
    }

    #[test]
    fn names_are_single_components() {
        let (_temp, root) = fixture();
        for name in ["", ".", "..", "in/f", "/", "../secret"] {
            assert!(root.top().stat(name.as_bytes()).is_err(), "{name:?}");
            assert!(root.top().create_file(name.as_bytes()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_folder_that_is_swapped_for_a_link_is_never_left() {
        let (temp, root) = fixture();
        let top = temp.path().join("root");
        for part in ["in", "link", "abs", "up", "loop", "dangling", "in/f", "none"] {
            let opened = root.open_dir_without_links(&path(part)).is_ok();
            assert_eq!(opened, part == "in", "{part}");
        }
        // The folder and a link to where the secret is change places, all the time.
        std::os::unix::fs::symlink(temp.path(), top.join("out")).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::SeqCst;
        let mut opened = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(order) {
                    for (from, to) in
                        [("in", "aside"), ("out", "in"), ("in", "out"), ("aside", "in")]
                    {
                        std::fs::rename(top.join(from), top.join(to)).unwrap();
                    }
                }
            });
            let mut rounds = 0;
            while rounds < 1000 || (opened == 0 && rounds < 1_000_000) {
                rounds += 1;
                if let Ok(folder) = root.open_dir_without_links(&path("in")) {
                    opened += 1;
                    assert_eq!(read(folder.open_file(b"f")), "inside");
                    assert!(folder.stat(b"secret").is_err());
                }
            }
            done.store(true, order);
        });
        assert!(opened > 0);
    }

    #[test]
    fn a_fifo_does_not_block() {
        let (_temp, root) = fixture();
        root.top().fifo(b"pipe").unwrap();
        assert!(root.open(&path("pipe"), Follow::InRoot).is_err());
        assert!(root.top().open_file(b"pipe").is_err());
    }

    #[test]
    fn removes_deep_trees_without_recursion() {
        let (_temp, root) = fixture();
        root.top().mkdir(b"deep").unwrap();
        let mut dir = root.top().open_dir(b"deep").unwrap();
        for _ in 0..5000 {
            dir.mkdir(b"d").unwrap();
            dir.create_file(b"f").unwrap();
            dir = dir.open_dir(b"d").unwrap();
        }
        root.top().remove_all(b"deep").unwrap();
        assert_eq!(root.top().stat_opt(b"deep").unwrap(), None);
        root.top().remove_all(b"deep").unwrap();
    }
}
