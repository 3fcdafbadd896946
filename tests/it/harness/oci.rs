//! The judge of every image: reads a layout with nothing of rbuild's own code and checks all that
//! the image specification lets one check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

const MEDIA: &str = "application/vnd.oci.image.";
/// Files up to this size are kept in a [`Node`].
const KEPT: u64 = 64 << 10;

/// What a path of an image is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A file; its content when it is small.
    File(Option<Vec<u8>>),
    /// A folder.
    Folder,
    /// A symbolic link.
    Link(String),
    /// A device, a fifo.
    Other,
}

/// One path of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
}

/// A valid image.
pub(crate) struct Image {
    /// The manifest's digest, `sha256:…`.
    pub(crate) digest: String,
    /// The manifest.
    pub(crate) manifest: Value,
    /// The image config.
    pub(crate) config: Value,
    /// The flattened tree, by path without a leading slash.
    pub(crate) tree: BTreeMap<String, Node>,
    /// The paths of each layer, whiteouts included.
    pub(crate) layers: Vec<Vec<String>>,
}

impl Image {
    /// Reads the one image of a layout; panics at anything that is not as it has to be.
    pub(crate) fn read(layout: &Path) -> Image {
        let text = fs::read_to_string(layout.join("oci-layout")).expect("an oci-layout file");
        assert_eq!(parse(text.as_bytes())["imageLayoutVersion"], "1.0.0");
        let index = parse(&fs::read(layout.join("index.json")).expect("an index.json"));
        assert_eq!(index["schemaVersion"], 2);
        let entries = index["manifests"].as_array().expect("a list of manifests");
        assert_eq!(entries.len(), 1, "one image, one entry: {index}");
        let blobs = Blobs { folder: layout.join("blobs/sha256") };

        let manifest = parse(&blobs.read(&entries[0]));
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], entries[0]["mediaType"]);
        assert_eq!(manifest["mediaType"], format!("{MEDIA}manifest.v1+json"));
        assert_eq!(manifest["config"]["mediaType"], format!("{MEDIA}config.v1+json"));
        let config = parse(&blobs.read(&manifest["config"]));
        assert!(config["architecture"].is_string() && config["os"] == "linux", "{config}");

        let descriptors = manifest["layers"].as_array().expect("a list of layers");
        let diffs = config["rootfs"]["diff_ids"].as_array().expect("a list of diff ids");
        assert_eq!(config["rootfs"]["type"], "layers");
        assert_eq!(diffs.len(), descriptors.len(), "a diff id for each layer");
        let history = config["history"].as_array().expect("a history");
        let filled = history.iter().filter(|entry| entry["empty_layer"] != true).count();
        assert_eq!(filled, descriptors.len(), "a history entry for each layer: {config}");

        let mut image = Image {
            digest: text_of(&entries[0]["digest"]),
            manifest: manifest.clone(),
            config: config.clone(),
            tree: BTreeMap::new(),
            layers: Vec::new(),
        };
        for (descriptor, diff) in descriptors.iter().zip(diffs) {
            image.add_layer(&blobs, descriptor, diff);
        }
        let mut wanted: BTreeSet<String> = BTreeSet::from([text_of(&manifest["config"]["digest"])]);
        wanted.insert(image.digest.clone());
        wanted.extend(descriptors.iter().map(|descriptor| text_of(&descriptor["digest"])));
        let there = fs::read_dir(&blobs.folder).expect("a folder of blobs").flatten();
        let there: BTreeSet<String> =
            there.map(|entry| format!("sha256:{}", entry.file_name().display())).collect();
        assert_eq!(there, wanted, "a layout holds what its image names and nothing else");
        image
    }

    /// The text of a small file.
    pub(crate) fn text(&self, path: &str) -> String {
        match self.tree.get(path).map(|node| &node.kind) {
            Some(Kind::File(Some(content))) => String::from_utf8_lossy(content).into_owned(),
            other => panic!("`{path}` is {other:?}, among {:?}", self.tree.keys()),
        }
    }

    fn add_layer(&mut self, blobs: &Blobs, descriptor: &Value, diff: &Value) {
        blobs.check(descriptor);
        let file = fs::File::open(blobs.path(descriptor)).expect("a blob");
        let media = text_of(&descriptor["mediaType"]);
        let kind = media.strip_prefix(MEDIA).expect("a media type of the specification");
        let plain: Box<dyn Read> = match kind {
            "layer.v1.tar" => Box::new(file),
            "layer.v1.tar+gzip" => Box::new(flate2::read::GzDecoder::new(file)),
            "layer.v1.tar+zstd" => Box::new(zstd::Decoder::new(file).expect("a zstd frame")),
            other => panic!("media type `{other}`"),
        };
        let mut hashing = Hashing { from: plain, hash: Sha256::new() };
        let mut archive = tar::Archive::new(&mut hashing);
        let mut names: Vec<String> = Vec::new();
        let mut added: BTreeMap<String, Node> = BTreeMap::new();
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry of a tar");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let path = path.trim_end_matches('/').trim_start_matches("./").to_owned();
            assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
            let header = entry.header();
            let mode = header.mode().expect("a mode") & 0o7777;
            let owner = (header.uid().expect("an owner"), header.gid().expect("a group"));
            let link = || {
                let name = entry.link_name().expect("a link").expect("a link has a target");
                name.to_string_lossy().into_owned()
            };
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Folder,
                tar::EntryType::Symlink => Kind::Link(link()),
                tar::EntryType::Link => {
                    let target = link();
                    let node = added
                        .get(target.trim_start_matches("./"))
                        .expect("a link to an earlier entry");
                    node.kind.clone()
                }
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.by_ref().take(KEPT).read_to_end(&mut content).expect("content");
                    Kind::File((entry.size() <= KEPT).then_some(content))
                }
                _ => Kind::Other,
            };
            names.push(path.clone());
            if path.is_empty() || path == "." {
                continue;
            }
            let double = added.insert(path.clone(), Node { kind, mode, owner });
            assert!(double.is_none(), "`{path}` is twice in a layer");
        }
        std::io::copy(&mut hashing, &mut std::io::sink()).expect("the end of the tar");
        assert_eq!(format!("sha256:{}", hex(&hashing.hash.finalize())), text_of(diff), "a diff id");
        self.layers.push(names);
        self.apply(added);
    }

    // Whiteouts speak of the layers below, wherever they stand in the tar.
    fn apply(&mut self, added: BTreeMap<String, Node>) {
        let hidden = |tree: &mut BTreeMap<String, Node>, path: &str, itself: bool| {
            if itself {
                tree.remove(path);
            }
            let below = format!("{path}/");
            let gone = tree.range(below.clone()..).map(|(name, _)| name.clone());
            let gone: Vec<String> = gone.take_while(|name| name.starts_with(&below)).collect();
            for name in gone {
                tree.remove(&name);
            }
        };
        for path in added.keys() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            if name == ".wh..wh..opq" {
                hidden(&mut self.tree, parent, false);
            } else if let Some(name) = name.strip_prefix(".wh.") {
                let path =
                    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
                hidden(&mut self.tree, &path, true);
            }
        }
        for (path, node) in added {
            if path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
                continue;
            }
            if node.kind != Kind::Folder {
                hidden(&mut self.tree, &path, true);
            }
            self.tree.insert(path, node);
        }
    }
}

struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    fn path(&self, descriptor: &Value) -> PathBuf {
        let digest = text_of(&descriptor["digest"]);
        self.folder.join(digest.strip_prefix("sha256:").expect("a SHA-256"))
    }

    fn check(&self, descriptor: &Value) {
        let file = fs::File::open(self.path(descriptor)).expect("a blob that a descriptor names");
        let mut hashing = Hashing { from: Box::new(file), hash: Sha256::new() };
        let size = std::io::copy(&mut hashing, &mut std::io::sink()).expect("reading a blob");
        assert_eq!(descriptor["size"], size, "{descriptor}");
        assert_eq!(
            format!("sha256:{}", hex(&hashing.hash.finalize())),
            text_of(&descriptor["digest"])
        );
    }

    fn read(&self, descriptor: &Value) -> Vec<u8> {
        self.check(descriptor);
        fs::read(self.path(descriptor)).expect("a blob")
    }
}

struct Hashing {
    from: Box<dyn Read>,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.from.read(buffer)?;
        self.hash.update(&buffer[..size]);
        Ok(size)
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
