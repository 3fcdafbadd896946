//! What a step changed in a folder of its own, found by looking at all of it before and after.
//!
//! The overlay's upper folder says by itself what was written to. Where there is none, a step works on
//! a copy; a [`Snapshot`] of that remembers what each path was. The kernel's time of last change of a
//! file, which no program can set, tells whether it was touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::changes::content_of;
use super::{Change, Content, Error, meta};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::sys::{self, Dir, FileKind, Follow, IdMode, Root, Stat};

/// A change within this time of another may get the same time: the kernel's clock for files ticks
/// every 10 ms at the slowest (`CONFIG_HZ=100`).
const TICK: Duration = Duration::from_millis(11);

/// What each path of a folder was.
#[derive(Debug)]
pub struct Snapshot {
    was: BTreeMap<ImagePath, Was>,
}

#[derive(Debug)]
struct Was {
    stat: Stat,
    /// Of folders.
    more: Option<Folder>,
}

#[derive(Debug, PartialEq, Eq)]
struct Folder {
    born: Option<(i64, u32)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Snapshot {
    /// Looks at all of `folder`, and waits until a later change can be told by its time.
    pub fn take(folder: &Path, mode: IdMode) -> Result<Snapshot, Error> {
        let top = ImagePath::root();
        let root = Root::open_host(folder).map_err(Error::io("open", &top))?;
        let mut was = BTreeMap::new();
        let mut folders = vec![top];
        while let Some(folder) = folders.pop() {
            let dir = root.open_dir(&folder, Follow::No).map_err(Error::io("read", &folder))?;
            for (name, _) in dir.list().map_err(Error::io("read", &folder))? {
                let path = join(&folder, &name)?;
                let Some(stat) = dir.stat_opt(&name).map_err(Error::io("read", &path))? else {
                    continue;
                };
                let mut more = None;
                if stat.kind == FileKind::Dir {
                    folders.push(path.clone());
                    let found = meta::entry_at(&dir, &name, &path, mode)?;
                    more = found.map(|(entry, _)| more_of(&dir, &name, entry)).transpose()?;
                }
                was.insert(path, Was { stat, more });
            }
        }
        std::thread::sleep(TICK);
        Ok(Snapshot { was })
    }

    /// Lists what is different in `folder` now, sorted: entries as they are, whiteouts for what is
    /// gone, opaque marks for folders that are others now. Folders above a change are not listed.
    ///
    /// A folder counts as changed when its own metadata or its time did; what is at one of `spared`
    /// (files that were taken away and put back) does not count. What is of the `lent` (device and
    /// inode), and all that is in it, counts as not there.
    pub fn changes(
        mut self,
        folder: &Path,
        spared: &BTreeSet<ImagePath>,
        lent: &BTreeSet<(u64, u64)>,
        mode: IdMode,
    ) -> Result<Vec<Change>, Error> {
        let top = ImagePath::root();
        let root = Arc::new(Root::open_host(folder).map_err(Error::io("open", &top))?);
        let mut found: Vec<Change> = Vec::new();
        let mut names: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
        // Folders to look at, and whether they are new, so that all in them is.
        let mut folders = vec![(top, false)];
        let mut kept: BTreeSet<ImagePath> = BTreeSet::from([ImagePath::root()]);
        while let Some((folder, new)) = folders.pop() {
            let dir = root.open_dir(&folder, Follow::No).map_err(Error::io("read", &folder))?;
            for (name, _) in dir.list().map_err(Error::io("read", &folder))? {
                let path = join(&folder, &name)?;
                let Some(stat) = dir.stat_opt(&name).map_err(Error::io("read", &path))? else {
                    continue;
                };
                if lent.contains(&(stat.dev, stat.ino)) {
                    continue;
                }
                let known = self.was.remove(&path);
                let was_folder = known.as_ref().is_some_and(|was| was.more.is_some());
                let was = known.as_ref().filter(|_| !new);
                if stat.kind != FileKind::Dir
                    && was.is_some_and(|was| same_file(&was.stat, &stat, spared.contains(&path)))
                {
                    continue;
                }
                let Some((entry, stat)) = meta::left_at(&dir, &name, stat, &path, mode)? else {
                    // A socket is in no image: what was in its place is gone.
                    self.was.extend(known.map(|known| (path, known)));
                    continue;
                };
                if stat.kind != FileKind::Dir {
                    if stat.links > 1 {
                        names.entry((stat.dev, stat.ino)).or_default().push(found.len());
                    }
                    let content = content_of(&root, &entry, &stat);
                    found.push(Change { entry, content });
                    continue;
                }
                let more = more_of(&dir, &name, entry.clone())?;
                let old = was.and_then(|was| was.more.as_ref());
                let same = was
                    .zip(old)
                    .is_some_and(|(was, old)| was.stat.ino == stat.ino && old.born == more.born);
                let touched =
                    was.is_none_or(|was| old != Some(&more) || !same_folder(&was.stat, &stat));
                if !same || touched {
                    found.push(Change::bare(entry));
                }
                match same {
                    true => drop(kept.insert(path.clone())),
                    // As overlayfs marks each folder that a step makes.
                    false if was_folder => {
                        found.push(Change::bare(Entry::new(path.clone(), EntryKind::Opaque, 0)));
                    }
                    false => {}
                }
                folders.push((path, !same));
            }
        }
        // Of what is gone the topmost is enough.
        for (path, _) in self.was {
            if path.parent().is_some_and(|parent| kept.contains(&parent)) {
                found.push(Change::bare(Entry::new(path, EntryKind::Whiteout, 0)));
            }
        }
        link_names(&mut found, &names);
        // Stable: an opaque mark stays behind its folder.
        found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        Ok(found)
    }
}

/// Makes further names of one file links to the first of them.
fn link_names(found: &mut [Change], names: &BTreeMap<(u64, u64), Vec<usize>>) {
    for same in names.values() {
        let Some(first) = same.iter().map(|at| &found[*at].entry.path).min().cloned() else {
            continue;
        };
        for at in same {
            if found[*at].entry.path != first {
                found[*at].entry.kind = EntryKind::Hardlink(first.clone());
                found[*at].content = Content::Empty;
            }
        }
    }
}

fn same_file(was: &Stat, now: &Stat, spared: bool) -> bool {
    was.ino == now.ino
        && was.kind == now.kind
        && (spared || (was.ctime, was.ctime_nsec) == (now.ctime, now.ctime_nsec))
}

// The time of last change of a folder moves when mount points come and go.
fn same_folder(was: &Stat, now: &Stat) -> bool {
    (was.mode, was.uid, was.gid, was.mtime, was.mtime_nsec)
        == (now.mode, now.uid, now.gid, now.mtime, now.mtime_nsec)
}

fn more_of(dir: &Dir, name: &[u8], entry: Entry) -> Result<Folder, Error> {
    let inner = dir.open_dir(name).map_err(Error::io("open", &entry.path))?;
    Ok(Folder { born: sys::copy::born(inner), xattrs: entry.xattrs })
}

fn join(at: &ImagePath, name: &[u8]) -> Result<ImagePath, Error> {
    at.join(name).map_err(|source| Error::Path { path: at.clone(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// Lists what `work` changes: `kind path`.
    fn check(work: impl FnOnce(&Path), spared: &[&str], want: &[&str]) {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["keep", "empty", "gone/deep", "d/e"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["keep/f", "gone/deep/f", "gone/g", "d/e/f", "d/g", "top"] {
            fs::write(at(name), name).unwrap();
        }
        fs::hard_link(at("d/g"), at("d/h")).unwrap();
        symlink("top", at("link")).unwrap();
        let mode = IdMode::Single;
        let before = Snapshot::take(folder.path(), mode).unwrap();
        work(folder.path());
        let spared =
            spared.iter().map(|path| ImagePath::from_entry(path.as_bytes()).unwrap()).collect();
        // What a test calls so was put in for the step.
        let lent = ["d2", "keep/lent", "d/other"]
            .iter()
            .filter_map(|name| fs::symlink_metadata(at(name)).ok())
            .map(|found| (found.dev(), found.ino()))
            .collect();
        let found: Vec<String> = before
            .changes(folder.path(), &spared, &lent, mode)
            .unwrap()
            .iter()
            .map(|change| {
                let kind = match &change.entry.kind {
                    EntryKind::File { .. } => "file".to_owned(),
                    EntryKind::Dir => "dir".to_owned(),
                    EntryKind::Hardlink(to) => format!("link to {to}"),
                    other => format!("{other:?}").to_lowercase(),
                };
                format!("{kind} {}", change.entry.path)
            })
            .collect();
        assert_eq!(found, want);
    }

    #[test]
    fn nothing_changed_is_nothing() {
        check(|_| {}, &[], &[]);
        // Come and gone, and the time put back, as mount points are.
        check(
            |at| {
                let time = fs::metadata(at.join("empty")).unwrap().modified().unwrap();
                fs::write(at.join("empty/stub"), "").unwrap();
                fs::remove_file(at.join("empty/stub")).unwrap();
                fs::File::open(at.join("empty")).unwrap().set_modified(time).unwrap();
            },
            &[],
            &[],
        );
    }

    #[test]
    fn what_was_lent_is_nowhere() {
        check(
            |at| {
                fs::create_dir(at.join("d2")).unwrap();
                fs::write(at.join("d2/null"), "").unwrap();
                fs::write(at.join("keep/lent"), "").unwrap();
                fs::hard_link(at.join("keep/lent"), at.join("d/other")).unwrap();
                fs::write(at.join("own"), "").unwrap();
                // In the place of a file of the image, which is gone then.
                fs::rename(at.join("d2"), at.join("x")).unwrap();
                fs::remove_file(at.join("top")).unwrap();
                fs::rename(at.join("x"), at.join("d2")).unwrap();
            },
            &[],
            &["dir /d", "dir /keep", "file /own", "whiteout /top"],
        );
    }

    #[test]
    fn what_no_image_has_hides_what_was_there() {
        check(
            |at| {
                let mark = |name: &str| {
                    let file = fs::File::create(at.join(name)).unwrap();
                    sys::xattr::set(file, b"user.rbuild.whiteout", b"y").unwrap();
                };
                mark("top");
                mark("own");
                fs::remove_file(at.join("keep/f")).unwrap();
                std::os::unix::net::UnixListener::bind(at.join("keep/f")).unwrap();
            },
            &[],
            &["dir /keep", "whiteout /keep/f", "file /own", "file /top"],
        );
    }

    #[test]
    fn files_are_told_by_their_time_of_change() {
        let rewrite = |at: &Path| {
            let file = at.join("top");
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "pot").unwrap();
            fs::File::open(&file).unwrap().set_modified(time).unwrap();
        };
        check(rewrite, &[], &["file /top"]);
        check(rewrite, &["top"], &[]);
        // All names of a file change with it.
        check(
            |at| fs::set_permissions(at.join("d/g"), fs::Permissions::from_mode(0o600)).unwrap(),
            &[],
            &["file /d/g", "link to /d/g /d/h"],
        );
    }

    #[test]
    fn what_is_gone_is_hidden_once() {
        check(|at| fs::remove_dir_all(at.join("gone")).unwrap(), &[], &["whiteout /gone"]);
        check(
            |at| fs::remove_file(at.join("d/e/f")).unwrap(),
            &[],
            &["dir /d/e", "whiteout /d/e/f"],
        );
    }

    #[test]
    fn a_folder_that_is_another_one_is_opaque() {
        check(
            |at| {
                fs::rename(at.join("d"), at.join("n")).unwrap();
                fs::create_dir(at.join("d")).unwrap();
                fs::rename(at.join("n/e"), at.join("d/e")).unwrap();
            },
            &[],
            &[
                "dir /d",
                "opaque /d",
                "dir /d/e",
                "opaque /d/e",
                "file /d/e/f",
                "dir /n",
                "file /n/g",
                "link to /n/g /n/h",
            ],
        );
        // A file in place of a folder, and the other way round.
        check(
            |at| {
                fs::remove_dir_all(at.join("gone")).unwrap();
                fs::write(at.join("gone"), "").unwrap();
                fs::remove_file(at.join("top")).unwrap();
                fs::create_dir(at.join("top")).unwrap();
            },
            &[],
            &["file /gone", "dir /top"],
        );
    }
}
