//! Metadata of files: what is there, and how it is set through a descriptor.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

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

/// A time of last change; that of last access stays.
pub(super) fn times(seconds: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
    }
}

/// The kernel takes `u32::MAX` for "leave as it is".
pub(super) fn ids(uid: u32, gid: u32) -> io::Result<(Uid, Gid)> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}
