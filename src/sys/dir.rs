//! One open folder: what can be done with the names in it, none of which is ever followed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::stat::{FileKind, Stat, ids, set_mode, stat_of, times};

/// Names in a folder, and what they are.
pub type Names = Vec<(Vec<u8>, FileKind)>;

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
    pub fn list(&self) -> io::Result<Names> {
        Ok(self.list_at_most(usize::MAX)?.expect("no folder has more"))
    }

    /// As [`Dir::list`]; `None` as soon as there are more names than `most`.
    pub fn list_at_most(&self, most: usize) -> io::Result<Option<Names>> {
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
            if names.len() == most {
                return Ok(None);
            }
            let kind = match entry.file_type() {
                // Some filesystems do not tell the type here.
                FileType::Unknown => self.stat(name)?.kind,
                kind => kind.into(),
            };
            names.push((name.to_vec(), kind));
        }
        names.sort_unstable();
        Ok(Some(names))
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
        Ok(regular(openat(self.as_fd(), single(name)?, READ | OFlags::NOFOLLOW)?)?.0)
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
/// Reading without surprises: a FIFO does not block, a terminal does not become ours.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
pub(super) fn openat(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty())?)
}

pub(super) fn regular(fd: OwnedFd) -> io::Result<(File, Stat)> {
    let stat = stat_of(&fd)?;
    match stat.kind {
        FileKind::File => Ok((File::from(fd), stat)),
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

pub(super) fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
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

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("in")).unwrap();
        std::fs::write(temp.path().join("in/f"), "inside").unwrap();
        std::fs::write(temp.path().join("secret"), "clamped").unwrap();
        let dir = Dir::from_fd(File::open(temp.path()).unwrap().into());
        (temp, dir)
    }

    #[test]
    fn names_are_single_components() {
        let (_temp, top) = folder();
        for name in ["", ".", "..", "in/f", "/", "../secret"] {
            assert!(top.stat(name.as_bytes()).is_err(), "{name:?}");
            assert!(top.create_file(name.as_bytes()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_fifo_does_not_block() {
        let (_temp, top) = folder();
        top.fifo(b"pipe").unwrap();
        assert!(top.open_file(b"pipe").is_err());
    }

    #[test]
    fn removes_deep_trees_without_recursion() {
        let (_temp, top) = folder();
        top.mkdir(b"deep").unwrap();
        let mut dir = top.open_dir(b"deep").unwrap();
        for _ in 0..5000 {
            dir.mkdir(b"d").unwrap();
            dir.create_file(b"f").unwrap();
            dir = dir.open_dir(b"d").unwrap();
        }
        top.remove_all(b"deep").unwrap();
        assert_eq!(top.stat_opt(b"deep").unwrap(), None);
        top.remove_all(b"deep").unwrap();
    }
}
