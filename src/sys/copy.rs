//! Copying the content of a file, sharing blocks where the filesystem can and keeping holes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustix::fs::SeekFrom as Position;
use rustix::io::Errno;

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
