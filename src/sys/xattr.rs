//! Extended attributes of open files.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Returns the names of all attributes, sorted. A filesystem that has none gives none.
pub fn list(fd: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let bytes = grow(|buffer| rustix::fs::flistxattr(&fd, buffer))?.unwrap_or_default();
    let mut names: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The number of `listxattrat` on every architecture (Linux 6.13; `scripts/syscall.tbl`).
const LISTXATTRAT: libc::c_long = 465;

/// Tells whether `name` in `dir` may have attributes, without opening it. Always where the kernel has
/// no way to ask (before Linux 6.13), and where the answer is an error: then opening it tells.
pub fn may_be_at(dir: impl AsFd, name: &[u8]) -> bool {
    static ASKS: AtomicBool = AtomicBool::new(true);
    let Ok(name) = CString::new(name) else { return true };
    if !ASKS.load(Ordering::Relaxed) {
        return true;
    }
    // SAFETY: `name` ends with a zero byte and lives on; with a size of 0 nothing is written to the
    // list, which may then be null.
    let size = unsafe {
        libc::syscall(
            LISTXATTRAT,
            dir.as_fd().as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            std::ptr::null_mut::<libc::c_char>(),
            0usize,
        )
    };
    if size >= 0 {
        return size > 0;
    }
    let error = io::Error::last_os_error().raw_os_error();
    // A filter that does not know the call answers EPERM.
    if matches!(error, Some(libc::ENOSYS | libc::EPERM)) {
        ASKS.store(false, Ordering::Relaxed);
    }
    error != Some(libc::EOPNOTSUPP)
}

/// Returns the value of `name`, or `None` if the file has no such attribute.
pub fn get(fd: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    grow(|buffer| rustix::fs::fgetxattr(&fd, name, buffer))
}

/// Sets `name` to `value`.
pub fn set(fd: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// Removes `name`; no error if the file has no such attribute.
pub fn remove(fd: impl AsFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result?),
    }
}

/// Calls with a larger buffer until the answer fits. Linux limits a value and the list of names to
/// 64 KiB each (xattr(7)).
fn grow(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Ok(size) => {
                buffer.truncate(size);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) if buffer.len() < 65536 => buffer = vec![0; 65536],
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_whatever_their_size() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(get(&file, b"user.a").unwrap(), None);
        for size in [0, 1, 255, 256, 257, 3000] {
            let value = vec![7u8; size];
            set(&file, b"user.a", &value).unwrap();
            assert_eq!(get(&file, b"user.a").unwrap(), Some(value), "{size}");
        }
        assert!(list(&file).unwrap().contains(&b"user.a".to_vec()));
        remove(&file, b"user.a").unwrap();
        remove(&file, b"user.a").unwrap();
        assert!(!list(&file).unwrap().contains(&b"user.a".to_vec()));
    }

    #[test]
    fn whether_there_are_any_is_told_without_opening() {
        let place = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dir = std::fs::File::open(place.path()).unwrap();
        let file = std::fs::File::create(place.path().join("file")).unwrap();
        let (there, gone) = (may_be_at(&dir, b"file"), may_be_at(&dir, b"gone"));
        set(&file, b"user.a", b"1").unwrap();
        // Where the kernel cannot be asked, or the machine labels its files, each is looked at.
        let asked = !there;
        assert!(may_be_at(&dir, b"file") && gone);
        remove(&file, b"user.a").unwrap();
        assert_eq!(may_be_at(&dir, b"file"), !asked);
        let _ = std::os::unix::fs::symlink("file", place.path().join("link"));
        set(&file, b"user.a", b"1").unwrap();
        assert_eq!(may_be_at(&dir, b"link"), !asked, "a link is not followed");
    }
}
