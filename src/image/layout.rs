//! Reading of OCI layouts: a folder with `oci-layout`, `index.json` and `blobs/sha256/…`
//! (OCI image specification, image-layout.md).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::image::OciLayout;

use super::config::MAX_CONFIG;
use super::json::{self, DocumentError};
use super::manifest::{Descriptor, Index, MAX_MANIFEST, Manifest};
use super::select::{self, SelectError};
use super::tarball::Archive;
use super::{Image, media};
use crate::base::{self, Blob, Digest, Platform};

/// The annotation that holds a tag in `index.json` (OCI image specification, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation under which containerd and BuildKit keep the whole name.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this tag.
    Tag(String),
    /// The manifest or index with this digest, named in `index.json` or not.
    Digest(Digest<base::Manifest>),
    /// The only one; of several, the one tagged `latest`.
    Only,
}

/// Why a layout cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No layout there.
    #[error("`{}` is no OCI layout: {why}", .path.display())]
    NotALayout {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The file system refused.
    #[error("cannot read `{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No image with this tag.
    #[error("the layout `{}` has no image tagged `{tag}`{}", .path.display(), offer(.have))]
    NoSuchTag {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        tag: String,
        /// The tags that there are.
        have: Vec<String>,
    },
    /// Several images, and none was named.
    #[error("the layout `{}` has several images, name one: {}", .path.display(), .have.join(", "))]
    Several {
        /// The folder.
        path: PathBuf,
        /// Tags, or digests of what has none.
        have: Vec<String>,
    },
    /// A blob is not in the layout.
    #[error("the layout `{}` has no blob {digest}", .path.display())]
    MissingBlob {
        /// The folder.
        path: PathBuf,
        /// Which.
        digest: Digest<Blob>,
    },
    /// A blob is not what its name or descriptor says.
    #[error("the blob `{}` is not what its digest names: {why}", .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What was wanted and found.
        why: String,
    },
    /// No image for the platform.
    #[error("the layout `{}` has {error}", .path.display())]
    Platform {
        /// The folder.
        path: PathBuf,
        /// What was wanted and what there is.
        error: SelectError<std::convert::Infallible>,
    },
    /// A malformed document.
    #[error("the layout `{}`: {error}", .path.display())]
    Document {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        error: DocumentError,
    },
}

fn offer(have: &[String]) -> String {
    if have.is_empty() { String::new() } else { format!("; there is {}", have.join(", ")) }
}

/// A layout on disk: a folder, or an archive that is read where it lies.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
    archive: Option<Arc<Archive>>,
    index: Index,
}

/// Reads the image that `selector` names for `platform`: [`Layout::open`] and [`Layout::image`].
pub fn read_layout(
    path: &Path,
    selector: &Selector,
    platform: &Platform,
) -> Result<Image, LayoutError> {
    Layout::open(path)?.image(selector, platform)
}

impl Layout {
    /// Opens a layout folder and reads its index.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        Self::of(path, None)
    }

    /// Reads the index of a layout in an archive.
    pub fn in_archive(archive: Arc<Archive>) -> Result<Self, LayoutError> {
        let path = archive.path().to_owned();
        Self::of(&path, Some(archive))
    }

    fn of(path: &Path, archive: Option<Arc<Archive>>) -> Result<Self, LayoutError> {
        let not =
            |why: &str| LayoutError::NotALayout { path: path.to_owned(), why: why.to_owned() };
        let document = |error| LayoutError::Document { path: path.to_owned(), error };
        let missing = |name: &'static str| {
            move |error: LayoutError| match error {
                LayoutError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    not(&format!("there is no `{name}`"))
                }
                other => other,
            }
        };
        let read = |name: &str, limit| read(path, archive.as_deref(), name, limit);
        let marker = read("oci-layout", 4096).map_err(missing("oci-layout"))?;
        let marker: OciLayout = json::read("oci-layout", &marker, 4096).map_err(document)?;
        if !marker.image_layout_version().starts_with("1.") {
            return Err(not("its version is not 1"));
        }
        let index = read("index.json", MAX_MANIFEST).map_err(missing("index.json"))?;
        let index = Index::parse(&index).map_err(document)?;
        Ok(Layout { path: path.to_owned(), archive, index })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entries of `index.json`.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Opens a blob, for what checks it while it reads. Only a regular file is opened.
    pub fn blob(&self, digest: Digest<Blob>) -> Result<Box<dyn Read + Send>, LayoutError> {
        self.stream(&format!("blobs/sha256/{}", digest.hex())).map_err(|error| match error {
            LayoutError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                LayoutError::MissingBlob { path: self.path.clone(), digest }
            }
            other => other,
        })
    }

    /// Opens a file of the layout, by its path in it.
    pub fn stream(&self, name: &str) -> Result<Box<dyn Read + Send>, LayoutError> {
        let path = self.path.join(name);
        let io = |source| LayoutError::Io { path: path.clone(), source };
        if let Some(archive) = &self.archive {
            let content =
                archive.content(name).ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
            return Ok(Box::new(content));
        }
        if !std::fs::metadata(&path).map_err(io)?.is_file() {
            return Err(io(io::Error::other("not a regular file")));
        }
        Ok(Box::new(File::open(&path).map_err(io)?))
    }

    /// Returns all blobs that are there, by name, with their sizes: paths in the layout, sorted. At
    /// most 100 000.
    pub fn blobs(&self) -> Result<Vec<(String, u64)>, LayoutError> {
        if let Some(archive) = &self.archive {
            let blobs = archive.names().filter(|name| name.starts_with("blobs/"));
            return Ok(blobs
                .map(|name| (name.to_owned(), archive.size(name).unwrap_or(0)))
                .collect());
        }
        let mut all = Vec::new();
        let top = self.path.join("blobs");
        let io = |source| LayoutError::Io { path: top.clone(), source };
        // Folders by algorithm; nothing stands deeper.
        for kind in std::fs::read_dir(&top).map_err(io)? {
            let kind = kind.map_err(io)?;
            if !kind.file_type().map_err(io)?.is_dir() {
                continue;
            }
            for blob in std::fs::read_dir(kind.path()).map_err(io)?.take(100_000) {
                let blob = blob.map_err(io)?;
                let size = blob.metadata().map_err(io)?.len();
                let (kind, name) = (kind.file_name(), blob.file_name());
                all.push((format!("blobs/{}/{}", kind.display(), name.display()), size));
            }
        }
        all.sort();
        Ok(all)
    }

    /// Where a blob is, if it is there and the layout is a folder.
    pub fn blob_path(&self, digest: Digest<Blob>) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Reads a whole blob of at most `limit` bytes, and checks it.
    pub fn read_blob(&self, digest: Digest<Blob>, limit: u64) -> Result<Vec<u8>, LayoutError> {
        let path = self.blob_path(digest);
        let name = format!("blobs/sha256/{}", digest.hex());
        let archive = self.archive.as_deref();
        let bytes = read(&self.path, archive, &name, limit).map_err(|error| match error {
            LayoutError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                LayoutError::MissingBlob { path: self.path.clone(), digest }
            }
            other => other,
        })?;
        let found: Digest<Blob> = Digest::of(&bytes);
        if found != digest {
            return Err(LayoutError::Mismatch { path, why: format!("its bytes are {found}") });
        }
        Ok(bytes)
    }

    /// Reads the image that `selector` names for `platform`. Manifest and config are checked
    /// against their digests and sizes; layers are not looked at.
    pub fn image(&self, selector: &Selector, platform: &Platform) -> Result<Image, LayoutError> {
        let (bytes, announced) = match selector {
            Selector::Digest(digest) => match self.entry_of(*digest) {
                Some(entry) => (self.document(entry)?, Some(entry.media_type.clone())),
                None => (self.read_blob(digest.as_blob(), MAX_MANIFEST)?, None),
            },
            Selector::Tag(tag) => {
                let entries = self.tagged(tag);
                if entries.is_empty() {
                    return Err(LayoutError::NoSuchTag {
                        path: self.path.clone(),
                        tag: tag.escape_default().take(128).collect(),
                        have: self.names(),
                    });
                }
                self.one_of(entries, platform)?
            }
            Selector::Only => self.one_of(self.only(platform)?, platform)?,
        };
        let found =
            select::find(bytes, announced.as_deref(), platform, |entry| self.document(entry))
                .map_err(|error| match error {
                    SelectError::Fetch(error) => error,
                    SelectError::Document(error) => self.malformed(error),
                    SelectError::Platform { wanted, have } => LayoutError::Platform {
                        path: self.path.clone(),
                        error: SelectError::Platform { wanted, have },
                    },
                    SelectError::Depth => {
                        LayoutError::Platform { path: self.path.clone(), error: SelectError::Depth }
                    }
                })?;
        let manifest = Manifest::parse(&found.bytes).map_err(|error| self.malformed(error))?;
        let config = self.read_blob(manifest.config.digest, MAX_CONFIG)?;
        Image::read(found.bytes, config).map_err(|error| self.malformed(error))
    }

    /// Returns the one entry that `selector` names, whatever the platform: an image, or an index
    /// with all that it names. Several names of one digest are one.
    pub fn entry(&self, selector: &Selector) -> Result<&Descriptor, LayoutError> {
        let mut found: Vec<&Descriptor> = match selector {
            Selector::Digest(digest) => {
                return self.entry_of(*digest).ok_or_else(|| LayoutError::MissingBlob {
                    path: self.path.clone(),
                    digest: digest.as_blob(),
                });
            }
            Selector::Tag(tag) => self.tagged(tag),
            Selector::Only => self.images().collect(),
        };
        found.dedup_by_key(|entry| entry.digest);
        if let (Selector::Only, 2..) = (selector, found.len()) {
            let latest = self.tagged("latest");
            found = if latest.is_empty() { found } else { latest };
        }
        match (found.as_slice(), selector) {
            ([one], _) => Ok(one),
            ([], Selector::Tag(tag)) => Err(LayoutError::NoSuchTag {
                path: self.path.clone(),
                tag: tag.escape_default().take(128).collect(),
                have: self.names(),
            }),
            ([], _) => Err(LayoutError::NotALayout {
                path: self.path.clone(),
                why: "its `index.json` names no image".to_owned(),
            }),
            _ => Err(LayoutError::Several { path: self.path.clone(), have: self.names() }),
        }
    }

    fn malformed(&self, error: DocumentError) -> LayoutError {
        LayoutError::Document { path: self.path.clone(), error }
    }

    fn document(&self, entry: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let bytes = self.read_blob(entry.digest, MAX_MANIFEST)?;
        if bytes.len() as u64 != entry.size {
            return Err(LayoutError::Mismatch {
                path: self.blob_path(entry.digest),
                why: format!("its descriptor says {} bytes, it has {}", entry.size, bytes.len()),
            });
        }
        Ok(bytes)
    }

    fn entry_of(&self, digest: Digest<base::Manifest>) -> Option<&Descriptor> {
        self.index.manifests.iter().find(|entry| entry.manifest_digest() == digest)
    }

    // One entry is followed; several (one image, a platform each, without an index of their own)
    // are an index.
    fn one_of(
        &self,
        entries: Vec<&Descriptor>,
        platform: &Platform,
    ) -> Result<(Vec<u8>, Option<String>), LayoutError> {
        let entry = match entries.as_slice() {
            [one] => *one,
            several => {
                let index = Index::new(several.iter().copied().cloned().collect());
                let entry =
                    select::entry(&index, platform).map_err(|have| LayoutError::Platform {
                        path: self.path.clone(),
                        error: SelectError::Platform { wanted: platform.clone(), have },
                    })?;
                return Ok((self.document(entry)?, Some(entry.media_type.clone())));
            }
        };
        Ok((self.document(entry)?, Some(entry.media_type.clone())))
    }

    fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.index.manifests.iter().filter(|entry| {
            !entry.is_attestation() && media::DocumentKind::of(&entry.media_type).is_some()
        })
    }

    fn only(&self, platform: &Platform) -> Result<Vec<&Descriptor>, LayoutError> {
        let all: Vec<&Descriptor> = self.images().collect();
        match all.len() {
            0 => Err(LayoutError::NotALayout {
                path: self.path.clone(),
                why: "its `index.json` names no image".to_owned(),
            }),
            1 => Ok(all),
            _ => {
                let latest = self.tagged("latest");
                if !latest.is_empty() {
                    return Ok(latest);
                }
                // Platforms of one image: without tags, or all with the same.
                let tag = |entry: &&Descriptor| entry.annotations.get(REF_NAME).cloned();
                let index = Index::new(all.iter().copied().cloned().collect());
                if all.iter().all(|entry| tag(entry) == tag(&all[0]) && entry.platform.is_some())
                    && select::entry(&index, platform).is_ok()
                {
                    return Ok(all);
                }
                Err(LayoutError::Several { path: self.path.clone(), have: self.names() })
            }
        }
    }

    fn tagged(&self, tag: &str) -> Vec<&Descriptor> {
        let ends = |name: &String| {
            name == tag || name.strip_suffix(tag).is_some_and(|front| front.ends_with(':'))
        };
        self.images()
            .filter(|entry| {
                [REF_NAME, IMAGE_NAME]
                    .iter()
                    .any(|key| entry.annotations.get(*key).is_some_and(ends))
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .images()
            .take(20)
            .map(|entry| match entry.annotations.get(REF_NAME) {
                Some(name) => name.escape_default().take(128).collect(),
                None => format!("@{}", entry.digest),
            })
            .collect();
        names.dedup();
        names
    }
}

// Reads a regular file of at most `limit` bytes; a pipe in its place would block for ever.
fn read(
    folder: &Path,
    archive: Option<&Archive>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, LayoutError> {
    let path = &folder.join(name);
    let io = |source| LayoutError::Io { path: path.to_owned(), source };
    let too_large = || LayoutError::Mismatch {
        path: path.to_owned(),
        why: format!("larger than {limit} bytes"),
    };
    let (size, content): (u64, Box<dyn Read>) = match archive {
        Some(archive) => match (archive.size(name), archive.content(name)) {
            (Some(size), Some(content)) => (size, Box::new(content)),
            _ => return Err(io(io::ErrorKind::NotFound.into())),
        },
        None => {
            let meta = std::fs::metadata(path).map_err(io)?;
            if !meta.is_file() {
                return Err(io(io::Error::other("not a regular file")));
            }
            (meta.len(), Box::new(File::open(path).map_err(io)?))
        }
    };
    if size > limit {
        return Err(too_large());
    }
    // At most `limit`: a caller knows what it can hold.
    let mut bytes = Vec::with_capacity(size as usize + 1);
    content.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Config, INDEX};

    struct Draft(tempfile::TempDir);

    impl Draft {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
            std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
                .unwrap();
            Draft(folder)
        }

        fn blob(&self, bytes: &[u8]) {
            let name = Digest::<Blob>::of(bytes).hex();
            std::fs::write(self.0.path().join("blobs/sha256").join(name), bytes).unwrap();
        }

        fn image(&self, platform: &str, tag: Option<&str>) -> Descriptor {
            let mut config = Config::empty(&Platform::parse(platform).unwrap());
            config.author = tag.map(str::to_owned);
            let image = Image::write(config, Vec::new(), &[]);
            self.blob(&image.config_bytes);
            self.blob(&image.manifest_bytes);
            let mut entry = image.descriptor();
            entry.annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
            entry
        }

        fn index(&self, entries: Vec<Descriptor>) {
            let index = Index::new(entries).to_bytes();
            std::fs::write(self.0.path().join("index.json"), index).unwrap();
        }

        fn read(&self, selector: Selector, platform: &str) -> Result<Image, String> {
            read_layout(self.0.path(), &selector, &Platform::parse(platform).unwrap()).map_err(
                |error| error.to_string().replace(&self.0.path().display().to_string(), "DIR"),
            )
        }
    }

    fn tag(tag: &str) -> Selector {
        Selector::Tag(tag.to_owned())
    }

    #[test]
    fn by_tag_digest_or_alone() {
        let draft = Draft::new();
        let (one, two) =
            (draft.image("linux/amd64", Some("one")), draft.image("linux/amd64", Some("two")));
        let two_digest = two.manifest_digest();
        draft.index(vec![one.clone()]);
        assert_eq!(
            draft.read(Selector::Only, "linux/amd64").unwrap().digest,
            one.manifest_digest()
        );
        // Not in the index, but there.
        assert_eq!(
            draft.read(Selector::Digest(two_digest), "linux/amd64").unwrap().digest,
            two_digest
        );
        draft.index(vec![one, two]);
        assert_eq!(draft.read(tag("two"), "linux/amd64").unwrap().digest, two_digest);
        assert_eq!(
            draft.read(tag("three"), "linux/amd64").unwrap_err(),
            "the layout `DIR` has no image tagged `three`; there is one, two"
        );
        assert_eq!(
            draft.read(Selector::Only, "linux/amd64").unwrap_err(),
            "the layout `DIR` has several images, name one: one, two"
        );
    }

    #[test]
    fn platforms_in_an_index_or_side_by_side() {
        let draft = Draft::new();
        let entries = ["linux/amd64", "linux/arm/v7"].map(|platform| draft.image(platform, None));
        draft.index(entries.to_vec());
        let arm = entries[1].manifest_digest();
        assert_eq!(draft.read(Selector::Only, "linux/arm/v7").unwrap().digest, arm);
        let inner = Index::new(entries.to_vec()).to_bytes();
        draft.blob(&inner);
        let mut entry = Descriptor::of(INDEX, &inner);
        entry.annotations.insert(IMAGE_NAME.into(), "docker.io/library/x:1".into());
        draft.index(vec![entry]);
        assert_eq!(draft.read(tag("1"), "linux/arm/v7").unwrap().digest, arm);
        let error = draft.read(Selector::Only, "linux/s390x").unwrap_err();
        assert_eq!(
            error,
            "the layout `DIR` has no image for platform linux/s390x; there is linux/amd64, linux/arm/v7"
        );
    }

    #[test]
    fn damage_is_told() {
        let draft = Draft::new();
        assert!(draft.read(Selector::Only, "linux/amd64").unwrap_err().contains("no `index.json`"));
        draft.index(vec![]);
        assert!(draft.read(Selector::Only, "linux/amd64").unwrap_err().contains("names no image"));
        let mut entry = draft.image("linux/amd64", None);
        entry.size += 1;
        draft.index(vec![entry.clone()]);
        assert!(
            draft.read(Selector::Only, "linux/amd64").unwrap_err().contains("its descriptor says")
        );
        entry.size -= 1;
        draft.index(vec![entry.clone()]);
        let blob = draft.0.path().join("blobs/sha256").join(entry.digest.hex());
        std::fs::write(&blob, "{}").unwrap();
        assert!(
            draft
                .read(Selector::Only, "linux/amd64")
                .unwrap_err()
                .contains("not what its digest names")
        );
        std::fs::remove_file(&blob).unwrap();
        assert!(draft.read(Selector::Only, "linux/amd64").unwrap_err().contains("no blob"));
        std::fs::create_dir(&blob).unwrap();
        assert!(
            draft.read(Selector::Only, "linux/amd64").unwrap_err().contains("not a regular file")
        );
        let gone = read_layout(Path::new("/nonesuch"), &Selector::Only, &Platform::host());
        assert!(gone.unwrap_err().to_string().contains("is no OCI layout"));
    }
}
