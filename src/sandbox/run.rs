//! Starts a step and stays with it until it is gone.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::cgroup::{Group, killed_for_memory_anywhere};
use super::deeds::{self, Deeds};
use super::init::{Report, TERMINATE};
use super::isolation::Keeping;
use super::launcher::{First, Launcher};
use super::lines::Lines;
use super::terms::{Clock, Expired};
use super::{Cancel, Spec, prepare, setup};
use crate::base::Masker;
use crate::event::Stream;
use crate::sys::child::{self, End, Usage};
use crate::sys::socket;

/// How long a cancelled step may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// How long a killed step is waited for. Without a pid namespace its processes are hunted for ten
/// seconds.
const END: Duration = Duration::from_secs(15);

/// How often the step's outer process is told to go on, should it be stopped: it is what ends a step
/// whose inner process is stopped, too.
const STOPPED: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// By itself, with a status; 0 is success.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Because of [`Cancel`].
    Cancelled,
    /// Because its time was over.
    Expired(Expired),
    /// The kernel killed it, or something of it, for want of memory.
    OutOfMemory {
        /// Within the step's own limit, [`Resources::memory`](super::Resources); otherwise somewhere
        /// on this machine while it ran.
        own_limit: bool,
    },
}

/// Why a command could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the sandbox could not be set up.
    #[error("{doing}: {cause}")]
    Setup {
        /// The operation: ``mount `/proc` ``.
        doing: String,
        /// Why not.
        cause: String,
    },
    /// The program could not be started.
    #[error("cannot execute `{program}`: {cause}")]
    Exec {
        /// As written.
        program: String,
        /// `no such file or directory`, …
        cause: String,
    },
    /// The step left a secret's file in its tree or in a cache, under another name.
    #[error("the step gave the secret at `{0}` another name, so that it would have been kept")]
    Kept(String),
    /// The step vanished without telling how.
    #[error("the first process of the step was lost: {0}")]
    Lost(String),
}

impl Error {
    fn setup(doing: &str, error: &io::Error) -> Self {
        Error::Setup { doing: doing.into(), cause: error.to_string() }
    }
}

/// Runs `spec` to its end. `output` is called with each line (without its newline, masked, at most 64 KiB
/// at a time) on the calling thread. The kernel kills the step when the builder ends.
///
/// When it returns, every process that the step started is dead, and the mount points made for the
/// step are gone from [`Spec::upper`] unless the step changed them.
pub fn run(
    spec: &Spec,
    launcher: &Launcher,
    masker: &Masker,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Outcome, Error> {
    run_watched(spec, launcher, masker, cancel, output).map(|(outcome, ..)| outcome)
}

/// What is left of a step that has ended: mounts that nobody can write through any more, which the kernel
/// takes down beside the builder (60 ms where the step has written 20 000 files). They are gone when this is
/// dropped, which waits for that.
#[must_use]
pub struct Leaving(#[expect(dead_code, reason = "held until it is dropped")] Option<First>);

/// What an audit saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watched {
    /// All that the step did, as far as an audit goes.
    Seen(Deeds),
    /// Nothing: it could not be watched.
    Unseen(String),
}

/// What is known of a command that ran, beside its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// What it did, if [`Terms::audit`](super::Terms) asks for it.
    pub watched: Option<Watched>,
    /// What it used; `None` if its first process could not tell.
    pub used: Option<Usage>,
    /// Lines of its output (or pieces of long ones) in which a secret was masked.
    pub printed: u64,
}

/// As [`run`]; returns an account of it, too, and what the kernel has still to do. Until that is dropped,
/// nothing may be mounted over [`Spec::upper`].
pub fn run_watched(
    spec: &Spec,
    launcher: &Launcher,
    masker: &Masker,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(Outcome, Account, Leaving), Error> {
    if cancel.is_cancelled() {
        return Ok((Outcome::Cancelled, Account::default(), Leaving(None)));
    }
    let (orders, numbers) = setup::orders(spec);
    let fds = prepare::descriptors(spec, &numbers.mounts)?;
    let json = serde_json::to_vec(&orders).map_err(|error| Error::Lost(error.to_string()))?;
    let (control, theirs) =
        UnixStream::pair().map_err(|error| Error::setup("make a socket", &error))?;
    let group = match spec.terms.resources.is_unlimited() {
        true => None,
        false => Some(
            Group::make(&spec.terms.resources)
                .map_err(|cause| Error::Setup { doing: "limit the step".into(), cause })?,
        ),
    };
    let killed_before = killed_for_memory_anywhere();
    let step = launcher
        .start(theirs)
        .map_err(|error| Error::setup("start the first process of the step", &error))?;
    if let Some(group) = &group {
        group.add(step.id()).map_err(|error| Error::setup("limit the step", &error))?;
    }

    let mut parts = vec![json.as_slice()];
    parts.extend(numbers.bytes);
    socket::send(&control, &socket::borrow(&fds), &parts)
        .map_err(|error| Error::setup("describe the step to its first process", &error))?;
    drop(fds);

    let clock = Clock::start(&spec.terms);
    let (reports, ended, printed, mut leaving) =
        step.attend(control, masker, cancel, clock, output)?;
    // A group with a process in it cannot be removed.
    if group.is_some() {
        leaving = Leaving(None);
    }
    // A group that ends as a whole takes the step's first process along: then nothing was told.
    let own_limit = group.as_ref().is_some_and(|group| group.killed_for_memory() > 0);
    let elsewhere = killed_for_memory_anywhere() > killed_before;
    let outcome = for_memory(judge(spec, &reports, ended), own_limit, elsewhere)?;
    let watched = spec.terms.audit.then(|| match setup::is_audited(spec) {
        true => watched(&reports),
        false => Watched::Unseen("the step had no pid namespace of its own".to_owned()),
    });
    let used = reports.iter().find_map(|report| match report {
        Report::Used(used) => Some(*used),
        _ => None,
    });
    Ok((outcome, Account { watched, used, printed }, leaving))
}

// Says so where a step was killed for want of memory: within its own limit, or elsewhere.
fn for_memory(
    judged: Result<Outcome, Error>,
    own_limit: bool,
    elsewhere: bool,
) -> Result<Outcome, Error> {
    let killed = match &judged {
        // 137 is how a shell passes on that its child was killed.
        Ok(Outcome::Signaled(9) | Outcome::Exited(137)) => own_limit || elsewhere,
        Err(Error::Lost(_)) => own_limit,
        Ok(_) | Err(_) => false,
    };
    if killed { Ok(Outcome::OutOfMemory { own_limit }) } else { judged }
}

fn watched(reports: &[Report]) -> Watched {
    let why = reports.iter().find_map(|report| match report {
        Report::Unwatched(cause) => Some(cause.clone()),
        _ => None,
    });
    match why {
        Some(cause) => Watched::Unseen(cause),
        None => Watched::Seen(deeds::deeds(reports.iter().filter_map(|report| match report {
            Report::Act(act) => Some(act),
            _ => None,
        }))),
    }
}

fn judge(spec: &Spec, reports: &[Report], ended: Option<Outcome>) -> Result<Outcome, Error> {
    for report in reports {
        if let Report::Ready(stubs) = report {
            let upper = prepare::open_folder(&spec.upper)?;
            // Without layers below, all folders are the tree's own.
            stubs
                .remove(&upper, !spec.lowers.is_empty())
                .map_err(|error| Error::setup("remove the mount points of the step", &error))?;
        }
    }
    if let Some(ended) = ended {
        return Ok(ended);
    }
    for report in reports {
        match report {
            Report::Failed { doing, cause } => {
                return Err(Error::Setup { doing: doing.clone(), cause: cause.clone() });
            }
            Report::NoExec { program, cause } => {
                let program = String::from_utf8_lossy(&program.0).into_owned();
                return Err(Error::Exec { program, cause: cause.clone() });
            }
            Report::Ready(_)
            | Report::Ended(_)
            | Report::Used(_)
            | Report::Act(_)
            | Report::Unwatched(_)
            | Report::Left => {}
        }
    }
    end_of(spec.isolation.keeping(), reports)
}

// How the command ended, by what was told.
fn end_of(keeping: Keeping, reports: &[Report]) -> Result<Outcome, Error> {
    let ended = reports.iter().find_map(|report| match report {
        Report::Ended(End::Exited(code)) => Some(Outcome::Exited(*code)),
        Report::Ended(End::Signaled(signal)) => Some(Outcome::Signaled(*signal)),
        Report::Ready(_)
        | Report::Failed { .. }
        | Report::NoExec { .. }
        | Report::Used(_)
        | Report::Act(_)
        | Report::Unwatched(_)
        | Report::Left => None,
    });
    let ended =
        ended.ok_or_else(|| Error::Lost("it was killed, perhaps for want of memory".into()))?;
    // What the command started may have gone on for a moment.
    if keeping == Keeping::PidNamespace && !is_left(reports) {
        return Err(Error::Lost("it was killed before all of the step had ended".into()));
    }
    Ok(ended)
}

// Whether the first process has told that all others are gone.
fn is_left(reports: &[Report]) -> bool {
    matches!(reports.last(), Some(Report::Left))
}

impl First {
    // Passes output on until the step's processes are gone; returns what it told, why it was stopped if it
    // was, how often something was masked, and what is left of it.
    fn attend(
        mut self,
        control: UnixStream,
        masker: &Masker,
        cancel: &Cancel,
        mut clock: Clock<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<(Vec<Report>, Option<Outcome>, u64, Leaving), Error> {
        let lost = |error: io::Error| Error::Lost(error.to_string());
        let mut streams = Streams::new(&mut self, masker)?;
        let mut told = Vec::new();
        let mut buffer = vec![0u8; 64 << 10];
        let mut stopped: Option<(Outcome, Instant)> = None;
        let mut asked = Instant::now();
        loop {
            let [spoke, out, err] = child::poll(
                [
                    Some(control.as_fd()),
                    streams.out.as_ref().map(AsFd::as_fd),
                    streams.err.as_ref().map(AsFd::as_fd),
                ],
                100,
            )
            .map_err(lost)?;
            if streams.take(out, err, &mut buffer, output) {
                clock.heard();
            }
            if spoke {
                let read = match { &control }.read(&mut buffer) {
                    Ok(read) => read,
                    // The other side may have gone without having read everything.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(lost(error)),
                };
                if read == 0 {
                    break;
                }
                told.extend_from_slice(&buffer[..read]);
            }
            // Where signals are not fenced in (before Linux 6.12), a step may stop what watches over it.
            if !spoke && asked.elapsed() > STOPPED {
                self.go_on();
                asked = Instant::now();
            }
            let stop = match stopped {
                Some((_, at)) => {
                    let now = Instant::now();
                    if now >= at + END {
                        return Err(Error::Lost(format!(
                            "it was killed, and yet is not gone after {} s: processes of it may \
                             still run",
                            END.as_secs()
                        )));
                    }
                    if now >= at {
                        self.kill();
                    }
                    None
                }
                None if cancel.is_cancelled() => Some(Outcome::Cancelled),
                None => clock.expired().map(Outcome::Expired),
            };
            if let Some(outcome) = stop {
                // When nobody reads it, the step is about to end anyway.
                let _ = { &control }.write_all(&[TERMINATE]);
                stopped = Some((outcome, Instant::now() + GRACE));
            }
        }
        // Who was killed while it told something did not come to the end of the line.
        let whole = told.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let reports: Vec<Report> = told[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).map_err(|error| Error::Lost(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let left = is_left(&reports);
        if !left {
            self.wait().map_err(lost)?;
        }
        let masked = streams.drain(&mut buffer, output);
        let leaving = Leaving(left.then_some(self));
        Ok((reports, stopped.map(|(outcome, _)| outcome), masked, leaving))
    }
}

// The two output streams of a step.
struct Streams<'a> {
    out: Option<PipeReader>,
    err: Option<PipeReader>,
    out_lines: Lines<'a>,
    err_lines: Lines<'a>,
}

impl<'a> Streams<'a> {
    fn new(first: &mut First, masker: &'a Masker) -> Result<Self, Error> {
        let streams = Streams {
            out: first.out.take(),
            err: first.err.take(),
            out_lines: Lines::new(masker),
            err_lines: Lines::new(masker),
        };
        let both = [streams.out.as_ref().map(AsFd::as_fd), streams.err.as_ref().map(AsFd::as_fd)];
        for fd in both.into_iter().flatten() {
            child::set_nonblocking(fd).map_err(|error| Error::setup("read the output", &error))?;
        }
        Ok(streams)
    }

    // Reads once from each stream that has something; closes one that has ended.
    fn take(
        &mut self,
        out: bool,
        err: bool,
        buffer: &mut [u8],
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> bool {
        let mut got = false;
        if out {
            got |= read_once(&mut self.out, &mut self.out_lines, buffer, &mut |line| {
                output(Stream::Stdout, line);
            });
        }
        if err {
            got |= read_once(&mut self.err, &mut self.err_lines, buffer, &mut |line| {
                output(Stream::Stderr, line);
            });
        }
        got
    }

    // Takes what is still in the pipes, without waiting for somebody who may hold their other ends.
    fn drain(mut self, buffer: &mut [u8], output: &mut dyn FnMut(Stream, &[u8])) -> u64 {
        // A pipe holds at most 1 MiB (pipe(7)): more than this comes from one who is still writing.
        for _ in 0..1024 {
            if !self.take(true, true, buffer, output) {
                break;
            }
        }
        self.out_lines.finish(&mut |line| output(Stream::Stdout, line))
            + self.err_lines.finish(&mut |line| output(Stream::Stderr, line))
    }
}

fn read_once(
    stream: &mut Option<impl Read>,
    lines: &mut Lines<'_>,
    buffer: &mut [u8],
    output: &mut dyn FnMut(&[u8]),
) -> bool {
    let Some(open) = stream else { return false };
    match open.read(buffer) {
        Ok(0) => {
            *stream = None;
            false
        }
        Ok(read) => {
            lines.push(&buffer[..read], output);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_when_all_has_ended() {
        let ended = |keeping, reports: &[Report]| end_of(keeping, reports).ok();
        let end = || Report::Ended(End::Exited(3));
        let exited = Some(Outcome::Exited(3));
        assert_eq!(ended(Keeping::PidNamespace, &[end(), Report::Left]), exited);
        assert_eq!(ended(Keeping::PidNamespace, &[end()]), None, "the rest may go on");
        assert_eq!(ended(Keeping::PidNamespace, &[Report::Left]), None, "nobody told how");
        for keeping in [Keeping::Subreaper, Keeping::Chroot] {
            assert_eq!(ended(keeping, &[end()]), exited, "told when all were killed");
        }
    }

    #[test]
    fn want_of_memory_is_told_as_such() {
        let judge = |judged: Result<Outcome, &str>, own, elsewhere| {
            let judged = judged.map_err(|text| Error::Lost(text.to_owned()));
            for_memory(judged, own, elsewhere).map_err(|error| error.to_string())
        };
        let own = Ok(Outcome::OutOfMemory { own_limit: true });
        let elsewhere = Ok(Outcome::OutOfMemory { own_limit: false });
        for ended in [Outcome::Signaled(9), Outcome::Exited(137)] {
            assert_eq!(judge(Ok(ended), true, true), own);
            assert_eq!(judge(Ok(ended), false, true), elsewhere);
            assert_eq!(judge(Ok(ended), false, false), Ok(ended));
        }
        assert_eq!(judge(Ok(Outcome::Exited(1)), true, true), Ok(Outcome::Exited(1)));
        assert_eq!(judge(Err("gone"), true, false), own, "the first process went with its group");
        assert!(judge(Err("gone"), false, true).is_err());
    }
}
