//! The same calls as made by programs for i386, which a 64-bit kernel runs as well. Of the forms that
//! have 16-bit ids and old structs none is here: the filter has no such calls.

use super::trap::{
    At, Base, Form, KEEPING, Kind, RLIMIT_LOCKS, Request, When, at, chown, fd, keeping, mknod, open,
};

// linux/audit.h: EM_386 and little endian.
pub(super) const ARCH: u32 = 0x4000_0003;

const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

// Numbers of arch/x86/entry/syscalls/syscall_32.tbl, which never change.
const OPEN: i32 = 5;
const CREAT: i32 = 8;
const EXECVE: i32 = 11;
const MKNOD: i32 = 14;
const MKDIR: i32 = 39;
const CHROOT: i32 = 61;
const SETRLIMIT: i32 = 75;
const SYMLINK: i32 = 83;
const PRCTL: i32 = 172;
const CAPSET: i32 = 185;
const UGETRLIMIT: i32 = 191;
const STAT64: i32 = 195;
const LSTAT64: i32 = 196;
const FSTAT64: i32 = 197;
const LCHOWN32: i32 = 198;
const GETUID32: i32 = 199;
const GETGID32: i32 = 200;
const GETEUID32: i32 = 201;
const GETEGID32: i32 = 202;
const SETREUID32: i32 = 203;
const SETREGID32: i32 = 204;
const GETGROUPS32: i32 = 205;
const SETGROUPS32: i32 = 206;
const FCHOWN32: i32 = 207;
const SETRESUID32: i32 = 208;
const GETRESUID32: i32 = 209;
const SETRESGID32: i32 = 210;
const GETRESGID32: i32 = 211;
const CHOWN32: i32 = 212;
const SETUID32: i32 = 213;
const SETGID32: i32 = 214;
const SETFSUID32: i32 = 215;
const SETFSGID32: i32 = 216;
const OPENAT: i32 = 295;
const MKDIRAT: i32 = 296;
const MKNODAT: i32 = 297;
const FCHOWNAT: i32 = 298;
const FSTATAT64: i32 = 300;
const SYMLINKAT: i32 = 304;
const PRLIMIT64: i32 = 340;
const EXECVEAT: i32 = 358;
const STATX: i32 = 383;
const OPENAT2: i32 = 437;

const fn always(number: i32) -> (u32, When) {
    (number as u32, When::Always)
}

const fn creates(number: i32, argument: u8) -> (u32, When) {
    (number as u32, When::AnyBit { argument, bits: CREATES })
}

const fn locks(number: i32, argument: u8) -> (u32, When) {
    (number as u32, When::Is { argument, values: &[RLIMIT_LOCKS] })
}

#[rustfmt::skip]
pub(super) const NUMBERS: &[(u32, When)] = &[
    always(STAT64), always(LSTAT64), always(FSTAT64), always(FSTATAT64), always(STATX),
    always(CHOWN32), always(LCHOWN32), always(FCHOWN32), always(FCHOWNAT),
    creates(OPEN, 1), creates(OPENAT, 2), always(OPENAT2), always(CREAT),
    always(MKDIR), always(MKDIRAT), always(SYMLINK), always(SYMLINKAT),
    always(MKNOD), always(MKNODAT), always(EXECVE), always(EXECVEAT), always(CHROOT),
    always(GETUID32), always(GETGID32), always(GETEUID32), always(GETEGID32),
    always(GETRESUID32), always(GETRESGID32), always(GETGROUPS32), always(SETGROUPS32),
    always(SETUID32), always(SETGID32), always(SETREUID32), always(SETREGID32),
    always(SETRESUID32), always(SETRESGID32), always(SETFSUID32), always(SETFSGID32),
    always(CAPSET), (PRCTL as u32, When::Is { argument: 0, values: KEEPING }),
    locks(SETRLIMIT, 0), locks(UGETRLIMIT, 0), locks(PRLIMIT64, 1),
];

pub(super) fn decode(number: i32, a: &[u64; 6]) -> Option<Request> {
    use Kind::{Group, User};
    let id = |number: u64| (number as u32 != u32::MAX).then_some(number as u32);
    let follow = |path| At { base: Base::Cwd, path: Some(path), follow: true, empty: false };
    let itself = |path| At { follow: false, ..follow(path) };
    let form = Form::Stat64;
    Some(match number {
        STAT64 => Request::Stat { at: follow(a[0]), buffer: a[1], form },
        LSTAT64 => Request::Stat { at: itself(a[0]), buffer: a[1], form },
        FSTAT64 => Request::Stat { at: fd(a[0]), buffer: a[1], form },
        FSTATAT64 => Request::Stat { at: at(a[0], a[1], a[3]), buffer: a[2], form },
        STATX => Request::Statx {
            at: at(a[0], a[1], a[2]),
            flags: a[2] as u32,
            mask: a[3] as u32,
            buffer: a[4],
        },
        CHOWN32 => chown(follow(a[0]), a[1], a[2]),
        LCHOWN32 => chown(itself(a[0]), a[1], a[2]),
        FCHOWN32 => chown(fd(a[0]), a[1], a[2]),
        FCHOWNAT => chown(at(a[0], a[1], a[4]), a[2], a[3]),
        OPEN => open(follow(a[0]), a[1], a[2]),
        OPENAT => open(at(a[0], a[1], 0), a[2], a[3]),
        OPENAT2 => Request::OpenHow { at: at(a[0], a[1], 0), how: a[2], size: a[3] },
        CREAT => open(follow(a[0]), (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64, a[1]),
        MKDIR => Request::Mkdir { at: itself(a[0]), mode: a[1] as u32 },
        MKDIRAT => Request::Mkdir { at: at(a[0], a[1], 0), mode: a[2] as u32 },
        SYMLINK => Request::Symlink { target: a[0], at: itself(a[1]) },
        SYMLINKAT => Request::Symlink { target: a[0], at: at(a[1], a[2], 0) },
        MKNOD => mknod(itself(a[0]), a[1], a[2]),
        MKNODAT => mknod(at(a[0], a[1], 0), a[2], a[3]),
        EXECVE => Request::Exec { at: follow(a[0]) },
        EXECVEAT => Request::Exec { at: at(a[0], a[1], a[4]) },
        CHROOT => Request::Chroot,
        GETUID32 => Request::GetId { kind: User, effective: false },
        GETEUID32 => Request::GetId { kind: User, effective: true },
        GETGID32 => Request::GetId { kind: Group, effective: false },
        GETEGID32 => Request::GetId { kind: Group, effective: true },
        GETRESUID32 => Request::GetIds { kind: User, to: [a[0], a[1], a[2]] },
        GETRESGID32 => Request::GetIds { kind: Group, to: [a[0], a[1], a[2]] },
        GETGROUPS32 => Request::GetGroups { count: a[0] as i32, list: a[1] },
        SETGROUPS32 => Request::SetGroups { count: a[0] as u32, list: a[1] },
        SETUID32 => Request::SetId { kind: User, id: id(a[0]) },
        SETGID32 => Request::SetId { kind: Group, id: id(a[0]) },
        SETREUID32 => Request::SetPair { kind: User, real: id(a[0]), effective: id(a[1]) },
        SETREGID32 => Request::SetPair { kind: Group, real: id(a[0]), effective: id(a[1]) },
        SETRESUID32 => Request::SetTriple { kind: User, ids: [id(a[0]), id(a[1]), id(a[2])] },
        SETRESGID32 => Request::SetTriple { kind: Group, ids: [id(a[0]), id(a[1]), id(a[2])] },
        SETFSUID32 => Request::SetFs { kind: User, id: id(a[0]) },
        SETFSGID32 => Request::SetFs { kind: Group, id: id(a[0]) },
        CAPSET => Request::SetCapabilities { sets: a[1] },
        PRCTL => keeping(a),
        SETRLIMIT => Request::Limit { old: 0, wide: false },
        UGETRLIMIT => Request::Limit { old: a[1], wide: false },
        PRLIMIT64 => Request::Limit { old: a[3], wide: true },
        _ => return None,
    })
}
