//! Starts the first process of each step: by a fork of a small process, which this program is started
//! again for once, when the first step comes.
//!
//! A start of this program takes as long as the rest of a small step: its tables are relocated, its pages
//! copied. The process that has done so with one thread and nothing else in memory is forked for each step
//! instead; a step's description comes to the fork alone. Builder and server speak by messages with
//! descriptors, one question and one answer at a time.

use std::io::{self, PipeReader};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::init;
use crate::sys::child::{self, Fork, Number, Watch};
use crate::sys::{mount, socket};

/// How long a server may think before it is told to go on: where signals are not fenced in (before Linux
/// 6.12), a step may stop it.
const STOPPED: Duration = Duration::from_secs(2);

/// How long to wait between two questions whether a process is gone: the first time, and at most.
const PAUSES: [Duration; 2] = [Duration::from_micros(100), Duration::from_millis(50)];

/// Starts the steps of a build. Nothing is started before the first of them.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    server: Mutex<Option<Arc<Server>>>,
}

impl Launcher {
    /// `program` is this program's own file, whose `main` begins with [`crate::init`].
    pub fn new(program: PathBuf) -> Self {
        Launcher { program, server: Mutex::new(None) }
    }

    /// Starts the first process of a step, with `control` as what it is told by.
    pub(super) fn start(&self, control: UnixStream) -> io::Result<First> {
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let fds = [OwnedFd::from(control), out_end.into(), err_end.into()];
        let server = self.server()?;
        let pid = server.ask(&socket::borrow(&fds), &[])?;
        let pid = Number::new(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(First {
            watch: pid.watch().ok(),
            server,
            pid,
            out: Some(out),
            err: Some(err),
            gone: false,
        })
    }

    // The present server, or a new one if that is gone. A step that runs keeps its own.
    fn server(&self) -> io::Result<Arc<Server>> {
        let mut held = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|server| server.is_gone()) {
            *held = None;
        }
        Ok(match &*held {
            Some(server) => Arc::clone(server),
            None => Arc::clone(held.insert(Arc::new(Server::start(&self.program)?))),
        })
    }
}

/// The process that is forked; it ends when this is dropped.
#[derive(Debug)]
struct Server {
    questions: UnixStream,
    /// Held from a question to its answer.
    talk: Mutex<()>,
    pid: Number,
    /// The kernel kills the server with the thread that started it: this one waits for its end,
    parent: Option<JoinHandle<()>>,
    /// and closes this.
    ended: Mutex<Receiver<io::Result<Number>>>,
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
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let (started, ended) = mpsc::sync_channel(1);
        let parent = thread::Builder::new().name("steps".to_owned()).spawn(move || {
            let spawned = command.spawn();
            // The builder's copy of the server's end, or its end would not be seen.
            drop(command);
            // Nobody listens where the start itself was given up.
            match spawned {
                Ok(mut child) => {
                    let _ = started.send(Ok(Number::of(&child)));
                    let _ = child.wait();
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let pid = ended.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        let (talk, ended) = (Mutex::new(()), Mutex::new(ended));
        Ok(Server { questions, talk, pid, parent: Some(parent), ended })
    }

    // It never speaks unasked: what is there to read between two questions is the end.
    fn is_gone(&self) -> bool {
        let _talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        child::is_hung_up(&self.questions)
    }

    fn ask(&self, fds: &[BorrowedFd<'_>], parts: &[&[u8]]) -> io::Result<i32> {
        let _talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        socket::send(&self.questions, fds, parts).map_err(ended)?;
        let answer = self.answer();
        if answer.is_err() {
            // What comes later is no answer to the next question.
            let _ = self.questions.shutdown(Shutdown::Both);
        }
        match answer.map_err(ended)? {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            answer => Ok(answer),
        }
    }

    fn answer(&self) -> io::Result<i32> {
        while !child::poll([Some(self.questions.as_fd())], STOPPED.as_millis() as i32)?[0] {
            self.pid.go_on();
        }
        let (_, answer) = socket::receive(&self.questions)?;
        let answer = answer.first().and_then(|part| part.as_slice().try_into().ok());
        answer.map(i32::from_le_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

// In words, where the other side is not there any more.
fn ended(error: io::Error) -> io::Error {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionReset | UnexpectedEof => {
            io::Error::other("the process that is forked for steps has ended")
        }
        _ => error,
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.questions.shutdown(Shutdown::Both);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(STOPPED) {
            self.pid.go_on();
        }
        if let Some(parent) = self.parent.take() {
            // It does not panic.
            let _ = parent.join();
        }
    }
}

/// The first process of a step; killed with all it holds when this is dropped.
pub(super) struct First {
    server: Arc<Server>,
    pid: Number,
    /// Where the kernel has such descriptors (Linux 5.3): the process itself, whatever becomes of its
    /// number, which is its own only as long as the server has not waited for it.
    watch: Option<Watch>,
    /// What the step writes to its standard output, and
    pub(super) out: Option<PipeReader>,
    /// to its standard error.
    pub(super) err: Option<PipeReader>,
    gone: bool,
}

impl First {
    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.pid.get().unsigned_abs()
    }

    /// Kills it, and with it the step.
    pub(super) fn kill(&self) {
        match &self.watch {
            Some(watch) => watch.kill(),
            None if self.gone || self.server.is_gone() => {}
            None => self.pid.kill(),
        }
    }

    /// Has it go on if it is stopped.
    pub(super) fn go_on(&self) {
        match &self.watch {
            Some(watch) => watch.go_on(),
            None if self.gone || self.server.is_gone() => {}
            None => self.pid.go_on(),
        }
    }

    /// Waits until it is gone.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        if let Some(watch) = &self.watch {
            watch.wait()?;
        }
        let [mut pause, most] = PAUSES;
        while !self.gone {
            match self.server.ask(&[], &[&self.pid.get().to_le_bytes()]) {
                Ok(answer) => self.gone = answer == GONE,
                // It goes with its server.
                Err(_) if self.watch.is_some() => self.gone = true,
                Err(error) => {
                    self.gone = true;
                    return Err(error);
                }
            }
            if !self.gone {
                thread::sleep(pause);
                pause = most.min(pause * 2);
            }
        }
        Ok(())
    }
}

impl Drop for First {
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
    loop {
        let (fds, parts) = match socket::receive(&questions) {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A builder that died before the first line above is seen here as the end of the stream.
            Err(_) => child::exit(0),
        };
        let answer = match (&alone, parts.first()) {
            (Err(error), _) => Err(number_of(error)),
            (Ok(()), None) => {
                let (ours, answer) = fork(questions, fds);
                questions = ours;
                answer.map_err(|error| number_of(&error))
            }
            (Ok(()), Some(part)) => Ok(is_gone(part)),
        };
        let answer = answer.unwrap_or_else(|number| -number);
        if socket::send(&questions, &[], &[&answer.to_le_bytes()]).is_err() {
            child::exit(0);
        }
    }
}

fn number_of(error: &io::Error) -> i32 {
    error.raw_os_error().filter(|number| *number > 0).unwrap_or(child::PROTOCOL)
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
