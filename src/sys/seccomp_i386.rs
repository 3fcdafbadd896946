//! The filter of system calls for 32-bit programs on an x86-64 kernel: steps of `linux/386`.
//!
//! The same calls as for 64-bit programs, by the numbers of their own table
//! (`arch/x86/entry/syscalls/syscall_32.tbl`). Sockets may be made through `socketcall` too, whose
//! arguments lie in memory: families of sockets are not told apart there.

use std::io;

use seccompiler::{BpfProgram, SeccompAction, sock_filter};

use super::seccomp::{Filter, Rules, compile, refused_arguments};

/// Allowed calls, as ranges of numbers, both ends included. What is in none is not known: ENOSYS.
#[rustfmt::skip] // a number a line would hide the list
const ALLOWED: &[(i64, i64)] = &[
    (0, 16), (18, 20), (23, 24), (26, 30), (33, 34), (36, 43), (45, 50), (54, 55), (57, 57),
    (59, 61), (63, 73), (75, 78), (80, 85), (89, 97), (99, 100), (102, 102), (104, 109), (114, 114),
    (116, 120), (122, 126), (132, 133), (136, 136), (138, 148), (150, 165), (168, 168), (170, 187),
    (190, 216), (218, 221), (224, 250), (252, 252), (254, 263), (265, 272), (274, 282), (284, 284),
    (289, 293), (295, 316), (318, 335), (337, 337), (340, 341), (344, 345), (347, 349), (351, 356),
    (358, 373), (375, 384), (386, 386), (393, 403), (406, 414), (417, 424), (434, 434), (436, 437),
    (439, 441), (444, 449), (451, 452), (454, 456), (459, 459), (461, 466), (468, 469),
];

/// Known calls that a build has no business with: EPERM.
#[rustfmt::skip]
const REFUSED: &[i64] = &[
    // umount stime mount reboot acct umount2 … of the same kinds as on 64 bits
    21, 22, 25, 51, 52, 74, 79, 86, 87, 88, 101, 103, 110, 111, 113, 115, 121, 128, 129, 131, 166,
    169, 217, 253, 264, 283, 286, 287, 288, 294, 317, 336, 338, 339, 342, 343, 346, 350, 357, 374,
    404, 405, 428, 429, 430, 431, 432, 433, 438, 442, 443, 467,
];

const CLONE: i64 = 120;
const UNSHARE: i64 = 310;
const PERSONALITY: i64 = 136;
const SOCKET: i64 = 359;
const IOCTL: i64 = 54;

// `AUDIT_ARCH_I386` and `AUDIT_ARCH_X86_64` (`linux/audit.h`).
const ARCH: u32 = 0x4000_0003;
const ARCH_64: u32 = 0xc000_003e;

impl Filter {
    /// Builds the programs that judge 32-bit programs, and nothing else; the other filter has to
    /// [pass them over](Filter::pass_over_narrow).
    pub(crate) fn narrow() -> io::Result<Self> {
        let mut allow = Rules::new();
        for (first, last) in ALLOWED {
            allow.extend((*first..=*last).map(|number| (number, Vec::new())));
        }
        let wide = refused_arguments().map_err(io::Error::other)?;
        let mut refuse: Rules = REFUSED.iter().map(|number| (*number, Vec::new())).collect();
        for (own, other) in [
            (CLONE, libc::SYS_clone),
            (UNSHARE, libc::SYS_unshare),
            (PERSONALITY, libc::SYS_personality),
            (SOCKET, libc::SYS_socket),
            (IOCTL, libc::SYS_ioctl),
        ] {
            refuse.extend(wide.get(&other).map(|rules| (own, rules.clone())));
        }
        let mut filter = Filter {
            allow: compile(allow, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow)?,
            refuse: compile(
                refuse,
                SeccompAction::Allow,
                SeccompAction::Errno(libc::EPERM as u32),
            )?,
        };
        for program in [&mut filter.allow, &mut filter.refuse] {
            // The programs begin with: load the architecture; if it is ours, skip one; kill.
            match program.get_mut(1) {
                Some(check) if check.k == ARCH_64 => check.k = ARCH,
                _ => return Err(io::Error::other("this machine has no 32-bit programs")),
            }
            pass_over(program, ARCH_64);
        }
        Ok(filter)
    }

    /// Says nothing of 32-bit programs from now on: to be installed together with
    /// [`Filter::narrow`], which does.
    pub(crate) fn pass_over_narrow(&mut self) {
        for program in [&mut self.allow, &mut self.refuse] {
            pass_over(program, ARCH);
        }
    }
}

// Allows what comes from programs of another architecture.
fn pass_over(program: &mut BpfProgram, arch: u32) {
    let one = |code: u32, jf: u8, k: u32| sock_filter { code: code as u16, jt: 0, jf, k };
    let head = [
        // The architecture is the second word of `struct seccomp_data`.
        one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 4),
        one(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, arch),
        one(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    program.splice(..0, head);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_in_both_lists() {
        let allowed = |number: i64| ALLOWED.iter().any(|(a, b)| (*a..=*b).contains(&number));
        assert!(!REFUSED.iter().any(|number| allowed(*number)));
        // clone3, io_uring_setup, _sysctl
        assert!(![435, 425, 149].into_iter().any(allowed));
        assert!([CLONE, UNSHARE, PERSONALITY, SOCKET, IOCTL].into_iter().all(allowed));
        assert!(Filter::narrow().unwrap().allow.len() < 4096);
        assert!(ALLOWED.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
