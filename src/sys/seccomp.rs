//! The filter of system calls that a step runs under.
//!
//! Two programs, built for the machine the program runs on. The first allows the calls that a normal
//! userland makes and answers ENOSYS to everything else, known or not yet invented: C libraries fall
//! back on ENOSYS only. The second, installed later and thus asked first, answers EPERM to the known
//! calls that a build has no business with, and to dangerous arguments of allowed ones. Of two errno
//! answers the kernel takes that of the filter installed last (seccomp(2)).
//!
//! `clone3` is not allowed, its flags lie in memory where no filter can see them; numbers of the x32
//! table carry bit 30 and are in no list. On x86-64 programs for i386 have a part of their own; any
//! other architecture's calls kill the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const NAMESPACE_FLAGS: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// A process made so has no tracer (clone(2)).
const CLONE_UNTRACED: u64 = 0x0080_0000;

/// PER_LINUX, PER_LINUX32, UNAME26 alone and with PER_LINUX32, and the question for the present one.
const PERSONALITIES: [u64; 5] = [0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// The programs of a step, ready to be installed.
pub(crate) struct Filter {
    pub(super) allow: Vec<libc::sock_filter>,
    pub(super) refuse: Vec<libc::sock_filter>,
}

impl Filter {
    /// Builds both programs. Without `network`, sockets can be of the unix family only.
    pub(crate) fn new(network: bool) -> io::Result<Self> {
        Self::build(allowed(), network)
    }

    /// Builds programs that refuse the same, but have a tracer do it, so that it hears of it; and of
    /// looks into other processes, which nobody can take while there is a tracer. Of an error and a
    /// stop the kernel takes the error: what stops has to be left to the last program.
    pub(super) fn telling() -> io::Result<Vec<Vec<libc::sock_filter>>> {
        use super::watch::{ABSENT, DENIED, trace};
        let mut first = allowed();
        let all = REFUSED.iter().chain(REFUSED_HERE).chain(&[libc::SYS_io_uring_setup]);
        first.extend(all.map(|number| (*number, Vec::new())));
        let mut told = refused(true).map_err(io::Error::other)?;
        // Of an error and a question to the supervisor of owners the kernel takes the error, of a stop
        // and a question the question: what both look at is refused at once.
        let at_once: Rules = told.remove_entry(&libc::SYS_prlimit64).into_iter().collect();
        let peeks = [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
        told.extend(peeks.map(|number| (number, Vec::new())));
        let absent = Rules::from([(libc::SYS_io_uring_setup, Vec::new())]);
        let leave = SeccompAction::Allow;
        let told = compile(told, leave.clone(), SeccompAction::Trace(DENIED))?;
        let absent = compile(absent, leave.clone(), SeccompAction::Trace(ABSENT))?;
        let at_once = compile(at_once, leave, SeccompAction::Errno(libc::EPERM as u32))?;
        let first =
            compile(first, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow)?;
        #[cfg(target_arch = "x86_64")]
        let (first, told, absent, at_once) = {
            use super::seccomp_i386::{ABSENT as ABSENT_THERE, PEEKS};
            let (arch, allow) = super::seccomp_i386::allow(true);
            let also = PEEKS.map(|number| (number, trace(DENIED)));
            let also = [also.as_slice(), &[(ABSENT_THERE, trace(ABSENT))]].concat();
            let there = Self::refuse_i386(true, trace(DENIED), &also);
            let part = super::bpf::for_architecture;
            let leave = || vec![super::bpf::end(super::bpf::ALLOW)];
            (
                part(arch, allow, first),
                part(arch, there, told),
                part(arch, leave(), absent),
                part(arch, leave(), at_once),
            )
        };
        Ok(vec![first, told, absent, at_once])
    }

    #[cfg(target_arch = "x86_64")]
    fn refuse_i386(network: bool, answer: u32, also: &[(u32, u32)]) -> Vec<libc::sock_filter> {
        let namespaces = NAMESPACE_FLAGS.iter().fold(0, |all, flag| all | *flag as u32);
        let personalities = PERSONALITIES.map(|value| value as u32);
        let untraced = CLONE_UNTRACED as u32;
        super::seccomp_i386::refuse(namespaces, untraced, &personalities, network, answer, also)
    }

    fn build(first: Rules, network: bool) -> io::Result<Self> {
        let allow =
            compile(first, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow)?;
        let refuse = compile(
            refused(network).map_err(io::Error::other)?,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM as u32),
        )?;
        #[cfg(target_arch = "x86_64")]
        let (allow, refuse) = {
            let (arch, first) = super::seccomp_i386::allow(false);
            let second = Self::refuse_i386(network, super::bpf::errno(libc::EPERM), &[]);
            let part = super::bpf::for_architecture;
            (part(arch, first, allow), part(arch, second, refuse))
        };
        Ok(Filter { allow, refuse })
    }

    /// Puts this process and all it starts under the filter, for good. Needs CAP_SYS_ADMIN in the
    /// user namespace, so that setuid programs inside keep working; or `no_new_privs`, which ends that.
    pub(crate) fn install(&self) -> io::Result<()> {
        for program in [&self.allow, &self.refuse] {
            let program = libc::sock_fprog {
                len: u16::try_from(program.len()).map_err(io::Error::other)?,
                // The kernel copies the program, and writes nothing.
                filter: program.as_ptr().cast_mut(),
            };
            // SAFETY: pointer and length describe a live vector.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    0,
                    &program as *const libc::sock_fprog,
                )
            };
            if done != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(
    rules: Rules,
    other: SeccompAction,
    listed: SeccompAction,
) -> io::Result<Vec<libc::sock_filter>> {
    let filter = SeccompFilter::new(rules, other, listed, ARCH).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    let own = |one: &seccompiler::sock_filter| libc::sock_filter {
        code: one.code,
        jt: one.jt,
        jf: one.jf,
        k: one.k,
    };
    Ok(program.iter().map(own).collect())
}

fn allowed() -> Rules {
    ALLOWED.iter().chain(ALLOWED_HERE).map(|number| (*number, Vec::new())).collect()
}

fn refused(network: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    let when = |argument: u8, op: SeccompCmpOp, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
    };
    let one = |argument, op, value| SeccompRule::new(vec![when(argument, op, value)?]);

    let namespaces = || {
        NAMESPACE_FLAGS
            .iter()
            .map(|flag| one(0, SeccompCmpOp::MaskedEq(*flag), *flag))
            .collect::<Result<Vec<_>, _>>()
    };
    // A child that no tracer follows would not be seen by an audit.
    let unseen = one(0, SeccompCmpOp::MaskedEq(CLONE_UNTRACED), CLONE_UNTRACED)?;
    rules.insert(libc::SYS_clone, namespaces()?.into_iter().chain([unseen]).collect());
    rules.insert(libc::SYS_unshare, namespaces()?);
    let personalities = PERSONALITIES
        .iter()
        .map(|value| when(0, SeccompCmpOp::Ne, *value))
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(personalities)?]);
    // Limits of another process, which may be the builder's: both conditions have to hold.
    let new_limit = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    let limits = vec![when(0, SeccompCmpOp::Ne, 0)?, new_limit];
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(limits)?]);
    // Kernel crypto and the hypervisor's socket; or all that leaves the machine.
    let sockets = match network {
        true => vec![
            one(0, SeccompCmpOp::Eq, libc::AF_ALG as u64)?,
            one(0, SeccompCmpOp::Eq, libc::AF_VSOCK as u64)?,
        ],
        false => vec![one(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?],
    };
    rules.insert(libc::SYS_socket, sockets);
    // Typing into somebody's terminal.
    rules.insert(
        libc::SYS_ioctl,
        vec![one(1, SeccompCmpOp::Eq, 0x5412)?, one(1, SeccompCmpOp::Eq, 0x541c)?],
    );
    Ok(rules)
}

// Numbers above 423 are the same on all architectures; libc does not name the youngest.
const CACHESTAT: i64 = 451;
const FCHMODAT2: i64 = 452;
const FUTEX_WAKE: i64 = 454;
const FUTEX_WAIT: i64 = 455;
const FUTEX_REQUEUE: i64 = 456;
const LSM_GET_SELF_ATTR: i64 = 459;
const LSM_LIST_MODULES: i64 = 461;
const MSEAL: i64 = 462;
const SETXATTRAT: i64 = 463;
const GETXATTRAT: i64 = 464;
const LISTXATTRAT: i64 = 465;
const REMOVEXATTRAT: i64 = 466;
const OPEN_TREE_ATTR: i64 = 467;
const FILE_GETATTR: i64 = 468;
const FILE_SETATTR: i64 = 469;

#[rustfmt::skip] // one call a line would hide the groups
const ALLOWED: &[i64] = &[
    // files
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64,
    libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2,
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek,
    libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs, libc::SYS_fstatfs,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fchmod, libc::SYS_fchmodat, FCHMODAT2,
    libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_truncate, libc::SYS_ftruncate,
    libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_readahead, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs,
    libc::SYS_getdents64, libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_chroot,
    libc::SYS_mkdirat, libc::SYS_mknodat, libc::SYS_linkat, libc::SYS_symlinkat,
    libc::SYS_readlinkat, libc::SYS_unlinkat, libc::SYS_renameat2, libc::SYS_utimensat,
    libc::SYS_umask, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fcntl, libc::SYS_flock,
    libc::SYS_ioctl, libc::SYS_pipe2, libc::SYS_splice, libc::SYS_tee, libc::SYS_vmsplice,
    libc::SYS_sendfile, libc::SYS_copy_file_range, libc::SYS_name_to_handle_at,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_getxattr,
    libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr, libc::SYS_llistxattr,
    libc::SYS_flistxattr, libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr,
    SETXATTRAT, GETXATTRAT, LISTXATTRAT, REMOVEXATTRAT, FILE_GETATTR, FILE_SETATTR, CACHESTAT,
    libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
    libc::SYS_memfd_create, libc::SYS_memfd_secret,
    // waiting
    libc::SYS_pselect6, libc::SYS_ppoll, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_signalfd4,
    libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime,
    libc::SYS_futex, libc::SYS_futex_waitv, FUTEX_WAKE, FUTEX_WAIT, FUTEX_REQUEUE,
    libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_membarrier,
    libc::SYS_io_setup, libc::SYS_io_destroy, libc::SYS_io_submit, libc::SYS_io_cancel,
    libc::SYS_io_getevents,
    // memory
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect,
    libc::SYS_madvise, libc::SYS_process_madvise, libc::SYS_process_mrelease, libc::SYS_msync,
    libc::SYS_mincore, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_munlock, libc::SYS_mlockall,
    libc::SYS_munlockall, libc::SYS_remap_file_pages, libc::SYS_pkey_alloc, libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect, libc::SYS_mbind, libc::SYS_get_mempolicy, libc::SYS_set_mempolicy,
    libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmdt, libc::SYS_shmctl, MSEAL,
    // processes and identity
    libc::SYS_clone, libc::SYS_unshare, libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit,
    libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_getpid, libc::SYS_getppid,
    libc::SYS_gettid, libc::SYS_set_tid_address, libc::SYS_getpgid, libc::SYS_setpgid,
    libc::SYS_getsid, libc::SYS_setsid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups,
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid,
    libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid,
    libc::SYS_setgroups, libc::SYS_capget, libc::SYS_capset, libc::SYS_prctl, libc::SYS_seccomp,
    libc::SYS_personality, libc::SYS_ptrace, libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev, libc::SYS_kcmp, libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal, libc::SYS_prlimit64,
    libc::SYS_getrusage, libc::SYS_getpriority, libc::SYS_setpriority, libc::SYS_ioprio_get,
    libc::SYS_ioprio_set, libc::SYS_sched_yield, libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity, libc::SYS_sched_getattr, libc::SYS_sched_setattr,
    libc::SYS_sched_getparam, libc::SYS_sched_setparam, libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler, libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_getcpu,
    libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self, LSM_GET_SELF_ATTR, LSM_LIST_MODULES,
    // signals and timers
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_sigaltstack, libc::SYS_kill,
    libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_restart_syscall, libc::SYS_getitimer,
    libc::SYS_setitimer, libc::SYS_timer_create, libc::SYS_timer_settime, libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun, libc::SYS_timer_delete, libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_gettimeofday, libc::SYS_times, libc::SYS_adjtimex,
    // sockets and messages
    libc::SYS_socket, libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept,
    libc::SYS_accept4, libc::SYS_connect, libc::SYS_getsockname, libc::SYS_getpeername,
    libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg,
    libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_setsockopt, libc::SYS_getsockopt,
    libc::SYS_shutdown, libc::SYS_semget, libc::SYS_semop, libc::SYS_semtimedop, libc::SYS_semctl,
    libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv, libc::SYS_msgctl, libc::SYS_mq_open,
    libc::SYS_mq_unlink, libc::SYS_mq_timedsend, libc::SYS_mq_timedreceive, libc::SYS_mq_notify,
    libc::SYS_mq_getsetattr,
    // the machine
    libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrandom,
];

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access,
    libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_getdents, libc::SYS_mkdir,
    libc::SYS_rmdir, libc::SYS_mknod, libc::SYS_link, libc::SYS_symlink, libc::SYS_readlink,
    libc::SYS_unlink, libc::SYS_rename, libc::SYS_renameat, libc::SYS_utime, libc::SYS_utimes,
    libc::SYS_futimesat, libc::SYS_dup2, libc::SYS_pipe, libc::SYS_poll, libc::SYS_select,
    libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_signalfd,
    libc::SYS_inotify_init, libc::SYS_fork, libc::SYS_vfork, libc::SYS_getpgrp, libc::SYS_pause,
    libc::SYS_alarm, libc::SYS_time, libc::SYS_arch_prctl, libc::SYS_get_thread_area,
    libc::SYS_set_thread_area, libc::SYS_modify_ldt, libc::SYS_getrlimit, libc::SYS_setrlimit,
    libc::SYS_sync_file_range,
];

#[cfg(target_arch = "aarch64")]
// Numbers of asm-generic/unistd.h that libc does not name: renameat, sync_file_range, getrlimit,
// setrlimit.
const ALLOWED_HERE: &[i64] = &[38, 84, 163, 164];

#[rustfmt::skip]
const REFUSED: &[i64] = &[
    // mounts and roots
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_move_mount,
    libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount,
    libc::SYS_fspick, libc::SYS_mount_setattr, libc::SYS_setns, OPEN_TREE_ATTR,
    libc::SYS_open_by_handle_at, libc::SYS_fanotify_init, libc::SYS_fanotify_mark,
    libc::SYS_quotactl, libc::SYS_quotactl_fd,
    // the kernel itself
    libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_reboot,
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_syslog, libc::SYS_vhangup,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime,
    libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_migrate_pages, libc::SYS_move_pages,
    // keys, and descriptors of others
    libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl, libc::SYS_pidfd_getfd,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[libc::SYS_kexec_file_load, libc::SYS_iopl, libc::SYS_ioperm];

#[cfg(target_arch = "aarch64")]
const REFUSED_HERE: &[i64] = &[294]; // kexec_file_load

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_can_be_built() {
        for network in [true, false] {
            let filter = Filter::new(network).unwrap();
            // The kernel takes 4096 instructions (BPF_MAXINSNS).
            assert!(filter.allow.len() < 4096 && filter.refuse.len() < 4096);
        }
    }

    #[test]
    fn no_call_is_in_both_lists() {
        let allowed = allowed();
        for number in REFUSED.iter().chain(REFUSED_HERE) {
            assert!(!allowed.contains_key(number), "{number}");
        }
        assert!(!allowed.contains_key(&libc::SYS_clone3));
        assert!(!allowed.contains_key(&libc::SYS_io_uring_setup));
    }

    #[test]
    fn dangerous_arguments_are_refused() {
        let arch = super::super::trap::rules()[0].0;
        let code = Filter::new(true).unwrap().refuse;
        let check = |number: i64, arguments: [u64; 3], want: u32| {
            let [a, b, c] = arguments;
            let got = super::super::bpf::run(&code, arch, number as u32, [a, b, c, 0, 0, 0]);
            assert_eq!(got, want, "{number} {arguments:x?}");
        };
        let (taken, refused) = (super::super::bpf::ALLOW, super::super::bpf::errno(libc::EPERM));
        // Own limits, a look at another's; then another's, the address small and above 4 GiB.
        check(libc::SYS_prlimit64, [0, 7, 0x7000_0000_0000], taken);
        check(libc::SYS_prlimit64, [1, 7, 0], taken);
        check(libc::SYS_prlimit64, [1, 7, 0x1000], refused);
        check(libc::SYS_prlimit64, [1, 7, 0x7000_0000_0000], refused);
        check(libc::SYS_clone, [0x11, 0, 0], taken);
        check(libc::SYS_clone, [CLONE_UNTRACED | 0x11, 0, 0], refused);
        check(libc::SYS_clone, [0x1000_0011, 0, 0], refused);
    }

    #[test]
    fn numbers_of_x32_are_unknown() {
        assert!(allowed().keys().all(|number| *number < 1 << 30));
    }
}
