//! System calls of other processes that this one answers (seccomp_unotify(2)).
//!
//! A process puts itself under a program that stops at chosen calls ([`install`]), and hands the
//! [`Listener`] that comes of it to another one. That one [receives](Listener::receive) each call,
//! looks, and lets it go on, or gives the answer in the kernel's place. It is no fence: what a caller's
//! memory holds may change at any time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::bpf::{self, ALLOW, Outcome, Table, Test};
use super::child;
use super::trap::{self, Request, When};

// linux/seccomp.h; the two structs and their sizes are fixed since Linux 5.0.
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const FLAG_NEW_LISTENER: libc::c_ulong = 1 << 3;
const FLAG_WAIT_KILLABLE: libc::c_ulong = 1 << 5;
const CONTINUE: u32 = 1;
const ADDFD_SEND: u32 = 1 << 1;
const SYNC_WAKE_UP: u64 = 1;
const RECV: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const ID_VALID: u32 = 0x4008_2102;
const ADDFD: u32 = 0x4018_2103;
const SET_FLAGS: u32 = 0x4008_2104;

#[repr(C)]
#[derive(Clone, Copy)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    arguments: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    from: u32,
    to: u32,
    to_flags: u32,
}

const _: () = assert!(size_of::<Notification>() == 0x50 && size_of::<Response>() == 0x18);
const _: () = assert!(size_of::<AddFd>() == 0x18);

/// The number of an error, as a system call gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(super) i32);

#[rustfmt::skip]
impl Errno {
    pub(crate) const PERM: Errno = Errno(libc::EPERM);
    pub(crate) const NO_CALL: Errno = Errno(libc::ENOSYS);
    pub(crate) const INVAL: Errno = Errno(libc::EINVAL);
    pub(crate) const NOMEM: Errno = Errno(libc::ENOMEM);
    pub(crate) const FAULT: Errno = Errno(libc::EFAULT);
    pub(crate) const NAME_TOO_LONG: Errno = Errno(libc::ENAMETOOLONG);
    pub(crate) const UNSUPPORTED: Errno = Errno(libc::EOPNOTSUPP);
}

impl Errno {
    /// Its name, of those that an exec gives; else its number.
    pub(crate) fn name(self) -> String {
        let names = [
            (libc::ENOENT, "ENOENT"),
            (libc::EACCES, "EACCES"),
            (libc::ENOEXEC, "ENOEXEC"),
            (libc::EPERM, "EPERM"),
            (libc::ENOTDIR, "ENOTDIR"),
            (libc::ETXTBSY, "ETXTBSY"),
            (libc::E2BIG, "E2BIG"),
            (libc::ELOOP, "ELOOP"),
        ];
        let known = names.iter().find(|(number, _)| *number == self.0);
        known.map_or_else(|| format!("error {}", self.0), |(_, name)| (*name).to_owned())
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        Errno(error.raw_os_error())
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// A call that waits for an answer.
pub(crate) struct Call {
    id: u64,
    /// The thread that called, as this process's pid namespace numbers it.
    pub(crate) pid: u32,
    /// What it asks for; `None` if the number is none that is listened to.
    pub(crate) request: Option<Request>,
}

/// The end at which calls arrive.
pub(crate) struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Takes the descriptor that [`install`] gave, perhaps in another process.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let listener = Listener(fd);
        // Linux 6.6: caller and listener take turns on one processor. A hint, no more.
        // SAFETY: this request takes a number, not a pointer.
        unsafe { libc::ioctl(listener.0.as_raw_fd(), SET_FLAGS as _, SYNC_WAKE_UP) };
        listener
    }

    fn ioctl<T>(&self, request: u32, argument: &mut T) -> io::Result<i32> {
        // SAFETY: each request is used with the struct whose size stands in its number, which lives
        // until the call is over.
        let done = unsafe {
            libc::ioctl(self.0.as_raw_fd(), request as _, std::ptr::from_mut::<T>(argument))
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
    }

    /// Tells whether the kernel knows the answer that it may go on itself (Linux 5.5).
    fn may_proceed(&self) -> bool {
        // No call has this number; an old kernel refuses the flag before it looks for one.
        let mut response = Response { id: u64::MAX, value: 0, error: 0, flags: CONTINUE };
        let refused = self.ioctl(SEND, &mut response).map_err(|error| error.raw_os_error());
        refused == Err(Some(libc::ENOENT))
    }

    /// Tells whether all that were under the program have ended.
    pub(crate) fn is_over(&self) -> bool {
        let mut list = [libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one entry, which lives until the call is over.
        let done = unsafe { libc::poll(list.as_mut_ptr(), 1, 0) };
        done == 1 && list[0].revents & libc::POLLIN == 0 && list[0].revents & libc::POLLHUP != 0
    }

    /// Takes the next call; waits for one if there is none. `None`: the caller is gone again.
    pub(crate) fn receive(&self) -> io::Result<Option<Call>> {
        // SAFETY: all zero bytes are a valid value, and the one that the kernel asks for.
        let mut got: Notification = unsafe { std::mem::zeroed() };
        match self.ioctl(RECV, &mut got) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let request = trap::decode(got.arch, got.number, &got.arguments);
        Ok(Some(Call { id: got.id, pid: got.pid, request }))
    }

    /// Tells whether the caller still waits: if so, what was read by its number was its own.
    pub(crate) fn waits(&self, call: &Call) -> bool {
        let mut id = call.id;
        self.ioctl(ID_VALID, &mut id).is_ok()
    }

    /// Has the kernel do the call.
    pub(crate) fn proceed(&self, call: &Call) {
        self.send(Response { id: call.id, value: 0, error: 0, flags: CONTINUE });
    }

    /// Answers in the kernel's place.
    pub(crate) fn answer(&self, call: &Call, result: Result<i64, Errno>) {
        let (value, error) = match result {
            Ok(value) => (value, 0),
            Err(Errno(number)) => (0, -number),
        };
        self.send(Response { id: call.id, value, error, flags: 0 });
    }

    /// Answers with a copy of `fd` in the caller's table. An error is the caller's: its table is full.
    pub(crate) fn give(&self, call: &Call, fd: BorrowedFd<'_>, close_on_exec: bool) {
        let from = u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX);
        let to_flags = if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 };
        let mut add = AddFd { id: call.id, flags: ADDFD_SEND, from, to: 0, to_flags };
        let given = self.ioctl(ADDFD, &mut add).or_else(|error| {
            if error.raw_os_error() != Some(libc::EINVAL) {
                return Err(error);
            }
            // Before Linux 5.14: the descriptor first, then the answer.
            add.flags = 0;
            let number = self.ioctl(ADDFD, &mut add)?;
            self.answer(call, Ok(number.into()));
            Ok(number)
        });
        if let Err(error) = given {
            self.answer(call, Err(error.into()));
        }
    }

    fn send(&self, mut response: Response) {
        // An error means that the caller was killed meanwhile.
        let _ = self.ioctl(SEND, &mut response);
    }
}

/// Puts this process, and all that it starts, under a program that stops at the calls of
/// [`super::trap`]. Needs CAP_SYS_ADMIN in the user namespace, and one thread. Of several programs the
/// strictest answer counts, and an error is stricter than this one. Nothing is installed on an error.
pub(crate) fn install() -> io::Result<OwnedFd> {
    match install_with(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE) {
        // Before Linux 5.19: a signal may interrupt a call that is being answered. Such a kernel may be
        // too old for the answers too, and a program cannot be taken away again: another process tries.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && is_able() => {
            install_with(FLAG_NEW_LISTENER)
        }
        other => other,
    }
}

fn is_able() -> bool {
    match child::fork() {
        Ok(child::Fork::Child) => {
            let able = install_with(FLAG_NEW_LISTENER).is_ok_and(|fd| Listener(fd).may_proceed());
            child::exit(i32::from(!able))
        }
        Ok(child::Fork::Parent(tried)) => {
            tried.wait().is_ok_and(|end| end == child::End::Exited(0))
        }
        Err(_) => false,
    }
}

fn install_with(flags: libc::c_ulong) -> io::Result<OwnedFd> {
    install_open(&program(), flags)
}

fn install_open(code: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let fd = install_code(code, flags)?;
    // SAFETY: the kernel just made it, and nobody else knows it. It closes on exec (seccomp(2)).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts this process, and all that it starts, under a program. With a flag that asks for a listener the
/// number is that of its descriptor.
pub(super) fn install_code(code: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<i32> {
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).map_err(io::Error::other)?,
        filter: code.as_ptr().cast_mut(),
    };
    // SAFETY: pointer and length describe a live slice, of which the kernel makes a copy.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(done).map_err(io::Error::other)
}

fn program() -> Vec<libc::sock_filter> {
    let outcome = |when| match when {
        When::Always => Outcome::all(RET_USER_NOTIF),
        When::AnyBit { argument, bits } => {
            Outcome::of(argument, &[Test::AnyBit(bits)], RET_USER_NOTIF, ALLOW)
        }
        When::Is { argument, values } => {
            let tests: Vec<Test> = values.iter().map(|value| Test::Equal(*value)).collect();
            Outcome::of(argument, &tests, RET_USER_NOTIF, ALLOW)
        }
    };
    let table = |(arch, rules): (u32, Vec<(u32, When)>)| Table {
        arch,
        calls: rules.into_iter().map(|(number, when)| (number, outcome(when))).collect(),
        unlisted: Outcome::all(ALLOW),
    };
    let tables: Vec<Table> = trap::rules().into_iter().map(table).collect();
    // The main filter has an opinion on other architectures.
    bpf::program(&tables, ALLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arch: u32, number: u32, arguments: [u64; 6]) -> bool {
        bpf::run(&program(), arch, number, arguments) == RET_USER_NOTIF
    }

    #[test]
    fn this_kernel_can_be_asked_whether_it_is_able() {
        // In a process of its own, which may not gain powers any more: no namespace is needed so.
        let child::Fork::Parent(tried) = child::fork().unwrap() else {
            // SAFETY: numbers alone.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            child::exit(i32::from(!is_able()))
        };
        assert_eq!(tried.wait().unwrap(), child::End::Exited(0));
    }

    #[test]
    fn the_program_stops_at_the_calls_of_the_list_and_no_others() {
        let native = trap::rules()[0].0;
        let stops = |number: i64, arguments| run(native, number as u32, arguments);
        let none = [0; 6];
        assert!(stops(libc::SYS_fchownat, none) && stops(libc::SYS_getuid, none));
        assert!(!stops(libc::SYS_read, none) && !stops(libc::SYS_clone, none));
        let creates = (libc::O_CREAT | libc::O_WRONLY) as u64;
        assert!(stops(libc::SYS_openat, [0, 0, creates, 0, 0, 0]));
        assert!(!stops(libc::SYS_openat, [0, 0, libc::O_WRONLY as u64, creates, 0, 0]));
        assert!(stops(libc::SYS_prctl, [28, 0, 0, 0, 0, 0]));
        assert!(!stops(libc::SYS_prctl, [1, 8, 0, 0, 0, 0]));
        assert!(!run(1, libc::SYS_getuid as u32, none), "another architecture");
        assert!(!run(native, libc::SYS_getuid as u32 | 1 << 30, none), "x32");
    }
}
