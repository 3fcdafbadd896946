//! A second fence around a step, made by the process itself (landlock(7)): files beneath one folder,
//! signals and abstract unix sockets among its own. Best effort: what the kernel does not have is
//! left out, and the caller is told. Who wants to say so beforehand asks [`try_fence`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::child::{self, Fork};

/// What a process may reach, itself and all that it starts from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fence<'a> {
    /// Files: all that lies beneath this folder, and nothing else. `None` leaves files alone.
    pub(crate) beneath: Option<BorrowedFd<'a>>,
    /// Signals go to processes behind the same fence only.
    pub(crate) signals: bool,
    /// So do connections to abstract unix sockets.
    pub(crate) sockets: bool,
}

/// What of a [`Fence`] is there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fenced {
    /// Files are.
    pub(crate) files: bool,
    /// Signals and sockets are (as far as they were asked for).
    pub(crate) scopes: bool,
}

// uapi/linux/landlock.h
const VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
const SCOPE_SIGNAL: u64 = 2;

#[repr(C)]
struct Ruleset {
    files: u64,
    net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    folder: i32,
}

/// Returns the revision of the kernel's interface.
pub(crate) fn revision() -> io::Result<u32> {
    // SAFETY: without attributes and with this flag the call reads no memory.
    let revision = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION)
    };
    u32::try_from(revision).map_err(|_| io::Error::last_os_error())
}

/// Why there is no such fence here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoFence(String);

/// Puts a fence around files up in a child of this process, as around a step; returns the revision of the
/// kernel's interface. To be called while this process has one thread.
pub fn try_fence() -> Result<u32, NoFence> {
    let told = |error: io::Error| {
        NoFence(match error.raw_os_error() {
            Some(libc::ENOSYS) => "this kernel has no Landlock, or a filter hides it".to_owned(),
            Some(libc::EOPNOTSUPP) => "Landlock is not switched on in this kernel".to_owned(),
            _ => format!("Landlock is refused: {error}"),
        })
    };
    let revision = revision().map_err(told)?;
    let tried = || -> io::Result<bool> {
        let root = super::mount::root_folder()?;
        child::no_new_privs()?;
        let fence = Fence { beneath: Some(root.as_fd()), signals: true, sockets: true };
        Ok(fence.put_up()?.files)
    };
    match child::fork().map_err(told)? {
        // Numbers of errors begin with 1, and are below 256 (errno(3)).
        Fork::Child => child::exit(match tried() {
            Ok(true) => 0,
            Ok(false) => 255,
            Err(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
        }),
        Fork::Parent(child) => match child.wait().map_err(told)? {
            child::End::Exited(0) => Ok(revision),
            child::End::Exited(255) => {
                Err(NoFence(format!("Landlock's revision {revision} is too old to fence files in")))
            }
            child::End::Exited(error) => Err(told(io::Error::from_raw_os_error(error))),
            child::End::Signaled(signal) => Err(NoFence(format!(
                "Landlock is refused: who asks for it is killed by signal {signal}"
            ))),
        },
    }
}

/// Tells whether [`try_fence`] can be expected to succeed, without a child: the kernel knows fences, and
/// such as hold files in.
pub fn is_fence_known() -> bool {
    revision().is_ok_and(|revision| file_rights(revision) != 0)
}

// All rights on files of a revision. The first one has none to link and rename between folders, and
// so forbids it: it is not used.
fn file_rights(revision: u32) -> u64 {
    match revision {
        0 | 1 => 0,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

impl Fence<'_> {
    /// Puts the fence up, for good. Needs `no_new_privs` or CAP_SYS_ADMIN in the user namespace.
    pub(crate) fn put_up(&self) -> io::Result<Fenced> {
        let revision = revision()?;
        let files = if self.beneath.is_some() { file_rights(revision) } else { 0 };
        let mut scoped = 0;
        if revision >= 6 {
            scoped |= if self.sockets { SCOPE_ABSTRACT_UNIX_SOCKET } else { 0 };
            scoped |= if self.signals { SCOPE_SIGNAL } else { 0 };
        }
        if files == 0 && scoped == 0 {
            return Ok(Fenced::default());
        }
        let attributes = Ruleset { files, net: 0, scoped };
        // Older kernels refuse a struct with more than they know.
        let size = match revision {
            0..=3 => 8,
            4 | 5 => 16,
            _ => size_of::<Ruleset>(),
        };
        // SAFETY: the kernel reads `size` bytes of a struct that is at least as long.
        let rules = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &attributes as *const Ruleset,
                size,
                0u32,
            )
        };
        let rules = i32::try_from(rules).ok().filter(|fd| *fd >= 0);
        let Some(rules) = rules else { return Err(io::Error::last_os_error()) };
        // SAFETY: a new descriptor, owned here alone.
        let rules = unsafe { OwnedFd::from_raw_fd(rules) };
        if let (Some(folder), true) = (self.beneath, files != 0) {
            let rule = Beneath { allowed: files, folder: folder.as_raw_fd() };
            // SAFETY: the kernel reads one struct of this kind, which lives until the call is over.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_landlock_add_rule,
                    rules.as_raw_fd(),
                    RULE_PATH_BENEATH,
                    &rule as *const Beneath,
                    0u32,
                )
            };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the call takes a descriptor and a number.
        let done = unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, rules.as_fd().as_raw_fd(), 0u32)
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Fenced { files: files != 0, scopes: scoped != 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    // Runs `check` in a forked process, which may fence itself in; its number is the verdict.
    fn in_child(check: impl FnOnce() -> i32) -> i32 {
        match child::fork().unwrap() {
            Fork::Child => child::exit(check()),
            Fork::Parent(child) => match child.wait().unwrap() {
                child::End::Exited(code) => code,
                child::End::Signaled(signal) => 128 + signal,
            },
        }
    }

    #[test]
    fn a_fence_keeps_files_and_signals_inside() {
        let revision = revision().unwrap_or(0);
        if revision < 6 {
            let why = format!("this kernel's Landlock has no scopes (revision {revision})");
            crate::base::skipped("a_fence_keeps_files_and_signals_inside", &why);
            return;
        }
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = std::fs::File::open(inside.path()).unwrap();
        std::fs::write(outside.path().join("f"), "x").unwrap();
        let parent = rustix::process::getpid();
        let name = format!("rbuild-landlock-{}", parent.as_raw_nonzero());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listens = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        let code = in_child(|| {
            if child::no_new_privs().is_err() {
                return 1;
            }
            let fence =
                Fence { beneath: Some(folder.as_fd()), signals: true, sockets: true }.put_up();
            if fence.ok() != Some(Fenced { files: true, scopes: true }) {
                return 2;
            }
            if std::fs::write(inside.path().join("f"), "y").is_err() {
                return 3;
            }
            if std::fs::read(outside.path().join("f")).is_ok() {
                return 4;
            }
            if UnixStream::connect_addr(&address).is_ok() {
                return 6;
            }
            let signal = rustix::process::test_kill_process(parent);
            if signal != Err(rustix::io::Errno::PERM) { 5 } else { 0 }
        });
        assert_eq!(code, 0);
    }
}
