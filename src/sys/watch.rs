//! Filters of system calls that tell, for audits: of connections to a tracer, of refused calls to a
//! listener. They allow nothing that the filter of steps does not.

use std::io;
use std::os::fd::OwnedFd;

use super::bpf::{ALLOW, NUMBER, Test, end, load, unless};
use super::notify;
use super::seccomp::Filter;

const RET_TRACE: u32 = 0x7ff0_0000;

/// What comes with the stop of a connect, for the tracer to know it by.
pub(super) const CONNECT: u32 = 1;

/// Has the tracer stop this process, and all that it starts, at each connect. Without a tracer the call
/// is refused (ENOSYS).
pub(crate) fn stop_at_connects() -> io::Result<()> {
    let part = |number: u32| {
        let look = end(RET_TRACE | CONNECT);
        vec![load(NUMBER), unless(Test::Equal(number), 1), look, end(ALLOW)]
    };
    let code = part(libc::SYS_connect as u32);
    // The number of i386.
    #[cfg(target_arch = "x86_64")]
    let code = super::bpf::for_architecture(super::trap_i386::ARCH, part(362), code);
    notify::install_code(&code, 0).map(drop)
}

impl Filter {
    /// As [`Filter::install`]; calls that are refused with EPERM are told to the listener, which has to
    /// refuse them. Without one they are refused all the same (ENOSYS).
    pub(crate) fn install_telling() -> io::Result<OwnedFd> {
        let filter = Filter::telling()?;
        notify::install_code(&filter.allow, 0)?;
        notify::install_listening(&filter.refuse)
    }
}

/// Returns the name of a refused call.
pub(crate) fn name_of(call: &notify::Call) -> String {
    name(call.arch, call.number)
}

fn name(arch: u32, number: i32) -> String {
    #[cfg(target_arch = "x86_64")]
    if arch == super::trap_i386::ARCH {
        return super::seccomp_i386::name_of(number as u32)
            .map_or_else(|| format!("call {number} of i386"), str::to_owned);
    }
    let _ = arch;
    let known = NAMES.iter().find(|(other, _)| *other == i64::from(number));
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).to_owned())
}

#[rustfmt::skip] // one call a line would hide the groups
const NAMES: &[(i64, &str)] = &[
    (libc::SYS_mount, "mount"), (libc::SYS_umount2, "umount2"),
    (libc::SYS_pivot_root, "pivot_root"), (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_open_tree, "open_tree"), (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_fsconfig, "fsconfig"), (libc::SYS_fsmount, "fsmount"), (libc::SYS_fspick, "fspick"),
    (libc::SYS_mount_setattr, "mount_setattr"), (libc::SYS_setns, "setns"),
    (libc::SYS_open_by_handle_at, "open_by_handle_at"),
    (libc::SYS_fanotify_init, "fanotify_init"), (libc::SYS_fanotify_mark, "fanotify_mark"),
    (libc::SYS_quotactl, "quotactl"), (libc::SYS_quotactl_fd, "quotactl_fd"),
    (libc::SYS_kexec_load, "kexec_load"), (libc::SYS_init_module, "init_module"),
    (libc::SYS_finit_module, "finit_module"), (libc::SYS_delete_module, "delete_module"),
    (libc::SYS_bpf, "bpf"), (libc::SYS_perf_event_open, "perf_event_open"),
    (libc::SYS_userfaultfd, "userfaultfd"), (libc::SYS_reboot, "reboot"),
    (libc::SYS_swapon, "swapon"), (libc::SYS_swapoff, "swapoff"), (libc::SYS_acct, "acct"),
    (libc::SYS_syslog, "syslog"), (libc::SYS_vhangup, "vhangup"),
    (libc::SYS_settimeofday, "settimeofday"), (libc::SYS_clock_settime, "clock_settime"),
    (libc::SYS_clock_adjtime, "clock_adjtime"), (libc::SYS_sethostname, "sethostname"),
    (libc::SYS_setdomainname, "setdomainname"), (libc::SYS_migrate_pages, "migrate_pages"),
    (libc::SYS_move_pages, "move_pages"), (libc::SYS_add_key, "add_key"),
    (libc::SYS_request_key, "request_key"), (libc::SYS_keyctl, "keyctl"),
    (libc::SYS_pidfd_getfd, "pidfd_getfd"), (libc::SYS_clone, "clone"),
    (libc::SYS_unshare, "unshare"), (libc::SYS_personality, "personality"),
    (libc::SYS_socket, "socket"), (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_prlimit64, "prlimit64"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_number_is_read_by_the_table_of_its_architecture() {
        let i386 = crate::sys::trap_i386::ARCH;
        for (arch, number, want) in [
            (0xc000_003e, 165, "mount"),
            (i386, 21, "mount"),
            (i386, 165, "call 165 of i386"),
            (i386, 120, "clone"),
            (i386, 443, "quotactl_fd"),
            (0xc000_003e, 443, "quotactl_fd"),
            (0xc000_003e, 9999, "call 9999"),
        ] {
            assert_eq!(name(arch, number), want, "{number}");
        }
    }
}
