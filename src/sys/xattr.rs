//! Extended attributes of open files.

use std::io;
use std::os::fd::AsFd;

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
}
