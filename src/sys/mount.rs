//! Mounts as file descriptors: made detached, attached through descriptors, gone with them.
//!
//! No function here looks up a path of an image by string: targets are opened below the handle of
//! the step's root (`openat2` with `RESOLVE_IN_ROOT`), and mounted through that handle.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::base::ImagePath;

/// What may not be done on a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Limits {
    /// No writing.
    pub(crate) readonly: bool,
    /// No setuid programs.
    pub(crate) nosuid: bool,
    /// No devices.
    pub(crate) nodev: bool,
    /// No programs.
    pub(crate) noexec: bool,
}

impl Limits {
    /// Writable data: no setuid, devices, programs.
    pub(crate) const DATA: Limits =
        Limits { readonly: false, nosuid: true, nodev: true, noexec: true };
    /// As [`Limits::DATA`], and read-only.
    pub(crate) const READ: Limits = Limits { readonly: true, ..Limits::DATA };

    fn flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        for (wanted, flag) in [
            (self.readonly, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (self.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (self.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
            (self.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        flags
    }
}

/// Makes a new filesystem of type `kind` with `options`, and returns its detached mount.
pub(crate) fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    limits: Limits,
) -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let told = |error: Errno| {
        let log = log_of(fs.as_fd());
        if log.is_empty() {
            io::Error::from(error)
        } else {
            io::Error::new(io::Error::from(error).kind(), format!("{error}{log}"))
        }
    };
    rustix::mount::fsconfig_set_string(&fs, "source", kind).map_err(told)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, *value).map_err(told)?;
    }
    rustix::mount::fsconfig_create(&fs).map_err(io::Error::from)?;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, limits.flags())?)
}

/// Returns what the kernel wrote into the log of a filesystem context: `; overlay: …`, or nothing.
pub(crate) fn log_of(fs: BorrowedFd<'_>) -> String {
    let mut out = String::new();
    let mut line = [0u8; 512];
    // Each read gives one message; there are at most eight.
    for _ in 0..8 {
        let Ok(read) = rustix::io::read(fs, &mut line) else { break };
        let text = String::from_utf8_lossy(&line[..read]);
        let text = text.trim();
        out.push_str("; ");
        out.push_str(text.strip_prefix("e ").unwrap_or(text));
    }
    out
}

/// Returns a detached mount that shows the file or folder at a path of the host. A symlink as last
/// component is not followed.
pub(crate) fn clone_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Like [`clone_path`], with all that is mounted below.
pub(crate) fn clone_path_recursive(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Returns a detached mount that shows what `handle` is a handle of.
pub(crate) fn clone_handle(handle: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(rustix::mount::open_tree(handle, "", flags)?)
}

/// Like [`clone_handle`], with all that is mounted below.
pub(crate) fn clone_handle_recursive(handle: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(rustix::mount::open_tree(handle, "", flags)?)
}

/// Returns a detached mount that shows the file that a link of procfs leads to (`/proc/self/exe`),
/// and through which it cannot be changed. An error when another file is at that path by now.
pub(crate) fn sealed(link: &Path) -> io::Result<OwnedFd> {
    let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    // What the link itself leads to was opened in another mount namespace, and is none to clone.
    let (wanted, path) = (open(link)?, std::fs::read_link(link)?);
    let found = open(&path)?;
    let (wanted, there) = (rustix::fs::fstat(&wanted)?, rustix::fs::fstat(&found)?);
    if (wanted.st_dev, wanted.st_ino) != (there.st_dev, there.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mount = clone_handle(found)?;
    set_readonly(&mount, false)?;
    Ok(mount)
}

/// Tells whether a handle is of something in a procfs.
pub(crate) fn is_of_proc(handle: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(handle)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// Attaches a detached mount on top of what `target` is a handle of.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// Attaches a detached mount at a path of the host.
pub(crate) fn attach_at(mount: impl AsFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", CWD, path, flags)?)
}

/// Makes a mount read-only; with `recursive` all that is mounted below it, too.
pub(crate) fn set_readonly(mount: impl AsFd, recursive: bool) -> io::Result<()> {
    set_limits(mount, Limits { readonly: true, ..Limits::default() }, recursive)
}

/// Adds limits to a mount; with `recursive` to all that is mounted below it, too.
pub(crate) fn set_limits(mount: impl AsFd, limits: Limits, recursive: bool) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: u64::from(limits.flags().bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path is NUL-terminated, the struct lives until the call is over, and its
    // size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags as libc::c_uint,
            &attr as *const libc::mount_attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens `path` below `root` as the step would see it (`O_PATH`): symlinks stay inside. With
/// `nofollow` a symlink as last component is opened itself.
pub(crate) fn open_in_root(
    root: impl AsFd,
    path: &ImagePath,
    nofollow: bool,
) -> io::Result<OwnedFd> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if nofollow {
        flags |= OFlags::NOFOLLOW;
    }
    let relative: &[u8] = if path.is_root() { b"." } else { path.relative() };
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(&root, relative, flags, Mode::empty(), how) {
            Ok(fd) => return Ok(fd),
            // Somebody renamed a folder on the way (openat2(2)).
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The error of a path with more than 40 symlinks on its way.
pub(crate) fn too_many_links() -> io::Error {
    Errno::LOOP.into()
}

/// What a handle is a handle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Status {
    /// Type and permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) ino: u64,
    pub(crate) device: u64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
    /// Number of a device node: major, minor.
    pub(crate) number: (u32, u32),
}

impl Status {
    fn of(stat: &Stat) -> Self {
        Status {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            ino: stat.st_ino,
            device: stat.st_dev,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as i64),
            number: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        }
    }

    fn is(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    /// Tells whether this is the character device `major:minor`.
    pub(crate) fn is_char(&self, major: u32, minor: u32) -> bool {
        self.is(libc::S_IFCHR) && self.number == (major, minor)
    }
}

/// Returns the status of what `handle` is a handle of.
pub(crate) fn status(handle: impl AsFd) -> io::Result<Status> {
    Ok(Status::of(&rustix::fs::statat(handle, "", AtFlags::EMPTY_PATH)?))
}

/// Returns the status of the entry `name` of a folder, not following a symlink.
pub(crate) fn status_at(folder: impl AsFd, name: &[u8]) -> io::Result<Status> {
    Ok(Status::of(&rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Returns the number of the mount that `handle` lies on.
pub(crate) fn mount_id(handle: impl AsFd) -> io::Result<u64> {
    let status =
        rustix::fs::statx(handle, "", AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::MNT_ID)?;
    Ok(status.stx_mnt_id)
}

/// Makes a folder `name` in `folder`.
pub(crate) fn make_dir(folder: impl AsFd, name: &[u8], mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(folder, name, Mode::from_bits_retain(mode))?)
}

/// Makes a new file `name` in `folder` with `content`, owner and mode; a file that is there already
/// is an error. The owner stays that of the process where `owner` is `None`.
pub(crate) fn make_file(
    folder: impl AsFd,
    name: &[u8],
    content: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_bits_retain(0o600))?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(rustix::fs::fchmod(&file, Mode::from_bits_retain(mode))?)
}

/// Makes a character device `name` in `folder` that all may read and write.
pub(crate) fn make_device(
    folder: impl AsFd,
    name: &[u8],
    major: u32,
    minor: u32,
) -> io::Result<()> {
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, Mode::from_bits_retain(0o666));
    rustix::fs::mknodat(&folder, name, kind, mode, rustix::fs::makedev(major, minor))?;
    // Whatever the umask.
    Ok(rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?)
}

/// Makes a symlink `name` in `folder`.
pub(crate) fn make_link(folder: impl AsFd, name: &[u8], to: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(to, folder, name)?)
}

/// Returns what the symlink `name` in `folder` points to.
pub(crate) fn read_link(folder: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes())
}

/// Removes the file or, with `dir`, the empty folder `name`.
pub(crate) fn remove(folder: impl AsFd, name: &[u8], dir: bool) -> io::Result<()> {
    let flags = if dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(rustix::fs::unlinkat(folder, name, flags)?)
}

/// Sets the time of modification of a folder that a path handle stands for.
pub(crate) fn set_mtime(folder: impl AsFd, mtime: (i64, i64)) -> io::Result<()> {
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: rustix::fs::Timespec { tv_sec: mtime.0, tv_nsec: mtime.1 as _ },
    };
    Ok(rustix::fs::utimensat(folder, ".", &times, AtFlags::empty())?)
}

/// Returns a handle of this process's root folder.
pub(crate) fn root_folder() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes a folder handle the current folder.
pub(crate) fn enter(folder: impl AsFd) -> io::Result<()> {
    // A path handle does for fchdir(2).
    Ok(rustix::process::fchdir(folder)?)
}

/// Makes the mount that `root` is a handle of the root of this mount namespace, and lets go of all
/// that was mounted before.
pub(crate) fn pivot(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // The old root is stacked on the new one, where "." finds it (pivot_root(2), NOTES).
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Runs `work` on a thread with a mount namespace of its own, so that what it mounts at a place
/// disturbs nobody.
pub(crate) fn in_thread_namespace<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    std::thread::spawn(move || {
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        // SAFETY: current folder and mounts of this thread alone become its own; it is ours and ends
        // here.
        unsafe { unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS)? };
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)?;
        work()
    })
    .join()
    .unwrap_or_else(|_| Err(io::Error::other("the mounting thread panicked")))
}
