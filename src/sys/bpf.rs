//! The few instructions of which a filter of system calls is made (seccomp(2), linux/filter.h).

/// Takes the call without a look by this filter.
pub(super) const ALLOW: u32 = 0x7fff_0000;

/// Answers with an error.
pub(super) fn errno(number: i32) -> u32 {
    0x0005_0000 | number as u32 & 0xffff
}

/// Offset of the number in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
/// Offset of the architecture.
pub(super) const ARCH: u32 = 4;
/// Offset of the lower half of an argument: our machines are little endian.
pub(super) const fn argument(number: u8) -> u32 {
    16 + 8 * number as u32
}

/// Loads a word of `struct seccomp_data`.
pub(super) fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// Ends with an answer.
pub(super) fn end(answer: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, answer)
}

/// Passes over many instructions.
pub(super) fn over(count: usize) -> libc::sock_filter {
    let count = u32::try_from(count).expect("a filter has few instructions");
    statement(libc::BPF_JMP | libc::BPF_JA, count)
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

/// How a word is compared.
#[derive(Clone, Copy)]
pub(super) enum Test {
    /// It is this.
    Equal(u32),
    /// It is this, or more.
    AtLeast(u32),
    /// One of the bits is set.
    AnyBit(u32),
}

/// Passes over `no` instructions unless the loaded word passes the test.
pub(super) fn unless(test: Test, no: u8) -> libc::sock_filter {
    let (code, value) = match test {
        Test::Equal(value) => (libc::BPF_JEQ, value),
        Test::AtLeast(value) => (libc::BPF_JGE, value),
        Test::AnyBit(bits) => (libc::BPF_JSET, bits),
    };
    let code = (libc::BPF_JMP | code | libc::BPF_K) as u16;
    libc::sock_filter { code, jt: 0, jf: no, k: value }
}

/// Puts `part` before `rest`, to be done for calls of the architecture `arch` alone; it has to end.
pub(super) fn for_architecture(
    arch: u32,
    part: Vec<libc::sock_filter>,
    rest: Vec<libc::sock_filter>,
) -> Vec<libc::sock_filter> {
    let mut code = vec![load(ARCH), unless(Test::Equal(arch), 1), over(1), over(part.len())];
    code.extend(part);
    code.extend(rest);
    code
}

/// Does what the kernel would do with a call; knows the instructions of this module only.
#[cfg(test)]
pub(super) fn run(code: &[libc::sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let data = |offset: u32| match offset {
        NUMBER => number,
        ARCH => arch,
        _ if offset.is_multiple_of(8) => arguments[(offset as usize - 16) / 8] as u32,
        _ => (arguments[(offset as usize - 20) / 8] >> 32) as u32,
    };
    let (mut at, mut held) = (0, 0);
    loop {
        let one = code[at];
        at += 1;
        let jump = |yes: bool| usize::from(if yes { one.jt } else { one.jf });
        match u32::from(one.code) {
            0x20 => held = data(one.k),
            0x54 => held &= one.k,
            0x05 => at += one.k as usize,
            0x15 => at += jump(held == one.k),
            0x25 => at += jump(held > one.k),
            0x35 => at += jump(held >= one.k),
            0x45 => at += jump(held & one.k != 0),
            0x06 => return one.k,
            code => panic!("{code:x}"),
        }
    }
}
