//! The filter of system calls that a step runs under.
//!
//! Calls that a normal userland makes are allowed. Those that a build has no business with, and dangerous
//! arguments of allowed ones, are answered with EPERM; everything else, known or not yet invented, with
//! ENOSYS: C libraries fall back on that only.
//!
//! `clone3` is not allowed, its flags lie in memory where no filter can see them; numbers of the x32
//! table carry bit 30 and are in no list. On x86-64 programs for i386 have a table of their own; any
//! other architecture's calls kill the process.

use std::collections::BTreeMap;
use std::io;

use super::bpf::{self, ALLOW, KILL, Look, Outcome, Table, Test, argument, errno, upper_half};
use super::{notify, trap};

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`.
const NAMESPACES: u32 = 0x7e02_0000;

/// A process made so has no tracer (clone(2)).
const UNTRACED: u32 = 0x0080_0000;

/// PER_LINUX, PER_LINUX32, UNAME26 alone and with PER_LINUX32, and the question for the present one.
const PERSONALITIES: [u32; 5] = [0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// What is typed into somebody's terminal: `TIOCSTI`, `TIOCLINUX`.
const TYPING: [u32; 2] = [0x5412, 0x541c];

/// What a filter answers to the calls that it does not allow.
#[derive(Clone, Copy)]
pub(super) struct Answers {
    /// To those that are refused.
    pub(super) refused: u32,
    /// To looks into other processes: nobody can take one while there is a tracer.
    pub(super) peeks: u32,
    /// To `io_uring_setup`, which is not known.
    pub(super) io_uring: u32,
}

impl Answers {
    /// Those of a step.
    pub(super) fn plain() -> Self {
        Answers { refused: errno(libc::EPERM), peeks: ALLOW, io_uring: errno(libc::ENOSYS) }
    }
}

/// The calls that are refused for some of their arguments, by their numbers on an architecture.
pub(super) struct ByArgument {
    pub(super) clone: u32,
    pub(super) unshare: u32,
    pub(super) personality: u32,
    pub(super) prlimit: u32,
    pub(super) socket: u32,
    pub(super) ioctl: u32,
}

impl ByArgument {
    /// What is done with them. Without `network`, sockets can be of the unix family only.
    pub(super) fn outcomes(&self, network: bool, refused: u32) -> [(u32, Outcome); 6] {
        // A child that no tracer follows would not be seen by an audit.
        let clone = Outcome::of(0, &[Test::AnyBit(NAMESPACES | UNTRACED)], refused, ALLOW);
        let unshare = Outcome::of(0, &[Test::AnyBit(NAMESPACES)], refused, ALLOW);
        let known = PERSONALITIES.map(Test::Equal);
        let personality = Outcome::of(0, &known, ALLOW, refused);
        // New limits of another process, which may be the builder's. A supervisor of owners hears of
        // limits, too; of a stop and a question to it the kernel takes the question: an error it is.
        let look = |word, test, answer| Look { word, test, answer };
        let given = Test::AnyBit(u32::MAX);
        let prlimit = Outcome {
            looks: vec![
                look(argument(0), Test::Equal(0), ALLOW),
                look(argument(2), given, errno(libc::EPERM)),
                look(upper_half(2), given, errno(libc::EPERM)),
            ],
            otherwise: ALLOW,
        };
        // Kernel crypto and the hypervisor's socket; or all that leaves the machine.
        let family = |family: i32| Test::Equal(family as u32);
        let socket = match network {
            true => {
                let families = [libc::AF_ALG, libc::AF_VSOCK].map(family);
                Outcome::of(0, &families, refused, ALLOW)
            }
            false => Outcome::of(0, &[family(libc::AF_UNIX)], ALLOW, refused),
        };
        let ioctl = Outcome::of(1, &TYPING.map(Test::Equal), refused, ALLOW);
        [
            (self.clone, clone),
            (self.unshare, unshare),
            (self.personality, personality),
            (self.prlimit, prlimit),
            (self.socket, socket),
            (self.ioctl, ioctl),
        ]
    }
}

/// The program of a step, ready to be installed.
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Builds the program. Without `network`, sockets can be of the unix family only.
    pub(crate) fn new(network: bool) -> Self {
        Self::answering(network, Answers::plain())
    }

    /// Builds a program that allows the same and gives other answers.
    pub(super) fn answering(network: bool, answers: Answers) -> Self {
        #[allow(unused_mut, reason = "other architectures have no second table")]
        let mut tables = vec![table(network, answers)];
        #[cfg(target_arch = "x86_64")]
        tables.push(super::seccomp_i386::table(network, answers));
        Filter(bpf::program(&tables, KILL))
    }

    /// What it is made of.
    #[cfg(test)]
    pub(super) fn code(&self) -> &[libc::sock_filter] {
        &self.0
    }

    /// Puts this process and all it starts under the filter, for good. Needs CAP_SYS_ADMIN in the
    /// user namespace, so that setuid programs inside keep working; or `no_new_privs`, which ends that.
    pub(crate) fn install(&self) -> io::Result<()> {
        notify::install_code(&self.0, 0).map(drop)
    }
}

const BY_ARGUMENT: ByArgument = ByArgument {
    clone: libc::SYS_clone as u32,
    unshare: libc::SYS_unshare as u32,
    personality: libc::SYS_personality as u32,
    prlimit: libc::SYS_prlimit64 as u32,
    socket: libc::SYS_socket as u32,
    ioctl: libc::SYS_ioctl as u32,
};

fn table(network: bool, answers: Answers) -> Table {
    let all = |numbers: &[i64], answer: u32| {
        let outcome = |number: &i64| (*number as u32, Outcome::all(answer));
        numbers.iter().map(outcome).collect::<Vec<_>>()
    };
    let mut calls = BTreeMap::new();
    for (numbers, answer) in [
        (ALLOWED, ALLOW),
        (ALLOWED_HERE, ALLOW),
        (REFUSED, answers.refused),
        (REFUSED_HERE, answers.refused),
        (&PEEKS, answers.peeks),
        (&[libc::SYS_io_uring_setup], answers.io_uring),
    ] {
        calls.extend(all(numbers, answer));
    }
    calls.extend(BY_ARGUMENT.outcomes(network, answers.refused));
    Table { arch: trap::NATIVE, calls, unlisted: Outcome::all(errno(libc::ENOSYS)) }
}

const PEEKS: [i64; 3] = [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];

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
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    use super::*;

    #[cfg(target_arch = "x86_64")]
    const ARCH: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCH: TargetArch = TargetArch::aarch64;

    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    // The same filter as two programs of a well-known library: what is not allowed is unknown, and of
    // two errors the kernel takes that of the filter installed last.
    fn by_library(network: bool) -> [Vec<libc::sock_filter>; 2] {
        let of = |lists: [&[i64]; 2]| -> Rules {
            lists.into_iter().flatten().map(|number| (*number, Vec::new())).collect()
        };
        let is = |argument, op, value| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value).unwrap()
        };
        let one = |condition| SeccompRule::new(vec![condition]).unwrap();
        let bits = |bits: u64| {
            let each = (0..32).map(|bit| 1 << bit).filter(move |bit| bits & bit != 0);
            each.map(|bit| one(is(0, SeccompCmpOp::MaskedEq(bit), bit))).collect::<Vec<_>>()
        };
        let mut refused = of([REFUSED, REFUSED_HERE]);
        refused.insert(libc::SYS_clone, bits(0x7e82_0000));
        refused.insert(libc::SYS_unshare, bits(0x7e02_0000));
        let known = [0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];
        let unknown = known.map(|value| is(0, SeccompCmpOp::Ne, value)).to_vec();
        refused.insert(libc::SYS_personality, vec![SeccompRule::new(unknown).unwrap()]);
        let given = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0).unwrap();
        let limits = vec![is(0, SeccompCmpOp::Ne, 0), given];
        refused.insert(libc::SYS_prlimit64, vec![SeccompRule::new(limits).unwrap()]);
        let sockets = match network {
            true => vec![one(is(0, SeccompCmpOp::Eq, 38)), one(is(0, SeccompCmpOp::Eq, 40))],
            false => vec![one(is(0, SeccompCmpOp::Ne, 1))],
        };
        refused.insert(libc::SYS_socket, sockets);
        let typing = [0x5412, 0x541c].map(|value| one(is(1, SeccompCmpOp::Eq, value)));
        refused.insert(libc::SYS_ioctl, typing.to_vec());
        let compiled = |rules, other, listed| {
            let filter = SeccompFilter::new(rules, other, listed, ARCH).unwrap();
            let program = BpfProgram::try_from(filter).unwrap();
            let own = |one: &seccompiler::sock_filter| libc::sock_filter {
                code: one.code,
                jt: one.jt,
                jf: one.jf,
                k: one.k,
            };
            program.iter().map(own).collect::<Vec<_>>()
        };
        let error = |number: i32| SeccompAction::Errno(number as u32);
        [
            compiled(refused, SeccompAction::Allow, error(libc::EPERM)),
            compiled(of([ALLOWED, ALLOWED_HERE]), error(libc::ENOSYS), SeccompAction::Allow),
        ]
    }

    #[test]
    fn each_call_gets_the_answer_that_a_library_gives() {
        let arguments = [
            0,
            1,
            7,
            8,
            0x10,
            0x11,
            38,
            40,
            0x5412,
            0x541c,
            0x0002_0000,
            0x0002_0008,
            0x0080_0011,
            0x0100_0000,
            0x0200_0000,
            0x0400_0000,
            0x0800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0x7000_0000_0000,
            u64::MAX,
        ];
        for network in [true, false] {
            let ours = Filter::new(network);
            let theirs = by_library(network);
            let check = |arch: u32, number: u32, arguments: [u64; 6]| {
                let wanted: Vec<u32> =
                    theirs.iter().map(|code| bpf::run(code, arch, number, arguments)).collect();
                let wanted =
                    wanted.iter().copied().find(|answer| *answer != ALLOW).unwrap_or(ALLOW);
                let got = bpf::run(ours.code(), arch, number, arguments);
                assert_eq!(got, wanted, "{arch:x} {number} {arguments:x?} {network}");
            };
            for number in (0..1100).chain([u32::MAX - 1, u32::MAX]).chain(
                // Those of x32.
                (0..1100).map(|number| number | 1 << 30),
            ) {
                check(trap::NATIVE, number, [0; 6]);
                for value in arguments {
                    check(trap::NATIVE, number, [value, 0, value, 0, 0, 0]);
                    check(trap::NATIVE, number, [1, value, value, value, value, value]);
                }
            }
            // Another architecture, of the other byte order.
            check(0x0000_0015, 0, [0; 6]);
        }
    }

    #[test]
    fn the_program_is_short() {
        for network in [true, false] {
            // The kernel takes more; but checks and compiles all of it for each step.
            let length = Filter::new(network).code().len();
            assert!(length < 320, "{length}");
        }
    }

    #[test]
    fn no_call_is_in_two_lists() {
        let mut all: Vec<&i64> =
            [ALLOWED, ALLOWED_HERE, REFUSED, REFUSED_HERE].into_iter().flatten().collect();
        let many = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), many);
        assert!(!all.contains(&&libc::SYS_clone3));
        assert!(!all.contains(&&libc::SYS_io_uring_setup));
    }

    #[test]
    fn dangerous_arguments_are_refused() {
        let filter = Filter::new(true);
        let check = |number: i64, arguments: [u64; 3], want: u32| {
            let [a, b, c] = arguments;
            let got = bpf::run(filter.code(), trap::NATIVE, number as u32, [a, b, c, 0, 0, 0]);
            assert_eq!(got, want, "{number} {arguments:x?}");
        };
        let (taken, refused) = (ALLOW, errno(libc::EPERM));
        // Own limits, a look at another's; then another's, the address small and above 4 GiB.
        check(libc::SYS_prlimit64, [0, 7, 0x7000_0000_0000], taken);
        check(libc::SYS_prlimit64, [1, 7, 0], taken);
        check(libc::SYS_prlimit64, [1, 7, 0x1000], refused);
        check(libc::SYS_prlimit64, [1, 7, 0x7000_0000_0000], refused);
        check(libc::SYS_prlimit64, [1, 7, 0x7000_0000_0000 << 8], refused);
        check(libc::SYS_clone, [0x11, 0, 0], taken);
        check(libc::SYS_clone, [u64::from(UNTRACED) | 0x11, 0, 0], refused);
        check(libc::SYS_clone, [0x1000_0011, 0, 0], refused);
    }

    #[test]
    fn numbers_of_x32_are_unknown() {
        let unknown = errno(libc::ENOSYS);
        let filter = Filter::new(true);
        assert_eq!(bpf::run(filter.code(), trap::NATIVE, 1 << 30, [0; 6]), unknown);
    }
}
