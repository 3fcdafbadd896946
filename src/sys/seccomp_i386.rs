//! The filter's part for programs of i386, which a 64-bit kernel runs as well: the same calls by the
//! numbers of arch/x86/entry/syscalls/syscall_32.tbl.
//!
//! The forms of long ago (16-bit ids, structs that hold no large file) are unknown here, and so is
//! `socketcall`, whose arguments lie in memory, where no filter sees them: neither could kernel crypto and
//! the hypervisor's socket be refused, nor all of the network where a step shall have none. Programs that
//! know no other way to a socket have none: Debian's C library for i386 is one of them, as it is built for
//! kernels before 4.3.

use super::bpf::{ALLOW, NUMBER, Test, argument, end, errno, load, unless};
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

/// The first filter's part: what is not allowed is unknown. What the second refuses is left to it when
/// it is `telling`.
pub(super) fn allow(telling: bool) -> (u32, Vec<libc::sock_filter>) {
    let unknown = end(errno(libc::ENOSYS));
    let mut code = vec![load(NUMBER)];
    for number in REFUSED.iter().map(|(number, _)| *number).chain([ABSENT]).filter(|_| telling) {
        code.extend([unless(Test::Equal(number), 1), end(ALLOW)]);
    }
    for (first, last) in ALLOWED {
        code.extend([unless(Test::AtLeast(*first), 1), over_one(), unknown]);
        code.extend([unless(Test::AtLeast(last + 1), 1), over_one(), end(ALLOW)]);
    }
    code.push(unknown);
    (ARCH, code)
}

fn over_one() -> libc::sock_filter {
    super::bpf::over(1)
}

/// The second filter's part; `namespaces` are the flags that make namespaces, `untraced` is that of a
/// child without a tracer. Without `network`, sockets can be of the unix family only. What is refused
/// gets `answer`, but for limits of other processes; what is in `also`, its own.
pub(super) fn refuse(
    namespaces: u32,
    untraced: u32,
    personalities: &[u32],
    network: bool,
    answer: u32,
    also: &[(u32, u32)],
) -> Vec<libc::sock_filter> {
    let refused = end(answer);
    let mut code = vec![load(NUMBER)];
    for (number, answer) in also {
        code.extend([unless(Test::Equal(*number), 1), end(*answer)]);
    }
    for (number, _) in REFUSED {
        code.extend([unless(Test::Equal(*number), 1), refused]);
    }
    let any = |index, tests: &[Test]| {
        let mut code = vec![load(argument(index))];
        code.extend(tests.iter().flat_map(|test| [unless(*test, 1), refused]));
        code.push(end(ALLOW));
        code
    };
    let mut personality = vec![load(argument(0))];
    for known in personalities {
        personality.extend([unless(Test::Equal(*known), 1), end(ALLOW)]);
    }
    personality.push(refused);
    // Of another process, and new ones.
    let mut limits = Vec::new();
    for index in [0, 2] {
        limits.extend([load(argument(index)), unless(Test::Equal(0), 1), end(ALLOW)]);
    }
    limits.push(end(errno(libc::EPERM)));
    let sockets = match network {
        true => any(0, &[libc::AF_ALG, libc::AF_VSOCK].map(|family| Test::Equal(family as u32))),
        false => vec![
            load(argument(0)),
            unless(Test::Equal(libc::AF_UNIX as u32), 1),
            end(ALLOW),
            refused,
        ],
    };
    for (number, part) in [
        (CLONE, any(0, &[Test::AnyBit(namespaces | untraced)])),
        (UNSHARE, any(0, &[Test::AnyBit(namespaces)])),
        (SOCKET, sockets),
        (IOCTL, any(1, &[Test::Equal(0x5412), Test::Equal(0x541c)])),
        (PERSONALITY, personality),
        (PRLIMIT, limits),
    ] {
        let size = u8::try_from(part.len()).expect("a short part");
        code.push(unless(Test::Equal(number), size));
        code.extend(part);
    }
    code.push(end(ALLOW));
    code
}

#[cfg(test)]
mod tests {
    use super::super::bpf::run;
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
        let refused = errno(libc::EPERM);
        let refuse = refuse(0x1000_0000, 0x0080_0000, &[0, 8], false, refused, &[]);
        let answer = |family: i32| run(&refuse, ARCH, SOCKET, [family as u64, 0, 0, 0, 0, 0]);
        assert_eq!(answer(libc::AF_UNIX), ALLOW);
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_ALG] {
            assert_eq!(answer(family), errno(libc::EPERM), "{family}");
        }
        // What follows in the list is still looked at.
        assert_eq!(run(&refuse, ARCH, IOCTL, [0, 0x5412, 0, 0, 0, 0]), errno(libc::EPERM));
    }

    #[test]
    fn each_call_gets_its_answer() {
        let (_, telling) = allow(true);
        let (_, allow) = allow(false);
        let eperm = errno(libc::EPERM);
        let refuse = refuse(0x1000_0000, 0x0080_0000, &[0, 8], true, eperm, &[]);
        let answer = |number, first: u64, second: u64| {
            let arguments = [first, second, 0, 0, 0, 0];
            [&allow, &refuse].map(|code| run(code, ARCH, number, arguments))
        };
        let (unknown, refused) = (errno(libc::ENOSYS), errno(libc::EPERM));
        // read, exit_group, statx, chown32, futex_time64
        for number in [3, 252, 383, 212, 422] {
            assert_eq!(answer(number, 0, 0), [ALLOW, ALLOW], "{number}");
        }
        // socketcall, chown of 16 bits, clone3, io_uring_setup, and what is not invented yet
        for number in [102, 182, 435, 425, 9999] {
            assert_eq!(answer(number, 0, 0), [unknown, ALLOW], "{number}");
        }
        // mount, bpf, keyctl, open_by_handle_at
        for number in [21, 357, 288, 342] {
            assert_eq!(answer(number, 0, 0), [unknown, refused], "{number}");
            assert_eq!(run(&telling, ARCH, number, [0; 6]), ALLOW, "{number}");
        }
        assert_eq!(answer(CLONE, 0x11, 0), [ALLOW, ALLOW]);
        assert_eq!(answer(CLONE, 0x1000_0011, 0), [ALLOW, refused]);
        assert_eq!(answer(CLONE, 0x0080_0011, 0), [ALLOW, refused]);
        assert_eq!(answer(UNSHARE, 0x1000_0000, 0), [ALLOW, refused]);
        for (process, new, second) in [(0, 8, ALLOW), (1, 0, ALLOW), (1, 8, refused)] {
            assert_eq!(run(&refuse, ARCH, PRLIMIT, [process, 7, new, 0, 0, 0]), second);
        }
        assert_eq!(answer(SOCKET, libc::AF_ALG as u64, 0), [ALLOW, refused]);
        assert_eq!(answer(SOCKET, libc::AF_UNIX as u64, 0), [ALLOW, ALLOW]);
        assert_eq!(answer(IOCTL, 0, 0x5412), [ALLOW, refused]);
        assert_eq!(answer(PERSONALITY, 8, 0), [ALLOW, ALLOW]);
        assert_eq!(answer(PERSONALITY, 0x0400_0000, 0), [ALLOW, refused]);
    }
}
