//! Staying in charge of processes without a pid namespace: a subreaper that kills all that stems
//! from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use super::child::{Child, End};
use super::landlock::Fence;

/// How long processes that multiply are hunted. Where signals are fenced in ([`Keeper::fence`]) one
/// shot hits all, and this is not needed.
const HUNT: Duration = Duration::from_secs(10);

/// A process that inherits the orphans below it, and can tell and kill all of them.
#[derive(Debug)]
pub(crate) struct Keeper {
    proc: OwnedFd,
    fenced: bool,
}

impl Keeper {
    /// Makes this process the one that orphans below it fall to. `/proc` has to be there.
    pub(crate) fn new() -> io::Result<Self> {
        // The argument is a flag; the type is rustix's.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Keeper { proc, fenced: false })
    }

    /// Has the signals of this process, and of all that it starts, stay among them, if the kernel
    /// can. Needs `no_new_privs` or CAP_SYS_ADMIN. Nothing can be mounted from now on.
    pub(crate) fn fence(&mut self) {
        // Without a word on files, a fence would still forbid links and renames between folders.
        let Ok(root) = super::mount::root_folder() else { return };
        let fenced = Fence { beneath: Some(root.as_fd()), signals: true, sockets: false }.put_up();
        // Believed when seen: the process that started this one has to be out of reach.
        self.fenced = fenced.is_ok_and(|fenced| fenced.scopes)
            && rustix::process::getppid().is_some_and(|parent| {
                rustix::process::test_kill_process(parent) == Err(Errno::PERM)
            });
    }

    /// Kills all that stems from this process, and reaps it; tells whether nothing of it is left.
    #[must_use]
    pub(crate) fn kill_all(&self) -> bool {
        self.kill_until(Instant::now() + HUNT)
    }

    fn kill_until(&self, until: Instant) -> bool {
        loop {
            if self.fenced {
                // SAFETY: two numbers. -1 means all that may be signalled, this process excepted;
                // the fence leaves of those only what stems from it.
                unsafe { libc::kill(-1, libc::SIGKILL) };
            }
            for pid in self.children() {
                // A child keeps its number until it is reaped, which nobody else does.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            loop {
                match rustix::process::wait(WaitOptions::NOHANG) {
                    Ok(Some(_)) => {}
                    // Still dying, or not yet ours.
                    Ok(None) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return error == Errno::CHILD,
                }
            }
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    // The direct children, from `/proc/<pid>/stat`: `pid (name) state ppid …`.
    fn children(&self) -> Vec<Pid> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let Ok(mut folder) = rustix::fs::Dir::read_from(&self.proc) else { return Vec::new() };
        let mut found = Vec::new();
        while let Some(Ok(entry)) = folder.read() {
            let name = entry.file_name().to_bytes();
            let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
            if let Some(number) = number
                && self.parent_of(name) == Some(own)
            {
                found.extend(Pid::from_raw(number));
            }
        }
        found
    }

    fn parent_of(&self, name: &[u8]) -> Option<i32> {
        let path = [name, b"/stat"].concat();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.proc, path.as_slice(), flags, Mode::empty()).ok()?;
        let mut text = [0u8; 256];
        let read = rustix::io::read(&file, &mut text).ok()?;
        // A name may have parentheses of its own: the last one ends it.
        let rest = text[..read].iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(rest + 1..read)?).ok()?;
        rest.split_ascii_whitespace().nth(1)?.parse().ok()
    }
}

/// Reaps what has ended until `child` has, or until one of the descriptors speaks or hangs up:
/// `None` then.
pub(crate) fn ended_or_spoken(
    child: &Child,
    signals: BorrowedFd<'_>,
    others: [Option<BorrowedFd<'_>>; 2],
) -> io::Result<Result<End, [bool; 2]>> {
    loop {
        if let Some(end) = child.reap_all() {
            return Ok(Ok(end));
        }
        let [first, second] = others;
        let [ended, first, second] = super::child::poll([Some(signals), first, second], -1)?;
        if ended {
            super::child::drain(signals);
        }
        if first || second {
            return Ok(Err([first, second]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::child::{self, Fork};
    use super::*;

    // Starts a keeper with a daemon below it; returns whether the daemon outlived `kill_all`.
    fn survivors(fence: bool) -> i32 {
        let (mut told, mut tell) = std::io::pipe().unwrap();
        let (mut ready, mut begun) = std::io::pipe().unwrap();
        let keeper = match child::fork().unwrap() {
            Fork::Parent(keeper) => keeper,
            Fork::Child => {
                let mut own = match Keeper::new() {
                    Ok(own) => own,
                    Err(_) => child::exit(9),
                };
                if fence {
                    let _ = child::no_new_privs();
                    own.fence();
                }
                // A daemon: its parent ends, it leaves the session, and goes on.
                for depth in 0..3 {
                    match child::fork() {
                        Ok(Fork::Child) => {
                            let _ = child::new_session();
                            if depth == 2 {
                                use std::io::Write;
                                let _ = tell.write_all(&std::process::id().to_le_bytes());
                                let _ = begun.write_all(b"x");
                                std::thread::sleep(Duration::from_secs(60));
                                child::exit(0);
                            }
                        }
                        _ if depth == 0 => break,
                        _ => child::exit(0),
                    }
                }
                // The daemon runs, wherever its parents are by now.
                let _ = std::io::Read::read(&mut ready, &mut [0]);
                if !own.kill_all() {
                    child::exit(8);
                }
                child::exit(i32::from(own.fenced));
            }
        };
        drop(tell);
        let mut pid = [0; 4];
        std::io::Read::read_exact(&mut told, &mut pid).unwrap();
        let End::Exited(code) = keeper.wait().unwrap() else { panic!("the keeper was killed") };
        let pid = Pid::from_raw(i32::from_le_bytes(pid)).unwrap();
        assert_eq!(rustix::process::test_kill_process(pid), Err(Errno::SRCH));
        code
    }

    #[test]
    fn a_daemon_dies_with_its_keeper() {
        assert_eq!(survivors(false), 0);
    }

    #[test]
    fn one_shot_behind_a_fence_hits_only_what_is_behind_it() {
        let fenced = survivors(true);
        assert_eq!(
            fenced == 1,
            super::super::landlock::revision().is_ok_and(|revision| revision >= 6)
        );
    }

    #[test]
    fn what_is_left_is_told() {
        let keeper = match child::fork().unwrap() {
            Fork::Parent(keeper) => keeper,
            Fork::Child => {
                // A keeper that finds nobody in its `/proc`, and kills nobody.
                let (Ok(own), Ok(empty)) = (Keeper::new(), std::fs::File::open("/proc/self/net"))
                else {
                    child::exit(9)
                };
                if let Ok(Fork::Child) = child::fork() {
                    std::thread::sleep(Duration::from_secs(60));
                    child::exit(0);
                }
                let blind = Keeper { proc: empty.into(), fenced: false };
                let blind = blind.kill_until(Instant::now() + Duration::from_millis(20));
                child::exit(i32::from(blind) + 2 * i32::from(!own.kill_all()));
            }
        };
        assert_eq!(keeper.wait().unwrap(), End::Exited(0));
    }
}
