//! Programs of other machines: handlers in a `binfmt_misc` of the own user namespace (Linux 6.7), and
//! programs in memory that tell by being run whether they can be.
//!
//! A user namespace without a `binfmt_misc` of its own goes by the one above it; the first mount makes
//! an empty one that counts for this namespace and those below, and is gone with it. The host's is
//! never written to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::{MemfdFlags, Mode, OFlags};

use super::mount::{self, Limits};

/// The kernel's limit on a line of `register`, in bytes.
const LONGEST: usize = 1920;

/// The handlers of this user namespace. They are there for as long as this is held.
#[derive(Debug)]
pub(crate) struct Registry(OwnedFd);

impl Registry {
    /// Makes the registry of this user namespace. The error is EPERM on kernels before 6.7, ENODEV
    /// where the kernel has no `binfmt_misc` (or has not loaded it).
    pub(crate) fn open() -> io::Result<Self> {
        mount::new_mount("binfmt_misc", &[], Limits::DATA).map(Registry)
    }

    /// Has `interpreter` run each file that begins with `magic` where `mask` has bits. The file is
    /// opened now (`F`): a step needs not to have it. Programs keep their setuid bits (`C`) and need
    /// not to be readable (`O`). With `named` the name by which a program was called is handed over
    /// beside its path (`P`), which the interpreter has to know.
    pub(crate) fn register(
        &self,
        name: &str,
        magic: &[u8],
        mask: &[u8],
        interpreter: &Path,
        named: bool,
    ) -> io::Result<()> {
        let path = interpreter.as_os_str().as_bytes();
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        // The first byte of the line is what separates its fields.
        let separator = *b":|;,!"
            .iter()
            .find(|byte| !path.contains(byte))
            .ok_or_else(|| invalid("its path has too many strange characters"))?;
        let hex = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect()
        };
        let fields =
            [b"".to_vec(), name.into(), b"M".to_vec(), b"0".to_vec(), hex(magic), hex(mask)];
        let mut line = fields.join(&separator);
        line.push(separator);
        line.extend_from_slice(path);
        line.push(separator);
        line.extend_from_slice(if named { b"POCF" } else { b"OCF" });
        if line.len() > LONGEST {
            return Err(invalid("its path is too long"));
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, "register", flags, Mode::empty())?;
        rustix::io::write(&file, &line)?;
        Ok(())
    }
}

/// Runs the program that these bytes are, from memory, with nothing; tells how it ended. The error is
/// ENOEXEC where nothing on this machine runs such a program.
pub(crate) fn run_bytes(bytes: &[u8]) -> io::Result<ExitStatus> {
    let file = rustix::fs::memfd_create("probe", MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::fchmod(&file, Mode::from_bits_retain(0o755))?;
    Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg0("probe")
        // Plain enough for posix_spawn(3): execvp(3) would have a shell try what the kernel refuses.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
}

/// The error number of a filesystem that the kernel does not have.
pub(crate) const NO_DEVICE: i32 = libc::ENODEV;
