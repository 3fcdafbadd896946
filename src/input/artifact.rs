//! A small file that is kept as an OCI artifact, named by the digest of its manifest: in a registry or
//! in a layout folder. What was fetched once is in the store.

use std::path::{Path, PathBuf};

use super::BaseError;
use crate::base::{Digest, ImageRef, Manifest as OfManifest};
use crate::image::{Descriptor, DocumentError, Layout, MAX_MANIFEST, Manifest};
use crate::registry::Registry;
use crate::store::Store;

/// Where such a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    place: Place,
    digest: Digest<OfManifest>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Registry(ImageRef),
    Folder(PathBuf),
}

const TITLE: &str = "org.opencontainers.image.title";

impl Artifact {
    /// Tells whether a name means an artifact: `oci:…`, `oci-layout://…`.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("oci:") || text.starts_with("oci-layout:")
    }

    /// Reads `oci:NAME@sha256:…` or `oci-layout://DIR@sha256:…`; the folder is seen from `folder`. The
    /// error is about the text.
    pub fn parse(text: &str, folder: &Path) -> Result<Artifact, String> {
        let unpinned =
            || "it is not named by its digest, and a tag may mean another file tomorrow".to_owned();
        if let Some(rest) = text.strip_prefix("oci-layout://") {
            let (path, digest) = rest.rsplit_once('@').ok_or_else(unpinned)?;
            let digest = Digest::parse(digest).map_err(|error| error.to_string())?;
            if path.is_empty() {
                return Err("no folder is named".to_owned());
            }
            let place = Place::Folder(folder.join(path));
            return Ok(Artifact { place, digest, text: text.to_owned() });
        }
        let name = text.strip_prefix("oci:").unwrap_or(text);
        let reference = ImageRef::parse(name).map_err(|error| error.to_string())?;
        let digest = reference.digest().ok_or_else(unpinned)?;
        Ok(Artifact { place: Place::Registry(reference), digest, text: text.to_owned() })
    }

    /// Tells whether a registry has to be asked for it.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Registry(_))
    }

    /// Returns the file if the store has it: the bytes have been checked against their digests.
    pub fn kept(&self, end: &str, limit: u64, store: &Store) -> Option<Vec<u8>> {
        let manifest = store.read(self.digest.as_blob(), MAX_MANIFEST).ok()?;
        let layer = self.layer(&manifest, end, limit).ok()?;
        store.read(layer.digest, limit).ok()
    }

    /// Fetches the file: the one whose name ends in `end` (`.toml`) or whose media type does, or the
    /// only one. It has at most `limit` bytes; they are those that the digests name. With a store, they
    /// are kept there; that they cannot be is no error.
    pub fn fetch(
        &self,
        end: &str,
        limit: u64,
        registry: Option<&Registry>,
        store: Option<&Store>,
    ) -> Result<Vec<u8>, BaseError> {
        let (manifest, bytes) = match &self.place {
            Place::Folder(folder) => {
                let layout = Layout::open(folder)?;
                let manifest = layout.read_blob(self.digest.as_blob(), MAX_MANIFEST)?;
                let layer = self.layer(&manifest, end, limit)?;
                let bytes = layout.read_blob(layer.digest, limit)?;
                return Ok(bytes);
            }
            Place::Registry(reference) => {
                let registry = registry.expect("who names a registry has a client");
                let manifest = registry.manifest(reference)?.bytes;
                let layer = self.layer(&manifest, end, limit)?;
                let mut bytes = Vec::new();
                registry.blob(reference, layer.digest, layer.size, &mut bytes)?;
                (manifest, bytes)
            }
        };
        if let Some(store) = store {
            let _ = store.put(&bytes).and_then(|_| store.put(&manifest));
        }
        Ok(bytes)
    }

    // Which of the files of a manifest is meant.
    fn layer(&self, manifest: &[u8], end: &str, limit: u64) -> Result<Descriptor, BaseError> {
        let wrong = |error| BaseError::Document { name: self.text.clone(), error };
        let no = |why: String| wrong(DocumentError::new("artifact", why));
        let manifest = Manifest::parse(manifest).map_err(wrong)?;
        let named = |layer: &&Descriptor| {
            let title = layer.annotations.get(TITLE).map_or("", String::as_str);
            title.ends_with(end) || layer.media_type.ends_with(&end[1..])
        };
        let layers = &manifest.layers;
        let mut fit = layers.iter().filter(named);
        let layer = match (fit.next(), fit.next(), layers.as_slice()) {
            (Some(one), None, _) => one,
            (None, None, [one]) => one,
            (Some(_), ..) => return Err(no(format!("it holds several `*{end}`"))),
            (None, ..) => return Err(no(format!("it holds no `*{end}`"))),
        };
        if layer.size > limit {
            return Err(no(format!("its file is larger than {limit} bytes")));
        }
        Ok(layer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Blob;
    use crate::image::MANIFEST;

    // A layout with an artifact of these files: title, media type, content.
    fn layout(files: &[(&str, &str, &str)]) -> (tempfile::TempDir, Digest<OfManifest>) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let blob = |bytes: &[u8]| {
            let digest = Digest::<Blob>::of(bytes);
            std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
            digest
        };
        let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(folder.path().join("oci-layout"), marker).unwrap();
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        std::fs::write(folder.path().join("index.json"), index).unwrap();
        let layers = files.iter().map(|(title, kind, content)| {
            blob(content.as_bytes());
            let mut layer = Descriptor::of(*kind, content.as_bytes());
            layer.annotations.insert(TITLE.to_owned(), (*title).to_owned());
            layer
        });
        let empty = Descriptor::of("application/vnd.oci.empty.v1+json", b"{}");
        let mut manifest = Manifest::new(empty, layers.collect());
        manifest.media_type = MANIFEST.to_owned();
        manifest.artifact_type = Some("application/vnd.rbuild.policy".to_owned());
        let digest = blob(&manifest.to_bytes());
        (folder, Digest::from_bytes(*digest.as_bytes()))
    }

    fn check(files: &[(&str, &str, &str)], want: Result<&str, &str>) {
        let (folder, digest) = layout(files);
        let text = format!("oci-layout://{}@{digest}", folder.path().display());
        let artifact = Artifact::parse(&text, Path::new("/nowhere")).unwrap();
        match (artifact.fetch(".toml", 20, None, None), want) {
            (Ok(bytes), Ok(want)) => assert_eq!(String::from_utf8(bytes).unwrap(), want),
            (Err(error), Err(want)) => {
                let text = crate::diag::chain(&error);
                assert!(text.contains(want), "{text}");
            }
            (other, want) => panic!("{files:?}: wanted {want:?}, got {other:?}"),
        }
    }

    #[test]
    fn the_file_that_is_meant_is_found() {
        let plain = "application/octet-stream";
        check(&[("policy.toml", plain, "a = 1")], Ok("a = 1"));
        check(&[("policy", "application/toml", "a = 1")], Ok("a = 1"));
        check(&[("policy", plain, "a = 1")], Ok("a = 1"));
        check(&[("README", plain, "x"), ("p.toml", plain, "a = 1")], Ok("a = 1"));
        check(&[("a.toml", plain, "x"), ("b.toml", plain, "y")], Err("it holds several `*.toml`"));
        check(&[("a", plain, "x"), ("b", plain, "y")], Err("it holds no `*.toml`"));
        check(&[], Err("it holds no `*.toml`"));
        check(&[("p.toml", plain, &"x".repeat(21))], Err("its file is larger than 20 bytes"));
    }

    #[test]
    fn changed_bytes_are_noticed() {
        let (folder, digest) = layout(&[("p.toml", "x", "a = 1")]);
        let text = format!("oci-layout://l@{digest}");
        std::fs::rename(folder.path(), folder.path().with_extension("l")).unwrap();
        let moved = folder.path().with_extension("l");
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::rename(&moved, folder.path().join("l")).unwrap();
        let artifact = Artifact::parse(&text, folder.path()).unwrap();
        let fetch = || artifact.fetch(".toml", 20, None, None);
        assert_eq!(fetch().unwrap(), b"a = 1");
        let file = Digest::<Blob>::of(b"a = 1").hex();
        std::fs::write(folder.path().join("l/blobs/sha256").join(file), "a = 2").unwrap();
        assert!(fetch().unwrap_err().is_mismatch());
        std::fs::write(folder.path().join("l/blobs/sha256").join(digest.hex()), "{}").unwrap();
        assert!(fetch().unwrap_err().is_mismatch());
    }

    #[test]
    fn what_the_store_has_is_taken_from_there() {
        let (folder, digest) = layout(&[("p.toml", "x", "a = 1")]);
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("store")).unwrap();
        let artifact =
            Artifact::parse(&format!("oci:a.example/p@{digest}"), Path::new(".")).unwrap();
        let kept = || artifact.kept(".toml", 20, &store);
        assert_eq!(kept(), None);
        let read =
            |hex: String| std::fs::read(folder.path().join("blobs/sha256").join(hex)).unwrap();
        store.put(&read(digest.hex())).unwrap();
        assert_eq!(kept(), None, "half of it");
        store.put(b"a = 1").unwrap();
        assert_eq!(kept().unwrap(), b"a = 1");
    }

    #[test]
    fn a_name_has_a_digest() {
        let parse = |text: &str| Artifact::parse(text, Path::new("/p"));
        let digest = format!("sha256:{}", "3".repeat(64));
        assert!(parse(&format!("oci:a.example/p@{digest}")).unwrap().is_remote());
        assert!(parse(&format!("oci:a.example/p:1@{digest}")).unwrap().is_remote());
        let local = parse(&format!("oci-layout://l@{digest}")).unwrap();
        assert_eq!(local.place, Place::Folder("/p/l".into()));
        for text in ["oci:a.example/p:1", "oci:a.example/p", "oci-layout://l", "oci-layout://l:1"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("not named by its digest"), "{text}: {error}");
        }
        for text in ["oci:", "oci:UPPER/case@x", "oci-layout://l@sha256:12", "oci-layout://@"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
