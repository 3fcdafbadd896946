//! What a step did: programs, connections, ends; seen by its first process, told to the builder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use super::init::{Report, TERMINATE, say};
use super::setup::Raw;
use crate::base::{Blob, Hasher};
use crate::sys::child::{self, Child, End};
use crate::sys::notify::{Errno, Listener};
use crate::sys::seccomp::Filter;
use crate::sys::socket;
use crate::sys::trace::{Happened, Tracer};
use crate::sys::watch::{name_of, stop_at_connects};

/// Acts of each sort that are told one by one; more are counted. The sorts have budgets of their own,
/// so that a program cannot be hidden behind a crowd of processes or connections.
const MOST_EVENTS: usize = 20_000;

/// Bytes in which programs are told, and in which refused calls and connections are. With processes
/// and their ends, which are short, it is 8 MiB in all.
const MOST_OF_PROGRAMS: usize = 4 << 20;
const MOST_OF_CALLS: usize = 512 << 10;
const MOST_OF_PROCESSES: usize = 2 << 20;

/// Bytes of a program's arguments that are told.
const MOST_ARGUMENTS: u64 = 4096;

/// Stands for the path of a program that could not be looked at.
const UNKNOWN: &[u8] = b"unknown";

/// A program larger than this is not hashed.
const LARGEST: u64 = 1 << 30;

/// One thing that a process of a step did.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Act {
    /// A process was made.
    Made { parent: u32, child: u32 },
    /// A process runs another program from now on.
    Executed { pid: u32, path: Raw, argv: Vec<Raw>, sha256: Option<String> },
    /// Refused calls are told from now on.
    Listening,
    /// A process asked for what is refused.
    Denied { pid: u32, call: String },
    /// A process wanted to connect.
    Connected { pid: u32, to: String },
    /// A process ended.
    Ended { pid: u32, end: End },
    /// So many acts were not told.
    More(u64),
}

/// Puts this process under the filter of steps, so that who watches hears of what it refuses. That
/// takes a listener; there can be only one, and with a single id (not `many`) it is the owners'. Without
/// a filter (`RUN --security=insecure`) only connections are told.
pub(super) fn submit(watcher: &UnixStream, filter: Option<&Filter>, many: bool) -> io::Result<()> {
    stop_at_connects()?;
    let Some(filter) = filter else { return Ok(()) };
    if many && let Ok(listener) = Filter::install_telling() {
        return socket::send(watcher, &[listener.as_fd()], &[]);
    }
    filter.install()
}

/// Watches until the command has ended, as `watch_over` does without an audit.
pub(super) fn watch(
    command: &Child,
    control: &UnixStream,
    signals: &OwnedFd,
    tracer: &Tracer,
    command_says: UnixStream,
) -> Option<End> {
    let mut listening = true;
    let mut command_says = Some(command_says);
    let mut listener: Option<Listener> = None;
    let mut notes = Notes::new(control);
    loop {
        while let Some(happened) = tracer.next() {
            if let Happened::Ended(pid, end) = happened
                && command.is(pid)
            {
                say(control, &Report::Act(Act::Ended { pid, end }));
                notes.finish();
                return Some(end);
            }
            notes.take(happened, tracer);
        }
        let ask = listening.then(|| control.as_fd());
        let says = command_says.as_ref().map(AsFd::as_fd);
        let hears = listener.as_ref().map(AsFd::as_fd);
        let Ok([ended, asked, said, heard]) =
            child::poll([Some(signals.as_fd()), ask, says, hears], -1)
        else {
            return None;
        };
        if said && let Some(socket) = command_says.take() {
            // It closes by itself when the command begins; nothing comes of that.
            listener =
                socket::receive(&socket).ok().and_then(|(mut fds, _)| fds.pop()).map(Listener::new);
            if listener.is_some() {
                say(control, &Report::Act(Act::Listening));
            }
        }
        if heard && let Some(open) = &listener {
            if open.is_over() {
                listener = None;
            } else if let Ok(Some(call)) = open.receive() {
                let pid = tracer.process(call.pid);
                notes.tell(Act::Denied { pid, call: name_of(&call) });
                open.answer(&call, Err(Errno::PERM));
            }
        }
        if ended {
            child::drain(signals);
        }
        if asked {
            let mut byte = [0];
            match { control }.read(&mut byte) {
                Ok(1) if byte[0] == TERMINATE => command.terminate_group(),
                Ok(1) => {}
                _ => listening = false,
            }
        }
    }
}

/// A file that was hashed: device, number, size, time of change.
type Identity = (u64, u64, u64, i64, i64);

/// How much of one sort may still be told.
struct Budget {
    acts: usize,
    bytes: usize,
}

impl Budget {
    fn new(bytes: usize) -> Self {
        Budget { acts: MOST_EVENTS, bytes }
    }

    fn takes(&mut self, size: usize) -> bool {
        let takes = self.acts > 0 && size <= self.bytes;
        if takes {
            self.acts -= 1;
            self.bytes -= size;
        }
        takes
    }
}

/// What is still told of a step.
struct Budgets {
    programs: Budget,
    processes: Budget,
    calls: Budget,
    /// Processes that were told of: their ends, one for each, are told as well.
    known: BTreeSet<u32>,
}

impl Budgets {
    fn new() -> Self {
        Budgets {
            programs: Budget::new(MOST_OF_PROGRAMS),
            processes: Budget::new(MOST_OF_PROCESSES),
            calls: Budget::new(MOST_OF_CALLS),
            known: BTreeSet::new(),
        }
    }

    /// Tells whether an act is told; `None` if it is none to be told, as the end of a thread.
    fn take(&mut self, act: &Act) -> Option<bool> {
        let size = serde_json::to_vec(act).map_or(usize::MAX, |text| text.len());
        let (takes, process) = match act {
            Act::Executed { pid, .. } => (self.programs.takes(size), Some(pid)),
            Act::Made { child, .. } => (self.processes.takes(size), Some(child)),
            Act::Denied { .. } | Act::Connected { .. } => (self.calls.takes(size), None),
            Act::Ended { pid, .. } => return self.known.remove(pid).then_some(true),
            Act::Listening | Act::More(_) => (true, None),
        };
        if takes && let Some(pid) = process {
            self.known.insert(*pid);
        }
        Some(takes)
    }
}

struct Notes<'a> {
    control: &'a UnixStream,
    budgets: Budgets,
    untold: u64,
    hashes: BTreeMap<Identity, Option<String>>,
}

impl<'a> Notes<'a> {
    fn new(control: &'a UnixStream) -> Self {
        Notes { control, budgets: Budgets::new(), untold: 0, hashes: BTreeMap::new() }
    }

    fn tell(&mut self, act: Act) {
        match self.budgets.take(&act) {
            Some(true) => say(self.control, &Report::Act(act)),
            Some(false) => self.untold += 1,
            None => {}
        }
    }

    fn finish(&mut self) {
        if self.untold > 0 {
            say(self.control, &Report::Act(Act::More(self.untold)));
        }
    }

    fn take(&mut self, happened: Happened, tracer: &Tracer) {
        match happened {
            Happened::Executed(pid) => {
                // Read while it is stopped, before its first instruction.
                let argv = tracer.arguments(pid, MOST_ARGUMENTS).unwrap_or_default();
                let argv = argv.into_iter().map(Raw).collect();
                // What cannot be looked at ran all the same.
                let (path, sha256) = match tracer.program(pid) {
                    Ok((path, file)) => (path, self.hash(file).unwrap_or(None)),
                    Err(_) => (UNKNOWN.to_vec(), None),
                };
                self.tell(Act::Executed { pid, path: Raw(path), argv, sha256 });
                tracer.go_on(pid);
            }
            Happened::Connects(thread) => {
                let pid = tracer.process(thread);
                let to = tracer.destination(thread).unwrap_or_else(|_| "unknown".to_owned());
                self.tell(Act::Connected { pid, to });
                tracer.go_on(thread);
            }
            Happened::Made { parent, child } => self.tell(Act::Made { parent, child }),
            Happened::Ended(pid, end) => self.tell(Act::Ended { pid, end }),
            Happened::Nothing => {}
        }
    }

    // One file is hashed once, as long as it is not changed.
    fn hash(&mut self, mut file: File) -> io::Result<Option<String>> {
        let meta = file.metadata()?;
        let identity = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        if let Some(known) = self.hashes.get(&identity) {
            return Ok(known.clone());
        }
        let mut hash = None;
        if meta.size() <= LARGEST {
            let mut hasher = Hasher::new();
            let mut buffer = vec![0; 256 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    read => hasher.update(&buffer[..read]),
                }
            }
            hash = Some(hasher.finish::<Blob>().hex());
        }
        if self.hashes.len() < MOST_EVENTS {
            self.hashes.insert(identity, hash.clone());
        }
        Ok(hash)
    }
}

/// What a step did, as its processes hang together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deeds {
    /// The programs, in the order in which they began.
    pub programs: Vec<Ran>,
    /// Connections that were asked for: by which program, and where to.
    pub connections: Vec<(Option<usize>, String)>,
    /// Calls that were refused: by which program, which, and how often. `None` if that was not told.
    pub denied: Option<BTreeMap<(Option<usize>, String), u64>>,
    /// Events that were counted only: if there are any, the step was not watched in full.
    pub untold: u64,
}

/// A program that ran in a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// The file, as the step sees it.
    pub path: Vec<u8>,
    /// Its arguments.
    pub argv: Vec<Vec<u8>>,
    /// SHA-256 of the file, in hex.
    pub sha256: Option<String>,
    /// The program that started it, by its place in the list.
    pub parent: Option<usize>,
    /// Its status, or 128 and the signal.
    pub status: Option<i32>,
}

/// Puts together what was told.
pub(super) fn deeds<'a>(acts: impl Iterator<Item = &'a Act>) -> Deeds {
    let mut deeds = Deeds::default();
    // What each process runs, and whether it was the one that began to.
    let mut runs: BTreeMap<u32, (usize, bool)> = BTreeMap::new();
    for act in acts {
        match act {
            Act::Made { parent, child } => {
                if let Some((program, _)) = runs.get(parent).copied() {
                    let (mut first, _) = *runs.entry(*child).or_insert((program, false));
                    // It may have begun to run something before this was told.
                    while first > program
                        && let Some(before) = deeds.programs[first].parent
                    {
                        first = before;
                    }
                    if first > program {
                        deeds.programs[first].parent = Some(program);
                    }
                }
            }
            Act::Executed { pid, path, argv, sha256 } => {
                let parent = runs.get(pid).map(|(program, _)| *program);
                runs.insert(*pid, (deeds.programs.len(), true));
                deeds.programs.push(Ran {
                    path: path.0.clone(),
                    argv: argv.iter().map(|word| word.0.clone()).collect(),
                    sha256: sha256.clone(),
                    parent,
                    status: None,
                });
            }
            Act::Connected { pid, to } => {
                let by = runs.get(pid).map(|(program, _)| *program);
                deeds.connections.push((by, to.clone()));
            }
            Act::Ended { pid, end } => {
                if let Some((program, true)) = runs.remove(pid) {
                    deeds.programs[program].status = Some(match end {
                        End::Exited(status) => *status,
                        End::Signaled(signal) => 128 + signal,
                    });
                }
            }
            Act::Listening => deeds.denied = Some(BTreeMap::new()),
            Act::Denied { pid, call } => {
                let by = runs.get(pid).map(|(program, _)| *program);
                let denied = deeds.denied.get_or_insert_default();
                *denied.entry((by, call.clone())).or_default() += 1;
            }
            Act::More(count) => deeds.untold += count,
        }
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_was_faster_than_the_news_of_it_has_its_parent() {
        let program =
            |pid| Act::Executed { pid, path: Raw(vec![b'x']), argv: Vec::new(), sha256: None };
        let made = Act::Made { parent: 1, child: 2 };
        let parents = |acts: &[Act]| -> Vec<Option<usize>> {
            deeds(acts.iter()).programs.iter().map(|ran| ran.parent).collect()
        };
        assert_eq!(parents(&[program(1), program(2), made]), [None, Some(0)]);
        let made = Act::Made { parent: 1, child: 2 };
        let twice = [program(1), program(2), program(2), made];
        assert_eq!(parents(&twice), [None, Some(0), Some(1)]);
        let made = Act::Made { parent: 1, child: 2 };
        assert_eq!(parents(&[program(1), made, program(2)]), [None, Some(0)]);
    }

    #[test]
    fn programs_are_told_however_much_else_there_is() {
        let mut budgets = Budgets::new();
        let end = |pid| Act::Ended { pid, end: End::Exited(0) };
        let program = |pid, size| Act::Executed {
            pid,
            path: Raw(vec![b'x'; size]),
            argv: Vec::new(),
            sha256: None,
        };
        let many = 3 * MOST_EVENTS as u32;
        let told = |budgets: &mut Budgets, act: &dyn Fn(u32) -> Act| {
            (1..many).filter(|pid| budgets.take(&act(*pid)) == Some(true)).count()
        };
        let threads = (1..many).filter_map(|pid| budgets.take(&end(pid))).count();
        assert_eq!(threads, 0, "nobody knows them");
        let made = told(&mut budgets, &|child| Act::Made { parent: 1, child });
        let connected = told(&mut budgets, &|pid| Act::Connected { pid, to: "unix:/x".into() });
        assert!(made == MOST_EVENTS && connected > 1000, "{made} {connected}");
        assert_eq!(budgets.take(&program(many, 100)), Some(true));
        assert_eq!(budgets.take(&end(many)), Some(true));
        assert_eq!(budgets.take(&end(many)), None, "its number is free again");
        let large = (1..9).filter(|pid| budgets.take(&program(*pid, 1 << 20)) == Some(true));
        assert!(large.count() < 5);
        assert_eq!(told(&mut budgets, &end), made, "each that was told of ends");
    }

    #[test]
    fn who_runs_a_program_before_it_is_told_of_keeps_that() {
        let program = |pid, path: &str| Act::Executed {
            pid,
            path: Raw(path.into()),
            argv: Vec::new(),
            sha256: None,
        };
        let late = Act::Made { parent: 2, child: 3 };
        let end = Act::Ended { pid: 3, end: End::Exited(4) };
        let deeds = deeds([program(2, "/a"), program(3, "/b"), late, end].iter());
        assert_eq!(deeds.programs[1].status, Some(4));
    }

    #[test]
    fn acts_become_a_tree_of_programs() {
        let executed = |pid, path: &str| Act::Executed {
            pid,
            path: Raw(path.into()),
            argv: Vec::new(),
            sha256: None,
        };
        let ended = |pid, status| Act::Ended { pid, end: End::Exited(status) };
        let acts = [
            executed(2, "/bin/sh"),
            Act::Made { parent: 2, child: 3 },
            // A subshell, which starts one and ends without having been a program itself.
            Act::Made { parent: 3, child: 4 },
            executed(4, "/bin/cat"),
            Act::Connected { pid: 4, to: "unix:/x".into() },
            Act::Listening,
            Act::Denied { pid: 4, call: "mount".into() },
            Act::Denied { pid: 4, call: "mount".into() },
            ended(4, 1),
            ended(3, 7),
            executed(2, "/bin/true"),
            Act::Ended { pid: 2, end: End::Signaled(9) },
            Act::More(5),
        ];
        let deeds = deeds(acts.iter());
        let told: Vec<_> = deeds
            .programs
            .iter()
            .map(|one| (String::from_utf8_lossy(&one.path).into_owned(), one.parent, one.status))
            .collect();
        assert_eq!(
            told,
            [
                ("/bin/sh".into(), None, None),
                ("/bin/cat".into(), Some(0), Some(1)),
                ("/bin/true".into(), Some(0), Some(137)),
            ]
        );
        assert_eq!(deeds.connections, [(Some(1), "unix:/x".to_owned())]);
        assert_eq!(deeds.denied, Some([((Some(1), "mount".to_owned()), 2)].into()));
        assert_eq!(deeds.untold, 5);
    }
}
