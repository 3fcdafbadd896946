//! Running `git`: what it may see, and how long, how large and how talkative it may get.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::remote::{Remote, Scheme};
use super::{Error, Tools, auth};
use crate::base::Masker;
use crate::event::Cancel;

// More files than any project has, and more bytes.
const MAX_ENTRIES: u64 = 4_000_000;
const MAX_BYTES: u64 = 64 << 30;
// What a program may write to stdout or stderr: a list of refs can be long.
const MAX_OUTPUT: u64 = 64 << 20;

// Configuration that replaces that of the host. No hook, no monitor, no filter, no helper.
const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.eol", "lf"),
    ("core.symlinks", "true"),
    ("core.logAllRefUpdates", "false"),
    ("core.packedGitWindowSize", "32m"),
    ("core.packedGitLimit", "512m"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.threads", "4"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("transfer.bundleURI", "false"),
    // Fewer bytes per second than that for a minute, and the connection counts as dead.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
];

// Hands out the login of the address, which is in the environment: arguments are seen by everybody.
const HELPER: &str = "!f() { test \"$1\" = get && \
    printf 'username=%s\\npassword=%s\\n' \"$RBUILD_GIT_USER\" \"$RBUILD_GIT_PASSWORD\"; }; f";

// Files are made with usual modes, and memory has a bound (in KiB): a few hundred bytes of a
// repository can describe more files than fit into any.
const SHELL: &str = "umask 022; ulimit -v 16777216 2>/dev/null; exec \"$0\" \"$@\"";

/// Which addresses git may open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// None.
    Nothing,
    /// The repository's own.
    Remote,
    /// The same, for an answer that comes at once.
    Question,
    /// Those of submodules: any on the network, none of this host's files.
    Submodules,
}

/// What all runs for one remote share.
pub(super) struct Runner<'a> {
    remote: &'a Remote,
    git: PathBuf,
    /// Holds everything that git writes; nothing else is in it.
    work: &'a Path,
    environment: Vec<(OsString, OsString)>,
    masker: Masker,
    until: Instant,
    idle: Duration,
    cancel: Cancel,
}

impl<'a> Runner<'a> {
    pub(super) fn new(remote: &'a Remote, tools: &Tools, work: &'a Path) -> Result<Self, Error> {
        let git = tools.find("git").ok_or(Error::NoProgram { program: "git" })?;
        let home = work.join("home");
        fs::create_dir(&home).map_err(Error::io("create"))?;
        let masker = Masker::new();
        let mut config: Vec<(String, OsString)> =
            CONFIG.iter().map(|(key, value)| ((*key).to_owned(), value.into())).collect();
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: &OsStr| environment.push((name.into(), value.into()));
        for (name, value) in [
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TEMPLATE_DIR", ""),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
        ] {
            set(name, OsStr::new(value));
        }
        set("HOME", home.as_os_str());
        set("XDG_CONFIG_HOME", home.as_os_str());
        // No repository that happens to lie above.
        set("GIT_CEILING_DIRECTORIES", work.as_os_str());
        set("PATH", &tools.search_path());
        match remote.scheme {
            Scheme::Https | Scheme::Http => {
                let proxies = &tools.proxies;
                for (name, value) in
                    [("http_proxy", &proxies.http), ("https_proxy", &proxies.https)]
                {
                    value.iter().for_each(|value| set(name, OsStr::new(value)));
                }
                let direct = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
                let direct = [direct.as_slice(), &proxies.none_for].concat().join(",");
                set("no_proxy", OsStr::new(&direct));
                if let Some(file) = authorities(&tools.ca_files, work)? {
                    set("GIT_SSL_CAINFO", file.as_os_str());
                }
                for (key, value) in auth::lines(remote, &tools.auth) {
                    use std::os::unix::ffi::OsStrExt;
                    config.push((key, OsStr::from_bytes(value.expose()).to_owned()));
                    masker.add(&value);
                }
                if let Some(login) = &remote.login {
                    use std::os::unix::ffi::OsStrExt;
                    masker.add(&login.password);
                    set("RBUILD_GIT_USER", OsStr::from_bytes(login.user.expose()));
                    set("RBUILD_GIT_PASSWORD", OsStr::from_bytes(login.password.expose()));
                    let scheme = if remote.scheme == Scheme::Https { "https" } else { "http" };
                    let key = format!("credential.{scheme}://{}.helper", remote.authority);
                    config.push((key, HELPER.into()));
                }
            }
            Scheme::Ssh => {
                let agent = tools.ssh_agent.as_ref();
                let agent = agent.ok_or_else(|| Error::NoAgent { remote: remote.to_string() })?;
                let ssh = tools.find("ssh").ok_or(Error::NoProgram { program: "ssh" })?;
                set("SSH_AUTH_SOCK", agent.as_os_str());
                set("GIT_SSH_VARIANT", OsStr::new("ssh"));
                set("GIT_SSH_COMMAND", OsStr::new(&ssh_command(&ssh, tools.home.as_deref())?));
            }
            Scheme::Git => {}
        }
        set("GIT_CONFIG_COUNT", OsStr::new(&config.len().to_string()));
        for (at, (key, value)) in config.iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{at}"), OsStr::new(key));
            set(&format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        let until = Instant::now() + tools.time_limit;
        let cancel = tools.cancel.clone();
        let idle = tools.idle_limit;
        Ok(Runner { remote, git, work, environment, masker, until, idle, cancel })
    }

    /// Runs git in `folder` of the work folder, and returns what it wrote to stdout. `what` is what
    /// it is for, as it follows "cannot".
    pub(super) fn run(
        &self,
        what: &'static str,
        folder: &Path,
        open: Open,
        arguments: &[&str],
    ) -> Result<Vec<u8>, Error> {
        let (out, err) = (self.work.join("out"), self.work.join("err"));
        let create = |path| File::create(path).map(Stdio::from).map_err(Error::io("create"));
        let mut child = Command::new("/bin/sh")
            .args(["-c", SHELL])
            .arg(&self.git)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("GIT_ALLOW_PROTOCOL", self.protocols(open))
            .stdin(Stdio::null())
            .stdout(create(&out)?)
            .stderr(create(&err)?)
            .spawn()
            .map_err(Error::io("start git by /bin/sh"))?;
        let mut watch = Watch::new(self.work, self.patience(open));
        let mut pause = Duration::from_millis(1);
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) => {}
                Err(error) => break Err(Error::io("wait for git")(error)),
            }
            if self.cancel.is_cancelled() {
                break Err(Error::Interrupted);
            }
            let long = [&out, &err].iter().any(|path| size(path) > MAX_OUTPUT);
            let why = if long {
                Some("git writes more than is sensible")
            } else if Instant::now() > self.until {
                Some("it takes too long")
            } else {
                watch.look()
            };
            if let Some(why) = why {
                break Err(Error::Limit { remote: self.remote.to_string(), why });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        };
        let status = ended.inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        if status.success() {
            return read(&out, MAX_OUTPUT).map_err(Error::io("read"));
        }
        // The last lines tell why.
        let said = read(&err, MAX_OUTPUT).map_err(Error::io("read"))?;
        let said = self.masker.mask_text(&String::from_utf8_lossy(&said));
        let mut lines: Vec<_> =
            said.lines().rev().filter(|line| !line.trim().is_empty()).take(4).map(clean).collect();
        lines.reverse();
        Err(Error::Failed { what, remote: self.remote.to_string(), said: lines.join("; ") })
    }

    // Only http knows a server that has died; those of git:// and ssh can keep us for ever.
    fn patience(&self, open: Open) -> Option<Duration> {
        match open {
            Open::Nothing => None,
            Open::Question => Some(self.idle),
            Open::Remote | Open::Submodules => Some(self.idle * 5),
        }
    }

    // Redirects are held to these as well.
    fn protocols(&self, open: Open) -> &'static str {
        match (open, self.remote.scheme) {
            (Open::Nothing, _) => "none",
            (Open::Submodules, _) => "https:http:git:ssh",
            (Open::Remote | Open::Question, Scheme::Https) => "https",
            (Open::Remote | Open::Question, Scheme::Http) => "http:https",
            (Open::Remote | Open::Question, Scheme::Git) => "git",
            (Open::Remote | Open::Question, Scheme::Ssh) => "ssh",
        }
    }
}

// No configuration of the user, no question, no unknown host, no key but the agent's.
fn ssh_command(ssh: &Path, home: Option<&Path>) -> Result<String, Error> {
    let known = match home.map(|home| home.join(".ssh/known_hosts")) {
        Some(file) => {
            let text =
                file.to_str().filter(|text| !text.contains(['"', '\n'])).ok_or_else(|| {
                    Error::Io {
                        what: "name the file known_hosts to ssh",
                        source: io::Error::from(io::ErrorKind::InvalidFilename),
                    }
                })?;
            // Quoted for ssh, which has blanks between files and `%` for its variables.
            format!("UserKnownHostsFile=\"{}\"", text.replace('%', "%%"))
        }
        None => "UserKnownHostsFile=none".to_owned(),
    };
    let options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentityFile=none",
        "-o",
        "ForwardAgent=no",
        "-o",
        "ConnectTimeout=20",
        "-o",
        "ServerAliveInterval=20",
        "-o",
        &known,
    ];
    let ssh = ssh.to_string_lossy();
    let words = std::iter::once(ssh.as_ref()).chain(options);
    Ok(words.map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" "))
}

// The bundles of the host, as distributions place them; the first one counts, as with Go's TLS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

// Git takes one file in place of the host's: what is added is put behind those.
fn authorities(added: &[PathBuf], work: &Path) -> Result<Option<PathBuf>, Error> {
    if added.is_empty() {
        return Ok(None);
    }
    let mut all = BUNDLES.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
    for path in added {
        all.push(b'\n');
        all.extend(fs::read(path).map_err(Error::io("read the file of --ca-file"))?);
    }
    let file = work.join("authorities");
    fs::write(&file, all).map_err(Error::io("write"))?;
    Ok(Some(file))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

// A line of a stranger, for a message.
fn clean(line: &str) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || ('\u{2028}'..='\u{202e}').contains(c)
            || ('\u{2066}'..='\u{2069}').contains(c)
    };
    line.trim().chars().take(200).map(|c| if hidden(&c) { '\u{fffd}' } else { c }).collect()
}

// Looks from time to time how much there is, and whether it has grown. A look takes a tenth of the
// time at most.
struct Watch<'a> {
    folder: &'a Path,
    next: Instant,
    patience: Option<Duration>,
    seen: (u64, u64),
    moved: Instant,
}

const BETWEEN: Duration = Duration::from_secs(2);

impl<'a> Watch<'a> {
    fn new(folder: &'a Path, patience: Option<Duration>) -> Self {
        let now = Instant::now();
        let next = now + patience.map_or(BETWEEN, |patience| patience.min(BETWEEN));
        Watch { folder, next, patience, seen: (0, 0), moved: now }
    }

    fn look(&mut self) -> Option<&'static str> {
        let started = Instant::now();
        if started < self.next {
            return None;
        }
        let (mut bytes, mut entries) = (0u64, 0u64);
        let mut folders = vec![self.folder.to_owned()];
        while let Some(folder) = folders.pop() {
            // What is gone meanwhile does not count.
            let Ok(list) = fs::read_dir(&folder) else { continue };
            for entry in list.flatten() {
                entries += 1;
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => {
                        bytes = bytes.saturating_add(entry.metadata().map_or(0, |meta| meta.len()));
                    }
                    _ => {}
                }
                if entries > MAX_ENTRIES {
                    return Some("it has more files than is sensible");
                }
                if bytes > MAX_BYTES {
                    return Some("it is larger than is sensible");
                }
            }
        }
        if self.seen != (bytes, entries) {
            (self.seen, self.moved) = ((bytes, entries), started);
        } else if self.patience.is_some_and(|patience| self.moved.elapsed() > patience) {
            return Some("nothing comes from its server any more");
        }
        self.next = Instant::now() + (started.elapsed() * 10).max(BETWEEN);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_quoted_for_both_readers() {
        let command =
            ssh_command(Path::new("/opt/it's/ssh"), Some(Path::new("/home/a b%"))).unwrap();
        assert!(command.starts_with(r"'/opt/it'\''s/ssh' '-F' 'none'"), "{command}");
        let known = r#"'UserKnownHostsFile="/home/a b%%/.ssh/known_hosts"'"#;
        assert!(command.contains(known), "{command}");
        assert!(ssh_command(Path::new("ssh"), Some(Path::new("/a\"b"))).is_err());
    }

    #[test]
    fn lines_of_strangers_are_cleaned() {
        assert_eq!(clean("remote: a\x1b[2Jb\u{202e}c\r"), "remote: a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(clean(&"x".repeat(1 << 20)).len(), 200);
    }
}
