//! What has to be pushed, gathered: of an image in the store, or of a layout with all that one of
//! its entries names.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor};

use super::{Error, Means};
use crate::base::{Blob, Digest, ImageRef};
use crate::image::{Descriptor, Document, Image, Layout, LayoutError, MAX_MANIFEST, Selector};
use crate::registry::{BlobContent, BlobToPush, ManifestToPush, Pushed, Registry, ToPush};

/// How deep indexes may lie in each other, and how many manifests there may be.
const MAX_DEPTH: usize = 4;
const MAX_MANIFESTS: usize = 1000;

/// Pushes an image whose layers are in the store.
pub(super) fn push_image(
    image: &Image,
    names: &[ImageRef],
    by_digest: bool,
    means: &Means<'_>,
) -> Result<Pushed, Error> {
    let config = image.manifest.config.digest;
    let open = |digest: Digest<Blob>| -> io::Result<Box<dyn BlobContent>> {
        if digest == config {
            return Ok(Box::new(Cursor::new(image.config_bytes.clone())));
        }
        Ok(Box::new(File::open(means.store.blob_path(digest))?))
    };
    let blob = |descriptor: &Descriptor| BlobToPush {
        digest: descriptor.digest,
        size: descriptor.size,
        from: means.origins.get(&descriptor.digest).cloned(),
    };
    let layers = image.layers.iter().map(|layer| blob(&layer.descriptor));
    let to_push = ToPush {
        blobs: std::iter::once(blob(&image.manifest.config)).chain(layers).collect(),
        manifests: vec![ManifestToPush {
            bytes: image.manifest_bytes.clone(),
            media_type: image.manifest.media_type.clone(),
        }],
        open: &open,
    };
    Ok(means.registry.push(&to_push, names, by_digest)?)
}

/// Pushes what `selector` names in a layout, as it is: an image, or an index with all images and
/// attestations in it. No digest changes.
pub fn push_layout(
    layout: &Layout,
    selector: &Selector,
    names: &[ImageRef],
    by_digest: bool,
    registry: &Registry,
) -> Result<Pushed, Error> {
    let mut found =
        Found { layout, blobs: Vec::new(), manifests: Vec::new(), seen: BTreeSet::new() };
    found.add(layout.entry(selector)?, 0)?;
    let open = |digest: Digest<Blob>| -> io::Result<Box<dyn BlobContent>> {
        Ok(Box::new(File::open(layout.blob_path(digest))?))
    };
    let to_push = ToPush { blobs: found.blobs, manifests: found.manifests, open: &open };
    Ok(registry.push(&to_push, names, by_digest)?)
}

struct Found<'a> {
    layout: &'a Layout,
    blobs: Vec<BlobToPush>,
    manifests: Vec<ManifestToPush>,
    seen: BTreeSet<Digest<Blob>>,
}

impl Found<'_> {
    // Adds what a manifest or index names, then itself.
    fn add(&mut self, entry: &Descriptor, depth: usize) -> Result<(), Error> {
        if !self.seen.insert(entry.digest) {
            return Ok(());
        }
        let path = self.layout.blob_path(entry.digest);
        if depth > MAX_DEPTH || self.seen.len() > MAX_MANIFESTS {
            let why = "too many manifests, or indexes too deep in each other".to_owned();
            return Err(LayoutError::Mismatch { path, why }.into());
        }
        let bytes = self.layout.read_blob(entry.digest, MAX_MANIFEST)?;
        if bytes.len() as u64 != entry.size {
            let why = format!("its descriptor says {} bytes, it has {}", entry.size, bytes.len());
            return Err(LayoutError::Mismatch { path, why }.into());
        }
        let document = Document::parse(&bytes, Some(&entry.media_type))
            .map_err(|error| LayoutError::Document { path: path.clone(), error })?;
        let media_type = match document {
            Document::Manifest(manifest) => {
                for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    let there = self.layout.blob_path(descriptor.digest).is_file();
                    // Layers that are kept elsewhere are not ours to push.
                    if descriptor.foreign && !there {
                        continue;
                    }
                    if !there {
                        let (path, digest) = (self.layout.path().to_owned(), descriptor.digest);
                        return Err(LayoutError::MissingBlob { path, digest }.into());
                    }
                    self.blobs.push(BlobToPush {
                        digest: descriptor.digest,
                        size: descriptor.size,
                        from: None,
                    });
                }
                manifest.media_type
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    self.add(child, depth + 1)?;
                }
                index.media_type
            }
        };
        self.manifests.push(ManifestToPush { bytes, media_type });
        Ok(())
    }
}
