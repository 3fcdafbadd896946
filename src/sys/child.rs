//! What a process does to itself on its way to being a step: fork, identity, powers, limits, exec.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

/// A forked process that this one has to wait for.
#[derive(Debug)]
pub(crate) struct Child(Pid);

/// The number of a process. It is the process's own until its parent has waited for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number(Pid);

impl Number {
    /// A number that is one: above zero.
    pub(crate) fn new(number: i32) -> Option<Self> {
        if number > 0 { Pid::from_raw(number).map(Number) } else { None }
    }

    /// That of this process.
    pub(crate) fn own() -> Self {
        Number(rustix::process::getpid())
    }

    /// That of this process's parent; `None` if it is in another namespace.
    pub(crate) fn parent() -> Option<Self> {
        rustix::process::getppid().map(Number)
    }

    /// That of a child.
    pub(crate) fn of(child: &std::process::Child) -> Self {
        Number(Pid::from_child(child))
    }

    /// As a number.
    pub(crate) fn get(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Kills the process.
    pub(crate) fn kill(self) {
        // It may be gone already.
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }

    /// Has the process go on if it is stopped.
    pub(crate) fn go_on(self) {
        let _ = rustix::process::kill_process(self.0, Signal::CONT);
    }

    /// Returns a descriptor of the process: it has to be there, and nobody to have waited for it.
    pub(crate) fn watch(self) -> io::Result<Watch> {
        let fd = rustix::process::pidfd_open(self.0, rustix::process::PidfdFlags::empty())?;
        Ok(Watch(fd))
    }

    /// Tells whether it is a child of this process, and has not ended. One that has ended is waited for.
    pub(crate) fn is_child_at_work(self) -> bool {
        match rustix::process::waitpid(Some(self.0), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => End::of(status).is_none(),
            Ok(None) | Err(rustix::io::Errno::INTR) => true,
            Err(_) => false,
        }
    }
}

/// A process by a descriptor of it: never another one, whoever it is a child of.
#[derive(Debug)]
pub(crate) struct Watch(OwnedFd);

impl Watch {
    /// Kills the process.
    pub(crate) fn kill(&self) {
        // It may be gone already.
        let _ = rustix::process::pidfd_send_signal(&self.0, Signal::KILL);
    }

    /// Has the process go on if it is stopped.
    pub(crate) fn go_on(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.0, Signal::CONT);
    }

    /// Waits until it has ended. It is not waited for in its parent's place.
    pub(crate) fn wait(&self) -> io::Result<()> {
        while !poll([Some(self.0.as_fd())], -1)?[0] {}
        Ok(())
    }
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one.
    Parent(Child),
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum End {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
}

/// What processes have used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Milliseconds of processor time, the kernel's for them included.
    pub cpu: u64,
    /// Bytes of memory, of the largest of them.
    pub memory: u64,
    /// Bytes given to file systems to be written, as far as those write to disks.
    pub written: u64,
}

/// What all processes used that have ended and been waited for.
pub(crate) fn used_by_children() -> Usage {
    // SAFETY: all zero bytes are a valid value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such struct, which lives until the call is over.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let millis = |time: libc::timeval| time.tv_sec as u64 * 1000 + time.tv_usec as u64 / 1000;
    Usage {
        cpu: millis(usage.ru_utime) + millis(usage.ru_stime),
        // Kilobytes, and blocks of 512 bytes (getrusage(2), task_io_accounting).
        memory: usage.ru_maxrss as u64 * 1024,
        written: usage.ru_oublock as u64 * 512,
    }
}

/// The processor time that this thread has used: what others do at the same time is not in it.
#[cfg(test)]
pub(crate) fn used_by_thread() -> std::time::Duration {
    // SAFETY: all zero bytes are a valid value of this struct of numbers.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such struct, which lives until the call is over.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl End {
    fn of(status: WaitStatus) -> Option<End> {
        if let Some(code) = status.exit_status() {
            return Some(End::Exited(code));
        }
        status.terminating_signal().map(End::Signaled)
    }
}

/// Forks. To be called only while the process has one thread: the child then is as free to use the
/// library as the parent.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the callers (namespace helper, `__sandbox`) have one thread, so no lock of the C
    // library or of Rust's can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok(Fork::Parent(Child(pid))),
            None => Ok(Fork::Child),
        },
    }
}

impl Child {
    /// The number of the process.
    pub(super) fn pid(&self) -> Pid {
        self.0
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&self) -> io::Result<End> {
        loop {
            match rustix::process::waitpid(Some(self.0), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    if let Some(end) = End::of(status) {
                        return Ok(end);
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns a descriptor that becomes readable when it has ended.
    pub(crate) fn watch(&self) -> io::Result<OwnedFd> {
        Ok(rustix::process::pidfd_open(self.0, rustix::process::PidfdFlags::empty())?)
    }

    /// Reaps whatever has ended; returns how this child ended if it is among them.
    pub(crate) fn reap_all(&self) -> Option<End> {
        let mut own = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.0 {
                own = End::of(status).or(own);
            }
        }
        own
    }

    /// Tells whether it is stopped (SIGSTOP) at this moment.
    pub(crate) fn is_stopped(&self) -> bool {
        is_stopped(self.0)
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        // It may be gone already.
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }

    /// Kills its process group.
    pub(crate) fn kill_group(&self) {
        let _ = rustix::process::kill_process_group(self.0, Signal::KILL);
    }

    /// Sends SIGTERM to its process group.
    pub(crate) fn terminate_group(&self) {
        // It may be gone already.
        let _ = rustix::process::kill_process_group(self.0, Signal::TERM);
    }
}

fn is_stopped(pid: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    // Asked without taking the answer away: it holds until the process goes on.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), options), Ok(Some(status)) if status.stopped())
}

/// Ends the process at once: no destructors, no buffers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Has the kernel kill this process when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Undoes [`die_with_parent`]: for a process that has to outlive its parent by the time that it takes
/// to kill what it started.
pub(crate) fn outlive_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(None)?)
}

/// Gives up, for good, what set-uid programs and file capabilities would give.
pub(crate) fn no_new_privs() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Makes a folder the root of this process, without a mount namespace.
pub(crate) fn change_root(folder: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(folder)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes `/proc/<pid>` of this process unreadable to others, its memory and descriptors included.
pub(crate) fn hide_from_proc(hidden: bool) -> io::Result<()> {
    let how = if hidden { DumpableBehavior::NotDumpable } else { DumpableBehavior::Dumpable };
    Ok(rustix::process::set_dumpable_behavior(how)?)
}

/// Leaves the session of the terminal: its signals go to the builder alone.
pub(crate) fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// Makes the namespaces of a step. That of process ids, if wanted, begins with the next fork.
pub(crate) fn unshare_step(own_network: bool, own_pids: bool) -> io::Result<()> {
    let mut flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if own_pids {
        flags |= UnshareFlags::NEWPID;
    }
    if own_network {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: namespaces only; neither the descriptor table nor memory is unshared.
    unsafe { rustix::thread::unshare_unsafe(flags)? };
    Ok(())
}

/// Makes a user namespace in which the one id that there is has the number `uid` (and `gid`).
/// `proc` is a handle of a procfs.
pub(crate) fn become_single(proc: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: a namespace only, see above.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)? };
    // The files below /proc/self of a hidden process belong to nobody.
    hide_from_proc(false)?;
    for (file, text) in [
        ("self/setgroups", "deny".to_owned()),
        ("self/uid_map", format!("{uid} 0 1")),
        ("self/gid_map", format!("{gid} 0 1")),
    ] {
        let file = rustix::fs::openat(
            proc,
            file,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::io::write(&file, text.as_bytes())?;
    }
    Ok(())
}

/// Takes on the groups and ids of a user; `groups` is `None` where they cannot be set.
pub(crate) fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    // To the kernel -1 is "as before": the process would stay who it is, and that is root.
    if [uid, gid].iter().chain(groups.unwrap_or_default()).any(|id| *id == u32::MAX) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if let Some(groups) = groups {
        let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
    }
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Bit masks of capabilities, as in `/proc/self/status`.
pub(crate) const DOCKER_CAPABILITIES: u64 = 0x0000_0000_a804_25fb;

/// [`DOCKER_CAPABILITIES`] without `NET_RAW` (13), `MKNOD` (27), `AUDIT_WRITE` (29).
pub(crate) const HARDENED_CAPABILITIES: u64 =
    DOCKER_CAPABILITIES & !(1 << 13) & !(1 << 27) & !(1 << 29);

/// What is left of `keep` for a step that shares root folder's devices, processes and network with
/// the builder: without `KILL` (5), `NET_RAW` (13), `SYS_CHROOT` (18), `MKNOD` (27).
pub(crate) fn without_escapes(keep: u64) -> u64 {
    keep & !(1 << 5) & !(1 << 13) & !(1 << 18) & !(1 << 27)
}
/// The capability to look into other processes of the same user namespace (19).
pub(crate) const SYS_PTRACE: u64 = 1 << 19;

/// Takes every capability that is not in `keep` out of the bounding set, for good.
pub(crate) fn bound_capabilities(keep: u64) -> io::Result<()> {
    for number in 0..64u32 {
        if keep >> number & 1 == 1 {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory.
        let done =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if done != 0 {
            let error = io::Error::last_os_error();
            // The kernel knows no capability with this number, nor a higher one.
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Sets the process's own sets to `keep` (as far as it has them); none are inherited.
pub(crate) fn set_capabilities(keep: u64) -> io::Result<()> {
    let now = rustix::thread::capabilities(None)?;
    let keep = CapabilitySet::from_bits_retain(keep) & now.permitted;
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

/// Tells whether `--ulimit` knows a limit of this name.
pub fn is_limit(name: &str) -> bool {
    resource(name).is_some()
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Sets a limit by the name that `--ulimit` uses; `None` when there is no such limit.
pub(crate) fn set_limit(
    name: &str,
    soft: Option<u64>,
    hard: Option<u64>,
) -> Option<io::Result<()>> {
    let resource = resource(name)?;
    let limit = Rlimit { current: soft, maximum: hard };
    Some(rustix::process::setrlimit(resource, limit).map_err(io::Error::from))
}

/// Sets the file mode mask.
pub(crate) fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_bits_retain(mask));
}

/// Sets the name of the machine in this namespace.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// Brings the loopback device up: in a new network namespace it starts down.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives until the call is over.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over descriptor 0 (a control socket), and puts `/dev/null` in its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(taken)
}

/// Puts descriptors in the places of the two output streams.
pub(crate) fn take_output(out: impl AsFd, err: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdout(out)?;
    Ok(rustix::stdio::dup2_stderr(err)?)
}

/// Puts the `/dev/null` of the present root in the place of descriptor 0: behind a fence around the root,
/// that of another cannot be opened again through `/dev/stdin`.
pub(crate) fn renew_stdin() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty())?;
    Ok(rustix::stdio::dup2_stdin(&null)?)
}

/// Gives the two output streams to a user, so that it may open `/dev/stdout` again.
pub(crate) fn give_output_to(uid: u32, gid: u32) {
    use rustix::process::{Gid, Uid};
    for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
        // A pipe of ours; where ids are missing it stays as it is.
        let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
}

/// Marks every descriptor above 2 to be closed by exec.
pub(crate) fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: the call closes nothing, it sets a flag.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor that becomes readable when a child has ended; SIGCHLD is blocked from now on.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before anything reads it; signalfd gives a new
    // descriptor, which is owned here alone.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Undoes what the runtime and whoever started the builder did to signals: nothing blocked, nothing
/// ignored.
pub(crate) fn reset_signals() {
    // Handler SIG_DFL, no flags, no restorer, an empty mask: struct sigaction of the kernel, which
    // the C library's call does not set for its own signals 32 and 33.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads one struct of the size that it is told, and writes nothing. KILL
        // and STOP are refused, which is no harm.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    // SAFETY: the set is initialised before it is read.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Waits for one of `fds` to be readable or hung up; tells which are. `timeout` in milliseconds.
pub(crate) fn poll<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: i32,
) -> io::Result<[bool; N]> {
    poll_for(fds.map(|fd| (fd, libc::POLLIN)), timeout)
}

/// Waits for `fd` to be readable, or for the other end of the socket `peer` to be closed, whatever is
/// there to read of that; tells which it was. `timeout` in milliseconds.
pub(crate) fn poll_or_closed(
    fd: BorrowedFd<'_>,
    peer: Option<BorrowedFd<'_>>,
    timeout: i32,
) -> io::Result<[bool; 2]> {
    // That it hung up is told unasked.
    poll_for([(Some(fd), libc::POLLIN), (peer, 0)], timeout)
}

fn poll_for<const N: usize>(
    fds: [(Option<BorrowedFd<'_>>, libc::c_short); N],
    timeout: i32,
) -> io::Result<[bool; N]> {
    let mut list: [libc::pollfd; N] = fds.map(|(fd, events)| libc::pollfd {
        // The kernel passes over negative numbers.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events,
        revents: 0,
    });
    // SAFETY: the list has exactly N entries, and lives until the call is over.
    let done = unsafe { libc::poll(list.as_mut_ptr(), N as libc::nfds_t, timeout) };
    if done < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok([false; N]);
    }
    Ok(list.map(|entry| entry.revents != 0))
}

/// Tells whether the writing end of a pipe is gone.
pub(crate) fn is_hung_up(pipe: impl AsFd) -> bool {
    poll([Some(pipe.as_fd())], 0).is_ok_and(|ready| ready[0])
}

/// Throws away what is there to read of a descriptor that does not block.
pub(crate) fn drain(fd: impl AsFd) {
    let mut buffer = [0u8; 1024];
    while rustix::io::read(&fd, &mut buffer).is_ok_and(|read| read > 0) {}
}

/// Makes reads return at once.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// The error number of what speaks otherwise than was agreed.
pub(crate) const PROTOCOL: i32 = libc::EPROTO;

/// The error number of exec for a file that is no program.
pub(crate) const NO_EXEC_FORMAT: i32 = libc::ENOEXEC;

/// A program ready to be started: nothing is allocated between the fork and exec.
#[derive(Debug)]
pub(crate) struct Program {
    paths: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Prepares `argv` with the environment `env` (`NAME=value`). A program without a slash is
    /// looked up in `path` (colon-separated folders), as execvp(3) does. An error is a NUL byte or
    /// an empty command.
    pub(crate) fn new(argv: &[Vec<u8>], env: &[Vec<u8>], path: &[u8]) -> io::Result<Self> {
        let text = |bytes: &Vec<u8>| CString::new(bytes.as_slice()).map_err(io::Error::from);
        let program = argv
            .first()
            .filter(|program| !program.is_empty())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        let paths = if program.contains(&b'/') {
            vec![text(program)?]
        } else {
            path.split(|byte| *byte == b':')
                .map(|folder| {
                    let mut full = if folder.is_empty() { b".".to_vec() } else { folder.to_vec() };
                    full.push(b'/');
                    full.extend_from_slice(program);
                    text(&full)
                })
                .collect::<io::Result<_>>()?
        };
        Ok(Program {
            paths,
            argv: argv.iter().map(text).collect::<io::Result<_>>()?,
            env: env.iter().map(text).collect::<io::Result<_>>()?,
        })
    }

    /// Becomes the program. Returns only when that failed: the error, and whether the file itself is
    /// there (then it is its interpreter that is missing).
    pub(crate) fn exec(&self) -> (io::Error, bool) {
        let list = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, env) = (list(&self.argv), list(&self.env));
        let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
        for path in &self.paths {
            // SAFETY: path and both lists are NUL-terminated and live as long as `self`.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {
                    if rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok() {
                        return (error, true);
                    }
                }
                Some(libc::EACCES) => worst = error,
                _ => return (error, true),
            }
        }
        (worst, false)
    }
}
