//! Files of another process, reached the way that it would reach them.
//!
//! While this is used the current folder of this process is a procfs that shows the other ones
//! ([`Ground`]): `PID/cwd/name` and `PID/fd/N/name` are then paths like others, and `self/fd/N` names
//! what this process has open, also where nothing but its place is open. Absolute paths and links are
//! taken from this process's root, which has to be that of the other one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use super::caller::Caller;
use super::notify::Errno;
use super::own::{self, Node, Own};
use super::trap::{At, Base, Form, OpenFlags};

/// The root of this process and the procfs that it stands in, and the way back to them.
pub(crate) struct Ground {
    proc: OwnedFd,
    root: Option<OwnedFd>,
}

impl Ground {
    /// Takes the procfs, without going there yet.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Ground { proc: rustix::fs::open("/proc", flags, Mode::empty())?, root: None })
    }

    /// Goes to the procfs, and takes what is the root by now for the root of all callers.
    pub(crate) fn stand(&mut self) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.root = Some(rustix::fs::open("/", flags, Mode::empty())?);
        Ok(rustix::process::fchdir(&self.proc)?)
    }

    /// Makes the caller's root the root of this process, if it is another one; tells whether it was.
    pub(crate) fn enter_root_of(&self, caller: Caller) -> Result<bool, Errno> {
        let Some(own) = &self.root else { return Ok(false) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = format!("{}/root", caller.pid());
        let theirs = rustix::fs::openat(&self.proc, path, flags, Mode::empty())?;
        let is = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        if is(own)? == is(&theirs)? {
            return Ok(false);
        }
        self.change_root(&theirs)?;
        Ok(true)
    }

    /// Undoes [`Ground::enter_root_of`].
    pub(crate) fn leave_root(&self) -> Result<(), Errno> {
        match &self.root {
            Some(own) => self.change_root(own),
            None => Ok(()),
        }
    }

    fn change_root(&self, to: &OwnedFd) -> Result<(), Errno> {
        rustix::process::fchdir(to)?;
        let changed = rustix::process::chroot(".");
        rustix::process::fchdir(&self.proc)?;
        Ok(changed?)
    }
}

/// A file as a call names it; nothing is open yet.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Through the procfs; `None` for absolute paths.
    base: Option<String>,
    rest: Vec<u8>,
    follow: bool,
}

impl Place {
    /// Reads where a call points to.
    pub(crate) fn of(caller: Caller, at: &At) -> Result<Self, Errno> {
        let path = match at.path {
            Some(address) => caller.path(address)?,
            None => Vec::new(),
        };
        let pid = caller.pid();
        // Such paths are about who looks at them.
        if at.follow
            && let Some(number) = own_descriptor(&path)
        {
            let base = Some(format!("{pid}/fd/{number}"));
            return Ok(Place { base, rest: Vec::new(), follow: true });
        }
        if path.first() == Some(&b'/') {
            return Ok(Place { base: None, rest: path, follow: at.follow });
        }
        if path.is_empty() && !at.empty {
            return Err(Errno(libc::ENOENT));
        }
        let base = match at.base {
            Base::Cwd => format!("{pid}/cwd"),
            Base::Fd(number) => format!("{pid}/fd/{number}"),
        };
        // What a descriptor stands for is behind a link of the procfs, to be followed.
        let follow = at.follow || path.is_empty();
        Ok(Place { base: Some(base), rest: path, follow })
    }

    /// An absolute path.
    pub(crate) fn absolute(path: Vec<u8>) -> Self {
        Place { base: None, rest: path, follow: true }
    }

    /// Takes hold of the file, without opening it. Links of a procfs on the way are an error (`LOOP`):
    /// they lead to where the caller itself perhaps may not go.
    pub(crate) fn hold(&self) -> Result<Held, Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if self.rest.is_empty() {
            let base = self.base.as_deref().unwrap_or(".");
            let held = rustix::fs::openat(rustix::fs::CWD, base, flags, Mode::empty())?;
            return Ok(Held(held));
        }
        if !self.follow {
            flags |= OFlags::NOFOLLOW;
        }
        self.open_below(&self.rest, flags)
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<Held, Errno> {
        let base = match &self.base {
            Some(base) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Some(rustix::fs::open(base.as_str(), flags, Mode::empty())?)
            }
            None => None,
        };
        let base = base.as_ref().map_or(rustix::fs::CWD, std::os::fd::AsFd::as_fd);
        let resolve = ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(base, path, flags, Mode::empty(), resolve) {
            // Before Linux 5.6, and where a filter of the host does not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                Ok(Held(rustix::fs::openat(base, path, flags, Mode::empty())?))
            }
            other => Ok(Held(other?)),
        }
    }

    /// Takes hold of the folder that the file is in, and gives the file's name; `None` for what cannot
    /// be made, such as `..`.
    pub(crate) fn parent(&self) -> Result<Option<(Held, Vec<u8>)>, Errno> {
        let end = self.rest.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let rest = &self.rest[..end];
        let start = rest.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, name) = rest.split_at(start);
        if matches!(name, b"" | b"." | b"..") {
            return Ok(None);
        }
        let parent = if parent.is_empty() { b"." } else { parent };
        let held = self.open_below(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
        Ok(Some((held, name.to_vec())))
    }

    /// Tells whether the path says that it means a folder.
    pub(crate) fn ends_with_slash(&self) -> bool {
        self.rest.last() == Some(&b'/')
    }
}

/// Recognises the names under which a process finds its own descriptors.
fn own_descriptor(path: &[u8]) -> Option<u32> {
    match path {
        b"/dev/stdin" => return Some(0),
        b"/dev/stdout" => return Some(1),
        b"/dev/stderr" => return Some(2),
        _ => {}
    }
    let number = ["/proc/self/fd/", "/dev/fd/", "/proc/thread-self/fd/"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix.as_bytes()))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn text(path: Vec<u8>) -> Result<std::ffi::CString, Errno> {
    std::ffi::CString::new(path).map_err(|_| Errno::INVAL)
}

fn stat(path: &[u8], follow: bool) -> Result<Status, Errno> {
    let path = text(path.to_vec())?;
    // SAFETY: all zero bytes are a valid value of this struct of numbers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: the path ends with a NUL; the C library's struct is the kernel's on this machine.
    let done = unsafe {
        libc::syscall(
            libc::SYS_newfstatat,
            libc::AT_FDCWD,
            path.as_ptr(),
            std::ptr::from_mut(&mut status),
            flags,
        )
    };
    if done == 0 { Ok(Status(status)) } else { Err(io::Error::last_os_error().into()) }
}

/// A file that is held, though perhaps not open.
#[derive(Debug)]
pub(crate) struct Held(OwnedFd);

impl Held {
    fn path(&self) -> Vec<u8> {
        format!("self/fd/{}", self.0.as_raw_fd()).into_bytes()
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [&self.path()[..], b"/", name].concat()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }

    /// Returns the record of the file. `UNSUPPORTED` where its file system takes none.
    pub(crate) fn own(&self) -> Result<Option<Own>, Errno> {
        Ok(own::at(&self.path(), true)?)
    }

    /// Returns the status of the file, as the kernel has it.
    pub(crate) fn stat(&self) -> Result<Status, Errno> {
        stat(&self.path(), true)
    }

    /// The same in the newer form.
    pub(crate) fn statx(&self, flags: u32, mask: u32) -> Result<StatusX, Errno> {
        let path = text(self.path())?;
        let mut bytes = [0u8; 256];
        let flags = flags as i32 & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH);
        // SAFETY: the path ends with a NUL, and the buffer has the size of `struct statx`.
        let done = unsafe {
            libc::syscall(
                libc::SYS_statx,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags,
                mask,
                bytes.as_mut_ptr(),
            )
        };
        if done == 0 { Ok(StatusX(bytes)) } else { Err(io::Error::last_os_error().into()) }
    }

    /// Tells whether the file begins like a script. What cannot be read does not.
    pub(crate) fn is_script(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::open(self.path(), flags, Mode::empty()) else {
            return false;
        };
        let mut start = [0u8; 2];
        rustix::io::read(&file, &mut start).is_ok_and(|got| got == 2) && start == *b"#!"
    }

    /// Records an owner.
    pub(crate) fn set_own(&self, own: Own, status: &Status) -> Result<(), Errno> {
        Ok(own::set(&self.path(), true, status.is_special(), own)?)
    }

    /// Does what the kernel does when a file changes hands, but for the hands: set-id bits and
    /// capabilities go, the time of change moves, the file is copied up.
    pub(crate) fn chown(&self) -> Result<(), Errno> {
        let root = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
        let (uid, gid) = (Some(root.0), Some(root.1));
        Ok(rustix::fs::chownat(&self.0, "", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    /// Makes the folder `name`.
    pub(crate) fn make_dir(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        Ok(rustix::fs::mkdirat(&self.0, name, Mode::from_bits_truncate(mode))?)
    }

    /// Makes the symlink `name`.
    pub(crate) fn make_link(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// Makes `name` with `mknod`; the type is in the mode, and none is a device.
    pub(crate) fn make_node(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        let name = text(name.to_vec())?;
        // SAFETY: the path ends with a NUL.
        let done =
            unsafe { libc::mknodat(self.0.as_raw_fd(), name.as_ptr(), mode as libc::mode_t, 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
    }

    /// Makes the file `name` and opens it; an error if there is something of that name.
    pub(crate) fn make_file(
        &self,
        name: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Held, Errno> {
        let exclusive = libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOCTTY;
        self.open(name, flags.0 | exclusive, mode)
    }

    /// Opens a new file without a name in this folder.
    pub(crate) fn make_unnamed(&self, flags: OpenFlags, mode: u32) -> Result<Held, Errno> {
        self.open(b".", flags.0 | libc::O_CLOEXEC, mode)
    }

    fn open(&self, name: &[u8], flags: i32, mode: u32) -> Result<Held, Errno> {
        let name = text(name.to_vec())?;
        // SAFETY: the path ends with a NUL; what comes back is a new descriptor, or an error.
        let fd = unsafe { libc::openat(self.0.as_raw_fd(), name.as_ptr(), flags, mode & 0o7777) };
        if fd < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: see above.
        Ok(Held(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Returns the status of `name`.
    pub(crate) fn stat_of(&self, name: &[u8]) -> Result<Status, Errno> {
        stat(&self.path_of(name), false)
    }

    /// Records the owner of `name`, which was made just now.
    pub(crate) fn set_own_of(&self, name: &[u8], own: Own) -> Result<(), Errno> {
        let path = self.path_of(name);
        let special = stat(&path, false)?.is_special();
        Ok(own::set(&path, false, special, own)?)
    }
}

/// The status of a file.
#[derive(Clone, Copy)]
pub(crate) struct Status(libc::stat);

impl Status {
    /// The type of a regular file, in a mode.
    pub(crate) const FILE: u32 = libc::S_IFREG;

    /// Which device a call of `mknod` asks for; `None` for anything else. The number is as the kernel
    /// takes it (`new_decode_dev`).
    pub(crate) fn node(mode: u32, device: u32) -> Option<Node> {
        let block = match mode & libc::S_IFMT {
            libc::S_IFCHR => false,
            libc::S_IFBLK => true,
            _ => return None,
        };
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
        Some(Node { block, major, minor })
    }

    fn kind(&self) -> libc::mode_t {
        self.0.st_mode & libc::S_IFMT
    }

    /// Which inode it is.
    #[allow(clippy::unnecessary_cast, reason = "other machines have other types")]
    pub(crate) fn inode(&self) -> (u64, u64) {
        (self.0.st_dev as u64, self.0.st_ino as u64)
    }

    /// Symlinks, pipes, sockets: what takes no attributes of users.
    pub(crate) fn is_special(&self) -> bool {
        !matches!(self.kind(), libc::S_IFREG | libc::S_IFDIR)
    }

    /// A regular file, also one that stands for a device.
    pub(crate) fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }

    /// Permission and other bits of the mode.
    pub(crate) fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// The owner that the kernel has for it.
    pub(crate) fn real_owner(&self) -> (u32, u32) {
        (self.0.st_uid, self.0.st_gid)
    }

    /// Shows the owner and the device of a record.
    pub(crate) fn show(&mut self, own: Own) {
        (self.0.st_uid, self.0.st_gid) = (own.uid, own.gid);
        if let Some(node) = own.node
            && self.is_file()
        {
            let kind = if node.block { libc::S_IFBLK } else { libc::S_IFCHR };
            self.0.st_mode = kind | (self.0.st_mode & 0o7777);
            self.0.st_rdev = libc::makedev(node.major, node.minor) as _;
            self.0.st_size = 0;
        }
    }

    /// Returns the bytes that the caller's call gives.
    pub(crate) fn bytes(&self, form: Form) -> Vec<u8> {
        match form {
            // SAFETY: a struct of numbers that was zeroed as a whole, padding included, before the
            // kernel filled it.
            Form::Native => unsafe {
                let first = std::ptr::from_ref(&self.0).cast::<u8>();
                std::slice::from_raw_parts(first, size_of::<libc::stat>()).to_vec()
            },
            #[cfg(target_arch = "x86_64")]
            Form::Stat64 => self.stat64(),
        }
    }

    // arch/x86/include/uapi/asm/stat.h, `struct stat64` of i386: 96 bytes, no padding but its own.
    #[cfg(target_arch = "x86_64")]
    fn stat64(&self) -> Vec<u8> {
        let s = &self.0;
        let mut out = Vec::with_capacity(96);
        let mut long = |number: u64| out.extend_from_slice(&number.to_le_bytes());
        long(s.st_dev);
        long(s.st_ino << 32);
        long(u64::from(s.st_mode) | s.st_nlink << 32);
        long(u64::from(s.st_uid) | u64::from(s.st_gid) << 32);
        long(s.st_rdev);
        let size = s.st_size as u64;
        long(size << 32);
        long(size >> 32 | (s.st_blksize as u64) << 32);
        long(s.st_blocks as u64);
        for (seconds, nanos) in [
            (s.st_atime, s.st_atime_nsec),
            (s.st_mtime, s.st_mtime_nsec),
            (s.st_ctime, s.st_ctime_nsec),
        ] {
            long(u64::from(seconds as u32) | (nanos as u64) << 32);
        }
        long(s.st_ino);
        out
    }
}

/// The status of a file in the newer form (linux/stat.h, `struct statx`).
pub(crate) struct StatusX([u8; 256]);

impl StatusX {
    /// See [`Status::show`].
    pub(crate) fn show(&mut self, own: Own) {
        let mut put = |at: usize, bytes: &[u8]| self.0[at..at + bytes.len()].copy_from_slice(bytes);
        put(20, &own.uid.to_le_bytes());
        put(24, &own.gid.to_le_bytes());
        let mode = u16::from_le_bytes([self.0[28], self.0[29]]);
        if let Some(node) = own.node
            && libc::mode_t::from(mode) & libc::S_IFMT == libc::S_IFREG
        {
            let kind = if node.block { libc::S_IFBLK } else { libc::S_IFCHR };
            let mut put =
                |at: usize, bytes: &[u8]| self.0[at..at + bytes.len()].copy_from_slice(bytes);
            put(28, &(kind as u16 | mode & 0o7777).to_le_bytes());
            put(40, &0u64.to_le_bytes());
            put(128, &node.major.to_le_bytes());
            put(132, &node.minor.to_le_bytes());
        }
    }

    /// Returns the bytes that the caller's call gives.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}
