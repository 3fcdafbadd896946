//! Cache mounts: folders that live on between builds, with a lock each.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::open::lock_file;
use super::{Error, Store, remove_tree};
use crate::base::{Blob, Hasher};
use crate::sys;

/// Who may use a cache mount at the same time (`sharing=` of `RUN --mount=type=cache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of steps; they agree among themselves.
    Shared,
    /// One step; another one gets a folder of its own.
    Private,
    /// One step; another one waits.
    Locked,
}

/// A cache mount in use, until dropped. The kernel ends the use when the process ends.
///
/// A new one is made aside: it is empty, nobody else sees it, and [`CacheMount::publish`] gives it
/// its place when it has its first content. Who is killed before that leaves no half-filled cache.
#[derive(Debug)]
pub struct CacheMount {
    path: PathBuf,
    place: PathBuf,
    _lock: File,
}

impl CacheMount {
    /// Returns its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether it was made just now, is empty, and waits for [`CacheMount::publish`].
    pub fn is_fresh(&self) -> bool {
        self.path != self.place
    }

    /// Gives a new one its place. Where another user of a shared cache was faster, that one's
    /// folder is taken, and what was put into this one is removed.
    pub fn publish(&mut self) -> Result<(), Error> {
        if !self.is_fresh() {
            return Ok(());
        }
        match sys::rename_new(&self.path, &self.place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_tree(&self.path).map_err(Error::io("remove", &self.path))?;
            }
            Err(error) => return Err(Error::io("write", &self.place)(error)),
        }
        self.path.clone_from(&self.place);
        Ok(())
    }
}

// How often a lock that is held by others is tried.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Returns the cache mount `id`; it is made, with mode 0755, if there is none.
    ///
    /// Where it must wait, `waiting` is called every 50 ms; when it returns `false`, waiting is
    /// given up with [`Error::Cancelled`]. Two steps of one process wait for each other as well.
    pub fn cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        waiting: &mut dyn FnMut() -> bool,
    ) -> Result<CacheMount, Error> {
        // The id is text from a Dockerfile: it is never part of a path.
        let mut hasher = Hasher::new();
        hasher.field(b"cache mount");
        hasher.field(id.as_bytes());
        let name = hasher.finish::<Blob>().hex();
        let mut sibling = 0u32;
        loop {
            let name = if sibling == 0 { name.clone() } else { format!("{name}.{sibling}") };
            let lock_path = self.path("locks").join(format!("cache-{name}"));
            let lock = lock_file(&lock_path).map_err(Error::io("open", &lock_path))?;
            let taken = match sharing {
                Sharing::Shared => lock.try_lock_shared(),
                Sharing::Private | Sharing::Locked => lock.try_lock(),
            };
            match taken {
                Ok(()) => return self.cache_folder(&name, lock),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io("lock", &lock_path)(error));
                }
                Err(TryLockError::WouldBlock) if sharing == Sharing::Private => sibling += 1,
                Err(TryLockError::WouldBlock) => {
                    if !waiting() {
                        return Err(Error::Cancelled(id.to_owned()));
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn cache_folder(&self, name: &str, lock: File) -> Result<CacheMount, Error> {
        let place = self.path("cache").join(name);
        // No link is followed: a cache is a folder of the store, or there is none.
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => {
                return Ok(CacheMount { path: place.clone(), place, _lock: lock });
            }
            Ok(_) => fs::remove_file(&place).map_err(Error::io("remove", &place))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", &place)(error)),
        }
        let path = self.tmp_path()?;
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        // Whatever the umask: a step may run as any user.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("change the mode of", &path))?;
        Ok(CacheMount { path, place, _lock: lock })
    }

    /// Returns the digest-named folders of all cache mounts, sorted.
    pub fn cache_mounts(&self) -> Result<Vec<PathBuf>, Error> {
        let cache = self.path("cache");
        let mut all = Vec::new();
        for entry in fs::read_dir(&cache).map_err(Error::io("read", &cache))? {
            all.push(entry.map_err(Error::io("read", &cache))?.path());
        }
        all.sort();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_decides_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let get = |sharing| store.cache_mount("../x", sharing, &mut || false);
        let mut first = get(Sharing::Locked).unwrap();
        assert!(first.is_fresh() && !first.path().starts_with(dir.path().join("cache")));
        first.publish().unwrap();
        assert!(!first.is_fresh() && first.path().starts_with(dir.path().join("cache")));
        assert!(matches!(get(Sharing::Locked), Err(Error::Cancelled(_))));
        assert!(matches!(get(Sharing::Shared), Err(Error::Cancelled(_))));
        let (second, third) = (get(Sharing::Private).unwrap(), get(Sharing::Private).unwrap());
        assert!(second.path() != first.path() && third.path() != second.path());
        drop((first, second, third));
        let (a, b) = (get(Sharing::Shared).unwrap(), get(Sharing::Shared).unwrap());
        assert!(a.path() == b.path() && !a.is_fresh());
    }

    #[test]
    fn what_is_no_folder_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let get = || store.cache_mount("x", Sharing::Shared, &mut || false).unwrap();
        let mut cache = get();
        cache.publish().unwrap();
        let place = cache.path().to_owned();
        fs::remove_dir(&place).unwrap();
        std::os::unix::fs::symlink("/", &place).unwrap();
        let mut cache = get();
        assert!(cache.is_fresh());
        cache.publish().unwrap();
        assert!(cache.path() == place && fs::symlink_metadata(&place).unwrap().is_dir());
    }

    #[test]
    fn a_cache_is_seen_when_it_is_filled_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let get = || store.cache_mount("x", Sharing::Shared, &mut || false).unwrap();
        // Killed before it was filled: the next one begins anew.
        drop(get());
        let (mut a, mut b) = (get(), get());
        assert!(a.is_fresh() && b.is_fresh() && a.path() != b.path());
        fs::write(a.path().join("of"), "a").unwrap();
        fs::write(b.path().join("of"), "b").unwrap();
        a.publish().unwrap();
        b.publish().unwrap();
        assert_eq!(a.path(), b.path());
        assert_eq!(fs::read(b.path().join("of")).unwrap(), b"a");
        assert!(!get().is_fresh());
    }
}
