//! Any file by its address: what ADD of an URL needs. The same tries, proxies, certificates and
//! redirect rules as for registries, but no login except the one that stands in the address.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::Instant;

use super::auth;
use super::client::{Network, Registry};
use super::error::{Error, Said, What};
use super::pull::{broken, length, starts_at};
use super::retry::retry_after;
use super::transport::{Request, Response};
use super::url::Url;
use crate::base::{Blob, Digest, Hasher, Kind};
use crate::event::Event;

/// An `http` or `https` address as a person wrote it, perhaps with user and password.
///
/// `Display` and `Debug` leave out user, password and query: all three may be secrets.
#[derive(Clone)]
pub struct Address {
    url: Url,
    login: Option<auth::Authorization>,
}

/// Why a text is no address. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address: write http:// or https://, a host and a path")]
pub struct AddressError;

impl Address {
    /// Parses an address. Blanks and letters beyond ASCII are escaped, as browsers do; control
    /// characters are refused. A fragment is dropped.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.chars().any(char::is_control) {
            return Err(AddressError);
        }
        let mut escaped = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_graphic() {
                escaped.push(char::from(byte));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        let (scheme, rest) = escaped.split_once("://").ok_or(AddressError)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let url = Url::parse(&format!("{scheme}://{host}{target}")).ok_or(AddressError)?;
        let login = user.filter(|user| !user.is_empty()).map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            auth::basic(&String::from_utf8_lossy(&unescape(user)), &unescape(password))
        });
        Ok(Address { url, login })
    }

    /// Returns the name of the file that the path ends in, unescaped; `None` if there is none that
    /// a file can have. The query has no say in it, nor has the server.
    pub fn file_name(&self) -> Option<String> {
        let path = self.url.target.split('?').next().unwrap_or("/");
        let path = unescape(path);
        let name = path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty())?;
        let good = name != b"." && name != b".." && name.len() <= 255 && !name.contains(&0);
        good.then(|| String::from_utf8(name.to_vec()).ok()).flatten()
    }

    /// Returns a digest of the whole address, user, password and query included: a key that gives
    /// none of them away.
    pub fn digest<K: Kind>(&self) -> Digest<K> {
        let mut hasher = Hasher::new();
        hasher.field(self.url.wire().as_bytes());
        hasher.field(self.login.as_ref().map_or("", auth::Authorization::header).as_bytes());
        hasher.finish()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

// Undoes `%2F`; what is no escape stays as it is.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (*first, digit(0), digit(1)) {
            out.push(u8::try_from(high << 4 | low).expect("two digits make a byte"));
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// What a server said by which a later question can be "has it changed?" (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, with its quotes.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Where from.
    pub address: &'a Address,
    /// No more bytes than this are taken.
    pub limit: u64,
    /// What is known of a copy that is already there.
    pub known: Option<&'a Validators>,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downloaded {
    /// The known copy is still what the server has; nothing was written.
    Unchanged,
    /// A file. All of it was written.
    File {
        /// The digest of what was written, computed here.
        digest: Digest<Blob>,
        /// Its size in bytes.
        size: u64,
        /// What to ask with the next time.
        validators: Validators,
    },
}

/// Where a file goes that may have to begin anew.
pub trait Sink: Write {
    /// Forgets all that was written.
    fn restart(&mut self) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Registry {
    /// Fetches a file into `sink`. Redirects are followed; never from https to http, nor from a
    /// public host to this machine or a link-local address.
    ///
    /// Any answer but success is an error. A connection that breaks is taken up where it broke if
    /// the server has a strong `ETag`, else it begins anew. On an error the sink holds bytes that
    /// mean nothing.
    pub fn download(&self, ask: &Download<'_>, sink: &mut dyn Sink) -> Result<Downloaded, Error> {
        let url = &ask.address.url;
        let (what, host) = (What::read(url.to_string()), url.origin.authority.clone());
        if self.network == Network::Offline {
            return Err(Error::Offline { url: what.name });
        }
        let config = self.transport.config();
        if config.host(&host).is_some_and(|host| host.deny) {
            let why = format!("the registry configuration denies `{host}`");
            return Err(Error::Forbidden { what, why, remedy: None });
        }
        let started = Instant::now();
        let mut taking = Taking { limit: ask.limit, ..Taking::default() };
        // Tries in a row that brought nothing.
        let (mut tried, mut idle) = (0, 1);
        loop {
            let before = taking.count;
            let headers = taking.headers(ask.known);
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let request = Request {
                authorization: ask.address.login.as_ref().map(auth::Authorization::header),
                from: taking.count,
                headers: &headers,
                ..Request::get(url.clone())
            };
            let mut response = self.exchange(&what, &host, &request, true, &mut tried)?;
            let outcome = match response.status {
                304 if ask.known.is_some() && taking.count == 0 => {
                    return Ok(Downloaded::Unchanged);
                }
                200 => {
                    taking.begin(&response, sink).and_then(|()| taking.take(&mut response, sink))
                }
                206 if taking.count > 0 && starts_at(&response) == Some(taking.count) => {
                    taking.take(&mut response, sink)
                }
                // Not the part that was asked for; from the beginning, then.
                206 | 416 if taking.count > 0 => {
                    taking.begin(&response, sink).and(Err(Stop::Source(None)))
                }
                status => return Err(refusal(what, host, status, tried, ask.address, &response)),
            };
            match outcome {
                Ok(()) => break,
                Err(Stop::Sink(cause)) => return Err(Error::Sink { what, cause }),
                Err(Stop::TooLong) => {
                    let why = format!("it is larger than {} bytes", ask.limit);
                    return Err(Error::Forbidden { what, why, remedy: None });
                }
                Err(Stop::Source(error)) => {
                    idle = if taking.count > before { 1 } else { idle + 1 };
                    let Some(wait) = config.retry.wait(idle, None) else {
                        let error = error.unwrap_or_else(|| {
                            io::Error::other("it ends before its announced end")
                        });
                        return Err(broken(what, host, idle, &error));
                    };
                    self.events.note(format!(
                        "{}: broke off at {} bytes, goes on in {:.1} s",
                        what.name,
                        taking.count,
                        wait.as_secs_f32()
                    ));
                    self.transport.config().cancel.pause(wait);
                }
            }
        }
        let (digest, size) = (taking.hasher.finish(), taking.count);
        self.events.send(Event::Transfer {
            what: what.name,
            bytes: size,
            took: Some(started.elapsed()),
        });
        Ok(Downloaded::File { digest, size, validators: taking.validators })
    }
}

fn refusal(
    what: What,
    host: String,
    status: u16,
    tries: u32,
    address: &Address,
    response: &Response,
) -> Error {
    // What the server says besides is a page for people, or an echo of the request.
    let (said, login) = (Said::default(), address.login.is_some());
    match status {
        401 | 403 => Error::Denied { what, host, status, login, said },
        404 | 410 => Error::NotFound { what, host, status, said },
        429 => {
            let wait = response.header("retry-after").and_then(retry_after);
            Error::RateLimited { what, host, tries, wait, login }
        }
        status => Error::Server { what, host, status, tries, said },
    }
}

enum Stop {
    // `None`: it ended early, but as if that were its end.
    Source(Option<io::Error>),
    Sink(io::Error),
    TooLong,
}

#[derive(Default)]
struct Taking {
    hasher: Hasher,
    count: u64,
    limit: u64,
    validators: Validators,
}

impl Taking {
    // What to ask besides the address.
    fn headers(&self, known: Option<&Validators>) -> Vec<(&'static str, String)> {
        // The bytes as they are: their digest is what counts.
        let mut list = vec![("accept-encoding", "identity".to_owned())];
        if self.count > 0 {
            // The rest only if it is the rest of the same (RFC 9110, section 13.1.5).
            let strong = self.validators.etag.iter().filter(|etag| !etag.starts_with("W/"));
            list.extend(strong.map(|etag| ("if-range", etag.clone())));
        } else if let Some(known) = known {
            match (&known.etag, &known.last_modified) {
                (Some(etag), _) => list.push(("if-none-match", etag.clone())),
                (None, Some(time)) => list.push(("if-modified-since", time.clone())),
                (None, None) => {}
            }
        }
        list
    }

    // A file from its first byte.
    fn begin(&mut self, response: &Response, sink: &mut dyn Sink) -> Result<(), Stop> {
        if self.count > 0 {
            sink.restart().map_err(Stop::Sink)?;
        }
        let text = |name| {
            let value = response.header(name)?;
            (!value.is_empty() && value.len() <= 1024).then(|| value.to_owned())
        };
        let (etag, last_modified) = (text("etag"), text("last-modified"));
        *self = Taking {
            limit: self.limit,
            validators: Validators { etag, last_modified },
            ..Taking::default()
        };
        Ok(())
    }

    // Copies to the end.
    fn take(&mut self, response: &mut Response, sink: &mut dyn Sink) -> Result<(), Stop> {
        let end = length(response).map(|length| length.saturating_add(self.count));
        if end.is_some_and(|end| end > self.limit) {
            return Err(Stop::TooLong);
        }
        let resumable = self.validators.etag.as_ref().is_some_and(|etag| !etag.starts_with("W/"));
        let outcome = self.copy(&mut response.reader(), end, sink);
        if matches!(outcome, Err(Stop::Source(_))) && !resumable && self.count > 0 {
            sink.restart().map_err(Stop::Sink)?;
            (self.hasher, self.count) = (Hasher::new(), 0);
        }
        outcome
    }

    fn copy(
        &mut self,
        source: &mut dyn Read,
        end: Option<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Source(Some(error))),
            };
            if read == 0 {
                let whole = end.is_none_or(|end| end == self.count);
                return if whole { Ok(()) } else { Err(Stop::Source(None)) };
            }
            if self.count + read as u64 > self.limit {
                return Err(Stop::TooLong);
            }
            sink.write_all(&buffer[..read]).map_err(Stop::Sink)?;
            self.hasher.update(&buffer[..read]);
            self.count += read as u64;
        }
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
