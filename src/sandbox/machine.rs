//! Machines other than this one: how their programs begin, what their emulators are called, and for
//! each the smallest program that tells by being run how they are run here.

use crate::base::Platform;

/// A kind of machine.
#[derive(Debug)]
pub(super) struct Machine {
    architecture: &'static str,
    /// The word in the names of qemu's programs.
    pub(super) qemu: &'static str,
    wide: bool,
    big_endian: bool,
    /// `e_machine` of the ELF specification and its supplements.
    number: u16,
    /// `e_flags`: the calling convention, where there are several.
    flags: u32,
    /// exit(argc).
    code: Code,
}

/// Instructions; words are in the machine's byte order.
#[derive(Debug)]
enum Code {
    Words(&'static [u32]),
    Bytes(&'static [u8]),
}

const fn machine(
    architecture: &'static str,
    qemu: &'static str,
    (wide, big_endian): (bool, bool),
    number: u16,
    flags: u32,
    code: Code,
) -> Machine {
    Machine { architecture, qemu, wide, big_endian, number, flags, code }
}

const WIDE: (bool, bool) = (true, false);
const NARROW: (bool, bool) = (false, false);

// The numbers are `exit` of each machine's system calls (syscall(2)); the count of arguments is what
// the stack begins with.
static MACHINES: [Machine; 13] = [
    // mov edi, [rsp]; mov eax, 60; syscall
    machine(
        "amd64",
        "x86_64",
        WIDE,
        62,
        0,
        Code::Bytes(&[0x8b, 0x3c, 0x24, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]),
    ),
    // mov ebx, [esp]; mov eax, 1; int 0x80
    machine(
        "386",
        "i386",
        NARROW,
        3,
        0,
        Code::Bytes(&[0x8b, 0x1c, 0x24, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]),
    ),
    // mov x8, 93; ldr x0, [sp]; svc 0
    machine(
        "arm64",
        "aarch64",
        WIDE,
        183,
        0,
        Code::Words(&[0xd280_0ba8, 0xf940_03e0, 0xd400_0001]),
    ),
    // mov r7, 1; ldr r0, [sp]; svc 0
    machine(
        "arm",
        "arm",
        NARROW,
        40,
        0x0500_0200,
        Code::Words(&[0xe3a0_7001, 0xe59d_0000, 0xef00_0000]),
    ),
    // li a7, 93; ld a0, 0(sp); ecall
    machine(
        "riscv64",
        "riscv64",
        WIDE,
        243,
        5,
        Code::Words(&[0x05d0_0893, 0x0001_3503, 0x0000_0073]),
    ),
    // li r0, 1; ld r3, 0(r1); sc
    machine(
        "ppc64le",
        "ppc64le",
        WIDE,
        21,
        2,
        Code::Words(&[0x3800_0001, 0xe861_0000, 0x4400_0002]),
    ),
    // li r0, 1; ld r3, 0(r1); sc
    machine(
        "ppc64",
        "ppc64",
        (true, true),
        21,
        2,
        Code::Words(&[0x3800_0001, 0xe861_0000, 0x4400_0002]),
    ),
    // lg %r2, 0(%r15); svc 1
    machine(
        "s390x",
        "s390x",
        (true, true),
        22,
        0,
        Code::Bytes(&[0xe3, 0x20, 0xf0, 0x00, 0x00, 0x04, 0x0a, 0x01]),
    ),
    // li v0, 5058; ld a0, 0(sp); syscall
    machine("mips64le", "mips64el", WIDE, 8, 0x8000_0007, Code::Words(MIPS64)),
    machine("mips64", "mips64", (true, true), 8, 0x8000_0007, Code::Words(MIPS64)),
    // li v0, 4001; lw a0, 0(sp); syscall
    machine("mipsle", "mipsel", NARROW, 8, 0x7000_1007, Code::Words(MIPS)),
    machine("mips", "mips", (false, true), 8, 0x7000_1007, Code::Words(MIPS)),
    // ori a7, zero, 93; ld.d a0, sp, 0; syscall 0
    machine(
        "loong64",
        "loongarch64",
        WIDE,
        258,
        0x43,
        Code::Words(&[0x0381_740b, 0x28c0_0064, 0x002b_0000]),
    ),
];

const MIPS64: &[u32] = &[0x2402_13c2, 0xdfa4_0000, 0x0000_000c];
const MIPS: &[u32] = &[0x2402_0fa1, 0x8fa4_0000, 0x0000_000c];

/// Where the program is loaded; a multiple of every page size.
const BASE: u64 = 0x40_0000;

impl Machine {
    /// Returns the machine that runs programs of this platform.
    pub(super) fn of(platform: &Platform) -> Option<&'static Machine> {
        MACHINES.iter().find(|machine| machine.architecture == platform.architecture)
    }

    /// Returns how a program of this machine begins, and which bits of that count: fixed or
    /// position-independent, whatever system it names.
    pub(super) fn magic(&self) -> ([u8; 20], [u8; 20]) {
        let mut magic = [0; 20];
        magic[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.class(), self.order(), 1]);
        magic[16..18].copy_from_slice(&self.half(2));
        magic[18..].copy_from_slice(&self.half(self.number));
        let mut mask = [0xff; 20];
        mask[7] = 0;
        // ET_EXEC is 2, ET_DYN 3.
        mask[if self.big_endian { 17 } else { 16 }] = 0xfe;
        (magic, mask)
    }

    /// Returns a program that ends with the number of its arguments, its name among them, as status.
    pub(super) fn probe(&self) -> Vec<u8> {
        let code = match self.code {
            Code::Bytes(bytes) => bytes.to_vec(),
            Code::Words(words) => words.iter().flat_map(|word| self.word(*word)).collect(),
        };
        // The sizes of the file header and of one program header.
        let (head, entry) = if self.wide { (64u16, 56u16) } else { (52, 32) };
        let start = u64::from(head + entry);
        let size = start + code.len() as u64;

        let mut out = self.magic().0.to_vec();
        out.extend(self.word(1));
        out.extend(self.address(BASE + start));
        out.extend(self.address(u64::from(head)));
        out.extend(self.address(0));
        out.extend(self.word(self.flags));
        for half in [head, entry, 1, 0, 0, 0] {
            out.extend(self.half(half));
        }
        // One PT_LOAD, readable and executable, of the whole file.
        out.extend(self.word(1));
        if self.wide {
            out.extend(self.word(5));
        }
        for number in [0, BASE, BASE, size, size] {
            out.extend(self.address(number));
        }
        if !self.wide {
            out.extend(self.word(5));
        }
        out.extend(self.address(0x1_0000));
        out.extend(code);
        out
    }

    fn class(&self) -> u8 {
        if self.wide { 2 } else { 1 }
    }

    fn order(&self) -> u8 {
        if self.big_endian { 2 } else { 1 }
    }

    fn half(&self, number: u16) -> [u8; 2] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn word(&self, number: u32) -> [u8; 4] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn address(&self, number: u64) -> Vec<u8> {
        match (self.wide, self.big_endian) {
            (true, true) => number.to_be_bytes().to_vec(),
            (true, false) => number.to_le_bytes().to_vec(),
            (false, _) => self.word(number as u32).to_vec(),
        }
    }
}

/// Returns a small program of the machine that this one is compiled for: its status is the number of
/// its arguments, its name among them.
pub fn native_probe() -> Option<Vec<u8>> {
    Machine::of(&Platform::host()).map(Machine::probe)
}

/// Tells whether a program is one file, which needs no loader from the tree that it is run in.
/// `start` is its beginning: headers of ELF stand there.
pub(super) fn is_static(start: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = start.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    // Emulators are programs of this machine, which is a wide little-endian one.
    if start.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    let kind = |index: u64| number((table + index * size) as usize, 4);
    // PT_INTERP is 3.
    table < start.len() as u64 && (0..count).all(|index| kind(index).is_some_and(|kind| kind != 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_begin_as_their_machine_says() {
        for machine in &MACHINES {
            let (magic, mask) = machine.magic();
            let probe = machine.probe();
            let same = probe.iter().zip(magic.iter().zip(mask)).all(|(a, (b, m))| a & m == b & m);
            assert!(same && probe.len() < 160, "{}", machine.architecture);
            assert_eq!(machine.wide && !machine.big_endian, is_static(&probe));
        }
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        let mut probe = Machine::of(&Platform::parse("arm64").unwrap()).unwrap().probe();
        probe[64] = 3;
        assert!(!is_static(&probe));
        for end in 0..80 {
            assert!(!is_static(&probe[..end]));
        }
        assert!(!is_static(b"#!/bin/sh\n"));
    }

    #[test]
    fn this_machine_runs_its_own_program() {
        let ended = crate::sys::binfmt::run_bytes(&native_probe().unwrap()).unwrap();
        assert_eq!(ended.code(), Some(1));
    }
}
