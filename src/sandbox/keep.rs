//! A step without a pid namespace: nothing that it starts outlives it all the same.
//!
//! The two processes above the command inherit its orphans, and do not die with the builder: the inner
//! one notices that the builder is gone, kills all that stems from the step, and ends; the outer one does
//! so if the inner one is killed. Where the kernel can fence signals in (Landlock, since Linux 6.12), the
//! step reaches neither of them, and one signal ends all of it at once.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::init::{Failure, Report, TERMINATE, While, say};
use super::isolation::Keeping;
use crate::sys::child::{self, Child};
use crate::sys::keep::{Keeper, ended_or_spoken};
use crate::sys::landlock::Fence;

/// Prepares the outer process.
pub(super) fn outer(keeping: Keeping) -> Result<Option<Keeper>, Failure> {
    if keeping == Keeping::PidNamespace {
        return Ok(None);
    }
    child::outlive_parent().doing(|| "outlive the builder".into())?;
    Keeper::new().doing(|| "take charge of the step's processes".into()).map(Some)
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
