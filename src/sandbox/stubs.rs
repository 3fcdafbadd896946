//! Mount points that were made for a step, and their removal.
//!
//! A mount needs something to stand on. Where the image has nothing, an empty file or folder is made
//! in the merged tree and thus in the upper folder, and has to be gone before the upper becomes a
//! layer, unless the step did something with it. When it is removed, the folder around it gets back
//! the time that it had; a folder that came into the upper only by this goes too.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use super::setup::Raw;
use crate::base::ImagePath;
use crate::sys::mount::{self, Status};

/// One mount point that was made.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Stub {
    path: Raw,
    /// As found in the upper folder right before the step began.
    status: Status,
}

/// A folder of the image that a mount point was made in or below.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Around {
    path: Raw,
    /// Its time before, if that was changed.
    before: Option<(i64, i64)>,
    /// As found in the upper folder right before the step began.
    after: Status,
}

/// All that was made for a step.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Stubs {
    stubs: Vec<Stub>,
    around: Vec<Around>,
}

/// Folders of the image, and their times before, of those in which something was made.
pub(super) type Times = BTreeMap<ImagePath, Option<(i64, i64)>>;

/// Finds and makes mount points in the tree.
pub(super) struct Points<'a> {
    root: &'a OwnedFd,
    root_mount: u64,
    made: Vec<ImagePath>,
    around: Times,
}

impl<'a> Points<'a> {
    pub(super) fn new(root: &'a OwnedFd) -> io::Result<Self> {
        Ok(Points {
            root,
            root_mount: mount::mount_id(root)?,
            made: Vec::new(),
            around: BTreeMap::new(),
        })
    }

    /// Returns a handle of `path`, symlinks followed inside the tree. What is missing is made: folders,
    /// and at the end a folder or an empty file; it is noted for removal if `noted`.
    pub(super) fn open(&mut self, path: &ImagePath, dir: bool, noted: bool) -> io::Result<OwnedFd> {
        let at = self.reach(path, dir, noted)?;
        mount::open_in_root(self.root, &at, true)
    }

    /// Like [`Self::open`], but returns the path without links.
    pub(super) fn reach(
        &mut self,
        path: &ImagePath,
        dir: bool,
        noted: bool,
    ) -> io::Result<ImagePath> {
        let mut at = ImagePath::root();
        let mut ahead: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at = at.parent().unwrap_or(at);
                    continue;
                }
                _ => {}
            }
            let next = at.join(&part).map_err(io::Error::other)?;
            match mount::open_in_root(self.root, &next, true) {
                Ok(found) if mount::status(&found)?.is_symlink() => {
                    if mount::is_of_proc(&found)? {
                        // Its text is a path of the host, and its goal whatever a process has open.
                        let text = format!("`{next}` is a link of the kernel's");
                        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                    }
                    links += 1;
                    if links > 40 {
                        return Err(mount::too_many_links());
                    }
                    let to = mount::read_link(&found, b"")?;
                    if to.first() == Some(&b'/') {
                        at = ImagePath::root();
                    }
                    ahead.extend(to.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                Ok(_) => at = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make(&at, &part, dir || !ahead.is_empty(), noted)?;
                    at = next;
                }
                Err(error) => return Err(error),
            }
        }
        if noted && at.is_root() {
            let text = "it leads to the root, which a mount cannot cover";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(at)
    }

    /// Returns what was made, and the folders around with their times before.
    pub(super) fn into_made(self) -> (Vec<ImagePath>, Times) {
        (self.made, self.around)
    }

    fn make(&mut self, at: &ImagePath, name: &[u8], dir: bool, noted: bool) -> io::Result<()> {
        let folder = mount::open_in_root(self.root, at, true)?;
        // Inside another mount it is none of the layer's business.
        let noted = noted && mount::mount_id(&folder)? == self.root_mount;
        let before = mount::status(&folder)?.mtime;
        if dir {
            mount::make_dir(&folder, name, 0o755)?;
        } else {
            mount::make_file(&folder, name, b"", 0o644, None)?;
        }
        if noted {
            let time = self.around.entry(at.clone()).or_insert(None);
            *time = time.or(Some(before));
            let mut above = at.parent();
            while let Some(folder) = above {
                above = folder.parent();
                self.around.entry(folder).or_insert(None);
            }
            self.made.push(at.join(name).map_err(io::Error::other)?);
        }
        Ok(())
    }

    /// Looks the mount points up in the upper folder, once all are made.
    pub(super) fn finish(self, upper: &OwnedFd) -> io::Result<Stubs> {
        let look = |path: &ImagePath| mount::status(mount::open_in_root(upper, path, true)?);
        Ok(Stubs {
            stubs: self
                .made
                .iter()
                .map(|path| Ok(Stub { path: Raw::from(path), status: look(path)? }))
                .collect::<io::Result<_>>()?,
            around: self
                .around
                .iter()
                .filter(|(path, _)| !self.made.contains(path))
                .map(|(path, before)| {
                    Ok(Around { path: Raw::from(path), before: *before, after: look(path)? })
                })
                .collect::<io::Result<_>>()?,
        })
    }
}

impl Stubs {
    /// Removes the mount points that the step left as they were from the upper folder; if it lies
    /// `above` others, also folders that came into it only by them. To be called when all its
    /// processes are dead.
    pub(super) fn remove(&self, upper: &OwnedFd, above: bool) -> io::Result<()> {
        let now: Vec<_> = self
            .around
            .iter()
            .map(|around| mount::open_in_root(upper, &around.path.path(), true))
            .map(|folder| folder.and_then(mount::status).ok())
            .collect();
        // What was made last lies deepest.
        for stub in self.stubs.iter().rev() {
            let path = stub.path.path();
            let Some(parent) = path.parent() else { continue };
            // The step may have removed or replaced the folders around it.
            let Ok(folder) = mount::open_in_root(upper, &parent, true) else { continue };
            let Ok(now) = mount::status_at(&folder, path.name()) else { continue };
            let was = &stub.status;
            let same = (now.ino, now.device, now.mode, now.uid, now.gid)
                == (was.ino, was.device, was.mode, was.uid, was.gid);
            // The change time of a folder moves when mount points are made and removed in it; whether
            // it holds something else is seen when it is removed.
            if same && (was.is_dir() || now.ctime == was.ctime) {
                let _ = mount::remove(&folder, path.name(), was.is_dir());
            }
        }
        // Sorted by path: from the end, what lies deeper comes first.
        for (around, now) in self.around.iter().zip(now).rev() {
            let path = around.path.path();
            // Not even its change time moved: it lies in the upper because of us alone.
            if above
                && now == Some(around.after)
                && let Some(parent) = path.parent()
                && let Ok(folder) = mount::open_in_root(upper, &parent, true)
                && mount::remove(&folder, path.name(), true).is_ok()
            {
                continue;
            }
            if let Some(before) = around.before
                && now.is_some_and(|now| now.mtime == around.after.mtime)
            {
                mount::set_mtime(mount::open_in_root(upper, &path, true)?, before)?;
            }
        }
        Ok(())
    }
}
