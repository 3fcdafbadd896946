//! Renames that the standard library does not have.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Exchanges two paths of one file system atomically: whoever looks sees one of the two states
/// (renameat2(2), `RENAME_EXCHANGE`).
///
/// On a file system that cannot (NFS, some FUSE), `b` is renamed aside first: then there is a
/// moment without `b`, but never one with half of it.
pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            let aside = a.join(".replaced");
            std::fs::rename(b, &aside)?;
            let moved = a.with_extension("old");
            std::fs::rename(&aside, &moved)?;
            let done = std::fs::rename(a, b);
            if done.is_ok() {
                std::fs::rename(&moved, a)
            } else {
                std::fs::rename(&moved, b).and(done)
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Renames a folder or file to a path where nothing is; fails with `AlreadyExists` where something
/// is, be it an empty folder (renameat2(2), `RENAME_NOREPLACE`).
///
/// On a file system that cannot (NFS, some FUSE), a plain rename: it replaces an empty folder.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match std::fs::rename(from, to)
        {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            done => done,
        },
        done => Ok(done?),
    }
}
