//! Images made of a description, for cases that try a policy: a layout is written just as it is told,
//! malformed names and changed bytes included, and is then looked at as any other.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::{Blob, Digest, Platform};
use crate::image::{CONFIG, MANIFEST};
use crate::registry::base64;

/// What an image is made of. Keys that are not known are an error.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The object `config` of the image's config.
    #[serde(default)]
    pub config: Value,
    /// The layers, from the bottom.
    pub layers: Vec<RecipeLayer>,
    /// `OS/ARCH[/VARIANT]`; else `linux/amd64`.
    #[serde(default)]
    pub platform: Option<String>,
    /// The text of a blob that nothing names.
    #[serde(default)]
    pub extra_blob: Option<String>,
    /// One byte of a layer is changed after its digest was taken.
    #[serde(default)]
    pub tamper: Option<Tamper>,
    /// Secrets of the build, by id: what is searched for.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Kinds of attestations beside the image.
    #[serde(default)]
    pub attestations: Option<Vec<String>>,
    /// Signatures beside the image.
    #[serde(default)]
    pub signatures: Option<Vec<RecipeSignature>>,
    /// Paths that the SBOM names.
    #[serde(default)]
    pub sbom_files: Option<Vec<String>>,
}

/// A layer of a [`Recipe`], with its entry of the history.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct RecipeLayer {
    /// The text in the history.
    #[serde(default)]
    pub created_by: String,
    /// What is in it, in the order of the tar.
    #[serde(default)]
    pub entries: Vec<RecipeEntry>,
    /// It is of the base.
    #[serde(default)]
    pub base: bool,
    /// An entry of the history alone.
    #[serde(default)]
    pub empty_layer: bool,
}

/// An entry of a [`RecipeLayer`].
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct RecipeEntry {
    /// Its path; one `/` in front is left out.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: RecipeKind,
    /// Octal; else `0644`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The owner.
    #[serde(default)]
    pub uid: u32,
    /// The group.
    #[serde(default)]
    pub gid: u32,
    /// Seconds since 1970.
    #[serde(default)]
    pub mtime: Option<i64>,
    /// A file's text.
    #[serde(default)]
    pub content: Option<String>,
    /// The same, in base64.
    #[serde(default)]
    pub content_b64: Option<String>,
    /// Else so many bytes, the same for the same number.
    #[serde(default)]
    pub size: u64,
    /// Where a link leads.
    #[serde(default)]
    pub target: String,
    /// Of a device.
    #[serde(default)]
    pub major: u32,
    /// Of a device.
    #[serde(default)]
    pub minor: u32,
    /// Extended attributes by name, in base64.
    #[serde(default)]
    pub xattrs: BTreeMap<String, String>,
}

/// What a [`RecipeEntry`] is.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of the file say it")]
pub enum RecipeKind {
    #[default]
    File,
    Dir,
    Symlink,
    Hardlink,
    Whiteout,
    Opaque,
    Char,
    Block,
    Fifo,
}

/// Which layer is changed.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Tamper {
    /// From 0 at the bottom; those of the history alone are not counted.
    pub layer: usize,
    /// In words, for people.
    #[serde(default)]
    pub how: String,
}

/// A signature beside the image.
#[derive(Deserialize, Clone, Debug)]
pub struct RecipeSignature {
    /// The name of the key.
    pub key: String,
    /// Whether it holds.
    #[serde(default)]
    pub verified: bool,
}

/// Bytes of all layers of a recipe: it is held in memory.
const MOST: u64 = 64 << 20;
const BLOCK: usize = 512;

impl Recipe {
    /// Returns the platform.
    pub fn platform(&self) -> Result<Platform, String> {
        let text = self.platform.as_deref().unwrap_or("linux/amd64");
        Platform::parse(text).map_err(|error| error.to_string())
    }

    /// Returns how many layers, from the bottom, are of the base.
    pub fn base_layers(&self) -> usize {
        let real = self.layers.iter().filter(|layer| !layer.empty_layer);
        real.filter(|layer| layer.base).count()
    }

    /// Writes the layout into a folder. An error is a mistake of the recipe, or the disk's.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let blobs = folder.join("blobs/sha256");
        let io = |error: io::Error| format!("cannot write the image: {error}");
        fs::create_dir_all(&blobs).map_err(io)?;
        let blob = |bytes: &[u8]| -> Result<Digest<Blob>, String> {
            let digest = Digest::<Blob>::of(bytes);
            fs::write(blobs.join(digest.hex()), bytes).map_err(io)?;
            Ok(digest)
        };
        let (mut layers, mut diffs, mut history) = (Vec::new(), Vec::new(), Vec::new());
        let mut left = MOST;
        for layer in &self.layers {
            let mut line =
                json!({"created": "2026-01-01T00:00:00Z", "created_by": layer.created_by});
            if layer.empty_layer {
                line["empty_layer"] = true.into();
                history.push(line);
                continue;
            }
            history.push(line);
            let tar = tar_of(&layer.entries, &mut left)?;
            let digest = blob(&tar)?;
            diffs.push(digest);
            layers.push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest.to_string(), "size": tar.len(),
            }));
        }
        let platform = self.platform()?.to_string();
        let mut parts = platform.split('/');
        let config = match &self.config {
            Value::Null => json!({}),
            config => config.clone(),
        };
        let texts: Vec<String> = diffs.iter().map(ToString::to_string).collect();
        let mut config = json!({
            "created": "2026-01-01T00:00:00Z", "os": parts.next(), "architecture": parts.next(),
            "config": config, "rootfs": { "type": "layers", "diff_ids": texts },
            "history": history,
        });
        if let Some(variant) = parts.next() {
            config["variant"] = variant.into();
        }
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {
                "mediaType": CONFIG, "digest": blob(config.as_bytes())?.to_string(),
                "size": config.len(),
            },
            "layers": layers,
        });
        let manifest = manifest.to_string();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST, "digest": blob(manifest.as_bytes())?.to_string(),
                "size": manifest.len(),
            }],
        });
        fs::write(folder.join("index.json"), index.to_string()).map_err(io)?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).map_err(io)?;
        if let Some(text) = &self.extra_blob {
            blob(text.as_bytes())?;
        }
        if let Some(Tamper { layer, .. }) = &self.tamper {
            let digest =
                diffs.get(*layer).ok_or_else(|| format!("`tamper`: there is no layer {layer}"))?;
            let path = blobs.join(digest.hex());
            let mut bytes = fs::read(&path).map_err(io)?;
            bytes[0] ^= 1;
            fs::write(path, bytes).map_err(io)?;
        }
        Ok(())
    }
}

// A tar as it is told: `LayerWriter` would refuse what a case is about (a path twice, one with `..`).
fn tar_of(entries: &[RecipeEntry], left: &mut u64) -> Result<Vec<u8>, String> {
    let mut tar = Vec::new();
    for entry in entries {
        let wrong = |what: &str| format!("`{}`: {what}", entry.path.escape_default());
        let content = match (&entry.content, &entry.content_b64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => {
                base64::decode(text).ok_or_else(|| wrong("`content_b64` is no base64"))?
            }
            (None, None) if entry.size <= *left => filler(entry.size),
            (None, None) => return Err(wrong("a recipe has at most 64 MiB")),
            (Some(_), Some(_)) => return Err(wrong("`content` and `content_b64`")),
        };
        let content = if entry.kind == RecipeKind::File { content } else { Vec::new() };
        *left = (*left)
            .checked_sub(content.len() as u64)
            .ok_or_else(|| wrong("a recipe has at most 64 MiB"))?;
        let name = entry.path.strip_prefix('/').unwrap_or(&entry.path);
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        let inside = |last: &str| match folder {
            "" => last.to_owned(),
            folder => format!("{folder}/{last}"),
        };
        let target = entry.target.as_str();
        let (kind, name, target) = match entry.kind {
            RecipeKind::File => (b'0', name.to_owned(), ""),
            RecipeKind::Hardlink => (b'1', name.to_owned(), target.trim_start_matches('/')),
            RecipeKind::Symlink => (b'2', name.to_owned(), target),
            RecipeKind::Char => (b'3', name.to_owned(), ""),
            RecipeKind::Block => (b'4', name.to_owned(), ""),
            RecipeKind::Dir => (b'5', name.to_owned(), ""),
            RecipeKind::Fifo => (b'6', name.to_owned(), ""),
            // OCI image specification, layer.md, "Whiteouts".
            RecipeKind::Whiteout => (b'0', inside(&format!(".wh.{last}")), ""),
            RecipeKind::Opaque => (b'0', format!("{name}/.wh..wh..opq"), ""),
        };
        let mode = entry.mode.as_deref().unwrap_or("0644");
        let mode = u64::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
        let mode = mode.ok_or_else(|| wrong("`mode` is octal, as \"0755\""))?;
        let mtime = entry.mtime.unwrap_or(0);

        // What does not fit into the header stands in one of POSIX's before it.
        let mut more: Vec<(String, Vec<u8>)> = Vec::new();
        if name.len() > 100 {
            more.push(("path".into(), name.clone().into_bytes()));
        }
        if target.len() > 100 {
            more.push(("linkpath".into(), target.to_owned().into_bytes()));
        }
        for (key, number) in [("uid", entry.uid), ("gid", entry.gid)] {
            if number > 0o7_777_777 {
                more.push((key.into(), number.to_string().into_bytes()));
            }
        }
        if !(0..=0o77_777_777_777).contains(&mtime) {
            more.push(("mtime".into(), mtime.to_string().into_bytes()));
        }
        for (key, value) in &entry.xattrs {
            let value =
                base64::decode(value).ok_or_else(|| wrong("a value of `xattrs` is no base64"))?;
            more.push((format!("SCHILY.xattr.{key}"), value));
        }
        if !more.is_empty() {
            let records: Vec<u8> =
                more.iter().flat_map(|(key, value)| record(key, value)).collect();
            let head = header("pax", b'x', "", [0o644, 0, 0, records.len() as u64, 0], [0, 0]);
            push(&mut tar, &head, &records);
        }
        let mtime = u64::try_from(mtime).unwrap_or(0);
        let numbers = [mode, entry.uid.into(), entry.gid.into(), content.len() as u64, mtime];
        let head = header(&name, kind, target, numbers, [entry.major, entry.minor]);
        push(&mut tar, &head, &content);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar)
}

fn push(tar: &mut Vec<u8>, head: &[u8], content: &[u8]) {
    tar.extend_from_slice(head);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

// A record of a PAX header: its length, which counts itself, `KEY=VALUE`, a newline.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut out = format!("{length} {key}=").into_bytes();
    out.extend_from_slice(value);
    out.push(b'\n');
    out
}

// POSIX.1-2017, pax, "ustar Interchange Format": mode, uid, gid, size, mtime at 100.
fn header(name: &str, kind: u8, target: &str, numbers: [u64; 5], device: [u32; 2]) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    let first = |text: &str| text.as_bytes()[..text.len().min(100)].to_vec();
    put(0, &first(name));
    for ((at, width), number) in
        [(100, 7), (108, 7), (116, 7), (124, 11), (136, 11)].into_iter().zip(numbers)
    {
        // A number that is too large stands in a record.
        let number = if number < 1 << (3 * width) { number } else { 0 };
        put(at, format!("{number:0width$o}").as_bytes());
    }
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &first(target));
    put(257, b"ustar\x0000");
    for (at, number) in [(329, device[0]), (337, device[1])] {
        put(at, format!("{:07o}", number & 0o7_777_777).as_bytes());
    }
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
    out[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out
}

// The same bytes for the same size, whatever the path.
fn filler(size: u64) -> Vec<u8> {
    let piece = *Digest::<Blob>::of(b"rbuild-case").as_bytes();
    piece.iter().copied().cycle().take(size as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Known, look};
    use crate::facts::ImageFacts;
    use crate::image::Selector;
    use crate::input::{Finished, FinishedSource};

    // The facts of the image that a recipe makes.
    fn facts(recipe: &Value) -> ImageFacts {
        let recipe: Recipe = serde_json::from_value(recipe.clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        recipe.write(folder.path()).unwrap();
        let source = FinishedSource::Folder(folder.path().to_owned(), Selector::Only);
        let image = Finished::open(&source, &recipe.platform().unwrap(), None).unwrap();
        let known = Known { base_layers: recipe.base_layers(), ..Known::default() };
        look(&image, &known, 1).unwrap()
    }

    #[test]
    fn an_image_is_as_it_was_told() {
        let long = format!("/{}", "d/".repeat(80) + "file");
        let facts = facts(&json!({
            "platform": "linux/arm/v7",
            "config": { "User": "app" },
            "layers": [
                { "created_by": "base", "base": true, "entries": [
                    { "path": "/etc", "type": "dir", "mode": "0755" },
                    { "path": "/etc/a", "type": "file", "content": "text\n", "mode": "4755", "uid": 7 },
                    { "path": "/etc/b", "type": "file", "size": 1000, "gid": 3_000_000 },
                ]},
                { "created_by": "ENV A=b", "empty_layer": true },
                { "created_by": "RUN x", "entries": [
                    { "path": "/etc/a", "type": "whiteout" },
                    { "path": long, "type": "file", "content_b64": "AAE=", "mtime": -5,
                      "xattrs": { "security.capability": "AQ==" } },
                    { "path": "/l", "type": "symlink", "target": "/etc/b" },
                    { "path": "/null", "type": "char", "major": 1, "minor": 3 },
                ]},
            ],
        }));
        assert!(facts.whole.mismatches.is_empty(), "{:?}", facts.whole.mismatches);
        assert_eq!(facts.config.platform().to_string(), "linux/arm/v7");
        assert_eq!(facts.layers.len(), 2);
        let base = &facts.layers[0].table.files;
        let file = |name: &str| base.iter().find(|file| file.path == name).unwrap();
        assert_eq!((file("/etc/a").mode, file("/etc/a").uid, file("/etc/a").size), (0o4755, 7, 5));
        assert_eq!((file("/etc/b").gid, file("/etc/b").size), (3_000_000, 1000));
        assert_eq!(file("/etc/a").sha256, Digest::<Blob>::of(b"text\n").hex());
        let own = &facts.layers[1].table.files;
        assert!(own.iter().any(|file| file.path == long && file.size == 2), "{own:?}");
        assert!(own.iter().any(|file| file.path == "/null"), "{own:?}");
    }

    #[test]
    fn what_is_wrong_on_purpose_is_seen() {
        let layer = json!([{ "created_by": "x", "entries": [
            { "path": "/a", "type": "file", "content": "1" },
            { "path": "/a", "type": "file", "content": "2" },
            { "path": "../up", "type": "file", "content": "3" },
        ]}]);
        let told = facts(&json!({ "layers": layer }));
        let text = format!("{:?}", told.layers[0].table);
        assert!(text.contains("up") && !told.whole.broken, "{text}");
        assert!(told.whole.mismatches.is_empty());
        let bad = facts(&json!({ "layers": layer, "tamper": { "layer": 0 }, "extra_blob": "x" }));
        assert_eq!(bad.whole.mismatches.len(), 1);
        assert_eq!(bad.whole.orphans.unwrap().len(), 1);
    }

    #[test]
    fn mistakes_of_a_recipe_are_told() {
        for (entry, want) in [
            (json!({ "path": "a", "type": "file", "size": 1u64 << 40 }), "at most 64 MiB"),
            (json!({ "path": "a", "type": "file", "content_b64": "*" }), "no base64"),
            (json!({ "path": "a", "type": "file", "mode": "rw" }), "octal"),
            (json!({ "path": "a", "type": "file", "content": "", "content_b64": "" }), "and"),
        ] {
            let recipe = json!({ "layers": [{ "entries": [entry] }] });
            let recipe: Recipe = serde_json::from_value(recipe).unwrap();
            let error = recipe.write(tempfile::tempdir().unwrap().path()).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        let unknown = json!({ "layers": [], "layer": 1 });
        assert!(serde_json::from_value::<Recipe>(unknown).is_err());
    }
}
