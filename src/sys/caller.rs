//! Another process: its memory, its mask of modes, and a number that its children inherit.

use std::io;

use super::notify::Errno;

/// Longest path with its NUL (linux/limits.h).
const PATH_MAX: usize = 4096;
/// The smallest page of any machine: a read that ends at its end never fails for what follows.
const PAGE: u64 = 4096;

/// A thread of another process.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pid: i32,
}

impl Caller {
    /// Names it by its number.
    pub(crate) fn new(pid: u32) -> Self {
        Caller { pid: i32::try_from(pid).unwrap_or(i32::MAX) }
    }

    /// Its number.
    pub(crate) fn pid(self) -> i32 {
        self.pid
    }

    fn move_memory(self, address: u64, here: &mut [u8], write: bool) -> Result<usize, Errno> {
        let local = libc::iovec { iov_base: here.as_mut_ptr().cast(), iov_len: here.len() };
        // A transfer ends before the first piece that it cannot do: one for each page.
        let mut remote = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 130];
        let (mut count, mut at, mut left) = (0, address, here.len() as u64);
        while left > 0 && count < remote.len() {
            let size = (PAGE - at % PAGE).min(left);
            remote[count] = libc::iovec { iov_base: at as *mut _, iov_len: size as usize };
            (count, at, left) = (count + 1, at.wrapping_add(size), left - size);
        }
        // SAFETY: the local piece is a live, exclusively borrowed buffer; addresses of the other
        // process are checked by the kernel.
        let done = unsafe {
            let count = count as libc::c_ulong;
            match write {
                false => libc::process_vm_readv(self.pid, &local, 1, remote.as_ptr(), count, 0),
                true => libc::process_vm_writev(self.pid, &local, 1, remote.as_ptr(), count, 0),
            }
        };
        usize::try_from(done)
            .map_err(|_| Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EFAULT)))
    }

    /// Reads exactly `size` bytes, at most 512 KiB.
    pub(crate) fn read(self, address: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; size];
        match self.move_memory(address, &mut bytes, false)? {
            got if got == size => Ok(bytes),
            _ => Err(Errno::FAULT),
        }
    }

    /// Reads the text at an address, up to its NUL.
    pub(crate) fn path(self, address: u64) -> Result<Vec<u8>, Errno> {
        // Most are short, and do not cross a page.
        let mut bytes = vec![0; 256];
        for size in [256, PATH_MAX] {
            bytes.resize(size, 0);
            let got = self.move_memory(address, &mut bytes, false)?;
            if let Some(end) = bytes[..got].iter().position(|byte| *byte == 0) {
                bytes.truncate(end);
                return Ok(bytes);
            }
            if got < size {
                return Err(Errno::FAULT);
            }
        }
        Err(Errno::NAME_TOO_LONG)
    }

    /// Writes all of `bytes`.
    pub(crate) fn write(self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        match self.move_memory(address, bytes, true)? {
            done if done == bytes.len() => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    /// The number that was set by [`Caller::set_mark`] for this process, or for the one that it was
    /// forked from before the fork; `None` if there is none.
    ///
    /// It is kept in a limit that has had no meaning since Linux 2.4 (RLIMIT_LOCKS): the kernel itself
    /// hands it on to children and keeps it over exec, whoever of the family has died meanwhile.
    pub(crate) fn mark(self) -> Result<Option<u64>, Errno> {
        let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        self.limit(std::ptr::null(), &mut limit)?;
        Ok((limit.rlim_cur != libc::RLIM64_INFINITY).then_some(limit.rlim_cur))
    }

    /// Sets the number.
    pub(crate) fn set_mark(self, mark: u64) -> Result<(), Errno> {
        let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        self.limit(std::ptr::null(), &mut limit)?;
        limit.rlim_cur = mark;
        self.limit(&limit, std::ptr::null_mut())
    }

    fn limit(self, new: *const libc::rlimit64, old: *mut libc::rlimit64) -> Result<(), Errno> {
        // SAFETY: each pointer is null or of a struct that lives until the call is over.
        let done = unsafe {
            libc::syscall(libc::SYS_prlimit64, self.pid, super::trap::RLIMIT_LOCKS, new, old)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
    }

    /// Its mask of modes. The current folder has to be a procfs ([`super::place`]).
    pub(crate) fn umask(self) -> u32 {
        let text = std::fs::read_to_string(format!("{}/status", self.pid)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("Umask:"))
            .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
            .unwrap_or(0o022)
    }
}

/// Gives this process the number 0 (see [`Caller::mark`]), whatever it began with.
pub(crate) fn mark_self() -> Result<(), Errno> {
    // Number 0 names the calling process (prlimit(2)).
    Caller { pid: 0 }.set_mark(0)
}
