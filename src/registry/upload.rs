//! One blob to a registry: a session of POST, PUT, and after a failure PATCH from where the registry
//! stands (distribution specification, "Pushing Blobs").
//!
//! The whole blob goes in one PUT, which every registry knows. A transfer that broke is taken up by
//! asking the session how far it got. A registry or proxy that finds the body too large gets pieces.

use std::io::{self, Read, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::auth::Access;
use super::client::{Answer, Ask, Endpoint, Registry};
use super::error::{Error, What};
use super::push::{BlobContent, BlobToPush};
use super::retry::retry_after;
use super::transport::{Body, Method, Request, Response};
use super::url::{Url, encode, host_of};
use crate::base::{Blob, Digest, Hasher};

/// The size of a piece, where a body was too large. Some registries take no smaller ones than 5 MiB
/// (but the last).
const PIECE: u64 = 8 << 20;

type Open<'a> = &'a (dyn Fn(Digest<Blob>) -> io::Result<Box<dyn BlobContent>> + Sync);

/// A blob on its way.
pub(super) struct Upload<'a> {
    registry: &'a Registry,
    to: &'a Endpoint,
    what: &'a What,
    blob: &'a BlobToPush,
    open: Open<'a>,
    session: Option<Url>,
    /// Bytes that the registry has of it.
    at: u64,
    /// What was read so far; shared with the reader that a request owns.
    local: Arc<Mutex<Local>>,
    piece: Option<u64>,
}

// What is known of our own bytes.
struct Local {
    hasher: Hasher,
    hashed: u64,
    failed: Option<io::Error>,
}

// Why an attempt ended.
enum Stop {
    /// It will not get better.
    Final(Box<Error>),
    /// Trouble that may pass, and how long the registry asks to wait.
    Passing(Box<Error>, Option<Duration>),
    /// Begin anew or in another way, without a wait.
    Changed(Box<Error>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Final(Box::new(error))
    }
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        to: &'a Endpoint,
        what: &'a What,
        blob: &'a BlobToPush,
        open: Open<'a>,
    ) -> Self {
        let local = Local { hasher: Hasher::new(), hashed: 0, failed: None };
        let local = Arc::new(Mutex::new(local));
        Upload { registry, to, what, blob, open, session: None, at: 0, local, piece: None }
    }

    /// Takes the session that an answer names. Without a usable one, a new one is asked for later.
    pub(super) fn begin(&mut self, asked: &Url, response: &Response) {
        self.session = self.location(asked, response).ok();
        self.at = 0;
    }

    /// Sends; goes on where it broke while there is progress.
    pub(super) fn send(mut self) -> Result<(), Error> {
        let retry = self.registry.transport.config().retry;
        // Attempts in a row that brought nothing.
        let mut idle = 0;
        let mut furthest = 0;
        loop {
            let stop = match self.attempt() {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            };
            if let Some(cause) = self.local().failed.take() {
                return Err(Error::Source { what: self.what.clone(), cause });
            }
            self.check_local()?;
            idle = if self.at > furthest { 1 } else { idle + 1 };
            furthest = furthest.max(self.at);
            let (error, wait) = match stop {
                Stop::Final(error) => return Err(*error),
                Stop::Changed(error) if idle >= retry.tries => return Err(*error),
                Stop::Changed(_) => continue,
                Stop::Passing(error, asked) => match retry.wait(idle, asked) {
                    None => return Err(*error),
                    Some(wait) => (error, wait),
                },
            };
            self.registry.events.note(format!("{error}; goes on in {:.1} s", wait.as_secs_f32()));
            self.registry.transport.config().cancel.pause(wait);
        }
    }

    fn attempt(&mut self) -> Result<(), Stop> {
        let session = match self.session.clone() {
            Some(session) => session,
            None => self.start()?,
        };
        // Only after something went wrong; a new session is empty.
        let session = if self.read_before() { self.resume(&session)? } else { session };
        if self.at == 0 && self.piece.is_none_or(|piece| piece >= self.blob.size) {
            return self.put(&session, true);
        }
        let mut session = session;
        while self.at < self.blob.size {
            session = self.patch(&session)?;
        }
        self.put(&session, false)
    }

    fn read_before(&self) -> bool {
        self.local().hashed > 0 && self.session.is_some()
    }

    fn start(&mut self) -> Result<Url, Stop> {
        let url = self.to.url("blobs/uploads/");
        let answer = self.ask(Request::new(Method::Post, url.clone()), true)?;
        if answer.response.status != 202 {
            return Err(Stop::Final(Box::new(self.registry.refusal(self.to, self.what, answer))));
        }
        let session = self.location(&url, &answer.response).map_err(Stop::from)?;
        self.at = 0;
        self.session = Some(session.clone());
        Ok(session)
    }

    // Asks how far the registry got.
    fn resume(&mut self, session: &Url) -> Result<Url, Stop> {
        let answer = self.ask(Request::get(session.clone()), true)?;
        let response = &answer.response;
        let at = match response.status {
            204 | 202 | 200 => response.header("range").and_then(reached),
            _ => None,
        };
        match at {
            Some(at) if at <= self.blob.size => {
                self.at = at;
                // The address may change from answer to answer; it need not be told again.
                let next = match response.header("location") {
                    Some(_) => self.location(session, response).map_err(Stop::from)?,
                    None => session.clone(),
                };
                self.session = Some(next.clone());
                Ok(next)
            }
            _ => {
                self.session = None;
                self.start()
            }
        }
    }

    fn patch(&mut self, session: &Url) -> Result<Url, Stop> {
        let (from, left) = (self.at, self.blob.size - self.at);
        let length = left.min(self.piece.unwrap_or(left));
        let open = self.opener(from, length);
        let request = Request {
            range: Some((from, from + length - 1)),
            body: Body::Stream(length, &open),
            ..Request::new(Method::Patch, session.clone())
        };
        let answer = self.ask(request, false)?;
        match answer.response.status {
            202 | 204 | 201 => {
                let next = self.location(session, &answer.response).map_err(Stop::from)?;
                // A registry may have kept less than it was sent.
                let at = answer.response.header("range").and_then(reached);
                self.at = at.unwrap_or(from + length).min(from + length);
                self.session = Some(next.clone());
                if self.at <= from {
                    let why = format!("it keeps nothing after byte {}", self.at);
                    return Err(Stop::Passing(Box::new(self.malformed(why)), None));
                }
                Ok(next)
            }
            _ => Err(self.stop(answer)),
        }
    }

    fn put(&mut self, session: &Url, whole: bool) -> Result<(), Stop> {
        let with = if session.target.contains('?') { '&' } else { '?' };
        let digest = encode(&self.blob.digest.to_string());
        let url = Url {
            target: format!("{}{with}digest={digest}", session.target),
            origin: session.origin.clone(),
        };
        let open = self.opener(0, self.blob.size);
        let body = if whole { Body::Stream(self.blob.size, &open) } else { Body::None };
        let answer = self.ask(Request { body, ..Request::new(Method::Put, url) }, false)?;
        match answer.response.status {
            200 | 201 | 204 => {
                let found = answer.response.header("docker-content-digest").map(Digest::parse);
                if let Some(Ok(found)) = found
                    && found != self.blob.digest
                {
                    return Err(Stop::from(Error::Mismatch {
                        what: self.what.clone(),
                        host: self.to.host().to_owned(),
                        why: format!("it says that it got {found}"),
                    }));
                }
                Ok(())
            }
            _ => Err(self.stop(answer)),
        }
    }

    // Sorts an answer that is not the one hoped for.
    fn stop(&mut self, answer: Answer) -> Stop {
        let status = answer.response.status;
        let asked = answer.response.header("retry-after").and_then(retry_after);
        let error = Box::new(self.registry.refusal(self.to, self.what, answer));
        match status {
            413 if self.piece.is_none() && self.blob.size > PIECE => {
                self.piece = Some(PIECE);
                Stop::Changed(error)
            }
            // The session is gone, or stands elsewhere; a 400 may be damage on the way.
            400 | 404 | 410 => {
                self.session = None;
                Stop::Passing(error, None)
            }
            // No sessions that are taken up here: anew, and in one piece.
            405 | 501 if self.at > 0 => {
                self.session = None;
                Stop::Changed(error)
            }
            416 => Stop::Changed(error),
            408 | 429 | 500 | 502 | 503 | 504 => Stop::Passing(error, asked),
            _ => Stop::Final(error),
        }
    }

    fn ask(&self, request: Request<'_>, patient: bool) -> Result<Answer, Stop> {
        let ask = Ask { what: self.what, request, access: Access::Push, patient };
        self.registry.answer(self.to, &ask).map_err(|error| match error {
            Error::Unreachable { .. } if !patient => Stop::Passing(Box::new(error), None),
            other => Stop::from(other),
        })
    }

    fn malformed(&self, why: String) -> Error {
        Error::Malformed { what: self.what.clone(), host: self.to.host().to_owned(), why }
    }

    // Where the session goes on (ATTACK: another host's address, that would get our bytes).
    fn location(&self, asked: &Url, response: &Response) -> Result<Url, Error> {
        let next =
            response.header("location").and_then(|location| asked.join(location)).ok_or_else(
                || self.malformed("it names no usable address for the upload".to_owned()),
            )?;
        let home = &self.to.origin;
        if next.origin.authority == home.authority {
            // A registry behind a proxy may not know that it is asked by https.
            return Ok(Url { origin: home.clone(), ..next });
        }
        let same_host = host_of(&next.origin.authority) == host_of(&home.authority);
        if !same_host || next.origin.scheme < home.scheme {
            return Err(self.malformed(format!("it sends the upload elsewhere, to {next}")));
        }
        Ok(next)
    }

    // A reader of `length` bytes from `from`, for a request. Bytes that follow those hashed so far
    // are hashed.
    fn opener(&self, from: u64, length: u64) -> impl Fn() -> io::Result<Box<dyn Read>> + 'a {
        let (open, digest, local) = (self.open, self.blob.digest, self.local.clone());
        move || {
            let content = open(digest).and_then(|mut content| {
                content.seek(SeekFrom::Start(from))?;
                Ok(content)
            });
            match content {
                Ok(content) => {
                    Ok(Box::new(Hashed { content, at: from, left: length, local: local.clone() }))
                }
                Err(error) => {
                    let told = io::Error::new(error.kind(), "cannot be opened");
                    lock(&local).failed = Some(error);
                    Err(told)
                }
            }
        }
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        lock(&self.local)
    }

    // When all was read and the registry refused it, our own copy may be the damaged one.
    fn check_local(&self) -> Result<(), Error> {
        let local = self.local();
        let found: Digest<Blob> = local.hasher.clone().finish();
        if local.hashed < self.blob.size || found == self.blob.digest {
            return Ok(());
        }
        let why = format!("its content here is {found}: it is damaged");
        let cause = io::Error::new(io::ErrorKind::InvalidData, why);
        Err(Error::Source { what: self.what.clone(), cause })
    }
}

fn lock(local: &Mutex<Local>) -> MutexGuard<'_, Local> {
    local.lock().unwrap_or_else(PoisonError::into_inner)
}

// `Range: 0-9` (distribution specification, without the `bytes=` of RFC 9110) are ten bytes. `0-0`
// is what registries say of none as well: `None`.
fn reached(range: &str) -> Option<u64> {
    let range = range.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let (first, last) = range.split_once('-')?;
    let last: u64 = last.parse().ok()?;
    (first == "0" && last > 0).then(|| last.saturating_add(1))
}

struct Hashed {
    content: Box<dyn BlobContent>,
    at: u64,
    left: u64,
    local: Arc<Mutex<Local>>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let got = match self.content.read(&mut buffer[..room]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short")),
            other => other,
        };
        let mut local = lock(&self.local);
        let got = match got {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), "cannot be read");
                local.failed = Some(error);
                return Err(told);
            }
        };
        let end = self.at + got as u64;
        if self.at <= local.hashed && local.hashed < end {
            let known = usize::try_from(local.hashed - self.at).expect("smaller than `got`");
            local.hasher.update(&buffer[known..got]);
            local.hashed = end;
        }
        (self.at, self.left) = (end, self.left - got as u64);
        Ok(got)
    }
}
