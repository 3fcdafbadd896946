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

/// Tells whether [`fresh_proc`] can be expected to succeed: nothing is mounted in `/proc`, as containers
/// do to mask parts of it. (What waits there for handlers of foreign programs hides nothing.)
pub fn is_proc_whole() -> bool {
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else { return false };
    is_whole(&mounts)
}

// The fifth field of a line is where the mount is (proc_pid_mountinfo(5)).
fn is_whole(mounts: &[u8]) -> bool {
    let mut places = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    places.all(|place| !place.starts_with(b"/proc/") || place == b"/proc/sys/fs/binfmt_misc")
}

/// Waits until this process has one thread, for a second at most: one that has been joined is a
/// thread to the kernel for a moment still.
pub fn wait_for_threads() {
    // A folder has a link from itself, one from above, and one from each folder in it.
    let alone = || rustix::fs::stat("/proc/self/task").map_or(true, |stat| stat.st_nlink <= 3);
    for _ in 0..1000 {
        if alone() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_in_proc_masks_it() {
        let proc = "25 30 0:23 / /proc rw,relatime - proc proc rw\n";
        let binfmt = "26 25 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n";
        let elsewhere = "27 30 0:31 / /srv/proc/acpi rw - tmpfs tmpfs rw\n";
        let masked = "28 25 0:32 / /proc/acpi ro - tmpfs tmpfs ro\n";
        for (mounts, want) in [
            (format!("{proc}{binfmt}{elsewhere}"), true),
            (format!("{proc}{binfmt}{masked}"), false),
        ] {
            assert_eq!(is_whole(mounts.as_bytes()), want, "{mounts}");
        }
    }
}
