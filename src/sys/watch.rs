//! Filters of system calls that tell a tracer, for audits: of connections, of programs that are asked
//! for, of refused calls. They allow nothing that the filter of steps does not.

use std::io;

use super::bpf::{self, ALLOW, Outcome, Table};
use super::seccomp::{Answers, Filter};
use super::trace::Call;
use super::{notify, trap};

const RET_TRACE: u32 = 0x7ff0_0000;

/// What comes with a stop, for the tracer to know it by: a connect,
pub(super) const CONNECT: u32 = 1;
/// a program that is asked for,
pub(super) const EXEC: u32 = 2;
/// a call that the tracer has to refuse,
pub(super) const DENIED: u32 = 3;
/// and one that it has to know nothing of.
pub(super) const ABSENT: u32 = 4;

/// The answer by which a call stops at the tracer. Without one it is refused (ENOSYS).
pub(super) const fn trace(what: u32) -> u32 {
    RET_TRACE | what
}

/// Has the tracer stop this process, and all that it starts, at each connect and each exec.
pub(crate) fn stop_at_acts() -> io::Result<()> {
    let table = |arch, stops: [(u32, u32); 3]| Table {
        arch,
        calls: stops.map(|(number, what)| (number, Outcome::all(trace(what)))).into(),
        unlisted: Outcome::all(ALLOW),
    };
    let here = [
        (libc::SYS_connect as u32, CONNECT),
        (libc::SYS_execve as u32, EXEC),
        (libc::SYS_execveat as u32, EXEC),
    ];
    let tables = [
        table(trap::NATIVE, here),
        // The numbers of i386.
        #[cfg(target_arch = "x86_64")]
        table(super::trap_i386::ARCH, [(362, CONNECT), (11, EXEC), (358, EXEC)]),
    ];
    let code = bpf::program(&tables, ALLOW);
    notify::install_code(&code, 0).map(drop)
}

impl Filter {
    /// As [`Filter::new`] with network; but calls that are refused stop at the tracer, which has to refuse
    /// them, and so do looks into other processes, which nobody can take while there is one. Without a
    /// tracer they are refused all the same (ENOSYS).
    pub(crate) fn telling() -> Self {
        let answers =
            Answers { refused: trace(DENIED), peeks: trace(DENIED), io_uring: trace(ABSENT) };
        Filter::answering(true, answers)
    }
}

/// Returns the name of a refused call.
pub(crate) fn name_of(call: &Call) -> String {
    name(call.arch, call.number)
}

/// Returns what of a refused call's arguments matters, in words: `NEWUSER|NEWNS`, `TRACEME`.
pub(crate) fn detail_of(call: &Call) -> Option<String> {
    let first = call.arguments[0];
    match name_of(call).as_str() {
        "clone" | "unshare" => {
            let names = SPACES.iter().filter(|(flag, _)| first & flag != 0);
            let names: Vec<&str> = names.map(|(_, name)| *name).collect();
            (!names.is_empty()).then(|| names.join("|"))
        }
        "ptrace" => (first as i64 == libc::PTRACE_TRACEME as i64).then(|| "TRACEME".to_owned()),
        _ => None,
    }
}

/// The argument of an exec that is the path's address.
pub(super) fn path_of_exec(call: &Call) -> usize {
    #[cfg(target_arch = "x86_64")]
    if call.arch == super::trap_i386::ARCH {
        return usize::from(call.number == 358);
    }
    usize::from(call.number == libc::SYS_execveat as u64)
}

/// Whom a call looks into, if it is one that looks into other processes.
pub(crate) fn peeks_into(call: &Call) -> Option<u32> {
    matches!(name_of(call).as_str(), "process_vm_readv" | "process_vm_writev")
        .then_some(call.arguments[0] as u32)
}

/// Flags of clone(2).
const SPACES: [(u64, &str); 7] = [
    (0x0002_0000, "NEWNS"),
    (0x0200_0000, "NEWCGROUP"),
    (0x0400_0000, "NEWUTS"),
    (0x0800_0000, "NEWIPC"),
    (0x1000_0000, "NEWUSER"),
    (0x2000_0000, "NEWPID"),
    (0x4000_0000, "NEWNET"),
];

fn name(arch: u32, number: u64) -> String {
    #[cfg(target_arch = "x86_64")]
    if arch == super::trap_i386::ARCH {
        return super::seccomp_i386::name_of(number as u32)
            .map_or_else(|| format!("call {number} of i386"), str::to_owned);
    }
    let _ = arch;
    let known = NAMES.iter().find(|(other, _)| *other as u64 == number);
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
    (libc::SYS_ptrace, "ptrace"), (libc::SYS_process_vm_readv, "process_vm_readv"),
    (libc::SYS_process_vm_writev, "process_vm_writev"), (libc::SYS_io_uring_setup, "io_uring_setup"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, "iopl"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, "ioperm"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_kexec_file_load, "kexec_file_load"),
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

    #[test]
    fn arguments_are_told_in_words() {
        let arch = super::super::trap::rules()[0].0;
        let call = |number: i64, first| Call {
            arch,
            number: number as u64,
            arguments: [first, 0, 0, 0, 0, 0],
        };
        let detail = |number, first| detail_of(&call(number, first));
        assert_eq!(detail(libc::SYS_unshare, 0x1002_0000).as_deref(), Some("NEWNS|NEWUSER"));
        assert_eq!(detail(libc::SYS_clone, 0x0080_0011), None);
        assert_eq!(detail(libc::SYS_ptrace, 0).as_deref(), Some("TRACEME"));
        assert_eq!(detail(libc::SYS_ptrace, 16), None);
        assert_eq!(peeks_into(&call(libc::SYS_process_vm_readv, 7)), Some(7));
        assert_eq!(peeks_into(&call(libc::SYS_ptrace, 7)), None);
    }

    #[test]
    fn the_tracer_refuses_what_the_filter_of_steps_does() {
        use super::super::bpf::{errno, run};
        let told = Filter::telling();
        let plain = Filter::new(true);
        let listened = trap::rules();
        for number in 0..600 {
            for args in [[0; 6], [0x1000_0011, 7, 0x1000, 0, 0, 0], [9, 0x5412, 1, 0, 0, 0]] {
                for (arch, listened) in &listened {
                    let was = run(plain.code(), *arch, number, args);
                    let now = run(told.code(), *arch, number, args);
                    let same = now == was
                        || (was == errno(libc::EPERM) && now == trace(DENIED))
                        || (was == errno(libc::ENOSYS) && now == trace(ABSENT))
                        || (was == ALLOW && now == trace(DENIED));
                    assert!(same, "{arch:x} {number} {args:x?}: {was:x} {now:x}");
                    // A supervisor would be asked before the tracer, and could let it pass.
                    let supervised = listened.iter().any(|(other, _)| *other == number);
                    assert!(!supervised || now == was, "{number}");
                }
            }
        }
        let told = |number: i64| run(told.code(), trap::NATIVE, number as u32, [0; 6]);
        assert_eq!(told(libc::SYS_mount), trace(DENIED));
        assert_eq!(told(libc::SYS_ptrace), trace(DENIED));
        assert_eq!(told(libc::SYS_io_uring_setup), trace(ABSENT));
        assert_eq!(told(libc::SYS_read), ALLOW);
    }
}
