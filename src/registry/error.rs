//! What can go wrong between here and a registry, told apart by what a person has to do.

use std::fmt;
use std::io;
use std::time::Duration;

/// What was being done, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct What {
    /// To the registry, rather than from it.
    pub push: bool,
    /// The image or blob as a person names it.
    pub name: String,
}

impl What {
    pub(super) fn read(name: impl Into<String>) -> Self {
        What { push: false, name: name.into() }
    }

    pub(super) fn push(name: impl Into<String>) -> Self {
        What { push: true, name: name.into() }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`", if self.push { "push" } else { "read" }, self.name)
    }
}

/// Why something did not come from a registry, or did not get there.
///
/// `what` is the image or blob, `host` the one that answered (or did not): a mirror's where one is
/// configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry does not let us in (401, 403).
    #[error("{what}: {host} denied access ({status}{said}); {}", with_login(*.login))]
    Denied {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Whether a login was used.
        login: bool,
        /// What the registry says, ` CODE: message`, cleaned.
        said: Said,
    },
    /// The registry has no such repository, tag or digest (404).
    #[error("{what}: not found on {host} ({status}{said})")]
    NotFound {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What the registry says.
        said: Said,
    },
    /// Too many requests (429), still after all tries.
    #[error(
        "{what}: {host} limits the rate of requests (429, tried {tries} {}{}); {}",
        times(*.tries),
        wait_asked(.wait),
        with_login(*.login)
    )]
    RateLimited {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// How often it was tried.
        tries: u32,
        /// What `Retry-After` asked for.
        wait: Option<Duration>,
        /// Whether a login was used.
        login: bool,
    },
    /// Another answer than was hoped for.
    #[error("{what}: {host} answered {status}{said}, tried {tries} {}", times(*.tries))]
    Server {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// How often it was tried.
        tries: u32,
        /// What the registry says.
        said: Said,
    },
    /// No answer.
    #[error("{what}: {cause}, tried {tries} {}", times(*.tries))]
    Unreachable {
        /// What was asked for.
        what: What,
        /// Who should have answered.
        host: String,
        /// How often it was tried.
        tries: u32,
        /// What stopped it.
        cause: Cause,
    },
    /// The bytes are not those that the digest or the size names. Nothing is kept.
    #[error("`{}` {} {host} is not what its digest names: {why}", .what.name, if .what.push { "on" } else { "from" })]
    Mismatch {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// What was wanted and found.
        why: String,
    },
    /// An answer that breaks the protocol.
    #[error("{what}: {host} answered against the protocol: {why}")]
    Malformed {
        /// What was asked for.
        what: What,
        /// Who answered.
        host: String,
        /// How.
        why: String,
    },
    /// The network may not be used.
    #[error("the network is needed for {url}, but this run is offline")]
    Offline {
        /// What would have been asked.
        url: String,
    },
    /// The configuration, or a rule about where credentials may go, forbids it.
    #[error("{what}: {why}")]
    Forbidden {
        /// What was asked for.
        what: What,
        /// Which rule.
        why: String,
        /// How to allow it, if that is sensible.
        remedy: Option<String>,
    },
    /// The bytes could not be put where they should go.
    #[error("cannot write `{}`: {cause}", .what.name)]
    Sink {
        /// What was fetched.
        what: What,
        /// The sink's error.
        cause: io::Error,
    },
    /// What is to be pushed could not be read here, or is not what its digest names.
    #[error("{what}: {cause}")]
    Source {
        /// What was to be pushed.
        what: What,
        /// The source's error.
        cause: io::Error,
    },
    /// A file of the configuration cannot be used.
    #[error("registry configuration: {0}")]
    Config(String),
}

/// What kept us from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The name has no address.
    Dns(String),
    /// Nobody listens.
    Refused(String),
    /// No answer in time.
    Timeout(String, &'static str),
    /// The TLS handshake failed: wrong certificate, or no TLS there.
    Tls(String, String),
    /// The connection broke.
    Broken(String, String),
    /// Somebody has cancelled.
    Interrupted(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Dns(host) => write!(f, "the host name {host} cannot be resolved (DNS)"),
            Cause::Refused(host) => write!(f, "{host} refused the connection"),
            Cause::Timeout(host, phase) => write!(f, "{host} did not answer in time ({phase})"),
            Cause::Tls(host, why) => write!(f, "no TLS connection to {host}: {why}"),
            Cause::Broken(host, why) => write!(f, "the connection to {host} broke: {why}"),
            Cause::Interrupted(host) => write!(f, "the connection to {host} was interrupted"),
        }
    }
}

/// What a registry says about an error, cleaned of control characters and of our secrets, and cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said(pub(super) String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

impl Error {
    /// Returns what to do about it, as a line that can be pasted where there is one.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Error::Denied { host, login: false, .. } => format!(
                "the repository does not exist, or {host} wants a login: name a file with one by `--authfile FILE`"
            ),
            Error::Denied { host, login: true, .. } => {
                format!("the repository does not exist, or the login for {host} is wrong or has no right to it")
            }
            Error::NotFound { .. } => "check the name, the tag and the digest".to_owned(),
            Error::RateLimited { login: false, .. } => {
                "a login often has a higher limit: name a file with one by `--authfile FILE`; or configure a mirror by `--registry-config FILE`".to_owned()
            }
            Error::RateLimited { .. } => {
                "wait, or configure a mirror by `--registry-config FILE`".to_owned()
            }
            Error::Server { what, .. } if what.push => "try again later".to_owned(),
            Error::Server { .. } => "try again later, or configure a mirror by `--registry-config FILE`".to_owned(),
            Error::Unreachable { cause, .. } => match cause {
                Cause::Dns(_) => "check the host's name, the network and the proxy variables".to_owned(),
                Cause::Refused(_) | Cause::Timeout(..) | Cause::Broken(..) => {
                    "check the network and the proxy variables; `--offline` with a local layout needs no network".to_owned()
                }
                Cause::Interrupted(_) => return None,
                Cause::Tls(host, _) => format!(
                    "for a private certificate authority write `ca = \"FILE\"`, for a registry without TLS `http = true`, under `[host.\"{host}\"]` in the file of `--registry-config`"
                ),
            },
            Error::Mismatch { what, .. } if what.push => {
                "the registry is broken, or somebody else pushed at the same time".to_owned()
            }
            Error::Mismatch { .. } => {
                "somebody between here and the image changed it, or the registry is broken; nothing was kept".to_owned()
            }
            Error::Offline { .. } => "leave out `--offline`, or fetch the image first".to_owned(),
            Error::Forbidden { remedy, .. } => return remedy.clone(),
            Error::Malformed { .. }
            | Error::Sink { .. }
            | Error::Source { .. }
            | Error::Config(_) => return None,
        })
    }

    /// Tells whether another source of the same content is worth a try.
    pub(super) fn next_source(&self) -> bool {
        !matches!(
            self,
            Error::Offline { .. } | Error::Sink { .. } | Error::Config(_) | Error::Mismatch { .. }
        )
    }
}

fn with_login(login: bool) -> &'static str {
    if login { "a login was used" } else { "no login was used" }
}

fn times(tries: u32) -> &'static str {
    if tries == 1 { "time" } else { "times" }
}

fn wait_asked(wait: &Option<Duration>) -> String {
    wait.map_or(String::new(), |wait| format!(", it asks to wait {} s", wait.as_secs()))
}
