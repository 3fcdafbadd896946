//! Watching all processes of a step from its first one (ptrace(2)): what they execute, whom they
//! connect to, how they end.
//!
//! The stop of an exec comes after the new image is in place and before its first instruction, so what
//! is read then is what runs. Nobody else can trace these processes meanwhile.

use std::ffi::{OsStr, c_long};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::Pid;

use super::child::{Child, End};
use super::notify::Errno;

/// What happened to a process of the step.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A process executes a program now; it is stopped until [`Tracer::go_on`]. `thread` asked for it.
    Executed { pid: u32, thread: u32 },
    /// A thread calls something that is watched; it is stopped until [`Tracer::go_on`] or
    /// [`Tracer::skip`].
    Calls(u32, Watched),
    /// A call is over that was to be told of; it is stopped until [`Tracer::go_on`].
    Returned(u32),
    /// A process (not a thread) was made by another.
    Made { parent: u32, child: u32 },
    /// It ended.
    Ended(u32, End),
    /// Nothing of interest.
    Nothing,
}

/// Why a call is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    /// It connects.
    Connect,
    /// It asks for another program.
    Exec,
    /// It has to be refused.
    Denied,
    /// It has to be unknown.
    Absent,
}

/// A system call, by the table of its architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(super) arch: u32,
    pub(super) number: u64,
    pub(super) arguments: [u64; 6],
}

/// Traces a process and all that it starts.
pub(crate) struct Tracer {
    /// A procfs that shows the step's processes.
    proc: OwnedFd,
}

const OPTIONS: c_long = (libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL) as c_long;

fn ptrace(request: libc::c_uint, pid: u32, address: c_long, data: c_long) -> io::Result<c_long> {
    // SAFETY: the requests used here (SEIZE, CONT, LISTEN) take numbers in both places, and touch no
    // memory of this process; GETEVENTMSG has a function of its own.
    let done = unsafe { libc::ptrace(request as _, pid as libc::pid_t, address, data) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn event_message(pid: u32) -> io::Result<u32> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one long into a variable that lives until the call is over.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GETEVENTMSG as _,
            pid as libc::pid_t,
            0 as c_long,
            &raw mut message,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(message as u32) }
}

impl Tracer {
    /// Begins to trace a child that has not yet done anything. `proc` is a handle of a procfs that
    /// shows it.
    pub(crate) fn begin(child: &Child, proc: OwnedFd) -> io::Result<Self> {
        ptrace(libc::PTRACE_SEIZE, child.number(), 0, OPTIONS)?;
        Ok(Tracer { proc })
    }

    /// Returns the next thing that happened; `None` if there is none yet. What is stopped for anything
    /// else than the named events goes on by itself.
    pub(crate) fn next(&self) -> Option<Happened> {
        let mut status = 0;
        // SAFETY: the kernel writes one int into a variable that lives until the call is over.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
        let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
        if libc::WIFEXITED(status) {
            return Some(Happened::Ended(pid, End::Exited(libc::WEXITSTATUS(status))));
        }
        if libc::WIFSIGNALED(status) {
            return Some(Happened::Ended(pid, End::Signaled(libc::WTERMSIG(status))));
        }
        let signal = libc::WSTOPSIG(status);
        Some(match status >> 16 {
            libc::PTRACE_EVENT_EXEC => {
                // The number that the thread had (ptrace(2)); the others of the process are gone.
                Happened::Executed { pid, thread: event_message(pid).unwrap_or(pid) }
            }
            libc::PTRACE_EVENT_SECCOMP => match event_message(pid) {
                Ok(super::watch::CONNECT) => Happened::Calls(pid, Watched::Connect),
                Ok(super::watch::EXEC) => Happened::Calls(pid, Watched::Exec),
                Ok(super::watch::ABSENT) => Happened::Calls(pid, Watched::Absent),
                // Going on would be leave.
                _ => Happened::Calls(pid, Watched::Denied),
            },
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let child = event_message(pid);
                self.go_on(pid);
                match child {
                    Ok(child) if self.is_process(child) => {
                        Happened::Made { parent: self.process_of(pid).unwrap_or(pid), child }
                    }
                    _ => Happened::Nothing,
                }
            }
            libc::PTRACE_EVENT_STOP => match signal {
                // Stopped by a job's signal: it stays so until SIGCONT.
                libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                    // It may be gone already.
                    let _ = ptrace(libc::PTRACE_LISTEN, pid, 0, 0);
                    Happened::Nothing
                }
                _ => self.pass(pid, 0),
            },
            0 if signal == libc::SIGTRAP | 0x80 => Happened::Returned(pid),
            // A signal on its way to the process.
            0 => self.pass(pid, signal),
            _ => self.pass(pid, 0),
        })
    }

    fn pass(&self, pid: u32, signal: i32) -> Happened {
        // It may be gone already.
        let _ = ptrace(libc::PTRACE_CONT as _, pid, 0, c_long::from(signal));
        Happened::Nothing
    }

    /// Lets a stopped process go on.
    pub(crate) fn go_on(&self, pid: u32) {
        self.pass(pid, 0);
    }

    /// Lets a thread that is stopped at a call go on, and tells when the call is over.
    pub(crate) fn go_on_to_return(&self, thread: u32) {
        // It may be gone already.
        let _ = ptrace(libc::PTRACE_SYSCALL as _, thread, 0, 0);
    }

    /// Has the call at which a thread is stopped fail, without the kernel looking at it.
    pub(crate) fn skip(&self, thread: u32, error: Errno) {
        match fail_call(thread, error.0) {
            Ok(()) => self.go_on(thread),
            // It may be gone already; if not, it must not go on.
            Err(_) => {
                // SAFETY: takes two numbers.
                unsafe { libc::kill(thread as libc::pid_t, libc::SIGKILL) };
            }
        }
    }

    /// The call at which a thread is stopped.
    pub(crate) fn call(&self, thread: u32) -> io::Result<Call> {
        call(thread)
    }

    /// The error of a call that is over; `None` if it had none.
    pub(crate) fn error(&self, thread: u32) -> io::Result<Option<Errno>> {
        let info = call_info(thread)?;
        // Words: op and arch, instruction pointer, stack pointer, the value, whether it is an error.
        Ok((info[4] & 0xff != 0).then(|| Errno((info[3] as i64).unsigned_abs() as i32)))
    }

    /// The path that an exec asks for.
    pub(crate) fn asked_for(&self, thread: u32) -> io::Result<Vec<u8>> {
        let call = call(thread)?;
        let at = super::watch::path_of_exec(&call);
        read_text(thread, call.arguments[at])
    }

    /// The name by which the program of a process was asked for (`AT_EXECFN`): of a script, that of
    /// the script.
    pub(crate) fn asked(&self, pid: u32) -> io::Result<Vec<u8>> {
        const EXECFN: u64 = 31; // linux/auxvec.h
        let mut bytes = Vec::new();
        self.open(pid, "auxv")?.take(4096).read_to_end(&mut bytes)?;
        // Pairs of long words; a program for i386 has short ones.
        let of = |size: usize| {
            let word = |bytes: &[u8]| {
                let mut full = [0; 8];
                full[..size].copy_from_slice(bytes);
                u64::from_le_bytes(full)
            };
            let mut pairs = bytes.chunks_exact(2 * size);
            pairs.find(|pair| word(&pair[..size]) == EXECFN).map(|pair| word(&pair[size..]))
        };
        let address = of(8).or_else(|| of(4)).ok_or(io::ErrorKind::NotFound)?;
        read_text(pid, address)
    }

    /// What a descriptor of a process is: a path, `pipe:[7]`, `socket:[8]`.
    pub(crate) fn stream(&self, pid: u32, fd: u32) -> io::Result<Vec<u8>> {
        let link = rustix::fs::readlinkat(&self.proc, format!("{pid}/fd/{fd}"), Vec::new())?;
        Ok(link.into_bytes())
    }

    /// Tells whether a socket is one of the internet, by its number.
    pub(crate) fn is_inet(&self, pid: u32, number: &str) -> bool {
        ["tcp", "tcp6", "udp", "udp6"].iter().any(|table| {
            let mut text = String::new();
            let read = self
                .open(pid, &format!("net/{table}"))
                .and_then(|file| file.take(1 << 20).read_to_string(&mut text));
            // Column 10 is the inode (proc(5)).
            read.is_ok()
                && text.lines().any(|line| line.split_ascii_whitespace().nth(9) == Some(number))
        })
    }

    /// The working directory of a process.
    pub(crate) fn folder(&self, pid: u32) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.proc, format!("{pid}/cwd"), Vec::new())?.into_bytes())
    }

    fn open(&self, pid: u32, file: &str) -> io::Result<File> {
        let path = format!("{pid}/{file}");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.proc, path, flags, rustix::fs::Mode::empty())?.into())
    }

    fn status(&self, pid: u32, name: &str) -> Option<u32> {
        let mut text = String::new();
        self.open(pid, "status").ok()?.take(8192).read_to_string(&mut text).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    fn is_process(&self, pid: u32) -> bool {
        self.status(pid, "Tgid:") == Some(pid)
    }

    fn process_of(&self, thread: u32) -> Option<u32> {
        self.status(thread, "Tgid:")
    }

    /// Tells whether a process is there and has not ended.
    pub(crate) fn is_alive(&self, pid: u32) -> bool {
        let mut text = String::new();
        let read = self.open(pid, "status").and_then(|file| {
            file.take(8192).read_to_string(&mut text)?;
            Ok(text.lines().find_map(|line| line.strip_prefix("State:")))
        });
        // Zombies and dead ones (proc(5)).
        read.is_ok_and(|state| state.is_some_and(|state| !state.trim().starts_with(['Z', 'X'])))
    }

    /// The process that a stopped thread belongs to.
    pub(crate) fn process(&self, thread: u32) -> u32 {
        self.process_of(thread).unwrap_or(thread)
    }

    /// The program that a process runs: its path as the step sees it, and the file itself.
    pub(crate) fn program(&self, pid: u32) -> io::Result<(Vec<u8>, File)> {
        let path = rustix::fs::readlinkat(&self.proc, format!("{pid}/exe"), Vec::new())?;
        Ok((path.into_bytes(), self.open(pid, "exe")?))
    }

    /// The arguments of a process, at most so many bytes of them; whole ones only, for half a secret
    /// is not known for one.
    pub(crate) fn arguments(&self, pid: u32, most: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.open(pid, "cmdline")?.take(most + 1).read_to_end(&mut bytes)?;
        Ok(words(bytes, most))
    }

    /// Where a process that is stopped before a connect wants to go: `192.0.2.1:443`, `unix:/run/x`.
    /// Another thread of it may still change that: a note, no fence.
    pub(crate) fn destination(&self, pid: u32) -> io::Result<String> {
        let arguments = call(pid)?.arguments;
        let size = (arguments[2] as usize).min(128);
        let mut address = vec![0u8; size];
        let read = read_memory(pid, arguments[1], &mut address)?;
        Ok(address_in_words(&address[..read]))
    }
}

fn words(mut bytes: Vec<u8>, most: u64) -> Vec<Vec<u8>> {
    if bytes.len() as u64 > most {
        bytes.truncate(most as usize);
        match bytes.iter().rposition(|byte| *byte == 0) {
            Some(end) => bytes.truncate(end + 1),
            None => return Vec::new(),
        }
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// `struct ptrace_syscall_info`: two bytes of kind and padding, the architecture, two addresses, then
/// what the kind has (ptrace(2), Linux 5.3).
fn call_info(thread: u32) -> io::Result<[u64; 12]> {
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    let mut info = [0u64; 12];
    // SAFETY: the kernel writes at most as many bytes as it is told.
    let done = unsafe {
        libc::ptrace(
            GET_SYSCALL_INFO as _,
            thread as libc::pid_t,
            size_of_val(&info) as c_long,
            info.as_mut_ptr(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

fn call(thread: u32) -> io::Result<Call> {
    let info = call_info(thread)?;
    // Of a stop by a filter: the number, six arguments.
    let mut arguments = [0; 6];
    arguments.copy_from_slice(&info[4..10]);
    Ok(Call { arch: (info[0] >> 32) as u32, number: info[3], arguments })
}

/// The number -1 is that of no call: the kernel leaves it, and the value stays as it was set.
#[cfg(target_arch = "x86_64")]
fn fail_call(thread: u32, error: i32) -> io::Result<()> {
    // SAFETY: all zero bytes are a valid value of this struct of numbers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut transfer = |request: libc::c_uint| {
        // SAFETY: the kernel reads or writes one such struct, which lives until the call is over.
        let done = unsafe {
            libc::ptrace(request as _, thread as libc::pid_t, 0 as c_long, &raw mut registers)
        };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        registers.orig_rax = u64::MAX;
        registers.rax = i64::from(-error) as u64;
        Ok(())
    };
    transfer(libc::PTRACE_GETREGS as _)?;
    transfer(libc::PTRACE_SETREGS as _)
}

#[cfg(target_arch = "aarch64")]
fn fail_call(thread: u32, error: i32) -> io::Result<()> {
    const PRSTATUS: c_long = 1; // linux/elf.h
    const SYSTEM_CALL: c_long = 0x404;
    let set = |request: libc::c_uint, kind: c_long, base: *mut libc::c_void, size: usize| {
        let mut part = libc::iovec { iov_base: base, iov_len: size };
        // SAFETY: the kernel reads or writes at most so many bytes there; the callers' values live on.
        let done =
            unsafe { libc::ptrace(request as _, thread as libc::pid_t, kind, &raw mut part) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // x0 to x30, stack pointer, program counter, state.
    let mut registers = [0u64; 34];
    let size = size_of_val(&registers);
    set(libc::PTRACE_GETREGSET as _, PRSTATUS, registers.as_mut_ptr().cast(), size)?;
    registers[0] = i64::from(-error) as u64;
    let mut number: i32 = -1;
    set(libc::PTRACE_SETREGSET as _, SYSTEM_CALL, (&raw mut number).cast(), size_of::<i32>())?;
    set(libc::PTRACE_SETREGSET as _, PRSTATUS, registers.as_mut_ptr().cast(), size)
}

/// Reads a text up to its zero byte; at most as long as a path may be.
fn read_text(pid: u32, address: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < libc::PATH_MAX as usize {
        // To the end of the page: the next one may not be there.
        let mut piece = vec![0; (4096 - at % 4096) as usize];
        let read = read_memory(pid, at, &mut piece)?;
        match piece[..read].iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend_from_slice(&piece[..end]);
                return Ok(text);
            }
            None => text.extend_from_slice(&piece[..read]),
        }
        at = address + text.len() as u64;
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn read_memory(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: what is local is our own slice; what is remote is checked by the kernel.
    let read = unsafe { libc::process_vm_readv(pid as libc::pid_t, &local, 1, &remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

fn address_in_words(address: &[u8]) -> String {
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    let port = |at: usize| u16::from_be_bytes([address[at], address[at + 1]]);
    let Some(family) = address.get(..2).map(|f| u16::from_ne_bytes([f[0], f[1]])) else {
        return "nowhere".to_owned();
    };
    match i32::from(family) {
        libc::AF_INET if address.len() >= 8 => {
            let ip: [u8; 4] = [address[4], address[5], address[6], address[7]];
            SocketAddr::new(IpAddr::from(ip), port(2)).to_string()
        }
        libc::AF_INET6 if address.len() >= 24 => {
            let mut ip = [0u8; 16];
            ip.copy_from_slice(&address[8..24]);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)), port(2)).to_string()
        }
        libc::AF_UNIX => {
            let name = &address[2..];
            match name.first() {
                Some(0) => {
                    let end = name.iter().rposition(|byte| *byte != 0).map_or(1, |at| at + 1);
                    format!("unix:@{}", String::from_utf8_lossy(&name[1..end.max(1)]))
                }
                _ => {
                    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                    let path = Path::new(OsStr::from_bytes(&name[..end]));
                    format!("unix:{}", path.display())
                }
            }
        }
        libc::AF_UNSPEC => "nowhere".to_owned(),
        other => format!("family {other}"),
    }
}

impl Child {
    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        Pid::as_raw(Some(self.pid())) as u32
    }

    /// Tells whether this is the child's number.
    pub(crate) fn is(&self, pid: u32) -> bool {
        self.number() == pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_argument_is_none() {
        for (bytes, most, want) in [
            ("a\0bc\0", 9, vec!["a", "bc"]),
            ("a\0bc\0", 5, vec!["a", "bc"]),
            ("a\0bcd\0", 5, vec!["a"]),
            ("a\0\0\0bcd", 4, vec!["a", "", ""]),
            ("abcdef", 5, vec![]),
        ] {
            let want: Vec<Vec<u8>> = want.into_iter().map(Vec::from).collect();
            assert_eq!(words(bytes.into(), most), want, "{bytes:?}");
        }
    }

    #[test]
    fn addresses_are_told_in_words() {
        let v4 = [2, 0, 1, 187, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut v6 = vec![10, 0, 0, 53, 0, 0, 0, 0];
        v6.extend([0; 15]);
        v6.extend([1, 0, 0, 0, 0]);
        for (bytes, want) in [
            (v4.to_vec(), "192.0.2.1:443"),
            (v6, "[::1]:53"),
            (b"\x01\0/run/x\0rest".to_vec(), "unix:/run/x"),
            (b"\x01\0\0abstract\0\0".to_vec(), "unix:@abstract"),
            (b"\x01\0".to_vec(), "unix:"),
            (b"\x01\0\0".to_vec(), "unix:@"),
            (b"\0\0".to_vec(), "nowhere"),
            (b"\x10\0".to_vec(), "family 16"),
            (b"\x02\0\0".to_vec(), "family 2"),
            (Vec::new(), "nowhere"),
        ] {
            assert_eq!(address_in_words(&bytes), want);
        }
    }
}
