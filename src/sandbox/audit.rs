//! What a step did: programs, connections, ends; seen by its first process, told to the builder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::init::{Report, TERMINATE, say};
use super::setup::Raw;
use crate::base::{Blob, Hasher};
use crate::sys::child::{self, Child, End};
use crate::sys::notify::Errno;
use crate::sys::seccomp::Filter;
use crate::sys::trace::{Happened, Tracer, Watched};
use crate::sys::watch::{detail_of, name_of, peeks_into, stop_at_acts};

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

/// How many ends are remembered of what was not told to have begun: the news of it comes soon.
const MOST_GONE: usize = 1024;

/// How many events, and for how long, are taken before the builder and the clock are looked at again:
/// a step can make events for as long as it likes.
const AT_ONCE: usize = 256;
const ROUND: Duration = Duration::from_secs(1);

/// Stands for the path of a program that could not be looked at.
const UNKNOWN: &[u8] = b"unknown";

/// A program larger than this is not hashed.
const LARGEST: u64 = 1 << 30;

/// One thing that a process of a step did.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Act {
    /// These sorts of acts are told.
    Tells { denied: bool, failed: bool },
    /// A process was made.
    Made { parent: u32, child: u32 },
    /// A process runs another program from now on.
    Executed { pid: u32, program: Box<Started> },
    /// A process asked for a program in vain.
    Failed { pid: u32, path: Raw, error: String },
    /// A process asked for what is refused; what of the arguments matters.
    Denied { pid: u32, call: String, detail: Option<String> },
    /// A process wanted to connect.
    Connected { pid: u32, to: String },
    /// A process ended.
    Ended { pid: u32, end: End },
    /// It was still there when the command had ended.
    Left { pid: u32 },
    /// So many processes there were at once.
    Most(u64),
    /// So many acts were not told.
    More(u64),
}

/// A program that begins.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Started {
    /// The file.
    pub(super) path: Raw,
    pub(super) argv: Vec<Raw>,
    pub(super) sha256: Option<String>,
    /// How it was asked for.
    pub(super) asked: Option<Raw>,
    pub(super) folder: Option<Raw>,
    /// The file has a set-id bit.
    pub(super) setid: bool,
    /// Descriptors, and what they are.
    pub(super) streams: Vec<(u32, Raw)>,
}

/// How an audit is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Refused calls stop at the tracer.
    pub(super) denied: bool,
    /// Programs that are asked for stop at the tracer: not where the supervisor of owners is asked.
    pub(super) failed: bool,
    /// How long processes may outlive the command before they are told of.
    pub(super) grace: Duration,
}

/// Puts this process under the filter of steps, so that who watches hears of what it refuses. Without
/// a filter (`RUN --security=insecure`) only programs and connections are told.
pub(super) fn submit(filtered: bool) -> io::Result<()> {
    stop_at_acts()?;
    if filtered { Filter::telling().install() } else { Ok(()) }
}

/// Watches until the command has ended, as `watch_over` does without an audit.
pub(super) fn watch(
    command: &Child,
    control: &UnixStream,
    signals: &OwnedFd,
    tracer: &Tracer,
    manner: Manner,
) -> Option<End> {
    let mut listening = true;
    let mut notes = Notes::new(control, command.number());
    notes.tell(Act::Tells { denied: manner.denied, failed: manner.failed });
    // How the command ended, and until when others may.
    let mut over: Option<(End, Instant)> = None;
    loop {
        let round = Instant::now() + ROUND;
        let mut busy = true;
        for _ in 0..AT_ONCE {
            let Some(happened) = tracer.next() else {
                busy = false;
                break;
            };
            if let Happened::Ended(pid, end) = happened
                && command.is(pid)
            {
                say(control, &Report::Act(Act::Ended { pid, end }));
                notes.alive.remove(&pid);
                over = Some((end, Instant::now() + manner.grace));
            } else {
                notes.take(happened, tracer);
            }
            if Instant::now() >= round {
                break;
            }
        }
        let mut wait = if busy { 0 } else { -1 };
        if let Some((end, until)) = over {
            let left = until.saturating_duration_since(Instant::now());
            if !busy || left.is_zero() {
                notes.alive.retain(|pid| tracer.is_alive(*pid));
            }
            if notes.alive.is_empty() || left.is_zero() {
                notes.finish();
                return Some(end);
            }
            if !busy {
                wait = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
            }
        }
        let ask = listening.then(|| control.as_fd());
        let Ok([ended, asked]) = child::poll([Some(signals.as_fd()), ask], wait) else {
            return over.map(|(end, _)| end);
        };
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
            Act::Denied { .. } | Act::Connected { .. } | Act::Failed { .. } => {
                (self.calls.takes(size), None)
            }
            Act::Ended { pid, .. } => return self.known.remove(pid).then_some(true),
            Act::Left { pid } => (self.known.contains(pid), None),
            Act::Tells { .. } | Act::Most(_) | Act::More(_) => (true, None),
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
    /// Threads that have asked for a program, and by which name.
    asking: BTreeMap<u32, Vec<u8>>,
    /// Processes that have not ended.
    alive: BTreeSet<u32>,
    /// What ended before it was told that it began; threads are among it.
    gone: BTreeSet<u32>,
    most: u64,
}

impl<'a> Notes<'a> {
    fn new(control: &'a UnixStream, command: u32) -> Self {
        Notes {
            control,
            budgets: Budgets::new(),
            untold: 0,
            hashes: BTreeMap::new(),
            asking: BTreeMap::new(),
            alive: BTreeSet::from([command]),
            gone: BTreeSet::new(),
            most: 1,
        }
    }

    fn tell(&mut self, act: Act) {
        match self.budgets.take(&act) {
            Some(true) => say(self.control, &Report::Act(act)),
            Some(false) => self.untold += 1,
            None => {}
        }
    }

    fn finish(&mut self) {
        for pid in std::mem::take(&mut self.alive) {
            self.tell(Act::Left { pid });
        }
        self.tell(Act::Most(self.most));
        if self.untold > 0 {
            say(self.control, &Report::Act(Act::More(self.untold)));
        }
    }

    fn take(&mut self, happened: Happened, tracer: &Tracer) {
        match happened {
            Happened::Executed { pid, thread } => {
                self.granted(pid, thread);
                // Read while it is stopped, before its first instruction.
                let program = Box::new(self.started(pid, tracer));
                self.tell(Act::Executed { pid, program });
                tracer.go_on(pid);
            }
            Happened::Calls(thread, Watched::Connect) => {
                let pid = tracer.process(thread);
                let to = tracer.destination(thread).unwrap_or_else(|_| "unknown".to_owned());
                self.tell(Act::Connected { pid, to });
                tracer.go_on(thread);
            }
            Happened::Calls(thread, Watched::Exec) => {
                let path = tracer.asked_for(thread).unwrap_or_default();
                self.asking.insert(thread, path);
                tracer.go_on_to_return(thread);
            }
            Happened::Calls(thread, Watched::Absent) => {
                self.denied(thread, tracer);
                tracer.skip(thread, Errno::NO_CALL);
            }
            Happened::Calls(thread, Watched::Denied) => {
                let peeks = tracer.call(thread).ok().and_then(|call| peeks_into(&call));
                let pid = tracer.process(thread);
                // Libraries look into their own process so, as it cannot fault.
                if peeks.is_some_and(|other| tracer.process(other) == pid) {
                    tracer.go_on(thread);
                } else {
                    self.denied(thread, tracer);
                    tracer.skip(thread, Errno::PERM);
                }
            }
            Happened::Returned(thread) => {
                if let Some(path) = self.asking.remove(&thread)
                    && let Ok(Some(error)) = tracer.error(thread)
                {
                    let pid = tracer.process(thread);
                    self.tell(Act::Failed { pid, path: Raw(path), error: error.name() });
                }
                tracer.go_on(thread);
            }
            Happened::Made { parent, child } => {
                // A number may be given again.
                let gone = self.gone.remove(&child) && !tracer.is_alive(child);
                if !gone && self.alive.len() < MOST_EVENTS {
                    self.alive.insert(child);
                }
                self.most = self.most.max(self.alive.len() as u64);
                self.tell(Act::Made { parent, child });
            }
            Happened::Ended(pid, end) => {
                if !self.alive.remove(&pid) {
                    if self.gone.len() >= MOST_GONE {
                        self.gone.clear();
                    }
                    self.gone.insert(pid);
                }
                self.asking.remove(&pid);
                self.tell(Act::Ended { pid, end });
            }
            Happened::Nothing => {}
        }
    }

    // A program that a thread asked for runs now: nobody waits for the call's return any more. The thread
    // has the number of its process from now on, and its own may be given to another.
    fn granted(&mut self, pid: u32, thread: u32) {
        self.asking.remove(&pid);
        self.asking.remove(&thread);
    }

    fn denied(&mut self, thread: u32, tracer: &Tracer) {
        let pid = tracer.process(thread);
        let (call, detail) = match tracer.call(thread) {
            Ok(call) => (name_of(&call), detail_of(&call)),
            Err(_) => ("unknown".to_owned(), None),
        };
        self.tell(Act::Denied { pid, call, detail });
    }

    fn started(&mut self, pid: u32, tracer: &Tracer) -> Started {
        let argv = tracer.arguments(pid, MOST_ARGUMENTS).unwrap_or_default();
        // What cannot be looked at ran all the same.
        let (path, sha256, setid) = match tracer.program(pid) {
            Ok((path, file)) => {
                let mode = file.metadata().map_or(0, |meta| meta.mode());
                // Without the execute bit of the group, that of set-gid means nothing (chmod(2)).
                let setid = mode & 0o4000 != 0 || mode & 0o2010 == 0o2010;
                (path, self.hash(file).unwrap_or(None), setid)
            }
            Err(_) => (UNKNOWN.to_vec(), None, false),
        };
        let mut streams = Vec::new();
        for fd in [0, 1].into_iter().chain(argv.iter().take(16).filter_map(|word| descriptor(word)))
        {
            if let Ok(link) = tracer.stream(pid, fd) {
                streams.push((fd, Raw(named(link, pid, tracer))));
            }
        }
        Started {
            path: Raw(path),
            argv: argv.into_iter().map(Raw).collect(),
            sha256,
            asked: tracer.asked(pid).ok().map(Raw),
            folder: tracer.folder(pid).ok().map(Raw),
            setid,
            streams,
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

// `/dev/fd/63`, as a shell calls a pipe that it hands on.
fn descriptor(word: &[u8]) -> Option<u32> {
    let word = std::str::from_utf8(word).ok()?;
    let number = word.strip_prefix("/dev/fd/").or_else(|| word.strip_prefix("/proc/self/fd/"))?;
    number.parse().ok()
}

// A socket of the internet is told as such.
fn named(link: Vec<u8>, pid: u32, tracer: &Tracer) -> Vec<u8> {
    let number = std::str::from_utf8(&link)
        .ok()
        .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
    match number {
        Some(number) if tracer.is_inet(pid, number) => format!("inet:[{number}]").into_bytes(),
        _ => link,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_asked_for_is_over_when_it_runs() {
        let (control, _theirs) = UnixStream::pair().unwrap();
        let mut notes = Notes::new(&control, 7);
        for number in [7, 8, 9] {
            notes.asking.insert(number, b"/bin/x".to_vec());
        }
        // Thread 9 of process 7; thread 8 is of another process.
        notes.granted(7, 9);
        assert_eq!(notes.asking.keys().collect::<Vec<_>>(), [&8]);
    }

    #[test]
    fn programs_are_told_however_much_else_there_is() {
        let mut budgets = Budgets::new();
        let end = |pid| Act::Ended { pid, end: End::Exited(0) };
        let program = |pid, size| {
            let started = Started { path: Raw(vec![b'x'; size]), ..Started::default() };
            Act::Executed { pid, program: Box::new(started) }
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
}
