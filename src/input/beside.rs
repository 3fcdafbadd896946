//! Papers that lie beside an image: attestations as BuildKit and cosign put them, and whatever names
//! the image as its subject (OCI image specification, manifest.md, "subject"). They are collected
//! here; what they say is judged elsewhere.

use std::collections::BTreeSet;

use serde_json::Value;

use super::BaseError;
use super::finished::{Finished, Place};
use crate::base::Digest;
use crate::image::{Descriptor, Document, MAX_MANIFEST, Manifest};
use crate::registry::base64;

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

const KIND: &str = "vnd.docker.reference.type";
const OF: &str = "vnd.docker.reference.digest";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

impl Finished<'_> {
    /// Collects the papers beside the image: of the index that it stands in, of what names it as its
    /// subject, in a registry also those under cosign's tags. `None` where there is no such place.
    pub fn papers(&self) -> Result<Option<Vec<Paper>>, BaseError> {
        let Some(digest) = self.digest else { return Ok(None) };
        let mut manifests: Vec<Manifest> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut entries: Vec<Descriptor> = self.beside.clone();
        if let Place::Registry(registry, reference) = &self.place {
            if let Some(index) = registry.referrers(reference, digest)?
                && let Ok(Document::Index(index)) = Document::parse(&index.bytes, None)
            {
                entries.extend(index.manifests);
            }
            for end in ["sig", "att"] {
                let tag = format!("sha256-{}.{end}", digest.hex());
                if let Some(found) = registry.tagged(reference, &tag)?
                    && let Ok(manifest) = Manifest::parse(&found.bytes)
                {
                    manifests.push(manifest);
                }
            }
        }
        let wanted = digest.to_string();
        for entry in entries {
            // An entry that says of whom it is need not be opened to know that it is another's.
            let other = entry.annotations.get(OF).is_some_and(|of| *of != wanted)
                || entry.manifest_digest() == digest;
            if other || seen.len() >= MANIFESTS || !seen.insert(entry.digest) {
                continue;
            }
            let named = entry.annotations.contains_key(KIND);
            let Some(bytes) = self.document(&entry) else { continue };
            let Ok(manifest) = Manifest::parse(&bytes) else { continue };
            let subject = manifest.subject.as_ref().map(|subject| subject.digest.to_string());
            if subject.as_ref() == Some(&wanted) || (subject.is_none() && named) {
                manifests.push(manifest);
            }
        }
        Ok(Some(manifests.iter().flat_map(|manifest| self.of_manifest(manifest)).collect()))
    }

    fn of_manifest(&self, manifest: &Manifest) -> Vec<Paper> {
        let layers = manifest.layers.iter().take(LAYERS).filter(|layer| layer.size <= SIZE);
        layers.filter_map(|layer| self.paper(layer, manifest)).collect()
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
            let envelope: Value = serde_json::from_slice(&self.bytes(layer)?).ok()?;
            let inner = envelope.get("dsseEnvelope").unwrap_or(&envelope);
            return match inner["payload"].as_str() {
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
            Place::Layout(layout) => layout.read_blob(layer.digest, SIZE).ok(),
            Place::Registry(registry, reference) => {
                let mut bytes = Vec::new();
                registry.blob(reference, layer.digest, layer.size, &mut bytes).ok()?;
                Some(bytes)
            }
            Place::Docker(_) => None,
        }
    }
}
