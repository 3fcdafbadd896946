//! A folder of a test: context, store, home and results, where the user who builds may work.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

use super::host::{Who, is_root};
use super::process::run;

/// A temporary folder with `ctx`, `store` and `home`; removed at the end.
pub(crate) struct Place {
    folder: Option<TempDir>,
    binary: Arc<TempDir>,
    who: Who,
}

impl Place {
    /// Makes one that belongs to this user.
    pub(crate) fn new(who: Who) -> Place {
        let place = Place { folder: Some(open_folder()), binary: binary(), who };
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
        self.folder.as_ref().expect("there until the end").path()
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

impl Drop for Place {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let path = folder.path().to_owned();
        if fs::remove_dir_all(&path).is_err() && !is_root() {
            // Files of subordinate ids: only inside a user namespace are they ours.
            let mut remove = Command::new("unshare");
            remove.args(["--map-root-user", "--map-auto", "rm", "-rf"]).arg(&path);
            let _ = run(&mut remove, Duration::from_secs(60));
        }
    }
}

/// A temporary folder that every user may pass through.
pub(crate) fn open_folder() -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("rbuild-it-").tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

// One copy of the program for all tests that run at the same time: the clone may lie where an
// ordinary user cannot look.
fn binary() -> Arc<TempDir> {
    static BINARY: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut slot = BINARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = slot.upgrade() {
        return folder;
    }
    let folder = Arc::new(open_folder());
    let copy = folder.path().join("rbuild");
    fs::copy(env!("CARGO_BIN_EXE_rbuild"), &copy).expect("copying the program");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
    *slot = Arc::downgrade(&folder);
    folder
}
