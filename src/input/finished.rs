//! Finished images, to be looked at: in a layout folder or archive, an archive of `docker save`, a
//! registry. Documents are read at once; layers are streamed when they are asked for, and checked by
//! who reads them. Nothing is unpacked, nothing is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::BaseError;
use crate::base::{Blob, Diff, Digest, ImageRef, Manifest, Platform};
use crate::image::{
    self, Archive, Config, Descriptor, Document, DocumentError, Image, Layout, LayoutError,
    MAX_CONFIG, MAX_MANIFEST, SelectError, Selector,
};
use crate::layer::Format;
use crate::registry::{self, Registry};

/// Where a finished image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishedSource {
    /// A layout folder.
    Folder(PathBuf, Selector),
    /// An archive: of a layout, or of `docker save`.
    Archive(PathBuf, Selector),
    /// A registry.
    Registry(ImageRef),
}

/// One layer of a finished image.
#[derive(Clone, Debug)]
pub struct FinishedLayer {
    /// Digest of the uncompressed tar, as the config says.
    pub diff: Digest<Diff>,
    /// What names the stored bytes and how many there are; `None` where only `diff` names them.
    pub blob: Option<(Digest<Blob>, u64)>,
    /// The compression that the media type claims; `None` where there is no claim.
    pub format: Option<Format>,
    // Its path in the layout or archive.
    path: String,
}

impl FinishedLayer {
    /// The path in the layout or archive, or the digest in a registry.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A finished image whose documents are known.
pub struct Finished<'a> {
    /// Digest of the manifest; `None` for an archive of `docker save`, which has none.
    pub digest: Option<Digest<Manifest>>,
    /// Digest of the config.
    pub config_digest: Digest<Blob>,
    /// The config.
    pub config: Config,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The layers, from the bottom.
    pub layers: Vec<FinishedLayer>,
    pub(super) place: Place<'a>,
    // Entries of the indexes that led here: attestations stand beside images.
    pub(super) beside: Vec<Descriptor>,
}

pub(super) enum Place<'a> {
    Layout(Box<Layout>),
    Docker(Arc<Archive>),
    Registry(&'a Registry, ImageRef),
}

// `manifest.json` of `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl<'a> Finished<'a> {
    /// Reads the documents of the image that `source` names. `registry` is asked for a client where
    /// one is needed.
    pub fn open(
        source: &FinishedSource,
        platform: &Platform,
        registry: Option<&'a Registry>,
    ) -> Result<Self, BaseError> {
        match source {
            FinishedSource::Folder(path, selector) => {
                Self::of_layout(Layout::open(path)?, selector, platform)
            }
            FinishedSource::Archive(path, selector) => {
                let archive = Arc::new(Archive::open(path)?);
                if archive.size("index.json").is_some() {
                    return Self::of_layout(Layout::in_archive(archive)?, selector, platform);
                }
                Self::of_docker(archive, selector)
            }
            FinishedSource::Registry(reference) => {
                let registry = registry.expect("who names a registry has a client");
                Self::of_registry(registry, reference, platform)
            }
        }
    }

    fn of_image(image: Image, place: Place<'a>, beside: Vec<Descriptor>) -> Self {
        let layers = image
            .layers
            .iter()
            .map(|layer| FinishedLayer {
                diff: layer.diff,
                blob: Some((layer.descriptor.digest, layer.descriptor.size)),
                format: Some(layer.kind.into()),
                path: format!("blobs/sha256/{}", layer.descriptor.digest.hex()),
            })
            .collect();
        Finished {
            digest: Some(image.digest),
            config_digest: image.manifest.config.digest,
            config: image.config,
            annotations: image.manifest.annotations,
            layers,
            place,
            beside,
        }
    }

    fn of_layout(
        layout: Layout,
        selector: &Selector,
        platform: &Platform,
    ) -> Result<Self, BaseError> {
        let image = layout.image(selector, platform)?;
        let mut beside = layout.index().manifests.clone();
        let mut seen = BTreeSet::new();
        let once = layout.index().manifests.iter().filter(|entry| seen.insert(entry.digest));
        // Attestations stand in the index of the image, beside it.
        for entry in once.take(INDEXES) {
            let inner = layout.read_blob(entry.digest, MAX_MANIFEST).ok();
            if let Some(Ok(Document::Index(index))) =
                inner.map(|bytes| Document::parse(&bytes, Some(&entry.media_type)))
            {
                let room = BESIDE.saturating_sub(beside.len());
                beside.extend(index.manifests.into_iter().take(room));
            }
        }
        Ok(Self::of_image(image, Place::Layout(Box::new(layout)), beside))
    }

    fn of_docker(archive: Arc<Archive>, selector: &Selector) -> Result<Self, BaseError> {
        let path = archive.path().to_owned();
        let not = |why: &str| {
            let why = why.to_owned();
            BaseError::Layout(LayoutError::NotALayout { path: path.clone(), why })
        };
        let document =
            |error| BaseError::Layout(LayoutError::Document { path: path.clone(), error });
        let read = |name: &str, limit: u64| -> Result<Vec<u8>, BaseError> {
            let content = archive.content(name).filter(|_| archive.size(name) <= Some(limit));
            let content = content.ok_or_else(|| not(&format!("there is no `{name}`")))?;
            let mut bytes = Vec::new();
            let io = |source| LayoutError::Io { path: path.clone(), source };
            content.take(limit).read_to_end(&mut bytes).map_err(io)?;
            Ok(bytes)
        };
        let list = read("manifest.json", MAX_MANIFEST)
            .map_err(|_| not("it has neither an `index.json` nor a `manifest.json`"))?;
        let list: Vec<Saved> = serde_json::from_slice(&list)
            .map_err(|error| document(DocumentError::new("manifest.json", error.to_string())))?;
        let named = |saved: &&Saved, tag: &str| {
            let mut tags = saved.repo_tags.iter().flatten();
            tags.any(|name| name == tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag))
        };
        let have = || -> Vec<String> {
            list.iter()
                .flat_map(|saved| saved.repo_tags.iter().flatten().cloned())
                .take(20)
                .collect()
        };
        let saved = match (selector, list.as_slice()) {
            (Selector::Tag(tag), all) => {
                let missing = || LayoutError::NoSuchTag {
                    path: path.clone(),
                    tag: tag.escape_default().take(128).collect(),
                    have: have(),
                };
                all.iter().find(|saved| named(saved, tag)).ok_or_else(missing)?
            }
            (Selector::Digest(_), _) => return Err(not("an archive of docker has no digests")),
            (Selector::Only, [one]) => one,
            (Selector::Only, []) => return Err(not("its `manifest.json` names no image")),
            (Selector::Only, _) => {
                return Err(LayoutError::Several { path: path.clone(), have: have() }.into());
            }
        };
        let config_bytes = read(&saved.config, MAX_CONFIG)?;
        let config = Config::parse(&config_bytes).map_err(document)?;
        let config_digest = Digest::of(&config_bytes);
        // Old and new archives name the config by its digest.
        let name = saved.config.rsplit('/').next().unwrap_or("").trim_end_matches(".json");
        if Digest::<Blob>::parse_hex(name).is_ok_and(|named| named != config_digest) {
            let why = format!("its bytes are {config_digest}");
            return Err(LayoutError::Mismatch { path: path.join(&saved.config), why }.into());
        }
        let names = saved.layers.as_deref().unwrap_or_default();
        let diffs = &config.rootfs.diff_ids;
        if diffs.len() != names.len() {
            let why = format!("{} diff ids for {} layers", diffs.len(), names.len());
            return Err(LayoutError::Mismatch { path: path.join(&saved.config), why }.into());
        }
        let mut layers = Vec::new();
        for (path, diff) in names.iter().zip(diffs) {
            if archive.size(path).is_none() {
                return Err(not(&format!("there is no layer `{}`", path.escape_default())));
            }
            layers.push(FinishedLayer {
                diff: *diff,
                blob: None,
                format: None,
                path: path.clone(),
            });
        }
        Ok(Finished {
            digest: None,
            config_digest,
            config,
            annotations: BTreeMap::new(),
            layers,
            place: Place::Docker(archive),
            beside: Vec::new(),
        })
    }

    fn of_registry(
        registry: &'a Registry,
        reference: &ImageRef,
        platform: &Platform,
    ) -> Result<Self, BaseError> {
        let name = reference.familiar();
        let document = |error| BaseError::Document { name: name.clone(), error };
        let fetched = registry.manifest(reference)?;
        let mut beside = Vec::new();
        if let Ok(Document::Index(index)) =
            Document::parse(&fetched.bytes, fetched.media_type.as_deref())
        {
            beside = index.manifests;
        }
        let found = image::find(fetched.bytes, fetched.media_type.as_deref(), platform, |entry| {
            let pinned = reference.pin(entry.manifest_digest());
            registry.manifest(pinned.image()).map(|fetched| fetched.bytes)
        })
        .map_err(|error| match error {
            SelectError::Fetch(error) => error.into(),
            SelectError::Document(error) => document(error),
            SelectError::Platform { wanted, have } => BaseError::Select {
                name: name.clone(),
                error: SelectError::Platform { wanted, have },
            },
            SelectError::Depth => {
                BaseError::Select { name: name.clone(), error: SelectError::Depth }
            }
        })?;
        let manifest = image::Manifest::parse(&found.bytes).map_err(document)?;
        if manifest.config.size > MAX_CONFIG {
            let why = format!("a config of more than {MAX_CONFIG} bytes");
            return Err(document(DocumentError::new("image config", why)));
        }
        let mut config = Vec::new();
        registry.blob(reference, manifest.config.digest, manifest.config.size, &mut config)?;
        let image = Image::read(found.bytes, config).map_err(document)?;
        Ok(Self::of_image(image, Place::Registry(registry, reference.clone()), beside))
    }

    /// Hands the stored bytes of a layer to `look`, as a stream that has not been checked.
    ///
    /// An error of the source comes out of the stream; what `look` makes of it is its own affair. A
    /// registry's error that the stream hid is returned.
    pub fn layer(
        &self,
        index: usize,
        look: &mut dyn FnMut(&mut (dyn Read + Send)),
    ) -> Result<(), BaseError> {
        let layer = &self.layers[index];
        match &self.place {
            Place::Layout(layout) => {
                look(&mut layout.stream(&layer.path)?);
                Ok(())
            }
            Place::Docker(archive) => {
                match archive.content(&layer.path) {
                    Some(mut content) => look(&mut content),
                    None => look(&mut io::empty()),
                }
                Ok(())
            }
            Place::Registry(registry, reference) => {
                let (digest, size) = layer.blob.expect("a layer of a registry has a digest");
                let no_pipe = |source| LayoutError::Io { path: PathBuf::from("a pipe"), source };
                let (mut reader, writer) = io::pipe().map_err(no_pipe)?;
                let outcome = std::thread::scope(|scope| {
                    let sent = scope.spawn(move || {
                        let mut writer = writer;
                        registry.blob(reference, digest, size, &mut writer)
                    });
                    look(&mut reader);
                    // Who stops reading early must not leave the other end waiting.
                    drop(reader);
                    sent.join().unwrap_or(Ok(0))
                });
                match outcome {
                    Ok(_) => Ok(()),
                    // The reader had enough: it has told why.
                    Err(registry::Error::Sink { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Returns the paths and sizes of blobs of the layout or archive that nothing names; `None` for
    /// what cannot be listed.
    pub fn orphans(&self) -> Result<Option<Vec<(String, u64)>>, BaseError> {
        match &self.place {
            Place::Layout(layout) => {
                let known = self.named_blobs(layout);
                let mut blobs = layout.blobs()?;
                blobs.retain(|(path, _)| !known.contains_key(path.as_str()));
                Ok(Some(blobs))
            }
            Place::Docker(_) | Place::Registry(..) => Ok(None),
        }
    }

    // All that indexes, manifests and their subjects name, whichever image it belongs to.
    fn named_blobs(&self, layout: &Layout) -> BTreeMap<String, ()> {
        let mut known = BTreeMap::new();
        let mut open: Vec<Descriptor> = layout.index().manifests.clone();
        while let Some(entry) = open.pop() {
            let path = format!("blobs/sha256/{}", entry.digest.hex());
            if known.insert(path, ()).is_some() || known.len() > MOST {
                continue;
            }
            if image::DocumentKind::of(&entry.media_type).is_none() {
                continue;
            }
            let Ok(bytes) = layout.read_blob(entry.digest, MAX_MANIFEST) else { continue };
            match Document::parse(&bytes, Some(&entry.media_type)) {
                Ok(Document::Index(index)) => open.extend(index.manifests),
                Ok(Document::Manifest(manifest)) => {
                    open.push(manifest.config);
                    open.extend(manifest.layers);
                    open.extend(manifest.subject);
                }
                Err(_) => {}
            }
        }
        known
    }

    /// Opens a blob of the layout by its path, for a look at what nothing names.
    pub fn stray(&self, path: &str) -> Option<Box<dyn Read + Send>> {
        match &self.place {
            Place::Layout(layout) => layout.stream(path).ok(),
            Place::Docker(_) | Place::Registry(..) => None,
        }
    }
}

/// Indexes of a layout that are looked into for attestations, and their entries, all together.
const INDEXES: usize = 100;
const BESIDE: usize = 20_000;

/// Blobs that are followed from the indexes of a layout.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{INDEX, Index, MANIFEST};

    #[test]
    fn indexes_are_read_once_and_their_entries_counted() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let blob = |bytes: &[u8]| {
            write(&format!("blobs/sha256/{}", Digest::<Blob>::of(bytes).hex()), bytes);
        };
        write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        let image = Image::write(Config::empty(&Platform::host()), Vec::new(), &[]);
        blob(&image.config_bytes);
        blob(&image.manifest_bytes);
        let mut named = image.descriptor();
        named.annotations.insert("org.opencontainers.image.ref.name".into(), "a".into());
        // As many as may be, twice; one of them a hundred times.
        let inner = |first: usize| {
            let entries = (first..first + 12_000)
                .map(|at| Descriptor::of(MANIFEST, at.to_string().as_bytes()))
                .collect();
            let bytes = Index::new(entries).to_bytes();
            blob(&bytes);
            Descriptor::of(INDEX, &bytes)
        };
        let beside = |mut entries: Vec<Descriptor>| {
            entries.insert(0, named.clone());
            write("index.json", &Index::new(entries).to_bytes());
            let source = FinishedSource::Folder(folder.path().into(), Selector::Tag("a".into()));
            Finished::open(&source, &Platform::host(), None).unwrap().beside.len()
        };
        let (one, two) = (inner(0), inner(12_000));
        assert_eq!(beside(vec![one.clone()]), 2 + 12_000);
        assert_eq!(beside(vec![one.clone(); 50]), 51 + 12_000);
        assert_eq!(beside(vec![one, two]), BESIDE);
    }
}
