//! A step in a mere change of the root folder: what namespaces would mount is put into its tree before,
//! and taken out afterwards.
//!
//! The tree is a copy that nobody else has. What was at a place before is set aside and put back, so that
//! nothing of `/dev`, `/proc`, `/etc/hosts`, of mounts and of secrets becomes part of the image. What comes
//! from elsewhere are copies that the caller made: they are moved in, and back out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Cancel;
use super::attach::only_folders;
use super::launcher::Launcher;
use super::run::{Account, Error, Outcome, run_watched};
use super::setup::{LINKS, NODES};
use super::spec::{FileMount, Mount, MountKind, Source, Spec};
use super::stubs::Points;
use crate::base::{ImagePath, Masker};
use crate::event::Stream;
use crate::sys::mount as kernel;
use crate::sys::{self, FileKind, Follow, Root};

/// Files of the `/proc` of outside that a step gets a copy of; there is nothing of processes in them.
const FACTS: [&str; 7] =
    ["cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"];

/// Like [`run`], for [`super::Isolation::Chroot`]: [`Spec::upper`] is the whole tree, and mounts are of
/// folders and files on its file system that nobody else uses. Those of kind [`MountKind::Cache`] are
/// afterwards where they were, with what the step left in them. Returns also what in the tree is not the
/// step's. A secret that the step gave another name is wiped, and an error.
pub fn run_in_copy(
    spec: &Spec,
    launcher: &Launcher,
    masker: &Masker,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(Outcome, Account, Lent), Error> {
    let mut visit = Visit::new(spec)?;
    let ended = visit.fill(spec).and_then(|()| run_watched(spec, launcher, masker, cancel, output));
    let lent = visit.leave();
    // What became of the step comes before what became of what it was lent.
    let (outcome, account, _) = ended?;
    let lent = match lent {
        Err(_) if outcome != Outcome::Exited(0) => Lent::default(),
        lent => lent?,
    };
    Ok((outcome, account, lent))
}

/// What is in a tree after a step, or was for its time, without being the step's.
#[derive(Debug, Default)]
pub struct Lent {
    /// Files that were taken away and put back: their times of change are not the step's.
    pub spared: BTreeSet<ImagePath>,
    /// Device and inode of what was put in for the step, wherever the step may have moved it.
    pub inodes: BTreeSet<(u64, u64)>,
    // Held, so that no other file gets one of these numbers.
    _held: Vec<OwnedFd>,
}

/// What was put into the tree.
struct Visit {
    tree: OwnedFd,
    root: Root,
    aside: PathBuf,
    put: Vec<Put>,
    /// What else was made for the step: devices, and what is in `/proc`.
    parts: Vec<OwnedFd>,
    made: Vec<ImagePath>,
    /// Folders in which something was put: their times before, and after that.
    times: BTreeMap<ImagePath, (Time, Option<Time>)>,
}

type Time = (i64, i64);

/// One thing that was put into the tree.
struct Put {
    at: ImagePath,
    /// What was there before lies aside under this number.
    old: Option<usize>,
    /// Where it goes back to.
    back: Option<PathBuf>,
    /// What was put there. Held, so that no other file gets its number while the step runs.
    lent: Option<OwnedFd>,
    /// It is a secret.
    secret: bool,
    /// What was there before was a file.
    file: bool,
    /// It is a folder of the step's mounts: one of the same name that the step made is its own.
    mount: bool,
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let doing = doing.into();
    move |error| Error::Setup { doing, cause: error.to_string() }
}

impl Visit {
    fn new(spec: &Spec) -> Result<Self, Error> {
        let open = || failed("open the tree of the step");
        let aside = spec.scratch.join("aside");
        std::fs::create_dir(&aside).map_err(failed("make a folder for the step"))?;
        Ok(Visit {
            tree: File::open(&spec.upper).map_err(open())?.into(),
            root: Root::open_host(&spec.upper).map_err(open())?,
            aside,
            put: Vec::new(),
            parts: Vec::new(),
            made: Vec::new(),
            times: BTreeMap::new(),
        })
    }

    fn fill(&mut self, spec: &Spec) -> Result<(), Error> {
        // Before anything is made: a link in the place of one of them would lead to the host.
        only_folders(&self.tree).map_err(Error::from)?;
        self.devices()?;
        self.facts()?;
        for (at, content) in [
            ("etc/resolv.conf", spec.resolv_conf.as_slice()),
            ("etc/hosts", &spec.hosts),
            ("etc/hostname", spec.hostname.as_bytes()),
        ] {
            let file = FileMount { content: (), uid: 0, gid: 0, mode: 0o644 };
            self.file(&path(at)?, content, &file)?;
        }
        let mut mounts: Vec<&Mount> = spec.mounts.iter().collect();
        mounts.sort_by_key(|mount| mount.target.components().count());
        for mount in mounts {
            self.mount(mount)?;
            if let Some(last) = self.put.last_mut() {
                last.mount = !last.file;
            }
        }
        for (folder, (_, after)) in &mut self.times {
            let status = kernel::open_in_root(&self.tree, folder, true).and_then(kernel::status);
            *after = status.ok().map(|status| status.mtime);
        }
        Ok(())
    }

    fn mount(&mut self, mount: &Mount) -> Result<(), Error> {
        let target = &mount.target;
        let doing = || failed(format!("put `{target}` into the tree"));
        if target.is_root() {
            let why = "the target of a mount cannot be the root";
            return Err(doing()(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        match &mount.kind {
            MountKind::Bind { source: Source::Path(from), .. }
            | MountKind::Cache { source: Source::Path(from), .. } => {
                let status = std::fs::symlink_metadata(from).map_err(doing())?;
                let dir = status.is_dir();
                let at = self.take(target, dir).map_err(doing())?;
                let put = self.host(&at);
                // A socket serves its other names too.
                if status.file_type().is_socket() {
                    std::fs::hard_link(from, put).map_err(doing())?;
                    return self.hold_last().map_err(doing());
                }
                std::fs::rename(from, put).map_err(doing())?;
                if let Some(last) = self.put.last_mut() {
                    last.back = Some(from.clone());
                }
                self.hold_last().map_err(doing())
            }
            MountKind::Bind { .. } | MountKind::Cache { .. } | MountKind::Device(_) => {
                Err(Error::Lost("a mount was not prepared for this kind of isolation".into()))
            }
            MountKind::Tmpfs { .. } => self.folder(target, 0o1777).map(drop),
            MountKind::Secret(file) => {
                self.file(target, file.content.expose(), file)?;
                if let Some(last) = self.put.last_mut() {
                    last.secret = true;
                }
                Ok(())
            }
            MountKind::File(file) => self.file(target, &file.content, file),
        }
    }

    fn devices(&mut self) -> Result<(), Error> {
        let dev = path("dev")?;
        self.folder(&dev, 0o755)?;
        let doing = |at: &str| failed(format!("make the device `{at}`"));
        let folder = kernel::open_in_root(&self.tree, &dev, true).map_err(doing("/dev"))?;
        for (at, major, minor) in NODES {
            let name = at.trim_start_matches("/dev/").as_bytes();
            kernel::make_device(&folder, name, major, minor).map_err(doing(at))?;
            self.hold(&path(at)?).map_err(doing(at))?;
        }
        // Seen here once, rather than by each program in the step.
        let null = path("dev/null")?;
        std::fs::OpenOptions::new().write(true).open(self.host(&null)).map_err(|error| {
            let why = format!("{error}; is the store on a file system without devices (`nodev`)?");
            doing("/dev/null")(io::Error::new(error.kind(), why))
        })?;
        for (at, to) in LINKS {
            if at != "/dev/ptmx" {
                let name = at.trim_start_matches("/dev/").as_bytes();
                kernel::make_link(&folder, name, to.as_bytes()).map_err(doing(at))?;
                self.hold(&path(at)?).map_err(doing(at))?;
            }
        }
        let at = path("dev/shm")?;
        let shm = self.host(&at);
        std::fs::create_dir(&shm)
            .and_then(|()| sys::set_mode(File::open(&shm)?, 0o1777))
            .and_then(|()| self.hold(&at))
            .map_err(failed("make `/dev/shm`"))
    }

    fn facts(&mut self) -> Result<(), Error> {
        let proc = path("proc")?;
        self.folder(&proc, 0o555)?;
        for name in FACTS {
            // What is masked or missing outside is missing inside.
            if let Ok(text) = std::fs::read(Path::new("/proc").join(name)) {
                let at = path(&format!("proc/{name}"))?;
                std::fs::write(self.host(&at), text)
                    .and_then(|()| self.hold(&at))
                    .map_err(failed(format!("make `/proc/{name}`")))?;
            }
        }
        Ok(())
    }

    /// Puts an empty folder at a path.
    fn folder(&mut self, target: &ImagePath, mode: u32) -> Result<ImagePath, Error> {
        let doing = || failed(format!("make `{target}`"));
        let at = self.take(target, true).map_err(doing())?;
        let host = self.host(&at);
        std::fs::create_dir(&host)
            .and_then(|()| sys::set_mode(File::open(&host)?, mode))
            .and_then(|()| self.hold_last())
            .map_err(doing())?;
        Ok(at)
    }

    fn file<T>(
        &mut self,
        target: &ImagePath,
        content: &[u8],
        file: &FileMount<T>,
    ) -> Result<(), Error> {
        let doing = || failed(format!("make `{target}`"));
        let at = self.take(target, false).map_err(doing())?;
        let write = || -> io::Result<()> {
            let (dir, name) = self.root.parent(&at)?;
            let mut made = dir.create_file(&name)?;
            made.write_all(content)?;
            sys::set_owner(&made, file.uid, file.gid)?;
            sys::set_mode(&made, file.mode)
        };
        write().and_then(|()| self.hold_last()).map_err(doing())
    }

    // Takes hold of what was made inside of what was put into the tree.
    fn hold(&mut self, at: &ImagePath) -> io::Result<()> {
        self.parts.push(kernel::open_in_root(&self.tree, at, true)?);
        Ok(())
    }

    // Takes hold of what was put into the tree just now.
    fn hold_last(&mut self) -> io::Result<()> {
        let Some(last) = self.put.last_mut() else { return Ok(()) };
        last.lent = Some(kernel::open_in_root(&self.tree, &last.at, true)?);
        Ok(())
    }

    // The path of the host for a path without links of the tree: the tree is ours alone until the step
    // begins, and `take` has followed the links.
    fn host(&self, at: &ImagePath) -> PathBuf {
        sys::path_of(&self.tree).join(sys::as_path(at.relative()))
    }

    /// Makes room at a path, links followed inside the tree; returns where that is. Folders on the way are
    /// made, what is there is set aside.
    fn take(&mut self, target: &ImagePath, dir: bool) -> io::Result<ImagePath> {
        let mut points = Points::new(&self.tree)?;
        let at = points.reach(target, dir, true)?;
        let (made, around) = points.into_made();
        for (folder, before) in around {
            if let Some(before) = before {
                self.times.entry(folder).or_insert((before, None));
            }
        }
        let fresh = made.contains(&at);
        self.made.extend(made.into_iter().filter(|path| *path != at));
        let Some(parent) = at.parent() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is the root"));
        };
        let folder = kernel::open_in_root(&self.tree, &parent, true)?;
        self.times.entry(parent).or_insert((kernel::status(&folder)?.mtime, None));
        let is_dir = kernel::status_at(&folder, at.name())?.is_dir();
        // As a mount would say.
        if is_dir != dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let number = self.put.len();
        let mut put = Put {
            at: at.clone(),
            old: None,
            back: None,
            lent: None,
            secret: false,
            file: !is_dir,
            mount: false,
        };
        if fresh {
            kernel::remove(&folder, at.name(), is_dir)?;
        } else {
            std::fs::rename(self.host(&at), self.aside.join(number.to_string()))?;
            put.old = Some(number);
        }
        self.put.push(put);
        Ok(at)
    }

    /// Takes out what was put in, and puts back what was there. All processes of the step are dead.
    fn leave(mut self) -> Result<Lent, Error> {
        let now: BTreeMap<ImagePath, Time> = self
            .times
            .keys()
            .filter_map(|path| {
                let status = kernel::open_in_root(&self.tree, path, true).and_then(kernel::status);
                Some((path.clone(), status.ok()?.mtime))
            })
            .collect();
        let mut lent = Lent::default();
        let mut kept = None;
        while let Some(mut put) = self.put.pop() {
            self.take_out(&put, &mut lent)?;
            let Some(held) = put.lent.take() else { continue };
            if put.secret && is_kept(&held).map_err(failed("look after a secret"))? {
                kept.get_or_insert_with(|| put.at.clone());
            }
            self.parts.push(held);
        }
        for held in &self.parts {
            let status = kernel::status(held).map_err(failed("look at what the step was lent"))?;
            lent.inodes.insert((status.device, status.ino));
        }
        lent._held = std::mem::take(&mut self.parts);
        // What was made last lies deepest; what the step has put something into stays.
        for path in self.made.iter().rev() {
            if let Some(parent) = path.parent()
                && let Ok(dir) = self.root.open_dir(&parent, Follow::No)
            {
                let _ = dir.rmdir(path.name());
            }
        }
        for (path, (before, after)) in &self.times {
            let Some(now) = now.get(path) else { continue };
            let Ok(folder) = kernel::open_in_root(&self.tree, path, true) else { continue };
            // The step may have put something else there.
            if !kernel::status(&folder).is_ok_and(|status| status.is_dir()) {
                continue;
            }
            // Times that the step has set are its own, those that we have are not.
            let time = if Some(*now) == *after { before } else { now };
            kernel::set_mtime(folder, *time)
                .map_err(failed(format!("set the time of `{path}`")))?;
        }
        match kept {
            Some(at) => Err(Error::Kept(at.display().into_owned())),
            None => Ok(lent),
        }
    }

    fn take_out(&self, put: &Put, lent: &mut Lent) -> Result<(), Error> {
        let doing = || failed(format!("take `{}` out of the tree", put.at));
        let Some(parent) = put.at.parent() else { return Ok(()) };
        // The step may have removed the folder around it: then what was in it is gone too.
        let Ok(dir) = self.root.open_dir(&parent, Follow::No) else { return Ok(()) };
        let name = put.at.name();
        let there = dir.stat_opt(name).map_err(doing())?;
        let held = put.lent.as_ref().map(kernel::status).transpose().map_err(doing())?;
        // Only what was put in goes back: a link in its place would lead to wherever the step wants.
        let same = there
            .as_ref()
            .zip(held.as_ref())
            .is_some_and(|(there, held)| (there.dev, there.ino) == (held.device, held.ino));
        if let (Some(back), true) = (&put.back, same) {
            std::fs::rename(self.host_in(&dir, name), back).map_err(doing())?;
        } else if put.mount
            && !same
            && there.as_ref().is_some_and(|stat| stat.kind == FileKind::Dir)
        {
            // The step has moved what was put in, with the folder around it, and made another: nothing is
            // left to go back there.
            return Ok(());
        } else if there.is_some_and(|stat| stat.kind == FileKind::Dir) {
            dir.remove_all(name).map_err(doing())?;
        } else if there.is_some() {
            dir.unlink(name).map_err(doing())?;
        }
        if let Some(number) = put.old {
            let old = self.aside.join(number.to_string());
            std::fs::rename(old, self.host_in(&dir, name)).map_err(doing())?;
            if put.file {
                lent.spared.insert(put.at.clone());
            }
        }
        Ok(())
    }

    fn host_in(&self, dir: &sys::Dir, name: &[u8]) -> PathBuf {
        sys::path_of(dir).join(sys::as_path(name))
    }
}

// Tells whether a secret that was taken out has yet another name, in the tree or a cache. Whoever finds
// that finds nothing in it.
fn is_kept(secret: &OwnedFd) -> io::Result<bool> {
    let file = sys::path_of(secret);
    let kept = std::fs::metadata(&file)?.nlink() > 0;
    if kept {
        std::fs::OpenOptions::new().write(true).truncate(true).open(file)?;
    }
    Ok(kept)
}

fn path(text: &str) -> Result<ImagePath, Error> {
    ImagePath::from_entry(text.as_bytes())
        .map_err(|error| Error::Lost(format!("a path of our own is none: {error}")))
}
