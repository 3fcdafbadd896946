//! The supervisor's beginning and end: how it gets the listener, and when it goes.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::keep::Outer;
use super::super::setup::{Orders, Setup};
use super::super::spec::Hardening;
use super::answer::Supervisor;
use super::identity::{Identities, Identity};
use crate::sys::caller;
use crate::sys::child::{self, Child};
use crate::sys::notify::{self, Listener};
use crate::sys::own::Own;
use crate::sys::place::Ground;
use crate::sys::socket;

/// How long a busy supervisor may go without a look at the step's first process.
const LOOK: Duration = Duration::from_millis(100);

/// The supervisor's end, from before the step's first process was made.
pub(crate) struct Ours {
    socket: UnixStream,
    ground: Ground,
}

/// The command's end.
pub(crate) struct Theirs(UnixStream);

/// Makes both ends, while this process still has the builder's root.
pub(crate) fn pair() -> io::Result<(Ours, Theirs)> {
    let (socket, theirs) = UnixStream::pair()?;
    Ok((Ours { socket, ground: Ground::open()? }, Theirs(theirs)))
}

impl Theirs {
    /// Puts this process and all that it starts under the supervisor. Where that cannot be (another
    /// supervisor is there already, an old kernel) says so in the step's output: `false`. An error where
    /// it is under one that nobody answers for.
    pub(crate) fn submit_or_warn(self) -> io::Result<bool> {
        match Self::stop() {
            Ok(listener) => {
                socket::send(&self.0, &[listener.as_fd()], &[])?;
                Ok(true)
            }
            Err(error) => {
                let text = format!(
                    "rbuild: only one id, and owners cannot be recorded here ({error}): all files will \
                     be root's; give this account a range of ids in /etc/subuid and /etc/subgid\n"
                );
                // Without an output nobody can be told.
                let _ = io::stderr().write_all(text.as_bytes());
                Ok(false)
            }
        }
    }

    fn stop() -> io::Result<OwnedFd> {
        caller::mark_self().map_err(|_| io::Error::other("cannot set a limit"))?;
        notify::install()
    }
}

impl Ours {
    /// Answers until nobody is left to ask, the step's first process has ended, or `outer` gives it up.
    pub(crate) fn attend(
        mut self,
        init: &Child,
        mut outer: Option<&mut Outer>,
        orders: &Orders,
    ) -> io::Result<()> {
        let ended = init.watch()?;
        // Its own calls keep their modes.
        child::set_umask(0);
        let mut asked = false;
        while !asked {
            let stop = outer.as_ref().map(|outer| outer.signals());
            let timeout = outer.as_ref().map_or(-1, |outer| outer.timeout());
            let all = [Some(ended.as_fd()), Some(self.socket.as_fd()), stop];
            let [gone, spoke, _] = child::poll(all, timeout)?;
            asked = spoke;
            if gone || outer.as_mut().is_some_and(|outer| outer.gives_up_now(init)) {
                break;
            }
        }
        // Without a listener the step goes on alone, or has failed before it had one.
        let Ok((mut fds, _)) = (if asked { socket::receive(&self.socket) } else { no_step() })
        else {
            return Ok(());
        };
        let Some(listener) = fds.pop() else { return Ok(()) };
        self.ground.stand()?;
        let many = match orders.hardening {
            Hardening::Docker => child::DOCKER_CAPABILITIES,
            Hardening::Hardened => child::HARDENED_CAPABILITIES,
            Hardening::Insecure => u64::MAX,
        };
        child::bound_capabilities(many | child::SYS_PTRACE)?;
        child::set_capabilities(many | child::SYS_PTRACE)?;
        let user = &orders.user;
        let first = Identity::new(user.uid, user.gid, &user.groups);
        let mut supervisor = Supervisor::new(
            Listener::new(listener),
            self.ground,
            Identities::new(first),
            orders.hardening != Hardening::Hardened,
        );
        // Such a step can change its root in more ways than one.
        supervisor.chrooted = orders.hardening == Hardening::Insecure;
        for one in &orders.setup {
            if let Setup::File { target, uid, gid, .. } = one {
                supervisor.note_mounted(&target.path(), Own::of(*uid, *gid));
            }
        }
        let mut looked = Instant::now();
        loop {
            let stop = outer.as_ref().map(|outer| outer.signals());
            let timeout = outer.as_ref().map_or(-1, |outer| outer.timeout());
            let all = [Some(ended.as_fd()), Some(supervisor.as_fd()), stop];
            let [gone, asked, _] = child::poll(all, timeout)?;
            // When all that were under it are gone, the first process will see that too.
            if gone || (asked && !supervisor.serve_one()?) {
                return Ok(());
            }
            // A step that asks without end keeps nobody from seeing that its keeper is stopped.
            let due = !asked || looked.elapsed() >= LOOK;
            if due && let Some(outer) = outer.as_mut() {
                looked = Instant::now();
                if outer.gives_up_now(init) {
                    return Ok(());
                }
            }
        }
    }
}

fn no_step() -> io::Result<(Vec<OwnedFd>, Vec<Vec<u8>>)> {
    Err(io::ErrorKind::UnexpectedEof.into())
}
