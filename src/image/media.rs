//! Media types of images, in the OCI and the Docker spelling.

use oci_spec::image::{MediaType, ToDockerV2S2};

use crate::layer::Format;

/// What the bytes of a layer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerKind {
    /// A tar as it is.
    Plain,
    /// A tar in gzip.
    Gzip,
    /// A tar in Zstandard.
    Zstd,
}

impl LayerKind {
    /// Returns the kind that a media type names, also for layers "not to be distributed".
    pub fn of(media_type: &str) -> Option<Self> {
        Format::of_media_type(media_type).map(Self::from)
    }

    /// Returns what the first bytes of a blob say; four suffice.
    pub fn sniff(start: &[u8]) -> Self {
        Format::sniff(start).into()
    }

    /// Returns the OCI media type.
    pub fn media_type(self) -> &'static str {
        match self {
            LayerKind::Plain => "application/vnd.oci.image.layer.v1.tar",
            LayerKind::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            LayerKind::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Returns the word for messages.
    pub fn name(self) -> &'static str {
        match self {
            LayerKind::Plain => "an uncompressed tar",
            LayerKind::Gzip => "gzip",
            LayerKind::Zstd => "zstd",
        }
    }
}

impl From<Format> for LayerKind {
    fn from(format: Format) -> Self {
        match format {
            Format::Plain => LayerKind::Plain,
            Format::Gzip => LayerKind::Gzip,
            Format::Zstd => LayerKind::Zstd,
        }
    }
}

impl From<LayerKind> for Format {
    fn from(kind: LayerKind) -> Self {
        match kind {
            LayerKind::Plain => Format::Plain,
            LayerKind::Gzip => Format::Gzip,
            LayerKind::Zstd => Format::Zstd,
        }
    }
}

/// What a manifest-like document is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DocumentKind {
    /// One image.
    Manifest,
    /// A list of images.
    Index,
}

impl DocumentKind {
    /// Returns the kind that a media type names; parameters (`; charset=…`) are passed over.
    pub fn of(media_type: &str) -> Option<Self> {
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        [
            (DocumentKind::Manifest, MediaType::ImageManifest),
            (DocumentKind::Index, MediaType::ImageIndex),
        ]
        .into_iter()
        .find(|(_, oci)| {
            oci.as_ref() == media_type
                || oci.to_docker_v2s2().is_ok_and(|docker| docker == media_type)
        })
        .map(|(kind, _)| kind)
    }
}

/// Media type of an OCI manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI image config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Tells whether a media type names Docker's first manifest format, which has no digests of
/// uncompressed layers and is gone from registries since 2023.
pub(crate) fn is_schema1(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bytes_agree() {
        for (name, kind, start) in [
            (LayerKind::Plain.media_type(), LayerKind::Plain, &b"etc/\0"[..]),
            (LayerKind::Gzip.media_type(), LayerKind::Gzip, b"\x1f\x8b\x08"),
            (LayerKind::Zstd.media_type(), LayerKind::Zstd, b"\x28\xb5\x2f\xfd"),
            (LayerKind::Zstd.media_type(), LayerKind::Zstd, b"\x5a\x2a\x4d\x18"),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerKind::Gzip, b"\x1f\x8b"),
        ] {
            assert_eq!(LayerKind::of(name), Some(kind));
            assert_eq!(LayerKind::sniff(start), kind);
        }
        assert_eq!(LayerKind::of("application/json"), None);
        assert_eq!(LayerKind::sniff(b""), LayerKind::Plain);
    }

    #[test]
    fn manifests_and_lists_are_known_in_both_spellings() {
        for (name, want) in [
            (MANIFEST, Some(DocumentKind::Manifest)),
            (INDEX, Some(DocumentKind::Index)),
            (
                "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
                Some(DocumentKind::Manifest),
            ),
            (
                "application/vnd.docker.distribution.manifest.list.v2+json",
                Some(DocumentKind::Index),
            ),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", None),
            ("", None),
        ] {
            assert_eq!(DocumentKind::of(name), want, "{name}");
        }
    }
}
