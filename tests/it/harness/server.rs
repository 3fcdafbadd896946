//! Servers of a test: they end with it, also when the test is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Starts a server, and ends it when its standard input is closed: by us, or by our death.
const KEEPER: &str = r#"
log=$1; shift
"$@" < /dev/null > "$log" 2>&1 &
echo $!
read -r _
kill $! 2> /dev/null
wait $!
"#;

/// A running server.
pub(crate) struct Server {
    keeper: Child,
    leash: Option<ChildStdin>,
    pid: Pid,
}

impl Server {
    /// Starts `command` with its output in `log`.
    pub(crate) fn start(command: &[&str], log: &Path) -> Server {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let leash = keeper.stdin.take();
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server's process id");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
        Server { keeper, leash, pid }
    }

    /// Whether it still runs.
    pub(crate) fn alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.leash.take());
        let start = Instant::now();
        let mut killed = false;
        while let Ok(None) = self.keeper.try_wait() {
            if !killed && start.elapsed() > Duration::from_secs(20) {
                killed = true;
                let _ = kill_process(self.pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Asks `ready` until it gives something; fails with the server's log when it does not in time.
pub(crate) fn wait_for<T>(server: &Server, log: &Path, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(
            server.alive() && start.elapsed() < Duration::from_secs(30),
            "a server did not come up:\n{}",
            std::fs::read_to_string(log).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
