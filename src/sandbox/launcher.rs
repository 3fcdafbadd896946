//! Starts the first process of each step: by a fork of a small process, which this program is started
//! again for once, when the first step comes.
//!
//! A start of this program takes as long as the rest of a small step: its tables are relocated, its pages
//! copied. The process that has done so with one thread and nothing else in memory is forked for each step
//! instead; a step's description comes to the fork alone. Builder and server speak by messages with
//! descriptors, one question and one answer at a time.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::init;
use crate::sys::child::{self, Fork, Number};
use crate::sys::{mount, socket};

/// How long a server may think before it is told to go on: where signals are not fenced in (before Linux
/// 6.12), a step may stop it.
const STOPPED: Duration = Duration::from_secs(2);

/// How long to wait between two questions whether a process is gone that is about to go.
const SOON: Duration = Duration::from_micros(100);

/// Starts the steps of a build. Nothing is started before the first of them.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    server: Mutex<Option<Server>>,
}

impl Launcher {
    /// `program` is this program's own file, whose `main` begins with [`crate::init`].
    pub fn new(program: PathBuf) -> Self {
        Launcher { program, server: Mutex::new(None) }
    }

    /// Starts the first process of a step, with `control` as what it is told by.
    pub(super) fn start(&self, control: UnixStream) -> io::Result<First<'_>> {
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let fds = [OwnedFd::from(control), out_end.into(), err_end.into()];
        let pid = self.ask(&socket::borrow(&fds), &[])?;
        let pid = Number::new(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(First { launcher: self, pid, out: Some(out), err: Some(err), gone: false })
    }

    // Tells whether a step's first process is gone; then its number may be somebody else's.
    fn is_gone(&self, pid: Number) -> io::Result<bool> {
        self.ask(&[], &[&pid.get().to_le_bytes()]).map(|answer| answer == GONE)
    }

    fn ask(&self, fds: &[BorrowedFd<'_>], parts: &[&[u8]]) -> io::Result<i32> {
        let mut held = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        // One that somebody has killed since the last question took nothing of this one.
        if held.as_ref().is_some_and(Server::is_gone) {
            *held = None;
        }
        let server = match &mut *held {
            Some(server) => server,
            none => none.insert(Server::start(&self.program)?),
        };
        match server.ask(fds, parts) {
            Ok(answer) if answer < 0 => Err(io::Error::from_raw_os_error(-answer)),
            Ok(answer) => Ok(answer),
            Err(error) => {
                *held = None;
                Err(error)
            }
        }
    }
}

/// The process that is forked; it ends when this is dropped.
#[derive(Debug)]
struct Server {
    /// `None` once it shall end.
    questions: Option<UnixStream>,
    pid: Number,
    /// The kernel kills the server with the thread that started it: this one waits for its end,
    parent: Option<JoinHandle<()>>,
    /// and closes this.
    ended: mpsc::Receiver<io::Result<Number>>,
}

impl Server {
    fn start(program: &Path) -> io::Result<Self> {
        let (questions, theirs) = UnixStream::pair()?;
        // A step finds this program through `/proc`, when it makes its own command's interpreter of
        // `/proc/self/exe`: what it finds cannot be written, whoever owns the file. Where nothing can
        // be mounted, the file itself has to do.
        let sealed = mount::sealed(program).ok();
        let program = match &sealed {
            Some(sealed) => format!("/proc/self/fd/{}", sealed.as_raw_fd()).into(),
            None => program.to_owned(),
        };
        let mut command = Command::new(program);
        command.arg0("rbuild").arg("__sandbox").env_clear();
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (started, ended) = mpsc::sync_channel(1);
        let parent = thread::Builder::new().name("steps".to_owned()).spawn(move || {
            let spawned = command.spawn();
            // The builder's copy of the server's end, or its end would not be seen.
            drop(command);
            let (child, told) = match spawned {
                Ok(child) => {
                    let pid = Number::of(&child);
                    (Some(child), Ok(pid))
                }
                Err(error) => (None, Err(error)),
            };
            // Nobody listens where the start itself was given up.
            let _ = started.send(told);
            if let Some(mut child) = child {
                let _ = child.wait();
            }
        })?;
        let told = ended.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        drop(sealed);
        Ok(Server { questions: Some(questions), pid: told?, parent: Some(parent), ended })
    }

    // It never speaks unasked: what is there to read is the end.
    fn is_gone(&self) -> bool {
        self.questions.as_ref().is_none_or(child::is_hung_up)
    }

    fn ask(&mut self, fds: &[BorrowedFd<'_>], parts: &[&[u8]]) -> io::Result<i32> {
        let questions = self.questions.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        socket::send(questions, fds, parts)?;
        while !child::poll([Some(questions.as_fd())], STOPPED.as_millis() as i32)?[0] {
            self.pid.go_on();
        }
        let (_, answer) = socket::receive(questions)?;
        let answer = answer.first().and_then(|part| part.as_slice().try_into().ok());
        answer.map(i32::from_le_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.questions.take());
        if let Some(parent) = self.parent.take() {
            while let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(STOPPED) {
                self.pid.go_on();
            }
            // It does not panic.
            let _ = parent.join();
        }
    }
}

/// The first process of a step; killed with all it holds when this is dropped.
pub(super) struct First<'a> {
    launcher: &'a Launcher,
    pid: Number,
    /// What the step writes to its standard output, and
    pub(super) out: Option<PipeReader>,
    /// to its standard error.
    pub(super) err: Option<PipeReader>,
    gone: bool,
}

impl First<'_> {
    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.pid.get().unsigned_abs()
    }

    /// Kills it, and with it the step.
    pub(super) fn kill(&self) {
        if !self.gone {
            self.pid.kill();
        }
    }

    /// Has it go on if it is stopped.
    pub(super) fn go_on(&self) {
        if !self.gone {
            self.pid.go_on();
        }
    }

    /// Waits until it is gone.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        while !self.gone {
            // Until then the number is its own.
            match self.launcher.is_gone(self.pid) {
                Ok(gone) => self.gone = gone,
                Err(error) => {
                    // It goes with the server.
                    self.gone = true;
                    return Err(error);
                }
            }
            if !self.gone {
                thread::sleep(SOON);
            }
        }
        Ok(())
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.kill();
        // It is gone, or goes.
        let _ = self.wait();
    }
}

/// Answers of the server, beside a number of a process: an error's number below zero, and these.
const THERE: i32 = 0;
const GONE: i32 = 1;

/// The entry of `rbuild __sandbox`: forks a first process for each question that brings its descriptors,
/// until there is nobody who asks.
pub fn sandbox_main() -> ! {
    let Ok(mut questions) = child::take_stdin().map(UnixStream::from) else { child::exit(2) };
    let alone = child::die_with_parent()
        .and_then(|()| child::hide_from_proc(true))
        .and_then(|()| child::new_session());
    if alone.is_err() {
        child::exit(1);
    }
    // A builder that died before the first of these is seen here as the end of the stream.
    while let Ok((fds, parts)) = socket::receive(&questions) {
        let answer = match parts.first() {
            None => {
                let (ours, answer) = fork(questions, fds);
                questions = ours;
                answer
            }
            Some(part) => Ok(is_gone(part)),
        };
        let answer = answer.unwrap_or_else(|error| -error.raw_os_error().unwrap_or(1));
        if socket::send(&questions, &[], &[&answer.to_le_bytes()]).is_err() {
            break;
        }
    }
    child::exit(0)
}

fn fork(questions: UnixStream, fds: Vec<OwnedFd>) -> (UnixStream, io::Result<i32>) {
    let server = Number::own();
    let answer = match child::fork() {
        Ok(Fork::Parent(child)) => i32::try_from(child.number()).map_err(io::Error::other),
        Ok(Fork::Child) => {
            drop(questions);
            init::first_main(fds, server)
        }
        Err(error) => Err(error),
    };
    (questions, answer)
}

fn is_gone(part: &[u8]) -> i32 {
    let pid = part.try_into().ok().map(i32::from_le_bytes).and_then(Number::new);
    // Whom it does not know is not there.
    if pid.is_some_and(Number::is_child_at_work) { THERE } else { GONE }
}
