//! Base images: from a name to documents, and from documents to layers in the store.
//!
//! [`resolve`] fetches manifest and config alone, so that a plan can be made and judged;
//! [`fetch_layers`] brings the layers when a step reads them. All that arrives is checked against
//! the digest that names it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{Blob, Digest, ImageRef, Manifest, PinnedRef, Platform, ReferenceError};
use crate::event::{Event, Events};
use crate::image::{
    self, Descriptor, DocumentError, Image, LayerKind, LayerRef, Layout, LayoutError, MAX_CONFIG,
    MAX_MANIFEST, SelectError, Selector,
};
use crate::registry::{self, Registry};
use crate::store::{self, Store};

/// Layers of one image that are fetched at a time.
const PARALLEL: usize = 4;

/// Where a base image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseSource {
    /// A registry.
    Registry(ImageRef),
    /// A layout folder.
    Layout {
        /// The folder.
        path: PathBuf,
        /// Which image of it.
        selector: Selector,
    },
}

/// A base image whose documents are known. Its layers may not be here yet.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// The name as written.
    pub name: String,
    /// Name and digest of what the name led to (an index, if there is one); `None` for a layout.
    pub pinned: Option<PinnedRef>,
    /// Digest of the image's manifest.
    pub digest: Digest<Manifest>,
    /// The image.
    pub image: Arc<Image>,
    source: BaseSource,
}

/// Why a base image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The name is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// No image for the platform, or too many indexes in each other.
    #[error("`{name}` has {error}")]
    Select {
        /// The image.
        name: String,
        /// What was wanted and what there is.
        error: SelectError<std::convert::Infallible>,
    },
    /// A document is malformed.
    #[error("`{name}`: {error}")]
    Document {
        /// The image.
        name: String,
        /// What is wrong.
        error: DocumentError,
    },
    /// A document or layer is not what its descriptor says.
    #[error("`{name}`: {digest} is not what its descriptor says: {why}")]
    Mismatch {
        /// The image.
        name: String,
        /// The blob.
        digest: Digest<Blob>,
        /// What was wanted and found.
        why: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl BaseError {
    /// Returns what to do about it, where there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            BaseError::Registry(error) => error.help(),
            BaseError::Select { error: SelectError::Platform { have, .. }, .. } => have
                .first()
                .map(|first| format!("build for a platform that there is: `--platform {first}`")),
            _ => None,
        }
    }

    /// Tells whether bytes were not those of their digest (exit code 6), rather than not to be had.
    pub fn is_mismatch(&self) -> bool {
        matches!(
            self,
            BaseError::Mismatch { .. }
                | BaseError::Registry(registry::Error::Mismatch { .. })
                | BaseError::Layout(LayoutError::Mismatch { .. })
                | BaseError::Store(store::Error::Corrupt { .. } | store::Error::Size { .. })
        )
    }
}

impl BaseSource {
    /// Reads the value of a named context that is an image: `docker-image://REF`,
    /// `oci-layout://DIR[:TAG][@DIGEST]`; `None` for other kinds (folders, URLs). A tag that is not
    /// given is `latest` if there are several images.
    pub fn of_context(value: &str) -> Option<Result<Self, ReferenceError>> {
        if let Some(name) = value.strip_prefix("docker-image://") {
            return Some(ImageRef::parse(name).map(BaseSource::Registry));
        }
        let rest = value.strip_prefix("oci-layout://")?;
        if let Some((path, digest)) = rest.rsplit_once("@sha256:") {
            // A tag beside a digest says nothing more.
            let path = split_tag(path).0;
            let selector =
                Digest::parse_hex(digest).map(Selector::Digest).map_err(|_| ReferenceError::Form {
                    text: rest.escape_default().to_string(),
                    why: "the digest is not sha256 and 64 hex digits",
                });
            return Some(
                selector.map(|selector| BaseSource::Layout { path: path.into(), selector }),
            );
        }
        let (path, tag) = split_tag(rest);
        let selector = tag.map_or(Selector::Only, |tag| Selector::Tag(tag.to_owned()));
        Some(Ok(BaseSource::Layout { path: path.into(), selector }))
    }

    /// Reads a name as FROM has it: always a registry's.
    pub fn of_name(name: &str) -> Result<Self, ReferenceError> {
        ImageRef::parse(name).map(BaseSource::Registry)
    }
}

// `DIR:TAG`. A colon in a folder's name is followed by a slash, or is taken for the tag's.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !path.is_empty() && !tag.is_empty() && !tag.contains('/') => {
            (path, Some(tag))
        }
        _ => (text, None),
    }
}

/// Finds the image that `source` has for `platform`; its documents are in the store afterwards.
///
/// A reference with a digest whose documents are in the store needs no network. An image that is
/// not in an index is taken whatever its platform: compare `image.platform()`.
pub fn resolve(
    name: &str,
    source: &BaseSource,
    platform: &Platform,
    store: &Store,
    registry: &Registry,
    events: &Events,
) -> Result<BaseImage, BaseError> {
    let (pinned, image) = match source {
        BaseSource::Registry(reference) => {
            let (pinned, image) = pull(reference, platform, store, registry, events)?;
            (Some(pinned), image)
        }
        BaseSource::Layout { path, selector } => {
            (None, image::read_layout(path, selector, platform)?)
        }
    };
    store.put(&image.manifest_bytes)?;
    store.put(&image.config_bytes)?;
    Ok(BaseImage {
        name: name.to_owned(),
        pinned,
        digest: image.digest,
        image: Arc::new(image),
        source: source.clone(),
    })
}

fn pull(
    reference: &ImageRef,
    platform: &Platform,
    store: &Store,
    registry: &Registry,
    events: &Events,
) -> Result<(PinnedRef, Image), BaseError> {
    let name = reference.familiar();
    let document = |error| BaseError::Document { name: name.clone(), error };
    let kept = reference.digest().and_then(|digest| {
        store.read(digest.as_blob(), MAX_MANIFEST).ok().map(|bytes| (digest, bytes))
    });
    let (digest, bytes, announced) = match kept {
        Some((digest, bytes)) => {
            here(events, &name, bytes.len() as u64);
            (digest, bytes, None)
        }
        None => {
            let fetched = registry.manifest(reference)?;
            (fetched.digest, fetched.bytes, fetched.media_type)
        }
    };
    let pinned = reference.pin(digest);
    let top = bytes.clone();
    let found = image::find(bytes, announced.as_deref(), platform, |entry| {
        let bytes = match store.read(entry.digest, MAX_MANIFEST) {
            Ok(bytes) => bytes,
            Err(_) => registry.manifest(reference.pin(entry.manifest_digest()).image())?.bytes,
        };
        if bytes.len() as u64 != entry.size {
            return Err(size(&name, entry, bytes.len() as u64));
        }
        Ok(bytes)
    })
    .map_err(|error| match error {
        SelectError::Fetch(error) => error,
        SelectError::Document(error) => document(error),
        SelectError::Platform { wanted, have } => {
            BaseError::Select { name: name.clone(), error: SelectError::Platform { wanted, have } }
        }
        SelectError::Depth => BaseError::Select { name: name.clone(), error: SelectError::Depth },
    })?;
    let manifest = image::Manifest::parse(&found.bytes).map_err(document)?;
    let config = match store.read(manifest.config.digest, MAX_CONFIG) {
        Ok(config) => config,
        Err(_) => {
            if manifest.config.size > MAX_CONFIG {
                return Err(size(&name, &manifest.config, MAX_CONFIG));
            }
            let mut config = Vec::new();
            registry.blob(reference, manifest.config.digest, manifest.config.size, &mut config)?;
            config
        }
    };
    let image = Image::read(found.bytes, config).map_err(document)?;
    store.put(&top)?;
    Ok((pinned, image))
}

fn size(name: &str, descriptor: &Descriptor, found: u64) -> BaseError {
    BaseError::Mismatch {
        name: name.to_owned(),
        digest: descriptor.digest,
        why: format!("wanted {} bytes, found {found}", descriptor.size),
    }
}

fn here(events: &Events, what: &str, bytes: u64) {
    events.send(Event::Transfer { what: what.to_owned(), bytes, took: None });
}

/// Brings the layers that the store lacks into it, several at a time.
///
/// Success means that all are there, each with the digest, size and compression that the manifest
/// says. On an error some may be there.
pub fn fetch_layers(
    base: &BaseImage,
    store: &Store,
    registry: &Registry,
    events: &Events,
) -> Result<(), BaseError> {
    let mut seen = BTreeSet::new();
    let mut missing = Vec::new();
    for layer in &base.image.layers {
        if !seen.insert(layer.descriptor.digest) {
            continue;
        }
        if store.has(layer.descriptor.digest) {
            here(events, &label(base, layer), layer.descriptor.size);
        } else {
            missing.push(layer);
        }
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(missing.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(layer) = missing.get(number) else { return };
                    if let Err(error) = fetch(base, layer, store, registry) {
                        stop.store(true, Ordering::Relaxed);
                        errors.lock().unwrap_or_else(PoisonError::into_inner).push((number, error));
                    }
                }
            });
        }
    });
    let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    errors.sort_by_key(|(number, _)| *number);
    errors.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

fn label(base: &BaseImage, layer: &LayerRef) -> String {
    format!("{} layer {}", base.name, layer.descriptor.digest)
}

fn fetch(
    base: &BaseImage,
    layer: &LayerRef,
    store: &Store,
    registry: &Registry,
) -> Result<(), BaseError> {
    let Descriptor { digest, size, .. } = layer.descriptor;
    match &base.source {
        BaseSource::Registry(reference) => {
            let mut sink = Start { sink: store.draft()?, start: Vec::new() };
            registry.blob(reference, digest, size, &mut sink)?;
            kind(base, layer, &sink.start)?;
            sink.sink.commit(Some((digest, size)))?;
        }
        BaseSource::Layout { path, .. } => {
            let from = Layout::open(path)?.blob_path(digest);
            let io = |source| LayoutError::Io { path: from.clone(), source };
            match std::fs::metadata(&from) {
                Ok(meta) if !meta.is_file() => {
                    return Err(io(io::Error::other("not a regular file")).into());
                }
                Ok(meta) if meta.len() != size => {
                    return Err(self::size(&base.name, &layer.descriptor, meta.len()));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(LayoutError::MissingBlob { path: path.clone(), digest }.into());
                }
                Err(error) => return Err(io(error).into()),
            }
            let mut start = Vec::new();
            {
                use std::io::Read;
                let file = std::fs::File::open(&from).map_err(io)?;
                file.take(4).read_to_end(&mut start).map_err(io)?;
            }
            kind(base, layer, &start)?;
            store.adopt(digest, size, |to| link_or_copy(&from, to))?;
        }
    }
    Ok(())
}

// A hard link takes no time and no room; but a link to a symbolic link would be one.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(from)?.is_file() && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(drop)
}

fn kind(base: &BaseImage, layer: &LayerRef, start: &[u8]) -> Result<(), BaseError> {
    let found = LayerKind::sniff(start);
    if found == layer.kind {
        return Ok(());
    }
    Err(BaseError::Mismatch {
        name: base.name.clone(),
        digest: layer.descriptor.digest,
        why: format!("its media type says {}, its content is {}", layer.kind.name(), found.name()),
    })
}

// Keeps the first bytes of what passes.
struct Start<W> {
    sink: W,
    start: Vec<u8>,
}

impl<W: Write> Write for Start<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(data)?;
        let room = 4usize.saturating_sub(self.start.len());
        self.start.extend_from_slice(&data[..written.min(room)]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
#[path = "base_tests.rs"]
mod tests;
