//! Which system calls have to do with owners and identities, and what each asks for, whatever its
//! number and form on this machine.

/// A file that a call names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At {
    /// Where a relative path starts.
    pub(crate) base: Base,
    /// Address of the path in the caller's memory; `None`: the base itself.
    pub(crate) path: Option<u64>,
    /// Whether a symlink as the last component is followed.
    pub(crate) follow: bool,
    /// Whether an empty path means the base.
    pub(crate) empty: bool,
}

/// Where a relative path starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// In the caller's current folder.
    Cwd,
    /// At a descriptor of the caller's.
    Fd(i32),
}

/// Users or groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// User ids.
    User,
    /// Group ids.
    Group,
}

/// How the answer to a `stat` call is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `struct stat` of this machine.
    Native,
    /// `struct stat64` of i386.
    #[cfg(target_arch = "x86_64")]
    Stat64,
}

/// Flags of `open`, as far as they matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFlags(pub(super) i32);

impl OpenFlags {
    /// May make a file with a name.
    pub(crate) fn creates(self) -> bool {
        self.0 & libc::O_CREAT != 0 && self.0 & (libc::O_PATH | libc::O_DIRECTORY) == 0
    }

    /// Makes a file without a name. With O_PATH the kernel takes no notice of that, and what is opened
    /// is the folder.
    pub(crate) fn unnamed(self) -> bool {
        self.0 & (libc::O_TMPFILE | libc::O_PATH) == libc::O_TMPFILE
    }

    /// Those of `struct open_how`, if there are no others.
    pub(crate) fn of_how(flags: u64) -> Option<Self> {
        i32::try_from(flags).ok().map(OpenFlags)
    }

    /// The descriptor goes when another program is run.
    pub(crate) fn close_on_exec(self) -> bool {
        self.0 & libc::O_CLOEXEC != 0
    }
}

/// What a call asks for. Numbers are addresses in the caller's memory where not said otherwise; an
/// id of `None` is one that stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// The status of a file.
    Stat { at: At, buffer: u64, form: Form },
    /// The same, in the newer form; flags and mask are passed on.
    Statx { at: At, flags: u32, mask: u32, buffer: u64 },
    /// Another owner.
    Chown { at: At, uid: Option<u32>, gid: Option<u32> },
    /// An open file, made if it is not there.
    Open { at: At, flags: OpenFlags, mode: u32 },
    /// The same with `struct open_how` of this size.
    OpenHow { at: At, how: u64, size: u64 },
    /// A folder.
    Mkdir { at: At, mode: u32 },
    /// A symlink with the text at the address.
    Symlink { target: u64, at: At },
    /// A file, pipe, socket or device.
    Mknod { at: At, mode: u32, device: u32 },
    /// Another program.
    Exec { at: At },
    /// Another root.
    Chroot,
    /// The real (or effective) id.
    GetId { kind: Kind, effective: bool },
    /// Real, effective and saved id.
    GetIds { kind: Kind, to: [u64; 3] },
    /// The supplementary groups, at most so many.
    GetGroups { count: i32, list: u64 },
    /// `setuid`, `setgid`.
    SetId { kind: Kind, id: Option<u32> },
    /// `setreuid`, `setregid`.
    SetPair { kind: Kind, real: Option<u32>, effective: Option<u32> },
    /// `setresuid`, `setresgid`: real, effective, saved.
    SetTriple { kind: Kind, ids: [Option<u32>; 3] },
    /// `setfsuid`, `setfsgid`.
    SetFs { kind: Kind, id: Option<u32> },
    /// The supplementary groups.
    SetGroups { count: u32, list: u64 },
    /// Whether capabilities stay when the user changes.
    KeepCapabilities(bool),
    /// Other capabilities: the address of `struct __user_cap_data_struct[2]`.
    SetCapabilities { sets: u64 },
    /// The limit in which identities are noted: where the old value goes, and the width of its halves.
    Limit { old: u64, wide: bool },
}

/// When a call is of interest.
#[derive(Clone, Copy)]
pub(super) enum When {
    Always,
    /// One of the bits is set in an argument.
    AnyBit {
        argument: u8,
        bits: u32,
    },
    /// An argument has one of these values.
    Is {
        argument: u8,
        values: &'static [u32],
    },
}

/// This machine (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
/// This machine (linux/audit.h).
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;

// What makes a file: the second is the bit of O_TMPFILE that is its own.
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// By architecture (that of this machine first), the numbers to stop at.
pub(super) fn rules() -> Vec<(u32, Vec<(u32, When)>)> {
    let native = NUMBERS.iter().chain(NUMBERS_HERE).map(|(number, when)| (*number as u32, *when));
    #[allow(unused_mut, reason = "other architectures have no second table")]
    let mut all = vec![(NATIVE, native.collect())];
    #[cfg(target_arch = "x86_64")]
    all.push((super::trap_i386::ARCH, super::trap_i386::NUMBERS.to_vec()));
    all
}

/// Says what a call asks for.
pub(super) fn decode(arch: u32, number: i32, arguments: &[u64; 6]) -> Option<Request> {
    match arch {
        NATIVE => native(i64::from(number), arguments),
        #[cfg(target_arch = "x86_64")]
        super::trap_i386::ARCH => super::trap_i386::decode(number, arguments),
        _ => None,
    }
}

/// RLIMIT_LOCKS (asm-generic/resource.h); C libraries differ in its type.
pub(super) const RLIMIT_LOCKS: u32 = 10;
const LOCKS: When = When::Is { argument: 0, values: &[RLIMIT_LOCKS] };

/// What of prctl(2) has to do with it.
pub(super) const KEEPING: &[u32] = &[PR_SET_KEEPCAPS, PR_SET_SECUREBITS];
const PR_SET_KEEPCAPS: u32 = 8;
const PR_SET_SECUREBITS: u32 = 28;
/// `SECBIT_KEEP_CAPS` and `SECBIT_NO_SETUID_FIXUP` (linux/securebits.h).
const KEEPING_BITS: u64 = 0x14;

#[rustfmt::skip] // one call a line would hide the groups
const NUMBERS: &[(i64, When)] = &[
    (libc::SYS_newfstatat, When::Always), (libc::SYS_fstat, When::Always),
    (libc::SYS_statx, When::Always),
    (libc::SYS_fchown, When::Always), (libc::SYS_fchownat, When::Always),
    (libc::SYS_openat, When::AnyBit { argument: 2, bits: CREATES }),
    (libc::SYS_openat2, When::Always), (libc::SYS_mkdirat, When::Always),
    (libc::SYS_symlinkat, When::Always), (libc::SYS_mknodat, When::Always),
    (libc::SYS_execve, When::Always), (libc::SYS_execveat, When::Always),
    (libc::SYS_chroot, When::Always),
    (libc::SYS_getuid, When::Always), (libc::SYS_geteuid, When::Always),
    (libc::SYS_getgid, When::Always), (libc::SYS_getegid, When::Always),
    (libc::SYS_getresuid, When::Always), (libc::SYS_getresgid, When::Always),
    (libc::SYS_getgroups, When::Always), (libc::SYS_setgroups, When::Always),
    (libc::SYS_setuid, When::Always), (libc::SYS_setgid, When::Always),
    (libc::SYS_setreuid, When::Always), (libc::SYS_setregid, When::Always),
    (libc::SYS_setresuid, When::Always), (libc::SYS_setresgid, When::Always),
    (libc::SYS_setfsuid, When::Always), (libc::SYS_setfsgid, When::Always),
    (libc::SYS_capset, When::Always),
    (libc::SYS_prctl, When::Is { argument: 0, values: KEEPING }),
    (libc::SYS_prlimit64, When::Is { argument: 1, values: &[RLIMIT_LOCKS] }),
];

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const NUMBERS_HERE: &[(i64, When)] = &[
    (libc::SYS_stat, When::Always), (libc::SYS_lstat, When::Always),
    (libc::SYS_chown, When::Always), (libc::SYS_lchown, When::Always),
    (libc::SYS_open, When::AnyBit { argument: 1, bits: CREATES }), (libc::SYS_creat, When::Always),
    (libc::SYS_mkdir, When::Always), (libc::SYS_symlink, When::Always),
    (libc::SYS_mknod, When::Always), (libc::SYS_setrlimit, LOCKS), (libc::SYS_getrlimit, LOCKS),
];

// Of these libc names none for this machine: getrlimit, setrlimit.
#[cfg(target_arch = "aarch64")]
const NUMBERS_HERE: &[(i64, When)] = &[(163, LOCKS), (164, LOCKS)];

#[cfg(target_arch = "x86_64")]
fn native(number: i64, a: &[u64; 6]) -> Option<Request> {
    let follow = |path| At { base: Base::Cwd, path: Some(path), follow: true, empty: false };
    let itself = |path| At { follow: false, ..follow(path) };
    Some(match number {
        libc::SYS_stat => Request::Stat { at: follow(a[0]), buffer: a[1], form: Form::Native },
        libc::SYS_lstat => Request::Stat { at: itself(a[0]), buffer: a[1], form: Form::Native },
        libc::SYS_chown => chown(follow(a[0]), a[1], a[2]),
        libc::SYS_lchown => chown(itself(a[0]), a[1], a[2]),
        libc::SYS_open => open(follow(a[0]), a[1], a[2]),
        libc::SYS_creat => {
            let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
            open(follow(a[0]), flags as u64, a[1])
        }
        libc::SYS_mkdir => Request::Mkdir { at: itself(a[0]), mode: a[1] as u32 },
        libc::SYS_symlink => Request::Symlink { target: a[0], at: itself(a[1]) },
        libc::SYS_mknod => mknod(itself(a[0]), a[1], a[2]),
        libc::SYS_setrlimit => Request::Limit { old: 0, wide: true },
        libc::SYS_getrlimit => Request::Limit { old: a[1], wide: true },
        other => return common(other, a),
    })
}

#[cfg(target_arch = "aarch64")]
fn native(number: i64, a: &[u64; 6]) -> Option<Request> {
    match number {
        164 => Some(Request::Limit { old: 0, wide: true }),
        163 => Some(Request::Limit { old: a[1], wide: true }),
        other => common(other, a),
    }
}

// Calls that every 64-bit machine has.
fn common(number: i64, a: &[u64; 6]) -> Option<Request> {
    use Kind::{Group, User};
    let id = |number: u64| (number as u32 != u32::MAX).then_some(number as u32);
    Some(match number {
        libc::SYS_newfstatat => {
            Request::Stat { at: at(a[0], a[1], a[3]), buffer: a[2], form: Form::Native }
        }
        libc::SYS_fstat => Request::Stat { at: fd(a[0]), buffer: a[1], form: Form::Native },
        libc::SYS_statx => Request::Statx {
            at: at(a[0], a[1], a[2]),
            flags: a[2] as u32,
            mask: a[3] as u32,
            buffer: a[4],
        },
        libc::SYS_fchown => chown(fd(a[0]), a[1], a[2]),
        libc::SYS_fchownat => chown(at(a[0], a[1], a[4]), a[2], a[3]),
        libc::SYS_openat => open(at(a[0], a[1], 0), a[2], a[3]),
        libc::SYS_openat2 => Request::OpenHow { at: at(a[0], a[1], 0), how: a[2], size: a[3] },
        libc::SYS_mkdirat => Request::Mkdir { at: at(a[0], a[1], 0), mode: a[2] as u32 },
        libc::SYS_symlinkat => Request::Symlink { target: a[0], at: at(a[1], a[2], 0) },
        libc::SYS_mknodat => mknod(at(a[0], a[1], 0), a[2], a[3]),
        libc::SYS_execve => Request::Exec {
            at: At { base: Base::Cwd, path: Some(a[0]), follow: true, empty: false },
        },
        libc::SYS_execveat => Request::Exec { at: at(a[0], a[1], a[4]) },
        libc::SYS_chroot => Request::Chroot,
        libc::SYS_getuid => Request::GetId { kind: User, effective: false },
        libc::SYS_geteuid => Request::GetId { kind: User, effective: true },
        libc::SYS_getgid => Request::GetId { kind: Group, effective: false },
        libc::SYS_getegid => Request::GetId { kind: Group, effective: true },
        libc::SYS_getresuid => Request::GetIds { kind: User, to: [a[0], a[1], a[2]] },
        libc::SYS_getresgid => Request::GetIds { kind: Group, to: [a[0], a[1], a[2]] },
        libc::SYS_getgroups => Request::GetGroups { count: a[0] as i32, list: a[1] },
        libc::SYS_setgroups => Request::SetGroups { count: a[0] as u32, list: a[1] },
        libc::SYS_setuid => Request::SetId { kind: User, id: id(a[0]) },
        libc::SYS_setgid => Request::SetId { kind: Group, id: id(a[0]) },
        libc::SYS_setreuid => Request::SetPair { kind: User, real: id(a[0]), effective: id(a[1]) },
        libc::SYS_setregid => Request::SetPair { kind: Group, real: id(a[0]), effective: id(a[1]) },
        libc::SYS_setresuid => {
            Request::SetTriple { kind: User, ids: [id(a[0]), id(a[1]), id(a[2])] }
        }
        libc::SYS_setresgid => {
            Request::SetTriple { kind: Group, ids: [id(a[0]), id(a[1]), id(a[2])] }
        }
        libc::SYS_setfsuid => Request::SetFs { kind: User, id: id(a[0]) },
        libc::SYS_setfsgid => Request::SetFs { kind: Group, id: id(a[0]) },
        libc::SYS_capset => Request::SetCapabilities { sets: a[1] },
        libc::SYS_prctl => keeping(a),
        libc::SYS_prlimit64 => Request::Limit { old: a[3], wide: true },
        _ => return None,
    })
}

/// The file of an `…at` call.
pub(super) fn at(dir: u64, path: u64, flags: u64) -> At {
    let flags = flags as i32;
    let base = match dir as i32 {
        libc::AT_FDCWD => Base::Cwd,
        fd => Base::Fd(fd),
    };
    let empty = flags & libc::AT_EMPTY_PATH != 0;
    At {
        base,
        // Linux 6.11: with this flag there need not be a path.
        path: (path != 0 || !empty).then_some(path),
        follow: flags & libc::AT_SYMLINK_NOFOLLOW == 0,
        empty,
    }
}

pub(super) fn fd(number: u64) -> At {
    At { base: Base::Fd(number as i32), path: None, follow: true, empty: true }
}

pub(super) fn keeping(a: &[u64; 6]) -> Request {
    let bits = if a[0] as u32 == PR_SET_SECUREBITS { KEEPING_BITS } else { u64::MAX };
    Request::KeepCapabilities(a[1] & bits != 0)
}

pub(super) fn chown(at: At, uid: u64, gid: u64) -> Request {
    let id = |number: u64| (number as u32 != u32::MAX).then_some(number as u32);
    Request::Chown { at, uid: id(uid), gid: id(gid) }
}

pub(super) fn open(at: At, flags: u64, mode: u64) -> Request {
    Request::Open { at, flags: OpenFlags(flags as i32), mode: mode as u32 }
}

pub(super) fn mknod(at: At, mode: u64, device: u64) -> Request {
    Request::Mknod { at, mode: mode as u32, device: device as u32 }
}
