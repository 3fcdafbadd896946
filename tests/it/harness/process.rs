//! Programs that are run and waited for, never longer than they may take.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) wall: Duration,
    /// The most memory that it had at once, in bytes: looked at every two milliseconds.
    pub(crate) peak: u64,
}

impl Done {
    /// The exit code, or 128 and the signal as a shell says it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Standard output as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a program in a process group of its own. One that takes longer than `limit` is killed with
/// all its group, and the test fails with what it had written.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Done {
    run_fed(command, Stdio::null(), limit)
}

/// The same, with something on standard input.
pub(crate) fn run_fed(command: &mut Command, stdin: Stdio, limit: Duration) -> Done {
    spawn(command, stdin).wait(limit)
}

/// A program that runs, in a process group of its own.
pub(crate) struct Running {
    child: Child,
    line: String,
    stdout: File,
    stderr: File,
    start: Instant,
}

/// Starts a program.
pub(crate) fn spawn(command: &mut Command, stdin: Stdio) -> Running {
    // Files, not pipes: a process that outlives the program cannot keep us waiting.
    let stdout = tempfile::tempfile().expect("a temporary file");
    let stderr = tempfile::tempfile().expect("a temporary file");
    let copy = |file: &File| Stdio::from(file.try_clone().expect("another handle of a file"));
    let start = Instant::now();
    let child = command
        .stdin(stdin)
        .stdout(copy(&stdout))
        .stderr(copy(&stderr))
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    Running { child, line: format!("{command:?}"), stdout, stderr, start }
}

impl Running {
    /// Sends a signal to all its group, as a key of the terminal does.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Waits for its end. One that takes longer than `limit` is killed with all its group, and the
    /// test fails with what it had written.
    pub(crate) fn wait(mut self, limit: Duration) -> Done {
        let mut late = false;
        let mut peak = 0;
        let status = loop {
            peak = high_water(self.child.id()).max(peak);
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                break status;
            }
            if self.start.elapsed() > limit && !late {
                late = true;
                self.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (all(&mut self.stdout), all(&mut self.stderr));
        let done = Done { status, stdout, stderr, wall: self.start.elapsed(), peak };
        let said = || format!("{}{}", done.out(), done.err());
        let used = done.peak >> 20;
        assert!(!late, "longer than {limit:?} ({used} MiB): {}\n{}", self.line, said());
        done
    }
}

// The most memory that a process has had since it was executed. `ru_maxrss` of `wait4` would count
// what this program had when it started the other one.
fn high_water(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Runs a program that has to succeed within a minute; gives its standard output.
pub(crate) fn ok(command: &mut Command) -> String {
    let done = run(command, Duration::from_secs(60));
    assert!(done.status.success(), "{command:?}: {}\n{}{}", done.status, done.out(), done.err());
    done.out()
}

fn all(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("reading a temporary file");
    bytes
}
