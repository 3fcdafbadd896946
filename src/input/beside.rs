//! Papers that lie beside an image: attestations as BuildKit and cosign put them, and whatever names
//! the image as its subject (OCI image specification, manifest.md, "subject"). They are collected
//! here; what they say is judged elsewhere.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::BaseError;
use super::finished::{Finished, Place};
use super::lenient::{Object, Text};
use crate::base::{Blob, Digest};
use crate::image::{Descriptor, Document, MAX_MANIFEST, Manifest};
use crate::registry::{self, base64};

/// A paper about an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Paper {
    /// An in-toto statement, as JSON. Who has signed its envelope was not looked at.
    Statement(Vec<u8>),
    /// A list of parts as it is, without a statement around it.
    Bom(Vec<u8>),
    /// A signature as cosign makes it: the signed text, and the signature in base64.
    Signature {
        /// What was signed: it names the image's digest.
        payload: Vec<u8>,
        /// The signature.
        signature: String,
    },
    /// A signature in a form that is not known here: its media type.
    Foreign(String),
}

/// Manifests that are looked into.
const MANIFESTS: usize = 200;
/// Papers of one manifest.
const LAYERS: usize = 50;
/// Bytes of one paper. An SBOM of a large image has some ten megabytes.
const SIZE: u64 = 64 << 20;
/// Bytes of all papers. Those that come after are not read: what they say is missing then.
const ALL: u64 = 256 << 20;

/// Bytes of the manifests of papers: each names a few.
const DOCUMENTS: usize = 32 << 20;

const KIND: &str = "vnd.docker.reference.type";
const OF: &str = "vnd.docker.reference.digest";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

// An envelope (DSSE), or a bundle of sigstore around one.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Object<Envelope>,
    payload: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    payload: Text,
}

// What was taken, and the bytes that still may be.
struct Room {
    // Signatures of one payload are papers of their own.
    taken: BTreeSet<(Digest<Blob>, Option<String>)>,
    left: u64,
}

impl Room {
    fn new(left: u64) -> Self {
        Room { taken: BTreeSet::new(), left }
    }

    // Tells whether a paper is a new one, and there is room for it.
    fn take(&mut self, layer: &Descriptor) -> bool {
        let name = (layer.digest, layer.annotations.get(SIGNATURE).cloned());
        if layer.size > self.left.min(SIZE) || !self.taken.insert(name) {
            return false;
        }
        self.left -= layer.size;
        true
    }
}

impl Finished<'_> {
    /// Collects the papers beside the image: of the index that it stands in, of what names it as its
    /// subject, in a registry also those under cosign's tags. `None` where there is no such place, or
    /// it may not be looked into.
    pub fn papers(&self) -> Result<Option<Vec<Paper>>, BaseError> {
        let Some(digest) = self.digest else { return Ok(None) };
        let mut manifests: Vec<Manifest> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut entries: Vec<Descriptor> = self.beside.clone();
        if let Place::Registry(registry, reference) = &self.place {
            let index = match registry.referrers(reference, digest) {
                Ok(index) => index,
                // Who may not ask does not know.
                Err(registry::Error::Denied { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if let Some(index) = index
                && let Ok(Document::Index(index)) = Document::parse(&index.bytes, None)
            {
                entries.extend(index.manifests);
            }
            for end in ["sig", "att"] {
                let tag = format!("sha256-{}.{end}", digest.hex());
                let found = match registry.tagged(reference, &tag) {
                    Ok(found) => found,
                    // So do some registries say that there is no such tag.
                    Err(registry::Error::Denied { .. }) => None,
                    Err(error) => return Err(error.into()),
                };
                if let Some(found) = found
                    && let Ok(manifest) = Manifest::parse(&found.bytes)
                {
                    manifests.push(manifest);
                }
            }
        }
        let wanted = digest.to_string();
        let mut left = DOCUMENTS;
        for entry in entries {
            // An entry that says of whom it is need not be opened to know that it is another's.
            let other = entry.annotations.get(OF).is_some_and(|of| *of != wanted)
                || entry.manifest_digest() == digest;
            if other || seen.len() >= MANIFESTS || !seen.insert(entry.digest) {
                continue;
            }
            let named = entry.annotations.contains_key(KIND);
            let Some(bytes) = self.document(&entry) else { continue };
            let Some(rest) = left.checked_sub(bytes.len()) else { break };
            left = rest;
            let Ok(manifest) = Manifest::parse(&bytes) else { continue };
            let subject = manifest.subject.as_ref().map(|subject| subject.digest.to_string());
            if subject.as_ref() == Some(&wanted) || (subject.is_none() && named) {
                manifests.push(manifest);
            }
        }
        let mut room = Room::new(ALL);
        let papers = manifests.iter().flat_map(|manifest| {
            manifest.layers.iter().take(LAYERS).map(move |layer| (layer, manifest))
        });
        let papers = papers.filter(|(layer, _)| room.take(layer));
        Ok(Some(papers.filter_map(|(layer, manifest)| self.paper(layer, manifest)).collect()))
    }

    fn paper(&self, layer: &Descriptor, manifest: &Manifest) -> Option<Paper> {
        let kind = layer.media_type.as_str();
        let artifact = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
        if artifact.contains("notary.signature") {
            return Some(Paper::Foreign(artifact.to_owned()));
        }
        if kind.contains("cosign.simplesigning") {
            let signature = layer.annotations.get(SIGNATURE)?.clone();
            return Some(Paper::Signature { payload: self.bytes(layer)?, signature });
        }
        if kind.contains("in-toto") {
            return Some(Paper::Statement(self.bytes(layer)?));
        }
        if kind.contains("spdx") || kind.contains("cyclonedx") {
            return Some(Paper::Bom(self.bytes(layer)?));
        }
        // An envelope (DSSE), by itself or in a bundle of sigstore.
        if kind.contains("dsse") || kind.contains("sigstore.bundle") {
            let bundle: Bundle = serde_json::from_slice(&self.bytes(layer)?).ok()?;
            let payload = bundle.dsse_envelope.0.map_or(bundle.payload, |inner| inner.payload);
            return match payload.as_str() {
                Some(payload) => Some(Paper::Statement(base64::decode(payload)?)),
                None => Some(Paper::Foreign(kind.to_owned())),
            };
        }
        None
    }

    fn document(&self, entry: &Descriptor) -> Option<Vec<u8>> {
        match &self.place {
            Place::Layout(layout) => layout.read_blob(entry.digest, MAX_MANIFEST).ok(),
            Place::Registry(registry, reference) => {
                let pinned = reference.pin(Digest::from_bytes(*entry.digest.as_bytes()));
                registry.manifest(pinned.image()).ok().map(|fetched| fetched.bytes)
            }
            Place::Docker(_) => None,
        }
    }

    fn bytes(&self, layer: &Descriptor) -> Option<Vec<u8>> {
        match &self.place {
            Place::Layout(layout) => layout.read_blob(layer.digest, layer.size).ok(),
            Place::Registry(registry, reference) => {
                let mut bytes = Vec::new();
                registry.blob(reference, layer.digest, layer.size, &mut bytes).ok()?;
                Some(bytes)
            }
            Place::Docker(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papers_are_taken_once_and_up_to_a_sum() {
        let mut room = Room::new(100);
        let mut check = |name: &str, size: u64, signature: Option<&str>, want: bool| {
            let mut layer = serde_json::json!({
                "mediaType": "application/vnd.in-toto+json",
                "digest": Digest::<Blob>::of(name.as_bytes()).to_string(),
                "size": size,
            });
            if let Some(signature) = signature {
                layer["annotations"] = serde_json::json!({ SIGNATURE: signature });
            }
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.oci.empty.v1+json",
                    "digest": Digest::<Blob>::of(b"{}").to_string(),
                    "size": 2,
                },
                "layers": [layer],
            });
            let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
            assert_eq!(room.take(&manifest.layers[0]), want, "{name} {size} {signature:?}");
        };
        check("a", 40, None, true);
        check("a", 40, None, false);
        check("s", 10, Some("one"), true);
        check("s", 10, Some("two"), true);
        check("s", 10, Some("two"), false);
        check("b", 41, None, false);
        check("c", 40, None, true);
        check("d", 1, None, false);
    }
}
