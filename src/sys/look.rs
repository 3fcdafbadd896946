//! What this process may do with a file, without doing it.

use std::io;
use std::path::Path;

/// Tells whether the file may be opened for reading, without opening it: of devices, some begin to
/// work when they are opened (a watchdog).
pub fn may_open(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?)
}

/// Tells whether this process may put something in the place of `path`, or make it, without powers
/// over files that are not its own: it may write to what is there, and to the folder above that is.
pub fn may_replace(path: &Path) -> bool {
    let may = |path: &Path| {
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(path, wanted).is_ok()
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && !may(path) => return false,
        Ok(found) if found.is_symlink() => return false,
        Ok(_) => {
            if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
                return false;
            }
        }
        Err(_) => {}
    }
    let mut above = path.ancestors().skip(1).map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    });
    above.find(|folder| folder.exists()).is_some_and(may)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_may_not_be_written_to_may_not_be_replaced() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        let file = folder.join("file");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        let check = |mode: u32, path: &Path, want: bool| {
            std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).unwrap();
            // Root may all the same.
            let want = want || rustix::process::geteuid().is_root();
            assert_eq!(may_replace(path), want, "{mode:o} {}", path.display());
        };
        check(0o755, &file, true);
        check(0o755, &folder, true);
        check(0o755, &folder.join("not/there"), true);
        check(0o555, &file, false);
        check(0o555, &folder, false);
        check(0o555, &folder.join("not/there"), false);
        check(0o755, &file, true);
    }
}
