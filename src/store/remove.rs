//! Removing trees of any depth.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes `path` and all below it; nothing there is no error.
///
/// Neither the stack nor the length of paths grows with the depth: each folder found is first
/// moved up to stand directly below `path`, where its turn will come. Folders without permissions
/// are given them. Links are never followed. Only for trees of our own: whoever can write below
/// `path` at the same time can make it fail.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    open_up(path)?;
    // Folders that were moved up are `<prefix>0`, `<prefix>1`, …: those before `done` are gone.
    let prefix = free_prefix(path)?;
    let (mut done, mut moved) = (0u64, 0u64);
    let mut folder = path.to_owned();
    loop {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
            } else if !(folder == path
                && entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
            {
                let child = entry.path();
                // Most folders are leaves that hold nothing any more, or never did.
                if fs::remove_dir(&child).is_ok() {
                    continue;
                }
                open_up(&child)?;
                fs::rename(&child, path.join(format!("{prefix}{moved}")))?;
                moved += 1;
            }
        }
        if folder != path {
            fs::remove_dir(&folder)?;
        }
        if done == moved {
            break;
        }
        folder = path.join(format!("{prefix}{done}"));
        done += 1;
    }
    fs::remove_dir(path)
}

// Moving a folder needs to write into it (its `..` changes), reading it needs the rest.
fn open_up(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.permissions().mode() & 0o700 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

// A prefix that no name in the folder begins with.
fn free_prefix(path: &Path) -> io::Result<String> {
    let mut prefix = String::from(".rm-");
    while fs::read_dir(path)?.any(|entry| {
        entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
    }) {
        prefix.push('-');
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_deep_trees_closed_folders_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "stays").unwrap();
        let tree = dir.path().join("tree");
        // Deeper than any path may be long: built from the inside out.
        let mut top = dir.path().join("t0");
        fs::create_dir(&top).unwrap();
        for level in 1..3000 {
            let above = dir.path().join(format!("t{level}"));
            fs::create_dir(&above).unwrap();
            fs::write(above.join("file"), "x").unwrap();
            fs::rename(&top, above.join(".rm-0")).unwrap();
            top = above;
        }
        fs::rename(&top, &tree).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), tree.join("link2")).unwrap();
        fs::create_dir_all(tree.join("closed/in")).unwrap();
        fs::set_permissions(tree.join("closed/in"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();

        remove_tree(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "stays");
        remove_tree(&tree).unwrap();
    }
}
