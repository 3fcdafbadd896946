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
        let mut looks = Looks(Instant::now());
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
            if looks.is_due(asked, Instant::now())
                && outer.as_mut().is_some_and(|outer| outer.gives_up_now(init))
            {
                return Ok(());
            }
        }
    }
}

// When the supervisor last looked at the step's first process.
struct Looks(Instant);

impl Looks {
    // Tells whether to look now: whenever nobody asks, and often enough when somebody does.
    fn is_due(&mut self, asked: bool, now: Instant) -> bool {
        let due = !asked || now.saturating_duration_since(self.0) >= LOOK;
        if due {
            self.0 = now;
        }
        due
    }
}

fn no_step() -> io::Result<(Vec<OwnedFd>, Vec<Vec<u8>>)> {
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::super::super::keep::Patience;
    use super::*;

    // When a step that asks each `every` microseconds is given up, whose keeper is stopped from `stop` to
    // `go` (seconds); and how often the keeper was looked at until then, or within 20 seconds.
    fn ends(every: u64, stop: f64, go: f64) -> (Option<f64>, usize) {
        let start = Instant::now();
        let (mut looks, mut patience, mut count) = (Looks(start), Patience::default(), 0);
        let mut at = Duration::ZERO;
        while at < Duration::from_secs(20) {
            at += Duration::from_micros(every);
            if looks.is_due(true, start + at) {
                count += 1;
                let second = at.as_secs_f64();
                if patience.ends(second >= stop && second < go, start + at) {
                    return (Some(second), count);
                }
            }
        }
        (None, count)
    }

    #[test]
    fn a_step_that_asks_without_end_does_not_hide_a_stopped_keeper() {
        for every in [10, 1000, 70_000] {
            let (end, count) = ends(every, 5.0, f64::MAX);
            assert!(end.is_some_and(|end| (8.0..8.4).contains(&end)), "{every}: {end:?}");
            assert!(count <= 84, "{every}: {count} looks");
            // One that goes on in time is left alone, each time anew.
            assert_eq!(ends(every, 5.0, 7.8).0, None);
        }
        assert_eq!(ends(1000, 30.0, f64::MAX), (None, 200));
        let mut looks = Looks(Instant::now());
        assert!(looks.is_due(false, Instant::now()) && !looks.is_due(true, Instant::now()));
    }
}
