//! A folder that is taken for `/`: the only way to the files of an image or a context.
//!
//! Paths below a [`Root`] are resolved as a process inside it would (`openat2(2)` with
//! `RESOLVE_IN_ROOT`), so that no symlink leads out. Nothing here takes a host path but
//! [`Root::open_host`]. Metadata is set through descriptors, or by a single name without following.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::dir::{Dir, READ, absent, openat, regular};
use super::stat::{FileKind, Stat, stat_of};
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
        Ok(Root { dir: Dir::from_fd(rustix::fs::open(path, flags, Mode::empty())?) })
    }

    /// Takes an open folder.
    pub fn from_fd(fd: OwnedFd) -> Root {
        Root { dir: Dir::from_fd(fd) }
    }

    /// Takes a detached mount. What the kernel hands out for one is a mere place (`O_PATH`): it is
    /// opened here, so that it can be listed and asked for attributes. The mount lives as long.
    pub fn from_mount(mount: OwnedFd) -> io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&mount, ".", flags, Mode::empty())?;
        Ok(Root { dir: Dir::from_fd(fd) })
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
        Ok(self.open_with_stat(path, follow)?.0)
    }

    /// As [`Root::open`], with the file's metadata, which has been looked at anyway.
    pub fn open_with_stat(&self, path: &ImagePath, follow: Follow) -> io::Result<(File, Stat)> {
        regular(self.open_with(path, follow, READ)?)
    }

    /// Opens what is at `path` for reading and does not hang, but does not look what it is: for who asks
    /// that, when all was read, of the same handle.
    pub fn open_unseen(&self, path: &ImagePath, follow: Follow) -> io::Result<File> {
        Ok(File::from(self.open_with(path, follow, READ)?))
    }

    /// Opens the folder at `path`.
    pub fn open_dir(&self, path: &ImagePath, follow: Follow) -> io::Result<Dir> {
        Ok(Dir::from_fd(self.open_with(path, follow, OFlags::RDONLY | OFlags::DIRECTORY)?))
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
        let mut open: Vec<OwnedFd> = vec![self.dir.try_clone()?.into()];
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
    }
}
