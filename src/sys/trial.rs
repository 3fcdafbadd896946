//! Abilities of the kernel, each tried for real; to be called in a process that may be spoilt by it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::child::{self, Fork};

/// Runs `work` in a fork of this process and returns what it gave. One that takes longer than `limit`
/// is killed, with all its process group. To be called while the process has one thread.
pub(crate) fn in_child(limit: Duration, work: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    let (mut answer, mut say) = io::pipe()?;
    match child::fork()? {
        Fork::Child => {
            drop(answer);
            // A group of its own, so that its children can be killed with it.
            let _ = rustix::process::setpgid(None, None);
            // When nobody reads any more, there is nobody to tell.
            let _ = say.write_all(&work());
            child::exit(0)
        }
        Fork::Parent(worker) => {
            drop(say);
            let until = Instant::now() + limit;
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            let done = loop {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break Err(io::ErrorKind::TimedOut.into());
                }
                let wait = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
                match child::poll([Some(answer.as_fd())], wait) {
                    Ok([false]) => {}
                    Ok([true]) => match answer.read(&mut buffer) {
                        Ok(0) => break Ok(bytes),
                        Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                        Err(error) => break Err(error),
                    },
                    Err(error) => break Err(error),
                }
            };
            worker.kill_group();
            let _ = worker.wait();
            done
        }
    }
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: namespaces only; neither the descriptor table nor memory is unshared.
    unsafe { unshare_unsafe(flags)? };
    Ok(())
}

/// Makes a network namespace and brings its loopback device up.
pub(crate) fn own_network() -> io::Result<()> {
    unshare(UnshareFlags::NEWNET)?;
    child::loopback_up()
}

/// Makes the namespaces of ipc, host name and control groups.
pub(crate) fn small_namespaces() -> io::Result<()> {
    unshare(UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP)
}

/// Installs a filter of system calls, which lets all pass; with `listener` one that hands a call over
/// to a supervisor.
pub(crate) fn filter(listener: bool) -> io::Result<()> {
    let one = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let program = [
        // The number is the first word of `struct seccomp_data`.
        one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        one(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_acct as u32),
        one(
            libc::BPF_RET | libc::BPF_K,
            0,
            if listener { libc::SECCOMP_RET_USER_NOTIF } else { libc::SECCOMP_RET_ALLOW },
        ),
        one(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        // The kernel copies the program, and writes nothing.
        filter: program.as_ptr().cast_mut(),
    };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: pointer and length describe an array that lives until the call is over.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &program as *const libc::sock_fprog,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    if listener {
        // SAFETY: the kernel has just made this descriptor for us.
        drop(unsafe { OwnedFd::from_raw_fd(done as i32) });
    }
    Ok(())
}

/// Mounts an overlay of two folders and looks whether a removed file is remembered in the upper one.
/// `folder` is empty.
pub(crate) fn overlay(folder: &Path) -> Result<(), super::OverlayError> {
    let path = |name: &str| folder.join(name);
    let refused = |step: &str, source: io::Error| super::OverlayError::Refused {
        step: step.to_owned(),
        hint: String::new(),
        source,
    };
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(path(name)).map_err(|error| refused("make a folder", error))?;
    }
    std::fs::write(path("lower/file"), b"").map_err(|error| refused("make a file", error))?;
    let upper = super::Upper { upper: &path("upper"), work: &path("work") };
    let tree = super::overlay_mount(&[path("lower")], Some(upper))?;
    rustix::fs::unlinkat(&tree, "file", rustix::fs::AtFlags::empty())
        .map_err(|error| refused("remove a file in it", error.into()))?;
    std::fs::symlink_metadata(path("upper/file"))
        .map(drop)
        .map_err(|error| refused("find what was removed in the upper folder", error))
}

/// Asks for an overlay whose layers are given one by one, which has no limit on their names.
pub(crate) fn overlay_by_layers(folder: &Path) -> io::Result<()> {
    use rustix::mount::{FsOpenFlags, fsconfig_set_string, fsopen};
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    Ok(fsconfig_set_string(&fs, "lowerdir+", folder)?)
}

/// Opens the device by which programs are a network.
pub(crate) fn tun() -> io::Result<()> {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").map(drop)
}

/// What a folder lies on.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// The kernel's name of the file system, or its number.
    pub(crate) kind: String,
    /// Bytes that this account may still write.
    pub(crate) free: u64,
    pub(crate) readonly: bool,
    pub(crate) noexec: bool,
}

// linux/magic.h
const KINDS: [(u64, &str); 17] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x6573_5546, "fuse"),
    (0x0102_1997, "9p"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    (0xf15f, "ecryptfs"),
    (0x8584_58f6, "ramfs"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
];

/// Returns what a folder lies on.
pub(crate) fn disk(folder: &Path) -> io::Result<Disk> {
    let kind = rustix::fs::statfs(folder)?.f_type as u64 & 0xffff_ffff;
    let name = KINDS.iter().find(|(number, _)| *number == kind);
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes())?;
    let mut status = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is NUL-terminated, the struct as large as the call wants it.
    if unsafe { libc::statvfs(path.as_ptr(), status.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and wrote the whole.
    let status = unsafe { status.assume_init() };
    Ok(Disk {
        kind: name.map_or_else(|| format!("{kind:#x}"), |(_, name)| (*name).to_owned()),
        free: status.f_bavail * status.f_frsize,
        readonly: status.f_flag & libc::ST_RDONLY != 0,
        noexec: status.f_flag & libc::ST_NOEXEC != 0,
    })
}

/// The first of `folders` that has an executable file `name`.
pub(crate) fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
    })
}

/// The limits of this process that a build meets, in words; none where all is open.
pub(crate) fn process_limits() -> Vec<String> {
    use rustix::process::{Resource, getrlimit};
    [
        (Resource::Nproc, "processes"),
        (Resource::Nofile, "open files"),
        (Resource::As, "address space"),
        (Resource::Fsize, "bytes a file"),
    ]
    .into_iter()
    .filter_map(|(resource, name)| {
        getrlimit(resource).current.map(|limit| format!("{limit} {name}"))
    })
    .collect()
}
