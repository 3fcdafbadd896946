//! Debian's `docker-registry` on the loopback, for tests. Its access log is the judge of what was
//! sent.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

// `me`, `hunter2-PASS`, bcrypt with 2^5 rounds.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuua4LNIwCUqGk6iZW4hxdWM2hA44ViKzy\n";

/// A running registry; stops when dropped.
pub(crate) struct RealServer {
    child: Child,
    host: String,
    log: PathBuf,
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RealServer {
    /// Starts it with an empty storage in `folder`, or says why not.
    pub(crate) fn start(folder: &Path, login: bool) -> Result<Self, String> {
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let at = folder.display();
        std::fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{host}'}}\n\
             storage: {{filesystem: {{rootdirectory: {at}/data}}}}\n"
        );
        if login {
            config += &format!("auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n");
        }
        let file = folder.join("registry.yml");
        std::fs::write(&file, config).unwrap();
        let log = folder.join("registry.log");
        let out = std::fs::File::create(&log).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let server = RealServer { child, host, log };
        let started = Instant::now();
        while TcpStream::connect(&server.host).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The lines of its access log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        // A line is written after its answer was sent.
        std::thread::sleep(Duration::from_millis(100));
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }
}
