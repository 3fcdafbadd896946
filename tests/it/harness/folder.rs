//! Temporary folders that every user may pass through, and that are removed whoever owns what is
//! in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::run;

/// A temporary folder.
pub(crate) struct Folder(Option<TempDir>);

impl Folder {
    /// Makes one.
    pub(crate) fn new() -> Folder {
        let folder = tempfile::Builder::new().prefix("rbuild-it-").tempdir();
        let folder = folder.expect("a temporary folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("it is ours");
        Folder(Some(folder))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().expect("there until the end").path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        let path = folder.keep();
        if fs::remove_dir_all(&path).is_ok() {
            return;
        }
        // Files of subordinate ids, folders without a permission: only inside a user namespace are
        // they an ordinary user's to remove.
        for flags in [&["--map-root-user", "--map-auto"][..], &["--map-root-user"]] {
            let mut remove = Command::new("unshare");
            remove.args(flags).args(["rm", "-rf"]).arg(&path);
            if run(&mut remove, Duration::from_secs(60)).status.success() {
                return;
            }
        }
    }
}
