//! Images to a registry (distribution specification, "Push"): blobs first, then the manifest under
//! its names.
//!
//! What a registry says to have is not sent again; should it turn out not to have it when the
//! manifest comes, everything is sent after all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::auth::Access;
use super::client::{Answer, Ask, Endpoint, Registry};
use super::error::{Error, What};
use super::transport::{Body, Method, Request, Response};
use super::upload::Upload;
use super::url::encode;
use crate::base::{Blob, Digest, ImageRef, Manifest};
use crate::event::Event;

/// How many blobs are sent at once.
const PARALLEL: usize = 4;

/// The bytes of a blob, from any place on.
pub trait BlobContent: Read + Seek + Send {}

impl<T: Read + Seek + Send> BlobContent for T {}

/// All that a name in a registry needs.
pub struct ToPush<'a> {
    /// Configs and layers.
    pub blobs: Vec<BlobToPush>,
    /// Images, each before the index that names it. The names will point to the last one.
    pub manifests: Vec<ManifestToPush>,
    /// Opens a blob: called once for each try, from several threads.
    pub open: &'a (dyn Fn(Digest<Blob>) -> io::Result<Box<dyn BlobContent>> + Sync),
}

/// One blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobToPush {
    /// Its digest.
    pub digest: Digest<Blob>,
    /// Its size in bytes.
    pub size: u64,
    /// An image that has it too, as far as is known: a registry may take it over from there.
    pub from: Option<ImageRef>,
}

/// One manifest or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestToPush {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: String,
}

impl ManifestToPush {
    /// The digest of the bytes.
    pub fn digest(&self) -> Digest<Manifest> {
        Digest::of(&self.bytes)
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The names, with the digest.
    pub names: Vec<String>,
    /// Bytes of blobs that were sent.
    pub sent: u64,
    /// Bytes of blobs that were there already.
    pub there: u64,
    /// Bytes of blobs that the registry took over from another repository.
    pub mounted: u64,
}

// Tags of one repository; `None` for the digest alone.
type Tags<'a> = BTreeSet<Option<&'a str>>;

// How a blob got there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Sent,
    There,
    Mounted,
}

impl Registry {
    /// Pushes an image or index under all of `names`, each of which then points to its digest.
    ///
    /// A name with a digest must have this one; with a digest and no tag, or with `by_digest`, no
    /// tag is set. Success means that the registry, asked again, has the manifest under each name.
    /// On an error, blobs may have been sent, and some of the names may point to the image.
    pub fn push(
        &self,
        image: &ToPush<'_>,
        names: &[ImageRef],
        by_digest: bool,
    ) -> Result<Pushed, Error> {
        let digest = image.manifests.last().expect("something is to be pushed").digest();
        let mut places: BTreeMap<(&str, &str), (ImageRef, Tags<'_>)> = BTreeMap::new();
        for name in names {
            if let Some(wanted) = name.digest()
                && wanted != digest
            {
                return Err(Error::Forbidden {
                    what: What::push(name.familiar()),
                    why: format!("the image is {digest}"),
                    remedy: Some("leave the digest out of the name".to_owned()),
                });
            }
            let tag = match name.digest() {
                _ if by_digest => None,
                Some(_) => name.tag(),
                None => Some(name.tag_or_latest()),
            };
            let place = places
                .entry((name.registry(), name.repository()))
                .or_insert_with(|| (name.clone(), BTreeSet::new()));
            place.1.insert(tag);
        }
        let mut pushed = Pushed::default();
        let mut done: Vec<ImageRef> = Vec::new();
        for (name, tags) in places.into_values() {
            let what = What::push(name.familiar());
            let to = self.home(&name, &what)?;
            // A second repository takes over from the first.
            let sibling = done.iter().find(|done| done.registry() == name.registry());
            let work = Work { registry: self, image, to: &to, name: &name, sibling };
            let mut counts = work.blobs(true)?;
            if let Err(error) = work.manifests(&tags) {
                if counts.keys().all(|how| *how == How::Sent) || !blob_unknown(&error) {
                    return Err(error);
                }
                self.events.note(format!(
                    "{}: {} does not have what it said to have; all of it is sent",
                    what.name,
                    to.host()
                ));
                counts = work.blobs(false)?;
                work.manifests(&tags)?;
            }
            let count = |how| counts.get(&how).copied().unwrap_or_default();
            pushed.sent += count(How::Sent);
            pushed.there += count(How::There);
            pushed.mounted += count(How::Mounted);
            for tag in tags {
                let tag = tag.map_or(String::new(), |tag| format!(":{tag}"));
                pushed.names.push(format!("{}{tag}@{digest}", name.name()));
            }
            done.push(name);
        }
        Ok(pushed)
    }
}

// Distribution specification, "Error Codes".
fn blob_unknown(error: &Error) -> bool {
    match error {
        Error::NotFound { said, .. } | Error::Server { said, .. } => {
            let said = said.to_string();
            said.contains("BLOB_UNKNOWN") || said.contains("MANIFEST_INVALID")
        }
        _ => false,
    }
}

// One repository.
struct Work<'a> {
    registry: &'a Registry,
    image: &'a ToPush<'a>,
    to: &'a Endpoint,
    name: &'a ImageRef,
    sibling: Option<&'a ImageRef>,
}

impl Work<'_> {
    // Sends what is missing, several at once. Returns bytes by how they got there.
    fn blobs(&self, believe: bool) -> Result<BTreeMap<How, u64>, Error> {
        let mut seen = BTreeSet::new();
        let list: Vec<&BlobToPush> =
            self.image.blobs.iter().filter(|blob| seen.insert(blob.digest)).collect();
        let counts: Mutex<BTreeMap<How, u64>> = Mutex::default();
        let failed = AtomicBool::new(false);
        let next = AtomicUsize::new(0);
        let run = || -> Result<(), Error> {
            while !failed.load(Ordering::Relaxed)
                && let Some(blob) = list.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let started = Instant::now();
                let how = self
                    .blob(blob, believe)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(how).or_default() +=
                    blob.size;
                self.registry.events.send(Event::Pushed {
                    what: format!("{} {}", self.name.name(), blob.digest),
                    bytes: blob.size,
                    took: (how == How::Sent).then(|| started.elapsed()),
                });
                // The first one alone: it finds the authorization for all others.
                if list.first().is_some_and(|first| first.digest == blob.digest) {
                    break;
                }
            }
            Ok(())
        };
        run()?;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..PARALLEL.min(list.len().saturating_sub(1))).map(|_| scope.spawn(run)).collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .try_for_each(|outcome| outcome)
        })?;
        Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn blob(&self, blob: &BlobToPush, believe: bool) -> Result<How, Error> {
        let what = What::push(format!("{} {}", self.name.familiar(), blob.digest));
        if believe && self.has_blob(&what, blob)? {
            return Ok(How::There);
        }
        let mut upload = Upload::new(self.registry, self.to, &what, blob, self.image.open);
        if believe && let Some(from) = self.origin(blob) {
            // What the registry answers here is an offer; whether it holds is asked once more.
            if self.mount(&mut upload, &what, blob, from) && self.has_blob(&what, blob)? {
                return Ok(How::Mounted);
            }
        }
        upload.send()?;
        Ok(How::Sent)
    }

    // Another repository of the same registry that has the blob.
    fn origin<'b>(&'b self, blob: &'b BlobToPush) -> Option<&'b ImageRef> {
        [self.sibling, blob.from.as_ref()].into_iter().flatten().find(|from| {
            from.registry() == self.name.registry() && from.repository() != self.name.repository()
        })
    }

    // A refusal of any kind is no reason to stop: then the bytes are sent.
    fn mount(
        &self,
        upload: &mut Upload<'_>,
        what: &What,
        blob: &BlobToPush,
        from: &ImageRef,
    ) -> bool {
        let url = self.to.url(&format!(
            "blobs/uploads/?mount={}&from={}",
            encode(&blob.digest.to_string()),
            encode(from.repository())
        ));
        let ask = Ask {
            what,
            request: Request::new(Method::Post, url),
            access: Access::Mount(from.repository().to_owned()),
            patient: true,
        };
        match self.registry.answer(self.to, &ask) {
            Ok(Answer { response, .. }) if response.status == 201 => true,
            Ok(Answer { response, .. }) if response.status == 202 => {
                upload.begin(&ask.request.url, &response);
                false
            }
            _ => false,
        }
    }

    fn has_blob(&self, what: &What, blob: &BlobToPush) -> Result<bool, Error> {
        let rest = format!("blobs/{}", blob.digest);
        let Some(response) = self.head(what, &rest, None)? else { return Ok(false) };
        Ok(response
            .header("content-length")
            .and_then(|length| length.trim().parse::<u64>().ok())
            .is_none_or(|length| length == blob.size))
    }

    fn head(
        &self,
        what: &What,
        rest: &str,
        accept: Option<&str>,
    ) -> Result<Option<Response>, Error> {
        let request = Request { accept, ..Request::new(Method::Head, self.to.url(rest)) };
        let ask = Ask { what, request, access: Access::Push, patient: true };
        match self.registry.answer(self.to, &ask) {
            Ok(Answer { response, .. }) if response.status == 200 => Ok(Some(response)),
            // Storage behind a redirect may not know the question: then the answer is no.
            Ok(_) | Err(Error::Malformed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // Puts all of them by digest but the last, which gets the names.
    fn manifests(&self, tags: &Tags<'_>) -> Result<(), Error> {
        let (top, children) = self.image.manifests.split_last().expect("checked by the caller");
        for child in children {
            self.manifest(child, &child.digest().to_string())?;
        }
        for tag in tags {
            self.manifest(top, tag.unwrap_or(&top.digest().to_string()))?;
        }
        Ok(())
    }

    fn manifest(&self, manifest: &ManifestToPush, name: &str) -> Result<(), Error> {
        let separator = if name.contains(':') { '@' } else { ':' };
        let what = What::push(format!("{}{separator}{name}", self.name.name()));
        let rest = format!("manifests/{name}");
        let started = Instant::now();
        let request = Request {
            body: Body::Bytes(&manifest.bytes, &manifest.media_type),
            ..Request::new(Method::Put, self.to.url(&rest))
        };
        let ask = Ask { what: &what, request, access: Access::Push, patient: true };
        let answer = self.registry.answer(self.to, &ask)?;
        if !matches!(answer.response.status, 200..=202) {
            return Err(self.registry.refusal(self.to, &what, answer));
        }
        self.same_digest(&what, manifest, &answer.response)?;
        // Some registries need a moment until they show what they took.
        let retry = self.registry.transport.config().retry;
        let mut tried = 1;
        let there = loop {
            if let Some(response) = self.head(&what, &rest, Some(&manifest.media_type))? {
                break response;
            }
            let Some(wait) = retry.wait(tried, None) else {
                return Err(Error::Malformed {
                    what,
                    host: self.to.host().to_owned(),
                    why: "it took the manifest, but does not have it".to_owned(),
                });
            };
            tried += 1;
            self.registry.transport.config().cancel.pause(wait);
        };
        self.same_digest(&what, manifest, &there)?;
        self.registry.events.send(Event::Pushed {
            what: what.name,
            bytes: manifest.bytes.len() as u64,
            took: Some(started.elapsed()),
        });
        Ok(())
    }

    fn same_digest(
        &self,
        what: &What,
        manifest: &ManifestToPush,
        response: &Response,
    ) -> Result<(), Error> {
        let want = manifest.digest();
        match response.header("docker-content-digest").map(Digest::<Manifest>::parse) {
            Some(Ok(found)) if found != want => Err(Error::Mismatch {
                what: what.clone(),
                host: self.to.host().to_owned(),
                why: format!("pushed {want}, it says {found}"),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
