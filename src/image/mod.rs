//! Images as documents: config, manifest, index, and the layers that they name.
//!
//! Takes bytes from a layout folder, an archive or a registry and turns them into an [`Image`] whose
//! parts are known to fit together. Leaves fetching to `registry` and `input`, the content of layers
//! to `layer` and `rootfs`.

mod archive;
mod config;
mod json;
mod layout;
mod manifest;
mod media;
mod select;
mod tarball;
mod validate;

pub use archive::unpack_layout;
pub use config::{Config, Healthcheck, HistoryEntry, MAX_CONFIG, RootFs, RunConfig};
pub use json::DocumentError;
pub use layout::{Layout, LayoutError, Selector, read_layout};
pub use manifest::{Descriptor, Document, Index, MAX_MANIFEST, Manifest};
pub use media::{CONFIG, DocumentKind, INDEX, LayerKind, MANIFEST};
pub use select::{Found, SelectError, find};
pub use tarball::{Archive, Section};
pub use validate::{Problem, validate, validate_documents};

use crate::base::{self, Diff, Digest, Platform};

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRef {
    /// The blob: media type, digest, size.
    pub descriptor: Descriptor,
    /// What it is compressed with.
    pub kind: LayerKind,
    /// Digest of the uncompressed tar.
    pub diff: Digest<Diff>,
}

/// One image: its documents as received or written, and its layers, bottom first.
///
/// Guarantee: as many layers as diff ids, all media types known, the config is the one that the
/// manifest names.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: Digest<base::Manifest>,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's bytes, which `digest` is of.
    pub manifest_bytes: Vec<u8>,
    /// The config.
    pub config: Config,
    /// The config's bytes, as the manifest names them.
    pub config_bytes: Vec<u8>,
    /// The layers.
    pub layers: Vec<LayerRef>,
}

impl Image {
    /// Puts an image together from received documents.
    pub fn read(manifest_bytes: Vec<u8>, config_bytes: Vec<u8>) -> Result<Self, DocumentError> {
        let manifest = Manifest::parse(&manifest_bytes)?;
        let found = Digest::of(&config_bytes);
        if found != manifest.config.digest || config_bytes.len() as u64 != manifest.config.size {
            return Err(DocumentError::new(
                "image config",
                format!(
                    "the manifest names {} of {} bytes, found {found} of {} bytes",
                    manifest.config.digest,
                    manifest.config.size,
                    config_bytes.len()
                ),
            ));
        }
        let config = Config::parse(&config_bytes)?;
        let diffs = &config.rootfs.diff_ids;
        if diffs.len() != manifest.layers.len() {
            return Err(DocumentError::new(
                "image config",
                format!(
                    "{} diff ids for {} layers of the manifest",
                    diffs.len(),
                    manifest.layers.len()
                ),
            ));
        }
        let layers = manifest
            .layers
            .iter()
            .zip(diffs)
            .map(|(descriptor, diff)| {
                let kind = LayerKind::of(&descriptor.media_type).ok_or_else(|| {
                    let name: String = descriptor.media_type.escape_default().take(100).collect();
                    DocumentError::new("manifest", format!("unknown layer media type `{name}`"))
                })?;
                Ok(LayerRef { descriptor: descriptor.clone(), kind, diff: *diff })
            })
            .collect::<Result<_, DocumentError>>()?;
        Ok(Image {
            digest: Digest::of(&manifest_bytes),
            manifest,
            manifest_bytes,
            config,
            config_bytes,
            layers,
        })
    }

    /// Makes a new image of `config` and `layers`. The config's diff ids are set from the layers.
    pub fn write(
        mut config: Config,
        layers: Vec<LayerRef>,
        annotations: &[(String, String)],
    ) -> Self {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff).collect();
        let config_bytes = config.to_bytes();
        // A layer of a base keeps its digest, its media type is told in the OCI spelling; the
        // annotations of a foreign builder are not ours to repeat.
        let layers: Vec<LayerRef> = layers
            .into_iter()
            .map(|layer| LayerRef {
                descriptor: Descriptor::new(
                    layer.kind.media_type(),
                    layer.descriptor.digest,
                    layer.descriptor.size,
                ),
                ..layer
            })
            .collect();
        let mut manifest = Manifest::new(
            Descriptor::of(CONFIG, &config_bytes),
            layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        );
        manifest.annotations = annotations.iter().cloned().collect();
        let manifest_bytes = manifest.to_bytes();
        Image {
            digest: Digest::of(&manifest_bytes),
            manifest,
            manifest_bytes,
            config,
            config_bytes,
            layers,
        }
    }

    /// Digest of the config as received or written: the image id.
    pub fn config_digest(&self) -> Digest<base::Config> {
        Digest::from_bytes(*self.manifest.config.digest.as_bytes())
    }

    /// The platform that the config names.
    pub fn platform(&self) -> Platform {
        self.config.platform()
    }

    /// The descriptor of the manifest, with the platform, as an index has it.
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::new(
            &self.manifest.media_type,
            self.digest.as_blob(),
            self.manifest_bytes.len() as u64,
        );
        descriptor.platform = Some(self.platform());
        descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(content: &[u8]) -> LayerRef {
        LayerRef {
            descriptor: Descriptor::of(
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                content,
            ),
            kind: LayerKind::Gzip,
            diff: Digest::of(content),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        let image = Image::write(config, vec![layer(b"a"), layer(b"b")], &[]);
        let back = Image::read(image.manifest_bytes.clone(), image.config_bytes.clone()).unwrap();
        assert_eq!(back, image);
        assert_eq!(back.layers[0].descriptor.media_type, LayerKind::Gzip.media_type());
    }

    #[test]
    fn documents_that_do_not_fit_together_are_refused() {
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        let image = Image::write(config.clone(), vec![layer(b"a")], &[]);
        let other = Image::write(config.clone(), vec![layer(b"b")], &[]);
        let error = Image::read(image.manifest_bytes.clone(), other.config_bytes).unwrap_err();
        assert!(error.to_string().contains("the manifest names"), "{error}");

        let bare = config.to_bytes();
        let mut manifest = image.manifest.clone();
        manifest.config = Descriptor::of(CONFIG, &bare);
        let error = Image::read(manifest.to_bytes(), bare).unwrap_err();
        assert!(error.to_string().contains("0 diff ids for 1 layers"), "{error}");
    }
}
