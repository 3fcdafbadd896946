//! Media types of images, in the OCI and the Docker spelling.

use oci_spec::image::{MediaType, ToDockerV2S2};

/// What the bytes of a layer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerKind {
    /// A tar as it is.
    Tar,
    /// A tar in gzip.
    Gzip,
    /// A tar in Zstandard.
    Zstd,
}

impl LayerKind {
    /// Returns the kind that a media type names, also for layers "not to be distributed".
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match MediaType::from(media_type) {
            MediaType::ImageLayer | MediaType::ImageLayerNonDistributable => LayerKind::Tar,
            MediaType::ImageLayerGzip | MediaType::ImageLayerNonDistributableGzip => {
                LayerKind::Gzip
            }
            MediaType::ImageLayerZstd | MediaType::ImageLayerNonDistributableZstd => {
                LayerKind::Zstd
            }
            MediaType::Other(other) => match other.as_str() {
                "application/vnd.docker.image.rootfs.diff.tar" => LayerKind::Tar,
                "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => LayerKind::Gzip,
                "application/vnd.docker.image.rootfs.diff.tar.zstd" => LayerKind::Zstd,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Returns the OCI media type.
    pub fn media_type(self) -> &'static str {
        match self {
            LayerKind::Tar => "application/vnd.oci.image.layer.v1.tar",
            LayerKind::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            LayerKind::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Returns what the first bytes of a blob say: the magic numbers of gzip (RFC 1952, 2.3.1) and
    /// Zstandard (RFC 8878, 3.1.1 and 3.1.2, skippable frames), a tar otherwise.
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => LayerKind::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => LayerKind::Zstd,
            _ => LayerKind::Tar,
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
            (LayerKind::Tar.media_type(), LayerKind::Tar, &b"etc/\0"[..]),
            (LayerKind::Gzip.media_type(), LayerKind::Gzip, b"\x1f\x8b\x08"),
            (LayerKind::Zstd.media_type(), LayerKind::Zstd, b"\x28\xb5\x2f\xfd"),
            (LayerKind::Zstd.media_type(), LayerKind::Zstd, b"\x5a\x2a\x4d\x18"),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", LayerKind::Gzip, b"\x1f\x8b"),
        ] {
            assert_eq!(LayerKind::of(name), Some(kind));
            assert_eq!(LayerKind::sniff(start), kind);
        }
        assert_eq!(LayerKind::of("application/json"), None);
        assert_eq!(LayerKind::sniff(b""), LayerKind::Tar);
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
