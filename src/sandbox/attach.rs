//! The operations of a step's first process: what is mounted and made in its tree, one after the other.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::init::{Cwd, Failure, Inside, Report, While, in_words, say};
use super::isolation::Keeping;
use super::setup::Setup;
use super::stubs::Points;
use crate::base::{ImagePath, Secret};
use crate::sys::IdMode;
use crate::sys::child;
use crate::sys::mount::{self, Limits};

// The folder in memory out of which single files are mounted.
struct Stage {
    folder: OwnedFd,
    secrets: Option<OwnedFd>,
    files: usize,
}

impl Inside<'_> {
    /// Makes what the orders list, and the change of the root if there is one.
    pub(super) fn set_up(&mut self) -> Result<Cwd, Failure> {
        let setup = std::mem::take(&mut self.orders.setup);
        let [root, upper, ..] = self.fds.as_slice() else {
            return Err(io::Error::from(io::ErrorKind::InvalidData))
                .doing(|| "find the tree of the step".into());
        };
        let mut stage = None;
        let mut points = None;
        for one in &setup {
            match one {
                Setup::Root => {
                    if self.orders.keeping != Keeping::Chroot {
                        stage = Some(attach_root(root).doing(|| "attach the tree".into())?);
                    }
                    points = Some(Points::new(root).doing(|| "look at the tree".into())?);
                    only_folders(root)?;
                }
                Setup::Hostname(name) => {
                    child::set_hostname(name).doing(|| "set the host name".into())?;
                }
                Setup::Loopback => {
                    child::loopback_up().doing(|| "bring the loopback device up".into())?;
                }
                Setup::Pivot => break,
                other => {
                    let (Some(stage), Some(points)) = (stage.as_mut(), points.as_mut()) else {
                        return Err(io::Error::from(io::ErrorKind::InvalidData))
                            .doing(|| "find the tree of the step".into());
                    };
                    self.perform(other, root, stage, points)?;
                }
            }
        }
        let Some(mut points) = points else {
            return Err(io::Error::from(io::ErrorKind::InvalidData))
                .doing(|| "find the tree of the step".into());
        };
        let path = self.orders.cwd.path();
        let named = || format!("go to the working directory `{path}`");
        let folder = points.open(&path, true, false).doing(named)?;
        if !mount::status(&folder).doing(named)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory)).doing(named);
        }
        if self.orders.keeping == Keeping::Chroot {
            let stubs = points.finish(upper).doing(|| "look at the mount points".into())?;
            say(self.control, &Report::Ready(stubs));
            return Ok(Cwd { folder, proc: None, watch: None });
        }
        let proc = if self.orders.id_mode != IdMode::Single {
            None
        } else if self.orders.keeping == Keeping::Subreaper {
            // The step's own is read-only, and this one is for writing the maps of ids.
            let proc = mount::clone_path_recursive(Path::new("/proc"));
            Some(proc.doing(|| "open /proc".into())?)
        } else {
            let at = ImagePath::from_entry(b"proc").unwrap_or_else(|_| ImagePath::root());
            Some(mount::open_in_root(root, &at, true).doing(|| "open /proc".into())?)
        };
        let watch = match self.orders.audit {
            true => {
                let at = ImagePath::from_entry(b"proc").unwrap_or_else(|_| ImagePath::root());
                Some(mount::open_in_root(root, &at, true).doing(|| "open /proc".into())?)
            }
            false => None,
        };
        let stubs = points.finish(upper).doing(|| "look at the mount points".into())?;
        mount::pivot(root).doing(|| "change the root".into())?;
        say(self.control, &Report::Ready(stubs));
        Ok(Cwd { folder, proc, watch })
    }

    fn perform(
        &self,
        one: &Setup,
        root: &OwnedFd,
        stage: &mut Stage,
        points: &mut Points<'_>,
    ) -> Result<(), Failure> {
        match one {
            // Met by the caller.
            Setup::Root | Setup::Hostname(_) | Setup::Loopback | Setup::Pivot => Ok(()),
            Setup::Proc => {
                let at = own_folder("/proc", root, points)?;
                let limits = Limits { nosuid: true, nodev: true, noexec: true, readonly: false };
                let proc = mount::new_mount("proc", &[], limits).map_err(masked_proc);
                proc.and_then(|proc| mount::attach(proc, at)).doing(|| "mount `/proc`".into())
            }
            Setup::HostProc => {
                let at = own_folder("/proc", root, points)?;
                // Other processes of the same user are in there, the builder's too: nothing of theirs
                // (`oom_score_adj`) may be written.
                mount::clone_path_recursive(Path::new("/proc"))
                    .and_then(|proc| mount::set_limits(&proc, Limits::READ, true).map(|()| proc))
                    .and_then(|proc| mount::attach(proc, at))
                    .doing(|| "show the `/proc` of outside".into())
            }
            Setup::Sysfs => {
                let at = own_folder("/sys", root, points)?;
                mount::new_mount("sysfs", &[], Limits::READ)
                    .or_else(|_| host_sys())
                    .and_then(|sys| mount::attach(sys, at))
                    .doing(|| "mount `/sys`".into())
            }
            Setup::HostSys => {
                let at = own_folder("/sys", root, points)?;
                host_sys().and_then(|sys| mount::attach(sys, at)).doing(|| "mount `/sys`".into())
            }
            Setup::Tmpfs { target, size, mode, of_builder } => {
                let path = target.path();
                let at = if *of_builder && path.parent().is_some_and(|parent| parent.is_root()) {
                    own_folder(&path.display(), root, points)?
                } else {
                    points.open(&path, true, true).doing(|| format!("make `{path}`"))?
                };
                tmpfs(*size, *mode)
                    .and_then(|tmpfs| mount::attach(tmpfs, at))
                    .doing(|| format!("mount a tmpfs on `{path}`"))
            }
            Setup::Node { target, major, minor } => node(&target.path(), *major, *minor, points)
                .doing(|| format!("make `{}`", target.path())),
            Setup::Pts { group } => {
                let group = group.map(|group| group.to_string());
                let mut options = vec![("ptmxmode", "0666"), ("mode", "0620")];
                options.extend(group.as_deref().map(|group| ("gid", group)));
                let limits = Limits { nosuid: true, noexec: true, ..Limits::default() };
                mount_new("devpts", &options, limits, "/dev/pts", points)
            }
            Setup::Mqueue => {
                // A kernel may lack them (CONFIG_POSIX_MQUEUE): then there are none.
                let _ = mount_new("mqueue", &[], Limits::DATA, "/dev/mqueue", points);
                Ok(())
            }
            Setup::Link { at, to } => {
                let path = at.path();
                let parent = path.parent().unwrap_or_else(ImagePath::root);
                mount::open_in_root(root, &parent, true)
                    .and_then(|folder| mount::make_link(folder, path.name(), &to.0))
                    .doing(|| format!("make `{path}`"))
            }
            Setup::Mask(target) => {
                mask(root, &target.path()).doing(|| format!("hide `{}`", target.path()))
            }
            Setup::ReadOnly(target) => {
                protect(root, &target.path()).doing(|| format!("protect `{}`", target.path()))
            }
            Setup::Note { target, bytes } => {
                let path = target.path();
                let content = self.bytes.get(*bytes).map_or(&b""[..], Secret::expose);
                stage
                    .file(content, 0o644, None, false)
                    .and_then(|file| mount::attach(file, points.open(&path, false, true)?))
                    .doing(|| format!("mount `{path}`"))
            }
            Setup::File { target, bytes, uid, gid, mode } => {
                let path = target.path();
                let content = self.bytes.get(*bytes).map_or(&b""[..], Secret::expose);
                // With one id there is no other owner; the command, whoever it is, is that one.
                let owner = self.orders.id_mode.has_many().then_some((*uid, *gid));
                stage
                    .file(content, *mode, owner, true)
                    .and_then(|file| mount::attach(file, points.open(&path, false, true)?))
                    .doing(|| format!("mount a file on `{path}`"))
            }
            Setup::Attach { target, fd } => {
                let path = target.path();
                let doing = || format!("mount `{path}`");
                if path.is_root() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the target of a mount cannot be the root",
                    ))
                    .doing(doing);
                }
                let Some(source) = self.fds.get(*fd) else {
                    return Err(io::Error::from(io::ErrorKind::InvalidData)).doing(doing);
                };
                let dir = mount::status(source).doing(doing)?.is_dir();
                let at = points.open(&path, dir, true).doing(doing)?;
                mount::attach(source, at).doing(doing)
            }
        }
    }
}

// A folder in memory of the step's own mount namespace, over a folder of the host that every system
// has; the tree is attached in it. All of it is let go with the host's root.
fn attach_root(root: &OwnedFd) -> io::Result<Stage> {
    let folder = mount::new_mount("tmpfs", &[("mode", "0700"), ("size", "8m")], Limits::DATA)?;
    let mut attached = Err(io::ErrorKind::NotFound.into());
    for place in ["/tmp", "/mnt", "/run", "/var", "/proc"] {
        attached = mount::attach_at(&folder, Path::new(place));
        if attached.is_ok() {
            break;
        }
    }
    attached?;
    mount::make_dir(&folder, b"root", 0o700)?;
    let at = ImagePath::from_entry(b"root").map_err(io::Error::other)?;
    mount::attach(root, mount::open_in_root(&folder, &at, true)?)?;
    Ok(Stage { folder, secrets: None, files: 0 })
}

impl Stage {
    // A file as a detached mount. The lasting kind is read-only and in memory that is never swapped.
    fn file(
        &mut self,
        content: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
        unswapped: bool,
    ) -> io::Result<OwnedFd> {
        let name = format!("file{}", self.files);
        self.files += 1;
        let at = ImagePath::from_entry(name.as_bytes()).map_err(io::Error::other)?;
        let folder = if unswapped { self.secrets()? } else { &self.folder };
        mount::make_file(folder, name.as_bytes(), content, mode, owner)?;
        let file = mount::clone_handle(mount::open_in_root(folder, &at, true)?)?;
        if unswapped {
            // A script that was made up by the builder is run by its own path.
            let noexec = mode & 0o111 == 0;
            mount::set_limits(&file, Limits { noexec, ..Limits::READ }, false)?;
        }
        Ok(file)
    }

    fn secrets(&mut self) -> io::Result<&OwnedFd> {
        if self.secrets.is_none() {
            let limits = Limits { noexec: false, ..Limits::DATA };
            let memory = mount::new_mount("ramfs", &[("mode", "0700")], limits)?;
            mount::make_dir(&self.folder, b"secrets", 0o700)?;
            let at = ImagePath::from_entry(b"secrets").map_err(io::Error::other)?;
            mount::attach(&memory, mount::open_in_root(&self.folder, &at, true)?)?;
            self.secrets = Some(memory);
        }
        self.secrets.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Refuses a tree in which a place that the step is made of is there and no folder. A link there would
/// steer what is mounted or made: to elsewhere in the tree, and without namespaces to the host. To be
/// asked before the first is.
pub(super) fn only_folders(root: &OwnedFd) -> Result<(), Failure> {
    for path in ["/proc", "/sys", "/dev", "/etc", "/run"] {
        let doing = || format!("use `{path}`");
        let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
        let Some(found) = present(root, &at).doing(doing)? else { continue };
        let status = mount::status(&found).doing(doing)?;
        if !status.is_dir() {
            let what = if status.is_symlink() { "a symlink" } else { "no folder" };
            return Err(io::Error::other(format!("it is {what} in the image"))).doing(doing);
        }
    }
    Ok(())
}

// A folder of the image that is ours to mount on. A symlink there would steer the mount elsewhere
// in the tree.
fn own_folder(path: &str, root: &OwnedFd, points: &mut Points<'_>) -> Result<OwnedFd, Failure> {
    let doing = || format!("mount `{path}`");
    let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
    if let Ok(found) = mount::open_in_root(root, &at, true) {
        let status = mount::status(&found).doing(doing)?;
        if !status.is_dir() {
            let what = if status.is_symlink() { "a symlink" } else { "no folder" };
            return Err(io::Error::other(format!("it is {what} in the image"))).doing(doing);
        }
        return Ok(found);
    }
    points.open(&at, true, true).doing(doing)
}

fn mount_new(
    kind: &str,
    options: &[(&str, &str)],
    limits: Limits,
    path: &str,
    points: &mut Points<'_>,
) -> Result<(), Failure> {
    let doing = || format!("mount `{path}`");
    let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
    let new = mount::new_mount(kind, options, limits).doing(doing)?;
    let at = points.open(&at, true, true).doing(doing)?;
    mount::attach(new, at).doing(doing)
}

fn tmpfs(size: Option<u64>, mode: u32) -> io::Result<OwnedFd> {
    let mode = format!("{mode:o}");
    let size = size.map(|size| size.to_string());
    let mut options = vec![("mode", mode.as_str())];
    options.extend(size.as_deref().map(|size| ("size", size)));
    mount::new_mount("tmpfs", &options, Limits { nosuid: true, ..Limits::default() })
}

fn node(path: &ImagePath, major: u32, minor: u32, points: &mut Points<'_>) -> io::Result<()> {
    let text = path.display();
    let of_host = match mount::clone_path(Path::new(&*text)) {
        Ok(node) => node,
        // The host has none (often no /dev/tty): neither has the step.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !mount::status(&of_host)?.is_char(major, minor) {
        return Err(io::Error::other("on this host it is not the device of that name"));
    }
    mount::attach(of_host, points.open(path, false, true)?)
}

fn host_sys() -> io::Result<OwnedFd> {
    let sys = mount::clone_path_recursive(Path::new("/sys"))?;
    mount::set_limits(&sys, Limits::READ, true)?;
    Ok(sys)
}

fn masked_proc(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!(
            "{}: parts of the host's own `/proc` are masked, as in a container; run the container \
             with an unmasked `/proc` (`--security-opt systempaths=unconfined`, or \
             `procMount: Unmasked`)",
            in_words(&error)
        ),
    )
}

fn mask(root: &OwnedFd, path: &ImagePath) -> io::Result<()> {
    let Some(at) = present(root, path)? else { return Ok(()) };
    if mount::status(&at)?.is_dir() {
        let empty = mount::new_mount("tmpfs", &[("mode", "0555"), ("size", "0")], Limits::READ)?;
        return mount::attach(empty, at);
    }
    let null = mount::clone_path(Path::new("/dev/null"))?;
    if !mount::status(&null)?.is_char(1, 3) {
        return Err(io::Error::other("`/dev/null` of this host is not the null device"));
    }
    mount::attach(null, at)
}

fn protect(root: &OwnedFd, path: &ImagePath) -> io::Result<()> {
    let Some(at) = present(root, path)? else { return Ok(()) };
    let same = mount::clone_handle_recursive(&at)?;
    mount::set_limits(&same, Limits::READ, true)?;
    mount::attach(same, at)
}

fn present(root: &OwnedFd, path: &ImagePath) -> io::Result<Option<OwnedFd>> {
    match mount::open_in_root(root, path, true) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
