//! Manifests, indexes and the descriptors in them.
//!
//! Documents are read and written through `oci_spec`'s types; here they become types whose digests
//! are checked and whose maps are sorted. A document that was read is never written again: its
//! received bytes are what its digest names.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image as oci;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::json::{self, DocumentError};
use super::media::{self, DocumentKind};
use crate::base::{Blob, Digest, Manifest as ManifestKind, Platform};

/// The largest manifest or index that is read, in bytes: what registries take at most
/// (OCI distribution specification, "Pushing Manifests").
pub const MAX_MANIFEST: u64 = 4 << 20;

/// Names a blob: what it is, its digest and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest<Blob>,
    /// Its size in bytes.
    pub size: u64,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
    /// The platform of an index entry, normalised; `os.version` and features are not kept.
    pub platform: Option<Platform>,
    /// What an artifact's manifest is about.
    pub artifact_type: Option<String>,
    /// Other places of the blob are named. They are not kept: nothing here fetches from a URL that
    /// an image names.
    pub foreign: bool,
}

impl Descriptor {
    /// Returns a descriptor without annotations.
    pub fn new(media_type: impl Into<String>, digest: Digest<Blob>, size: u64) -> Self {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            foreign: false,
        }
    }

    /// Returns the descriptor of `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The digest, read as that of a manifest or an index.
    pub fn manifest_digest(&self) -> Digest<ManifestKind> {
        Digest::from_bytes(*self.digest.as_bytes())
    }

    /// Tells whether this entry of an index is an attestation (provenance, SBOM) as BuildKit adds
    /// it, or made for no platform at all.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(|platform| {
                platform.os == "unknown" && platform.architecture == "unknown"
            })
    }

    fn read(from: &oci::Descriptor) -> Result<Self, String> {
        let digest = Digest::parse(from.digest().as_ref()).map_err(|error| error.to_string())?;
        Ok(Descriptor {
            media_type: from.media_type().as_ref().to_owned(),
            digest,
            size: from.size(),
            annotations: sorted(from.annotations()),
            platform: from.platform().as_ref().map(|platform| {
                Platform::new(
                    &platform.os().to_string(),
                    &platform.architecture().to_string(),
                    platform.variant().as_deref(),
                )
            }),
            artifact_type: from.artifact_type().as_ref().map(|kind| kind.as_ref().to_owned()),
            foreign: from.urls().as_ref().is_some_and(|urls| !urls.is_empty()),
        })
    }

    fn write(&self) -> oci::Descriptor {
        let digest: oci::Digest =
            self.digest.to_string().parse().expect("our digests have the written form");
        let mut to =
            oci::Descriptor::new(oci::MediaType::from(self.media_type.as_str()), self.size, digest);
        to.set_annotations(unsorted(&self.annotations));
        to.set_artifact_type(self.artifact_type.as_deref().map(oci::MediaType::from));
        to.set_platform(self.platform.as_ref().map(|platform| {
            let mut to = oci::Platform::default();
            to.set_os(platform.os.as_str().into());
            to.set_architecture(platform.architecture.as_str().into());
            to.set_variant(platform.variant.clone());
            to
        }));
        to
    }
}

// `oci_spec` keeps annotations in hash order. They cross here, and only here.
fn sorted(map: &Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn unsorted(map: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!map.is_empty()).then(|| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, as written in it or as it was announced.
    pub media_type: String,
    /// The config.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// What kind of artifact, if it is not an image.
    pub artifact_type: Option<String>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns the OCI manifest of an image.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Manifest {
            media_type: media::MANIFEST.to_owned(),
            config,
            layers,
            artifact_type: None,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads a manifest of at most [`MAX_MANIFEST`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        match Document::parse(bytes, None)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(error("an index where a manifest is wanted")),
        }
    }

    /// Writes the manifest: compact JSON, sorted keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = oci::ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(oci::MediaType::from(self.media_type.as_str()))
            .config(self.config.write())
            .layers(self.layers.iter().map(Descriptor::write).collect::<Vec<_>>())
            .build()
            .expect("all required fields are set");
        to.set_artifact_type(self.artifact_type.as_deref().map(oci::MediaType::from));
        to.set_subject(self.subject.as_ref().map(Descriptor::write));
        to.set_annotations(unsorted(&self.annotations));
        json::sorted(&to)
    }
}

/// A list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its media type, as written in it or as it was announced.
    pub media_type: String,
    /// The entries.
    pub manifests: Vec<Descriptor>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Returns an OCI index.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Index { media_type: media::INDEX.to_owned(), manifests, annotations: BTreeMap::new() }
    }

    /// Reads an index of at most [`MAX_MANIFEST`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        match Document::parse(bytes, None)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Err(error("a manifest where an index is wanted")),
        }
    }

    /// Writes the index: compact JSON, sorted keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut to = oci::ImageIndexBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::from(self.media_type.as_str()))
            .manifests(self.manifests.iter().map(Descriptor::write).collect::<Vec<_>>())
            .build()
            .expect("all required fields are set");
        to.set_annotations(unsorted(&self.annotations));
        json::sorted(&to)
    }
}

/// What a name in a registry or a layout leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

// What tells the kinds apart; read first, so that a document of two kinds at once is refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u64>,
    media_type: Option<String>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads a manifest or index that was announced as `announced` (the `Content-Type`, or the media
    /// type of the descriptor that leads here).
    ///
    /// The kind in the document, the announced one and the fields must agree: otherwise two readers
    /// could see two images under one digest (CVE-2021-41190).
    pub fn parse(bytes: &[u8], announced: Option<&str>) -> Result<Self, DocumentError> {
        let outline: Outline = json::read("manifest", bytes, MAX_MANIFEST)?;
        if outline.schema_version == Some(1)
            || outline.fs_layers.is_some()
            || announced.is_some_and(media::is_schema1)
        {
            return Err(error(
                "Docker's manifest schema 1 is not supported; push the image again with a present-day tool",
            ));
        }
        if outline.schema_version != Some(2) {
            return Err(error("schemaVersion is not 2"));
        }
        let fields = match (
            outline.layers.is_some() || outline.config.is_some(),
            outline.manifests.is_some(),
        ) {
            (true, false) => DocumentKind::Manifest,
            (false, true) => DocumentKind::Index,
            (true, true) => return Err(error("both a manifest and an index")),
            (false, false) => return Err(error("neither a manifest nor an index")),
        };
        // A registry that serves plain JSON announces nothing.
        let announced = announced.filter(|media_type| {
            !media_type.starts_with("application/json")
                && !media_type.starts_with("text/plain")
                && !media_type.starts_with("application/octet-stream")
        });
        for (media_type, where_from) in
            [(outline.media_type.as_deref(), "mediaType says"), (announced, "it was announced as")]
        {
            if let Some(media_type) = media_type
                && DocumentKind::of(media_type) != Some(fields)
            {
                let media_type: String = media_type.escape_default().take(100).collect();
                return Err(error(format!(
                    "{where_from} `{media_type}`, the content is {}",
                    match fields {
                        DocumentKind::Manifest => "an image manifest",
                        DocumentKind::Index => "an index",
                    }
                )));
            }
        }
        if let (Some(says), Some(announced)) = (outline.media_type.as_deref(), announced)
            && announced
                .split(';')
                .next()
                .is_none_or(|plain| !plain.trim().eq_ignore_ascii_case(says))
        {
            let [says, announced] =
                [says, announced].map(|text| text.escape_default().take(100).collect::<String>());
            return Err(error(format!(
                "mediaType says `{says}`, it was announced as `{announced}`"
            )));
        }
        let media_type = outline.media_type.or_else(|| {
            announced.filter(|name| DocumentKind::of(name).is_some()).map(str::to_owned)
        });
        match fields {
            DocumentKind::Manifest => {
                let from: oci::ImageManifest = json::read("manifest", bytes, MAX_MANIFEST)?;
                let list = |list: &[oci::Descriptor]| {
                    list.iter().map(Descriptor::read).collect::<Result<Vec<_>, _>>()
                };
                Ok(Document::Manifest(Manifest {
                    media_type: media_type.unwrap_or_else(|| media::MANIFEST.to_owned()),
                    config: Descriptor::read(from.config()).map_err(error)?,
                    layers: list(from.layers()).map_err(error)?,
                    artifact_type: from
                        .artifact_type()
                        .as_ref()
                        .map(|media_type| media_type.as_ref().to_owned()),
                    subject: from
                        .subject()
                        .as_ref()
                        .map(Descriptor::read)
                        .transpose()
                        .map_err(error)?,
                    annotations: sorted(from.annotations()),
                }))
            }
            DocumentKind::Index => {
                let from: oci::ImageIndex = json::read("index", bytes, MAX_MANIFEST)?;
                Ok(Document::Index(Index {
                    media_type: media_type.unwrap_or_else(|| media::INDEX.to_owned()),
                    manifests: from
                        .manifests()
                        .iter()
                        .map(Descriptor::read)
                        .collect::<Result<_, _>>()
                        .map_err(error)?,
                    annotations: sorted(from.annotations()),
                }))
            }
        }
    }
}

fn error(why: impl Into<String>) -> DocumentError {
    DocumentError::new("manifest", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let mut layer = Descriptor::of(media::LayerKind::Gzip.media_type(), b"layer");
        for key in ["z", "b", "a", "m", "k"] {
            layer.annotations.insert(key.into(), "1".into());
        }
        Manifest::new(Descriptor::of(media::CONFIG, b"{}"), vec![layer])
    }

    #[test]
    fn writing_is_stable_and_read_back() {
        let manifest = sample();
        let bytes = manifest.to_bytes();
        for _ in 0..20 {
            assert_eq!(sample().to_bytes(), bytes);
        }
        assert!(
            String::from_utf8_lossy(&bytes)
                .contains(r#"{"a":"1","b":"1","k":"1","m":"1","z":"1"}"#)
        );
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);

        let mut entry = Descriptor::of(media::MANIFEST, &bytes);
        entry.platform = Some(Platform::new("linux", "arm", Some("v6")));
        let index = Index::new(vec![entry]);
        assert_eq!(Index::parse(&index.to_bytes()).unwrap(), index);
    }

    #[test]
    fn documents_of_two_kinds_are_refused() {
        let good = String::from_utf8(sample().to_bytes()).unwrap();
        let check = |text: &str, announced: Option<&str>, want: &str| {
            let error = Document::parse(text.as_bytes(), announced).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check(&good.replacen('{', r#"{"manifests":[],"#, 1), None, "both");
        check(&good, Some(media::INDEX), "announced as");
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        check(&good, Some(docker), "announced as");
        let with = format!("{}; charset=utf-8", media::MANIFEST);
        assert!(Document::parse(good.as_bytes(), Some(&with)).is_ok());
        check(&good.replace(media::MANIFEST, media::INDEX), None, "mediaType says");
        check(&good.replace("sha256:", "sha512:"), None, "");
        check(&good.replacen("\"size\":", "\"size\":-", 1), None, "");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema 1");
        check(r#"{"schemaVersion":2}"#, None, "neither");
        check("{}", None, "schemaVersion");
        check(&"[".repeat(10_000), None, "");
        check("\u{feff}{}", None, "");
        check(&good, Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), "schema 1");
        assert!(Document::parse(good.as_bytes(), Some("application/json")).is_ok());
    }

    proptest::proptest! {
        // Any byte of a good document changed, and any text: an error or a document, no panic; and
        // what is read is written and read again.
        #[test]
        fn any_bytes_are_read_or_refused(at in 0usize..400, byte: u8, noise in ".{0,200}") {
            let mut bytes = sample().to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(manifest) = Manifest::parse(&bytes) {
                proptest::prop_assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
            }
            let _ = Document::parse(noise.as_bytes(), Some(&noise));
        }
    }
}
