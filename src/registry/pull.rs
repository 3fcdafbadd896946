//! Manifests and blobs, checked against their digests while they come.

use std::io::{Read, Write};
use std::time::Instant;

use super::client::{Endpoint, Registry};
use super::error::{Error, What};
use super::transport::{Failure, Request, Response, io_failure};
use crate::base::{Blob, Digest, Hasher, ImageRef, Manifest};
use crate::event::Event;

/// What a registry takes and gives at most for a manifest (distribution specification, "Pushing
/// Manifests").
const MAX_MANIFEST: u64 = 4 << 20;

// All that is understood. The plain `*/*` some clients add lets old registries convert to schema 1.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A manifest or an index, as it came.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// The bytes, which `digest` is of.
    pub bytes: Vec<u8>,
    /// What the registry says that it is; may be anything.
    pub media_type: Option<String>,
    /// The digest of the bytes, computed here.
    pub digest: Digest<Manifest>,
}

impl Registry {
    /// Fetches the manifest or index that a reference names: by its digest if it has one, else by
    /// its tag, else `latest`.
    ///
    /// The bytes are at most 4 MiB; if the reference has a digest, they are of it.
    pub fn manifest(&self, image: &ImageRef) -> Result<FetchedManifest, Error> {
        let what = What::read(image.familiar());
        let name = match image.digest() {
            Some(digest) => digest.to_string(),
            None => image.tag_or_latest().to_owned(),
        };
        let started = Instant::now();
        let fetched = self.first(image, &what, |endpoint| {
            self.manifest_from(endpoint, &what, &name, image.digest())
        })?;
        self.events.send(Event::Transfer {
            what: what.name,
            bytes: fetched.bytes.len() as u64,
            took: Some(started.elapsed()),
        });
        Ok(fetched)
    }

    /// Fetches a blob of the image's repository into `sink` and returns its size.
    ///
    /// Success means that exactly `size` bytes with this digest were written. On an error the sink
    /// has received bytes that mean nothing. A connection that breaks is taken up where it broke.
    pub fn blob(
        &self,
        image: &ImageRef,
        digest: Digest<Blob>,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<u64, Error> {
        let what = What::read(format!("{} {}", image.familiar(), digest));
        let started = Instant::now();
        let mut got = Progress { hasher: Hasher::new(), count: 0, size };
        self.first(image, &what, |endpoint| {
            self.blob_from(endpoint, &what, digest, &mut got, sink)
        })?;
        self.events.send(Event::Transfer {
            what: what.name,
            bytes: size,
            took: Some(started.elapsed()),
        });
        Ok(size)
    }

    /// Asks for what refers to an image: an index of signatures, attestations and the like
    /// (distribution specification, "Listing Referrers"). A registry that does not know the question
    /// is asked for the tag that stands for it. `None` if there is neither.
    pub fn referrers(
        &self,
        image: &ImageRef,
        digest: Digest<Manifest>,
    ) -> Result<Option<FetchedManifest>, Error> {
        let what = What::read(format!("{} referrers", image.familiar()));
        let asked = self.first(image, &what, |endpoint| {
            let request = Request {
                accept: Some("application/vnd.oci.image.index.v1+json"),
                ..Request::get(endpoint.url(&format!("referrers/{digest}")))
            };
            let mut response = self.ask(endpoint, &what, request)?;
            let host = || endpoint.host().to_owned();
            match response.bytes(MAX_MANIFEST) {
                Ok((bytes, false)) => {
                    let digest = Digest::of(&bytes);
                    let media_type = response.header("content-type").map(str::to_owned);
                    Ok(FetchedManifest { bytes, media_type, digest })
                }
                Ok((_, true)) => {
                    let why = format!("an index of more than {MAX_MANIFEST} bytes");
                    Err(Error::Malformed { what: what.clone(), host: host(), why })
                }
                Err(error) => Err(broken(what.clone(), host(), 1, &error)),
            }
        });
        match asked {
            Ok(index) => Ok(Some(index)),
            Err(Error::NotFound { .. } | Error::Server { status: 400..=499, .. }) => {
                self.tagged(image, &format!("sha256-{}", digest.hex()))
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches the manifest that a tag of the image's repository names, if there is one.
    pub fn tagged(&self, image: &ImageRef, tag: &str) -> Result<Option<FetchedManifest>, Error> {
        let Ok(image) = ImageRef::parse(&format!("{}:{tag}", image.name())) else {
            return Ok(None);
        };
        match self.manifest(&image) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // Asks mirrors in order, then the registry. The error of the registry itself counts.
    fn first<T>(
        &self,
        image: &ImageRef,
        what: &What,
        mut ask: impl FnMut(&Endpoint) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for endpoint in self.endpoints(image, what)? {
            match ask(&endpoint) {
                Err(error) if endpoint.fallback && error.next_source() => {
                    self.events.note(format!("mirror {}: {error}", endpoint.host()));
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last endpoint has no fallback")
    }

    fn manifest_from(
        &self,
        endpoint: &Endpoint,
        what: &What,
        name: &str,
        wanted: Option<Digest<Manifest>>,
    ) -> Result<FetchedManifest, Error> {
        let url = endpoint.url(&format!("manifests/{name}"));
        let request = Request { accept: Some(ACCEPT), ..Request::get(url) };
        let retry = self.transport.config().retry;
        let mut tried = 1;
        loop {
            let mut response = self.ask(endpoint, what, request.clone())?;
            let (what, host) = (what.clone(), endpoint.host().to_owned());
            let bytes = match response.bytes(MAX_MANIFEST) {
                Ok((bytes, false)) => bytes,
                Ok((_, true)) => {
                    let why = format!("a manifest of more than {MAX_MANIFEST} bytes");
                    return Err(Error::Malformed { what, host, why });
                }
                Err(error) => match retry.wait(tried, None) {
                    Some(wait) => {
                        tried += 1;
                        self.transport.config().cancel.pause(wait);
                        continue;
                    }
                    None => return Err(broken(what, host, tried, &error)),
                },
            };
            let digest = Digest::of(&bytes);
            if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
                let why = format!("wanted {wanted}, got {digest}");
                return Err(Error::Mismatch { what, host, why });
            }
            let media_type = response.header("content-type").map(str::to_owned);
            return Ok(FetchedManifest { bytes, media_type, digest });
        }
    }

    fn blob_from(
        &self,
        endpoint: &Endpoint,
        what: &What,
        digest: Digest<Blob>,
        got: &mut Progress,
        sink: &mut dyn Write,
    ) -> Result<(), Error> {
        let retry = self.transport.config().retry;
        let host = || endpoint.host().to_owned();
        let mismatch = |why: String| Error::Mismatch { what: what.clone(), host: host(), why };
        // Tries in a row that brought nothing.
        let mut idle = 1;
        loop {
            let before = got.count;
            let url = endpoint.url(&format!("blobs/{digest}"));
            let request = Request { from: got.count, ..Request::get(url) };
            let mut response = match self.ask(endpoint, what, request) {
                // Nothing there to go on with: the blob is shorter than it should be.
                Err(Error::Server { status: 416, .. }) => return Err(mismatch(got.short())),
                other => other?,
            };
            let skip = match (response.status, got.count) {
                (206, 0) => {
                    let why = "a part of the blob, but all of it was asked for".to_owned();
                    return Err(Error::Malformed { what: what.clone(), host: host(), why });
                }
                (206, from) if starts_at(&response) == Some(from) => 0,
                (206, from) => {
                    let why = format!("another part of the blob than from byte {from}");
                    return Err(Error::Malformed { what: what.clone(), host: host(), why });
                }
                // It begins anew: what was written stays, the first bytes are passed over. Were they
                // others this time, the digest tells.
                (_, from) => from,
            };
            if let Some(length) = length(&response)
                && length != got.size - got.count + skip
            {
                return Err(mismatch(format!(
                    "wanted {} bytes, {host} announces {}",
                    got.size,
                    length.saturating_add(got.count - skip),
                    host = host()
                )));
            }
            let outcome = got.take(&mut response.reader(), skip, sink);
            match outcome {
                Ok(()) => {
                    let found: Digest<Blob> = got.hasher.clone().finish();
                    return if found == digest {
                        Ok(())
                    } else {
                        Err(mismatch(format!("wanted {digest}, got {found}")))
                    };
                }
                Err(Stop::Sink(cause)) => {
                    return Err(Error::Sink { what: what.clone(), cause });
                }
                Err(Stop::TooLong) => {
                    return Err(mismatch(format!("more than the {} bytes wanted", got.size)));
                }
                Err(Stop::Source(error)) => {
                    idle = if got.count > before { 1 } else { idle + 1 };
                    let Some(wait) = retry.wait(idle, None) else {
                        return Err(match error {
                            Some(error) => broken(what.clone(), host(), idle, &error),
                            None => mismatch(got.short()),
                        });
                    };
                    self.events.note(format!(
                        "{}: {} broke off at {} of {} bytes, goes on in {:.1} s",
                        what.name,
                        host(),
                        got.count,
                        got.size,
                        wait.as_secs_f32()
                    ));
                    self.transport.config().cancel.pause(wait);
                }
            }
        }
    }
}

pub(super) fn broken(what: What, host: String, tries: u32, error: &std::io::Error) -> Error {
    let Failure::Cause(cause, _) = io_failure(host.clone(), error) else {
        unreachable!("an error of a connection has a cause")
    };
    Error::Unreachable { what, host, tries, cause }
}

pub(super) fn length(response: &Response) -> Option<u64> {
    response.header("content-length")?.trim().parse().ok()
}

// `Content-Range: bytes 5-9/10` (RFC 9110, section 14.4).
pub(super) fn starts_at(response: &Response) -> Option<u64> {
    let range = response.header("content-range")?.trim().strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

struct Progress {
    hasher: Hasher,
    count: u64,
    size: u64,
}

enum Stop {
    // `None`: it ended early, but as if that were its end.
    Source(Option<std::io::Error>),
    Sink(std::io::Error),
    TooLong,
}

impl Progress {
    fn short(&self) -> String {
        format!("wanted {} bytes, got {}", self.size, self.count)
    }

    // Copies to the end. Reads at most one byte more than wanted.
    fn take(
        &mut self,
        source: &mut dyn Read,
        mut skip: u64,
        sink: &mut dyn Write,
    ) -> Result<(), Stop> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let left = skip.saturating_add(self.size - self.count).max(1);
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = match source.read(&mut buffer[..room]) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Source(Some(error))),
            };
            if read == 0 {
                return if self.count == self.size && skip == 0 {
                    Ok(())
                } else {
                    Err(Stop::Source(None))
                };
            }
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(read);
            skip -= passed as u64;
            let data = &buffer[passed..read];
            if data.is_empty() {
                continue;
            }
            if self.count == self.size {
                return Err(Stop::TooLong);
            }
            sink.write_all(data).map_err(Stop::Sink)?;
            self.hasher.update(data);
            self.count += data.len() as u64;
        }
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
