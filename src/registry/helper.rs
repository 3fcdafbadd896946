//! Credential helpers: `docker-credential-NAME get`, a registry's name on stdin, JSON on stdout
//! (docker/docker-credential-helpers, README, "Development").

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::Login;
use crate::base::Secret;

/// The environment of helpers: nothing but this.
#[derive(Clone, Debug, Default)]
pub struct HelperEnvironment {
    /// Folders to look for helpers in, as in `PATH`; also the helper's `PATH`.
    pub path: Option<OsString>,
    /// Variables that helpers need to find their keyring: `HOME`, `XDG_RUNTIME_DIR`,
    /// `DBUS_SESSION_BUS_ADDRESS` and the like.
    pub variables: Vec<(OsString, OsString)>,
}

const LIMIT: Duration = Duration::from_secs(30);
const MAX_OUTPUT: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the login of `server`; `None` when it knows none.
pub(super) fn ask(
    name: &str,
    server: &str,
    environment: &HelperEnvironment,
) -> Result<Option<Login>, String> {
    let shown: String = name.escape_default().take(60).collect();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.bytes().all(good) {
        return Err(format!("`{shown}` is no name of a credential helper"));
    }
    let program = format!("docker-credential-{name}");
    let found: Option<PathBuf> = environment.path.as_ref().and_then(|path| {
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&program))
            .find(|file| file.is_file())
    });
    let Some(found) = found else {
        return Err(format!("the credential helper `{program}` is not installed"));
    };
    let mut command = Command::new(found);
    command
        .arg("get")
        .env_clear()
        .envs(environment.variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(path) = &environment.path {
        command.env("PATH", path);
    }
    let failed = |why: &str| format!("the credential helper `{program}` {why}");
    let mut child = command.spawn().map_err(|_| failed("cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read has its reasons.
        let _ = stdin.write_all(server.as_bytes());
    }
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MAX_OUTPUT).read_to_end(&mut output);
        }
        let _ = sender.send(output);
    });
    let output = receiver.recv_timeout(LIMIT);
    if output.is_err() {
        let _ = child.kill();
    }
    // With its output closed the helper is about to end; one that is not gets no more patience.
    let mut status = None;
    for _ in 0..100 {
        status = child.try_wait().ok().flatten();
        if status.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let output = output.map_err(|_| failed("did not answer in 30 s"))?;
    if !status.is_some_and(|status| status.success()) {
        // The protocol's way to say "none": a text on stdout and exit status 1.
        let text = String::from_utf8_lossy(&output);
        return if text.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed("failed"))
        };
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| failed("gave an answer that is not understood"))?;
    let secret = Secret::new(answer.secret.into_bytes());
    Ok(Some(match answer.username.as_str() {
        "<token>" => Login::Identity(secret),
        _ => Login::Basic { user: answer.username, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(script: &str) -> Result<Option<Login>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("docker-credential-test");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path =
            std::env::join_paths([folder.path(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        let environment = HelperEnvironment { path: Some(path), variables: Vec::new() };
        // Another thread's fork may hold our script open for writing for a moment.
        for _ in 0..50 {
            match ask("test", "r.example.com", &environment) {
                Err(why) if why.contains("cannot be started") => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => return other,
            }
        }
        Err("never started".into())
    }

    #[test]
    fn helpers_speak_the_protocol() {
        let login = check(
            r#"read h; printf '{"ServerURL":"%s","Username":"%s","Secret":"s"}' "$h" "$1-$h""#,
        );
        assert!(
            matches!(login, Ok(Some(Login::Basic { user, .. })) if user == "get-r.example.com")
        );
        let login = check(r#"printf '{"Username":"<token>","Secret":"s"}'"#);
        assert!(matches!(login, Ok(Some(Login::Identity(_)))));
        let login = check("echo credentials not found in native keychain; exit 1");
        assert!(matches!(login, Ok(None)));
        assert!(check("echo hunter2; exit 1").unwrap_err().ends_with("failed"));
        assert!(check("echo '{\"Secret\":\"hunter2\"'").unwrap_err().contains("not understood"));
    }

    #[test]
    fn odd_names_are_not_run() {
        for name in ["", "-x", "../x", "a/b", "a b", "."] {
            assert!(ask(name, "h", &HelperEnvironment::default()).is_err(), "{name}");
        }
    }
}
