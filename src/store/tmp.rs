//! Unfinished things, and how they are told from those that a dead process left behind.
//!
//! A process that needs to write takes a name, makes `tmp/<name>.lock`, locks it, and works in
//! `tmp/<name>/`. The kernel frees the lock when the process ends, however it ends; so a lock that
//! can be taken belongs to the dead, and its folder can go, and with it the trees that it noted there
//! as made and not yet found by anybody.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::open::lock_file;
use super::tree::remove_unbound;
use super::{Error, remove_tree};

/// The folder of this process in `tmp/`, made when it is first needed, removed when dropped.
pub(super) struct Session {
    root: PathBuf,
    own: Mutex<Option<Own>>,
    next: AtomicU64,
}

struct Own {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Session {
    pub(super) fn new(root: PathBuf) -> Self {
        Session { root, own: Mutex::new(None), next: AtomicU64::new(0) }
    }

    /// Returns a path that nothing else has.
    pub(super) fn path(&self) -> Result<PathBuf, Error> {
        let mut own = self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let own = match &mut *own {
            Some(own) => own,
            none => {
                let tmp = self.root.join("tmp");
                none.insert(Own::take(&tmp).map_err(Error::io("write to", &tmp))?)
            }
        };
        Ok(own.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let own = self.own.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(own) = own.take()
            && remove_of_dead(&self.root, &own.folder).is_ok()
        {
            let _ = fs::remove_file(&own.lock_path);
        }
    }
}

impl Own {
    fn take(tmp: &Path) -> io::Result<Own> {
        loop {
            let (lock, lock_path) = tempfile::Builder::new()
                .prefix("")
                .rand_bytes(10)
                .suffix(".lock")
                .tempfile_in(tmp)?
                .keep()
                .map_err(|error| error.error)?;
            lock.lock()?;
            // A sweeper may have been faster, and have removed the file as a dead one's.
            if is_at(&lock, &lock_path) {
                let folder = lock_path.with_extension("");
                fs::create_dir(&folder)?;
                return Ok(Own { folder, lock_path, _lock: lock });
            }
        }
    }
}

/// Tells whether the open file is still the one at `path`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino(),
        _ => false,
    }
}

/// Removes what dead processes left. What cannot be removed stays: the next one may succeed.
pub(super) fn sweep(root: &Path) -> Result<(), Error> {
    for path in locks(root)? {
        if let Some(_lock) = dead(&path)
            && remove_of_dead(root, &path.with_extension("")).is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// Tells whether [`sweep`] has something to remove.
pub(super) fn any_dead(root: &Path) -> Result<bool, Error> {
    Ok(locks(root)?.any(|path| dead(&path).is_some()))
}

// The lock files of all processes that write.
fn locks(root: &Path) -> Result<impl Iterator<Item = PathBuf>, Error> {
    let tmp = root.join("tmp");
    let entries = fs::read_dir(&tmp).map_err(Error::io("read", &tmp))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "lock")))
}

// The lock of a process that is dead, taken.
fn dead(path: &Path) -> Option<File> {
    let lock = lock_file_if_there(path).ok()?;
    (lock.try_lock().is_ok() && is_at(&lock, path)).then_some(lock)
}

// Everything that a process had not finished: the trees that nobody can find, and its folder.
fn remove_of_dead(root: &Path, folder: &Path) -> io::Result<()> {
    match remove_unbound(root, folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => remove_tree(folder),
    }
}

fn lock_file_if_there(path: &Path) -> io::Result<File> {
    fs::symlink_metadata(path)?;
    lock_file(path)
}
