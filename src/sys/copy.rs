//! Copying files: content, sharing blocks where the filesystem can and keeping holes; and metadata as it
//! lies on disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom as Position;
use rustix::io::Errno;

use super::{Dir, Stat};

/// Copies all of `from` into the empty file `to` and returns the number of bytes, holes included.
/// Tries a reflink first, then `copy_file_range(2)` for each run of data.
pub fn copy_file(from: &File, to: &File) -> io::Result<u64> {
    let size = from.metadata()?.len();
    if size == 0 {
        return Ok(0);
    }
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(to.metadata()?.len());
    }
    let mut at = 0u64;
    while at < size {
        let start = match rustix::fs::seek(from, Position::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break, // only a hole is left
            Err(_) => at,              // no such question on this filesystem: all is data
        };
        let end = rustix::fs::seek(from, Position::Hole(start)).unwrap_or(size);
        copy_range(from, to, start, end)?;
        if end <= at {
            break;
        }
        at = end;
    }
    to.set_len(size)?;
    Ok(size)
}

fn copy_range(mut from: &File, mut to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let want = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), want) {
            Ok(0) => return Ok(()), // shortened meanwhile: the caller compares sizes
            Ok(_) => {}
            // Not between these two filesystems, or not at all: through memory.
            Err(_) => {
                from.seek(SeekFrom::Start(read))?;
                to.seek(SeekFrom::Start(read))?;
                let mut rest = from.take(end - read);
                return copy_through(&mut rest, &mut to);
            }
        }
    }
    Ok(())
}

fn copy_through(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(size) => to.write_all(&buffer[..size])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives the open file or folder `to` what `from` has: owner (if `owner`), attributes that `kept` names,
/// mode, and the time of last change to the nanosecond.
pub fn copy_metadata(
    from: impl AsFd,
    to: impl AsFd,
    owner: bool,
    kept: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let stat = super::stat_of(&from)?;
    if owner {
        super::set_owner(&to, stat.uid, stat.gid)?;
    }
    for name in super::xattr::list(&from)? {
        if kept(&name)
            && let Some(value) = super::xattr::get(&from, &name)?
        {
            super::xattr::set(&to, &name, &value)?;
        }
    }
    super::set_mode(&to, stat.mode)?;
    Ok(rustix::fs::futimens(&to, &times_of(&stat))?)
}

/// Gives the symlink or pipe `name` in `to` the owner (if `owner`) and the time in `stat`.
pub fn copy_metadata_of_name(to: &Dir, name: &[u8], stat: &Stat, owner: bool) -> io::Result<()> {
    if owner {
        to.set_owner(name, stat.uid, stat.gid)?;
    }
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(to, name, &times_of(stat), flags)?)
}

fn times_of(stat: &Stat) -> rustix::fs::Timestamps {
    rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec {
            tv_sec: stat.mtime,
            tv_nsec: stat.mtime_nsec.into(),
        },
    }
}

/// A path of this process for an open folder, for calls that take paths; good while it is open.
pub(crate) fn path_of(folder: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()))
}

/// Bytes as a path.
pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// When an open file was made, if the file system knows: seconds and nanoseconds since 1970. With the
/// number it tells a file from one that took its number later.
pub fn born(fd: impl AsFd) -> Option<(i64, u32)> {
    let wanted = rustix::fs::StatxFlags::BTIME;
    let status = rustix::fs::statx(fd, "", rustix::fs::AtFlags::EMPTY_PATH, wanted).ok()?;
    let known = status.stx_mask & wanted.bits() != 0;
    known.then_some((status.stx_btime.tv_sec, status.stx_btime.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn check(build: impl Fn(&mut File)) -> (File, File) {
        let here = env!("CARGO_MANIFEST_DIR");
        let mut from = tempfile::tempfile_in(here).unwrap();
        build(&mut from);
        let mut to = tempfile::tempfile_in(here).unwrap();
        assert_eq!(copy_file(&from, &to).unwrap(), from.metadata().unwrap().len());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        from.seek(SeekFrom::Start(0)).unwrap();
        to.seek(SeekFrom::Start(0)).unwrap();
        from.read_to_end(&mut a).unwrap();
        to.read_to_end(&mut b).unwrap();
        assert_eq!(a, b);
        (from, to)
    }

    #[test]
    fn copies_empty_small_and_holed_files() {
        check(|_| {});
        check(|file| file.write_all(b"hello").unwrap());
        check(|file| file.set_len(100_000).unwrap());
        let (from, to) = check(|file| {
            file.write_all(b"start").unwrap();
            file.seek(SeekFrom::Start(10 << 20)).unwrap();
            file.write_all(b"end").unwrap();
            file.set_len(20 << 20).unwrap();
        });
        assert!(to.metadata().unwrap().blocks() <= from.metadata().unwrap().blocks() + 64);
    }
}
