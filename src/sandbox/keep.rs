//! A step without a pid namespace: nothing that it starts outlives it all the same.
//!
//! The two processes above the command inherit its orphans, and do not die with the builder: the inner
//! one notices that the builder is gone, kills all that stems from the step, and ends; the outer one does
//! so if the inner one is killed, and kills it if it is stopped. Where the kernel can fence signals in
//! (Landlock, since Linux 6.12), the step reaches neither of them, and one signal ends all of it at once.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::init::{Failure, Report, TERMINATE, While, say};
use super::isolation::Keeping;
use crate::sys::child::{self, Child};
use crate::sys::keep::{Keeper, ended_or_spoken};
use crate::sys::landlock::Fence;

/// How long the inner process may be stopped before it is killed: somebody who stops all of a build and
/// has it go on does not do so in one moment.
const STOPPED: Duration = Duration::from_secs(3);

/// How long the inner process may take to end when the builder is gone: it hunts for ten seconds.
const HUNTED: Duration = Duration::from_secs(15);

/// The outer process of a step without a pid namespace.
pub(super) struct Outer {
    keeper: Keeper,
    signals: OwnedFd,
    patience: Patience,
}

/// Patience with an inner process that is stopped.
#[derive(Default)]
pub(super) struct Patience {
    /// When it has been so for too long.
    end: Option<Instant>,
}

impl Patience {
    /// Tells whether it ends, of a process that is stopped at this moment or not.
    pub(super) fn ends(&mut self, stopped: bool, now: Instant) -> bool {
        self.end = stopped.then(|| self.end.unwrap_or(now + STOPPED));
        self.end.is_some_and(|end| now >= end)
    }
}

/// Prepares the outer process.
pub(super) fn outer(keeping: Keeping) -> Result<Option<Outer>, Failure> {
    if keeping == Keeping::PidNamespace {
        return Ok(None);
    }
    child::outlive_parent().doing(|| "outlive the builder".into())?;
    let signals = child::child_signals().doing(|| "watch for children".into())?;
    let keeper = Keeper::new().doing(|| "take charge of the step's processes".into())?;
    Ok(Some(Outer { keeper, signals, patience: Patience::default() }))
}

impl Outer {
    /// Speaks when [`Outer::gives_up_now`] has to be asked.
    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Takes the signals that have come, and tells whether the inner process has been stopped for too long.
    pub(super) fn gives_up_now(&mut self, inner: &Child) -> bool {
        self.take_signals();
        self.gives_up(inner)
    }

    // Takes the signals that have come. To be called before a look at what they tell of: one that comes
    // after the look is then still there to be waited for.
    fn take_signals(&self) {
        child::drain(&self.signals);
    }

    /// How long to wait for a signal, in milliseconds.
    pub(super) fn timeout(&self) -> i32 {
        if self.patience.end.is_some() { 100 } else { -1 }
    }

    // Tells whether the inner process has been stopped for too long.
    fn gives_up(&mut self, inner: &Child) -> bool {
        self.patience.ends(inner.is_stopped(), Instant::now())
    }

    /// Waits until the inner process has ended; kills it where it never would, and says so. Then nothing
    /// of the step is left, or that is said.
    pub(super) fn stay(mut self, inner: &Child, control: &UnixStream) {
        let mut gone = None;
        loop {
            self.take_signals();
            if inner.reap_all().is_some() {
                break;
            }
            let why = match gone {
                _ if self.gives_up(inner) => Some("stopped"),
                Some(at) if Instant::now() >= at => Some("hung"),
                _ => None,
            };
            let builder = if gone.is_none() { Some(control.as_fd()) } else { None };
            let timeout = if gone.is_some() { 100 } else { self.timeout() };
            let waited = match why {
                None => child::poll_or_closed(self.signals.as_fd(), builder, timeout),
                Some(why) => {
                    say(control, &lost(why));
                    Err(std::io::ErrorKind::TimedOut.into())
                }
            };
            match waited {
                Ok([_, false]) => {}
                Ok([_, true]) => gone = Some(Instant::now() + HUNTED),
                Err(_) => {
                    inner.kill();
                    break;
                }
            }
        }
        // Where the kernel does not, and the one inside could not.
        if !self.keeper.kill_all() {
            say(control, &left());
        }
    }
}

// What the builder is told of an inner process that had to be killed.
fn lost(why: &str) -> Report {
    Report::Failed {
        doing: "watch over the step".into(),
        cause: format!(
            "the process that does was {why}, and has been killed with all that the step started"
        ),
    }
}

/// Prepares the inner process; its fence is put up when all is mounted.
pub(super) fn inner(keeping: Keeping) -> Result<Option<Keeper>, Failure> {
    if keeping == Keeping::PidNamespace {
        child::die_with_parent().doing(|| "bind the life to the parent's".into())?;
        return Ok(None);
    }
    if keeping == Keeping::Chroot {
        child::no_new_privs().doing(|| "give up new powers".into())?;
    }
    Keeper::new().doing(|| "take charge of the step's processes".into()).map(Some)
}

/// Reaps until the command has ended, the builder is gone or the outer process is; then kills the
/// rest.
pub(super) fn watch_over(
    keeper: &Keeper,
    command: &Child,
    control: &UnixStream,
    signals: &OwnedFd,
    parent: BorrowedFd<'_>,
) {
    loop {
        let others = [Some(control.as_fd()), Some(parent)];
        match ended_or_spoken(command, signals.as_fd(), others) {
            Ok(Ok(end)) => {
                say(control, &Report::Used(child::used_by_children()));
                // A tree that is still written to is no result.
                say(control, &if keeper.kill_all() { Report::Ended(end) } else { left() });
                return;
            }
            Ok(Err([_, true])) | Err(_) => break,
            Ok(Err(_)) => {
                let mut byte = [0];
                match { control }.read(&mut byte) {
                    Ok(1) if byte[0] == TERMINATE => command.terminate_group(),
                    Ok(1) => {}
                    _ => break,
                }
            }
        }
    }
    if !keeper.kill_all() {
        say(control, &left());
    }
}

/// What the builder is told of processes that go on.
pub(super) fn left() -> Report {
    Report::Failed {
        doing: "end the processes of the step".into(),
        cause: "some are still there, although they were killed for ten seconds".into(),
    }
}

/// Puts the last fence around the process that becomes the command: files beneath its root, signals and
/// abstract sockets among its own. Best effort: the other fences do not rest on it.
pub(super) fn fence_command() {
    let Ok(root) = crate::sys::mount::root_folder() else { return };
    let _ = Fence { beneath: Some(root.as_fd()), signals: true, sockets: true }.put_up();
}
