//! A folder of a test: context, store, home and results, where the user who builds may work.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::folder::Folder;
use super::host::Who;

/// A temporary folder with `ctx`, `store` and `home`; removed at the end.
pub(crate) struct Place {
    folder: Folder,
    binary: Arc<Folder>,
    who: Who,
}

impl Place {
    /// Makes one that belongs to this user.
    pub(crate) fn new(who: Who) -> Place {
        let place = Place { folder: Folder::new(), binary: binary(), who };
        place.own(place.path());
        for name in ["ctx", "store", "home"] {
            place.folder(name);
        }
        place
    }

    /// Whom it belongs to.
    pub(crate) fn who(&self) -> Who {
        self.who
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path below it.
    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// The program under test, where every user may run it.
    pub(crate) fn program(&self) -> PathBuf {
        self.binary.path().join("rbuild")
    }

    /// Writes a file, with the folders that it needs.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        if let Some(parent) = Path::new(name).parent() {
            self.folder(parent);
        }
        fs::write(&path, content).expect("writing a file of a test");
        self.own(&path);
        path
    }

    /// Makes a folder, with those above it.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        let mut path = self.path().to_owned();
        for part in name.as_ref() {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).expect("making a folder of a test");
                self.own(&path);
            }
        }
        path
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.who.ids() {
            chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }
}

// One copy of the program for all tests that run at the same time: the clone may lie where an
// ordinary user cannot look.
fn binary() -> Arc<Folder> {
    static BINARY: Mutex<Weak<Folder>> = Mutex::new(Weak::new());
    let mut slot = BINARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = slot.upgrade() {
        return folder;
    }
    let folder = Arc::new(Folder::new());
    let copy = folder.path().join("rbuild");
    fs::copy(env!("CARGO_BIN_EXE_rbuild"), &copy).expect("copying the program");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
    *slot = Arc::downgrade(&folder);
    folder
}
