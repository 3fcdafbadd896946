//! A real Docker Engine (`dockerd`), started by hand, with a folder of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::process::{Done, run};
use super::server::{Server, wait_for};

/// A running engine; needs root.
pub(crate) struct Engine {
    // Before the folder: a folder is removed after its engine ended.
    _server: Server,
    folder: Folder,
}

impl Engine {
    /// Starts one. It leaves the host's network alone: containers have none, pulls are its own.
    pub(crate) fn start() -> Engine {
        let folder = Folder::new();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = folder.path().join("log");
        let socket = format!("unix://{}", at("socket"));
        let server = Server::start(
            &[
                "dockerd",
                "--data-root",
                &at("data"),
                "--exec-root",
                &at("exec"),
                "--pidfile",
                &at("pid"),
                "--host",
                &socket,
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                "--insecure-registry=127.0.0.0/8",
            ],
            &log,
        );
        let engine = Engine { _server: server, folder };
        let up = || engine.docker(&["version"]).status.success().then_some(());
        wait_for(&engine._server, &log, up);
        engine
    }

    /// Runs the client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Done {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", self.socket().display()));
        docker.arg("--config").arg(self.folder.path());
        run(docker.args(arguments), Duration::from_secs(60))
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}
