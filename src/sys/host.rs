//! What this host lets a process do, found out by doing it in a process of its own.

use std::io;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, UnshareFlags, unshare_unsafe};

use super::child::{self, End, Fork};
use super::mount::{self, Limits};
use super::namespace::IdMode;

/// Returns which ids there are without a user namespace: all those that root can give files to, or
/// only one's own.
pub fn ids_without_namespace() -> IdMode {
    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    match has(needed) {
        true => IdMode::Root,
        false => IdMode::Bare,
    }
}

/// Tells whether a step can be run in a mere change of the root folder.
pub fn can_change_root() -> bool {
    has(CapabilitySet::SYS_CHROOT
        | CapabilitySet::MKNOD
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP)
}

fn has(needed: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Mounts a procfs of a fresh pid namespace, and lets go of it. An error is the kernel's: EPERM where
/// parts of the `/proc` that is seen here are masked, as in containers.
///
/// Has to be called while the process has one thread, and the powers of its namespaces.
pub fn fresh_proc() -> io::Result<()> {
    let attempt = || -> io::Result<()> {
        // SAFETY: namespaces only; this process ends in a moment.
        unsafe { unshare_unsafe(UnshareFlags::NEWPID | UnshareFlags::NEWNS)? };
        match child::fork()? {
            // The namespace begins with this one.
            Fork::Child => {
                let done = mount::new_mount("proc", &[], Limits::DATA);
                child::exit(number(&done.map(drop)))
            }
            Fork::Parent(inner) => told(inner.wait()?),
        }
    };
    match child::fork()? {
        Fork::Child => child::exit(number(&attempt())),
        Fork::Parent(outer) => told(outer.wait()?),
    }
}

// A result as an exit status: 0, or the error's number.
fn number(result: &io::Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        // An error with words of the kernel's has lost its number.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Errno::PERM.raw_os_error(),
        Err(error) => error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
    }
}

fn told(end: End) -> io::Result<()> {
    match end {
        End::Exited(0) => Ok(()),
        End::Exited(number) => Err(io::Error::from_raw_os_error(number)),
        End::Signaled(_) => Err(io::ErrorKind::Interrupted.into()),
    }
}
