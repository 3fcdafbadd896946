//! The filter's part for programs of i386, which a 64-bit kernel runs as well: the same calls by the
//! numbers of arch/x86/entry/syscalls/syscall_32.tbl.
//!
//! The forms of long ago (16-bit ids, structs that hold no large file) are unknown here, and so is
//! `socketcall`, whose arguments lie in memory, where no filter sees them: neither could kernel crypto and
//! the hypervisor's socket be refused, nor all of the network where a step shall have none. Programs that
//! know no other way to a socket have none: Debian's C library for i386 is one of them, as it is built for
//! kernels before 4.3.

use std::collections::BTreeMap;

use super::bpf::{ALLOW, Outcome, Table, errno};
use super::seccomp::{Answers, ByArgument};
use super::trap_i386::ARCH;

/// First and last of each run of allowed numbers, in order.
#[rustfmt::skip]
const ALLOWED: &[(u32, u32)] = &[
    (0, 15), (19, 20), (26, 27), (29, 30), (33, 34), (36, 43), (45, 45), (48, 48), (54, 55),
    (57, 57), (60, 61), (63, 69), (72, 73), (75, 78), (82, 83), (85, 85), (90, 94), (96, 97),
    (99, 100), (104, 105), (114, 114), (116, 120), (122, 126), (132, 133), (136, 136), (140, 148),
    (150, 163), (168, 168), (172, 181), (183, 187), (190, 216), (218, 221), (224, 250),
    (252, 252), (254, 263), (265, 272), (274, 282), (284, 284), (289, 293), (295, 316),
    (318, 335), (337, 337), (340, 341), (344, 345), (347, 349), (351, 356), (358, 373),
    (375, 384), (386, 386), (393, 403), (406, 414), (417, 424), (434, 434), (436, 437),
    (439, 441), (444, 449),
];

#[rustfmt::skip]
const REFUSED: &[(u32, &str)] = &[
    (21, "mount"), (22, "umount"), (25, "stime"), (51, "acct"), (52, "umount2"),
    (74, "sethostname"), (79, "settimeofday"), (87, "swapon"), (88, "reboot"), (101, "ioperm"),
    (103, "syslog"), (110, "iopl"), (111, "vhangup"), (113, "vm86old"), (115, "swapoff"),
    (121, "setdomainname"), (128, "init_module"), (129, "delete_module"), (131, "quotactl"),
    (166, "vm86"), (217, "pivot_root"), (264, "clock_settime"), (283, "kexec_load"),
    (286, "add_key"), (287, "request_key"), (288, "keyctl"), (294, "migrate_pages"),
    (317, "move_pages"), (336, "perf_event_open"), (338, "fanotify_init"), (339, "fanotify_mark"),
    (342, "open_by_handle_at"), (343, "clock_adjtime"), (346, "setns"), (350, "finit_module"),
    (357, "bpf"), (374, "userfaultfd"), (404, "clock_settime64"), (405, "clock_adjtime64"),
    (428, "open_tree"), (429, "move_mount"), (430, "fsopen"), (431, "fsconfig"), (432, "fsmount"),
    (433, "fspick"), (438, "pidfd_getfd"), (442, "mount_setattr"), (443, "quotactl_fd"),
];

/// `ptrace`, `process_vm_readv`, `process_vm_writev`.
pub(super) const PEEKS: [u32; 3] = [26, 347, 348];

/// `io_uring_setup`, which is unknown and told all the same.
pub(super) const ABSENT: u32 = 425;

const IOCTL: u32 = 54;
const CLONE: u32 = 120;
const PERSONALITY: u32 = 136;
const UNSHARE: u32 = 310;
const PRLIMIT: u32 = 340;
const SOCKET: u32 = 359;

/// Calls that are refused for some of their arguments.
const BY_ARGUMENT: &[(u32, &str)] = &[
    (IOCTL, "ioctl"),
    (CLONE, "clone"),
    (PERSONALITY, "personality"),
    (UNSHARE, "unshare"),
    (PRLIMIT, "prlimit64"),
    (SOCKET, "socket"),
];

const TOLD: &[(u32, &str)] = &[
    (26, "ptrace"),
    (347, "process_vm_readv"),
    (348, "process_vm_writev"),
    (ABSENT, "io_uring_setup"),
];

/// Returns the name of a call that is refused.
pub(super) fn name_of(number: u32) -> Option<&'static str> {
    let mut all = REFUSED.iter().chain(BY_ARGUMENT).chain(TOLD);
    all.find(|(other, _)| *other == number).map(|(_, name)| *name)
}

/// The table of calls.
pub(super) fn table(network: bool, answers: Answers) -> Table {
    let mut calls = BTreeMap::new();
    let allowed = ALLOWED.iter().flat_map(|(first, last)| *first..=*last);
    calls.extend(allowed.map(|number| (number, Outcome::all(ALLOW))));
    calls.extend(REFUSED.iter().map(|(number, _)| (*number, Outcome::all(answers.refused))));
    calls.extend(PEEKS.map(|number| (number, Outcome::all(answers.peeks))));
    calls.insert(ABSENT, Outcome::all(answers.io_uring));
    let by_argument = ByArgument {
        clone: CLONE,
        unshare: UNSHARE,
        personality: PERSONALITY,
        prlimit: PRLIMIT,
        socket: SOCKET,
        ioctl: IOCTL,
    };
    calls.extend(by_argument.outcomes(network, answers.refused));
    Table { arch: ARCH, calls, unlisted: Outcome::all(errno(libc::ENOSYS)) }
}

#[cfg(test)]
mod tests {
    use super::super::bpf::run;
    use super::super::seccomp::Filter;
    use super::*;

    #[test]
    fn the_lists_are_in_order_and_apart() {
        assert!(ALLOWED.iter().all(|(first, last)| first <= last));
        assert!(ALLOWED.windows(2).all(|two| two[0].1 + 1 < two[1].0));
        for (number, _) in REFUSED {
            assert!(
                !ALLOWED.iter().any(|(first, last)| (first..=last).contains(&number)),
                "{number}"
            );
        }
    }

    #[test]
    fn without_network_sockets_are_of_this_machine() {
        let filter = Filter::new(false);
        let refused = errno(libc::EPERM);
        let answer = |family: i32| run(filter.code(), ARCH, SOCKET, [family as u64, 0, 0, 0, 0, 0]);
        assert_eq!(answer(libc::AF_UNIX), ALLOW);
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_ALG] {
            assert_eq!(answer(family), refused, "{family}");
        }
        assert_eq!(run(filter.code(), ARCH, IOCTL, [0, 0x5412, 0, 0, 0, 0]), refused);
    }

    #[test]
    fn each_call_gets_its_answer() {
        let filter = Filter::new(true);
        let check = |number: u32, arguments: [u64; 3], want: u32| {
            let [first, second, third] = arguments;
            let got = run(filter.code(), ARCH, number, [first, second, third, 0, 0, 0]);
            assert_eq!(got, want, "{number} {arguments:x?}");
        };
        let (unknown, refused) = (errno(libc::ENOSYS), errno(libc::EPERM));
        for (first, last) in ALLOWED {
            for number in
                (*first..=*last).filter(|number| BY_ARGUMENT.iter().all(|(by, _)| by != number))
            {
                check(number, [u64::MAX; 3], ALLOW);
            }
        }
        for (number, _) in REFUSED {
            check(*number, [0; 3], refused);
        }
        // socketcall, chown of 16 bits, clone3, io_uring_setup, and what is not invented yet
        for number in [102, 182, 435, 425, 9999, u32::MAX] {
            check(number, [0; 3], unknown);
        }
        check(CLONE, [0x11, 0, 0], ALLOW);
        check(CLONE, [0x1000_0011, 0, 0], refused);
        check(CLONE, [0x0080_0011, 0, 0], refused);
        check(UNSHARE, [0x1000_0000, 0, 0], refused);
        check(PRLIMIT, [0, 7, 8], ALLOW);
        check(PRLIMIT, [1, 7, 0], ALLOW);
        check(PRLIMIT, [1, 7, 8], refused);
        check(SOCKET, [libc::AF_ALG as u64, 0, 0], refused);
        check(SOCKET, [libc::AF_UNIX as u64, 0, 0], ALLOW);
        check(IOCTL, [0, 0x5412, 0], refused);
        check(PERSONALITY, [8, 0, 0], ALLOW);
        check(PERSONALITY, [0x0400_0000, 0, 0], refused);
    }
}
