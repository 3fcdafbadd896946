//! The inside of a step, from the fork of the [`launcher`](super::launcher) on: makes the namespaces,
//! becomes the first process in them, performs the list of operations, starts the command, and reaps.
//!
//! Three processes: the one that was forked makes namespaces and waits; its child is pid 1 of the step;
//! the child of that becomes the command. Each is killed by the kernel when the one before it ends, the
//! first one with the process that was forked, and that with the builder: so nothing outlives it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::audit::{self, Act, Manner};
use super::isolation::Keeping;
use super::keep;
use super::owner;
use super::run::Error;
use super::setup::{Orders, Raw};
use super::stubs::Stubs;
use crate::base::Secret;
use crate::sys::child::{self, Child, End, Fork, Number, Program, Usage};
use crate::sys::mount;
use crate::sys::seccomp::Filter;
use crate::sys::trace::Tracer;
use crate::sys::{IdMode, socket};

/// Where a program is looked up when the environment has no `PATH` (as Docker sets it).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the step tells the builder, one JSON document a line.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Report {
    /// Everything is mounted, the command starts.
    Ready(Stubs),
    /// An operation failed.
    Failed { doing: String, cause: String },
    /// The program could not be started.
    NoExec { program: Raw, cause: String },
    /// The command ended.
    Ended(End),
    /// What it and all that it started have used.
    Used(Usage),
    /// Something that it did, under an audit.
    Act(Act),
    /// It is not watched, though that was asked for; why.
    Unwatched(String),
    /// Its pid namespace is gone, and all processes with it; its mounts are there until this one ends.
    Left,
}

/// What the builder asks for by one byte: SIGTERM for the command.
pub(super) const TERMINATE: u8 = b't';

// An operation and why it failed.
pub(super) struct Failure(String, io::Error);

impl From<Failure> for Error {
    fn from(Failure(doing, error): Failure) -> Self {
        Error::Setup { doing, cause: in_words(&error) }
    }
}

pub(super) trait While<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> While<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(what(), error))
    }
}

pub(super) fn say(control: &UnixStream, report: &Report) {
    let mut control = control;
    // When nobody listens any more, there is nobody to tell.
    if let Ok(mut text) = serde_json::to_vec(report) {
        text.push(b'\n');
        let _ = control.write_all(&text);
    }
}

fn fail(control: &UnixStream, Failure(doing, error): &Failure) -> ! {
    say(control, &Report::Failed { doing: doing.clone(), cause: in_words(error) });
    child::exit(1)
}

/// Returns the text of an error number without the number.
pub(super) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The first process of a step, just forked by `server`: becomes the step that is described on the first
/// of `fds`; the others are the streams that it writes to.
pub(super) fn first_main(fds: Vec<OwnedFd>, server: Number) -> ! {
    let Ok([control, out, err]) = <[OwnedFd; 3]>::try_from(fds) else { child::exit(2) };
    if child::take_output(&out, &err).is_err() {
        child::exit(2);
    }
    drop((out, err));
    let control = UnixStream::from(control);
    match first(&control, server) {
        Ok(()) => child::exit(0),
        Err(failure) => fail(&control, &failure),
    }
}

fn first(control: &UnixStream, server: Number) -> Result<(), Failure> {
    child::die_with_parent().doing(|| "bind the life to the builder's".into())?;
    // One that died before is not the parent any more.
    if Number::parent() != Some(server) {
        child::exit(1);
    }
    // Mount points and devices are made with modes of our own, whatever the caller's umask.
    child::set_umask(0o022);
    child::new_session().doing(|| "leave the terminal".into())?;
    let (fds, mut parts) =
        socket::receive(control).doing(|| "receive the description of the step".into())?;
    if parts.is_empty() {
        return Err(io::Error::from(io::ErrorKind::InvalidData)).doing(|| "read the step".into());
    }
    let bytes: Vec<Secret> = parts.drain(1..).map(Secret::new).collect();
    let orders: Orders = serde_json::from_slice(&parts[0])
        .map_err(io::Error::other)
        .doing(|| "read the description of the step".into())?;
    let keeping = orders.keeping;
    if keeping != Keeping::Chroot {
        child::unshare_step(orders.own_network, keeping == Keeping::PidNamespace)
            .doing(|| "make the namespaces of the step".into())?;
    }
    let mut outer = keep::outer(keeping)?;
    let (watch, alive) = io::pipe().doing(|| "make a pipe".into())?;
    let (ours, theirs) = if orders.id_mode == IdMode::Single {
        owner::pair().map(|(ours, theirs)| (Some(ours), Some(theirs)))
    } else {
        Ok((None, None))
    }
    .doing(|| "prepare the supervisor of owners".into())?;
    match child::fork().doing(|| "fork".into())? {
        Fork::Parent(init) => {
            drop((fds, bytes, watch, theirs));
            if let Some(ours) = ours {
                // When it fails this process ends, and the step with it.
                ours.attend(&init, outer.as_mut(), &orders)
                    .doing(|| "record the owners of files".into())?;
            }
            match outer {
                Some(outer) => outer.stay(&init, control),
                None => {
                    // It fails only where the kernel reaps children by itself: then it waits for them, too.
                    let _ = init.wait();
                    say(control, &Report::Left);
                    // Or the builder would hear the end of it after that of some of the mounts.
                    let _ = control.shutdown(Shutdown::Both);
                }
            }
            Ok(())
        }
        Fork::Child => {
            drop((alive, ours));
            let inside = Inside { control, fds, bytes, orders, supervisor: theirs };
            match inside.run(watch.as_fd()) {
                Ok(()) => child::exit(0),
                Err(failure) => fail(control, &failure),
            }
        }
    }
}

// Pid 1 of the step.
pub(super) struct Inside<'a> {
    pub(super) control: &'a UnixStream,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) bytes: Vec<Secret>,
    pub(super) orders: Orders,
    supervisor: Option<owner::Theirs>,
}

impl Inside<'_> {
    fn run(mut self, parent: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut keeper = keep::inner(self.orders.keeping)?;
        if child::is_hung_up(parent) {
            child::exit(1);
        }
        let mut cwd = self.set_up()?;
        // A step that may do all may mount, which a fence forbids.
        if let Some(keeper) = &mut keeper
            && self.orders.hardening != super::Hardening::Insecure
        {
            keeper.fence();
        }
        let user = &self.orders.user;
        if self.orders.id_mode.has_many() {
            child::give_output_to(user.uid, user.gid);
        }
        let signals = child::child_signals().doing(|| "watch for children".into())?;
        let (mut theirs, mut ours) = UnixStream::pair().doing(|| "make a socket".into())?;
        match child::fork().doing(|| "fork".into())? {
            Fork::Child => {
                drop(ours);
                if self.orders.audit {
                    // Nothing is done before somebody looks, or it is clear that nobody will.
                    let mut byte = [0];
                    self.orders.audit = theirs.read(&mut byte).is_ok_and(|_| byte == *b"y");
                }
                drop(theirs);
                let supervisor = self.supervisor.take();
                let failure = self.become_command(&cwd, supervisor);
                fail(self.control, &failure)
            }
            Fork::Parent(command) => {
                let control = self.control;
                let tracer = cwd.watch.take().map(|proc| Tracer::begin(&command, proc));
                // When it is gone, that is seen below.
                let _ = ours.write_all(if matches!(tracer, Some(Ok(_))) { b"y" } else { b"n" });
                let manner = Manner {
                    denied: self.orders.hardening != super::Hardening::Insecure,
                    failed: self.orders.id_mode.has_many(),
                    grace: Duration::from_millis(self.orders.grace),
                };
                // Secrets are overwritten, the host's mounts let go.
                self.bytes.clear();
                drop((self, cwd, theirs));
                match (keeper, tracer) {
                    // What has no pid namespace of its own is not audited: see `setup::orders`.
                    (Some(keeper), _) => {
                        keep::watch_over(&keeper, &command, control, &signals, parent);
                    }
                    (None, Some(Ok(tracer))) => {
                        if let Some(end) =
                            audit::watch(&command, control, &signals, &tracer, manner)
                        {
                            say(control, &Report::Used(child::used_by_children()));
                            say(control, &Report::Ended(end));
                        }
                    }
                    (None, Some(Err(error))) => {
                        say(control, &Report::Unwatched(format!("ptrace: {}", in_words(&error))));
                        watch_over(&command, control, &signals);
                    }
                    (None, None) => watch_over(&command, control, &signals),
                }
                Ok(())
            }
        }
    }

    // Becomes the command; returns only when that failed.
    fn become_command(&self, cwd: &Cwd, supervisor: Option<owner::Theirs>) -> Failure {
        match self.try_become(cwd, supervisor) {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    fn try_become(
        &self,
        cwd: &Cwd,
        supervisor: Option<owner::Theirs>,
    ) -> Result<std::convert::Infallible, Failure> {
        let orders = &self.orders;
        let User { uid, gid, groups } = Self::user(orders);
        let argv: Vec<Vec<u8>> = orders.argv.iter().map(|word| word.0.clone()).collect();
        let program = Program::new(&argv, &self.environment(), self.path())
            .doing(|| "prepare the command".into())?;
        let chroot = orders.keeping == Keeping::Chroot;

        child::reset_signals();
        child::new_session().doing(|| "make a session".into())?;
        let many = orders.id_mode.has_many();
        let supervised = match supervisor {
            Some(theirs) => theirs.submit_or_warn().doing(|| "hand over the listener".into())?,
            None => false,
        };
        if let Some(proc) = &cwd.proc
            && !supervised
            && (uid != 0 || gid != 0)
        {
            child::become_single(proc.as_fd(), uid, gid)
                .doing(|| format!("become user {uid}:{gid}"))?;
        }
        child::set_umask(0o022);
        for limit in &orders.ulimits {
            // It has had no meaning since Linux 2.4; the supervisor uses it.
            if supervised && limit.name == "locks" {
                continue;
            }
            child::set_limit(&limit.name, limit.soft, limit.hard)
                .unwrap_or_else(|| Err(io::Error::other("there is no such limit")))
                .doing(|| format!("set the limit `{}`", limit.name))?;
        }
        if chroot {
            child::change_root(&self.fds[0]).doing(|| "change the root".into())?;
        }
        // Where the host has none, it has been none all the time.
        let _ = child::renew_stdin();
        mount::enter(&cwd.folder).doing(|| "go to the working directory".into())?;
        child::close_all_on_exec().doing(|| "close descriptors".into())?;
        let mut keep = match orders.hardening {
            super::Hardening::Docker => child::DOCKER_CAPABILITIES,
            super::Hardening::Hardened => child::HARDENED_CAPABILITIES,
            super::Hardening::Insecure => u64::MAX,
        };
        if chroot {
            keep = child::without_escapes(keep);
        }
        if orders.hardening != super::Hardening::Insecure {
            keep::fence_command();
        }
        child::bound_capabilities(keep).doing(|| "drop capabilities".into())?;
        let insecure = orders.hardening == super::Hardening::Insecure;
        let installed = match orders.audit {
            true => audit::submit(!insecure),
            false if insecure => Ok(()),
            // Without a network namespace, a step that shall have no network gets no such sockets.
            false => Filter::new(!(chroot && orders.own_network)).install(),
        };
        installed.doing(|| "install the system call filter".into())?;
        if !supervised {
            child::become_user(uid, gid, many.then_some(groups))
                .doing(|| format!("become user {uid}:{gid}"))?;
        }
        child::set_capabilities(keep).doing(|| "drop capabilities".into())?;

        let (error, there) = program.exec();
        let name = orders.argv.first().cloned().unwrap_or_else(|| Raw(Vec::new()));
        let mut cause = in_words(&error);
        if error.kind() == io::ErrorKind::NotFound && there {
            cause.push_str(
                ": the file is there, but not its interpreter (the `#!` line, or the dynamic loader)",
            );
        } else if error.kind() == io::ErrorKind::NotFound && !name.0.contains(&b'/') {
            cause = "executable file not found in `$PATH`".into();
        } else if error.raw_os_error() == Some(child::NO_EXEC_FORMAT) {
            cause.push_str(": it has no `#!` line, or is built for another architecture");
        }
        say(self.control, &Report::NoExec { program: name, cause });
        child::exit(127)
    }

    fn user(orders: &Orders) -> User<'_> {
        let user = &orders.user;
        User { uid: user.uid, gid: user.gid, groups: &user.groups }
    }

    fn path(&self) -> &[u8] {
        let set = self.orders.env.iter().rev().find(|(name, _)| name == "PATH");
        set.map_or(PATH, |(_, value)| value).as_bytes()
    }

    fn environment(&self) -> Vec<Vec<u8>> {
        let pair = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value].concat();
        let secrets = self.orders.secret_env.iter().map(|(name, number)| {
            pair(name, self.bytes.get(*number).map_or(&b""[..], Secret::expose))
        });
        let plain = self.orders.env.iter().map(|(name, value)| pair(name, value.as_bytes()));
        plain.chain(secrets).collect()
    }
}

struct User<'a> {
    uid: u32,
    gid: u32,
    groups: &'a [u32],
}

// Handles that outlast the change of the root.
pub(super) struct Cwd {
    pub(super) folder: OwnedFd,
    pub(super) proc: Option<OwnedFd>,
    // The same, for an audit.
    pub(super) watch: Option<OwnedFd>,
}

// Reaps until the command has ended; then this process ends too, and with it the namespace.
fn watch_over(command: &Child, control: &UnixStream, signals: &OwnedFd) {
    let mut listening = true;
    loop {
        if let Some(end) = command.reap_all() {
            say(control, &Report::Used(child::used_by_children()));
            say(control, &Report::Ended(end));
            return;
        }
        let ask = listening.then(|| control.as_fd());
        let Ok([ended, asked]) = child::poll([Some(signals.as_fd()), ask], -1) else { return };
        if ended {
            child::drain(signals);
        }
        if asked {
            let mut byte = [0];
            match { control }.read(&mut byte) {
                Ok(1) if byte[0] == TERMINATE => command.terminate_group(),
                Ok(1) => {}
                // The builder is gone, and so are we in a moment.
                _ => listening = false,
            }
        }
    }
}
