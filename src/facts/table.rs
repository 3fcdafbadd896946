//! What a layer holds: one row per entry, made while the layer streams by.
//!
//! Kept with the layer's diff id in the store ([`LayerTable::to_bytes`]), so that a layer that has
//! been seen once is never read again for facts. The form is JSON lines, one row each, behind a
//! line that names the version.

use std::collections::BTreeMap;

use super::program::{Program, ProgramScan};
use crate::base::{Blob, Digest, Hasher, ImagePath, hex};
use crate::layer::{Entry, EntryKind, Observer};

const VERSION: &str = "rbuild layer table 2";

/// The kind under which the store keeps tables: `store.facts(diff, LayerTable::KIND)`.
const KIND: &str = "table-2";

/// Files whose text is kept, since rules read them: small, and bounded all the same.
const KEPT: &[&[u8]] = &[b"/etc/passwd", b"/etc/group", b"/etc/os-release", b"/usr/lib/os-release"];
const KEPT_LIMIT: usize = 64 * 1024;

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link with this text.
    Symlink(String),
    /// Another name of a file of the same layer.
    Hardlink(String),
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Hides the path in the layers below.
    Whiteout,
    /// Hides what the layers below have in the folder.
    Opaque,
}

/// One row.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct FileFact {
    /// The path, with bytes that are not UTF-8 replaced.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, set-uid, set-gid and sticky: `0o7777` at most.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// SHA-256 of the content in hex; empty for what is no file.
    pub sha256: String,
    /// The first bytes of the content in hex, 4 at most: tells ELF (`7f454c46`) and scripts
    /// (`2321…`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub magic: String,
    /// What it is to the kernel that is asked to run it; `None` for what is no program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Box<Program>>,
    /// Seconds since 1970.
    #[serde(default)]
    pub mtime: i64,
    /// Names of its extended attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
}

/// All rows of a layer, in its order, and the text of the few files that rules read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LayerTable {
    /// The rows.
    pub files: Vec<FileFact>,
    /// Path to text: `/etc/passwd`, `/etc/group`, os-release.
    pub texts: BTreeMap<String, String>,
}

impl LayerTable {
    /// The name under which the store keeps it: `store.facts(diff, LayerTable::KIND)`.
    pub const KIND: &'static str = KIND;

    /// Writes the kept form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(VERSION.as_bytes());
        out.push(b'\n');
        let texts = serde_json::to_vec(&self.texts).expect("strings are JSON");
        out.extend_from_slice(&texts);
        for file in &self.files {
            out.push(b'\n');
            serde_json::to_writer(&mut out, file).expect("plain values are JSON");
        }
        out
    }

    /// Reads the kept form; `None` if it is of another version or damaged: make it again then.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if lines.next()? != VERSION.as_bytes() {
            return None;
        }
        let texts = serde_json::from_slice(lines.next()?).ok()?;
        let files = lines.map(|line| serde_json::from_slice(line).ok()).collect::<Option<_>>()?;
        Some(LayerTable { files, texts })
    }
}

/// Makes the table of a layer while it is written or read.
#[derive(Default)]
pub struct TableObserver {
    table: LayerTable,
    open: Option<Open>,
}

struct Open {
    fact: FileFact,
    hasher: Hasher,
    head: Vec<u8>,
    program: ProgramScan,
    keep: Option<Vec<u8>>,
}

impl TableObserver {
    /// Starts with an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the table of all that was seen.
    pub fn finish(self) -> LayerTable {
        self.table
    }
}

impl Observer for TableObserver {
    fn entry(&mut self, entry: &Entry) {
        let path = |path: &ImagePath| path.display().into_owned();
        let kind = match &entry.kind {
            EntryKind::File { .. } => FileKind::File,
            EntryKind::Dir => FileKind::Dir,
            EntryKind::Symlink(text) => FileKind::Symlink(String::from_utf8_lossy(text).into()),
            EntryKind::Hardlink(to) => FileKind::Hardlink(path(to)),
            EntryKind::Char { .. } => FileKind::Char,
            EntryKind::Block { .. } => FileKind::Block,
            EntryKind::Fifo => FileKind::Fifo,
            EntryKind::Whiteout => FileKind::Whiteout,
            EntryKind::Opaque => FileKind::Opaque,
        };
        let keep = (kind == FileKind::File && KEPT.contains(&entry.path.as_bytes())).then(Vec::new);
        self.open = Some(Open {
            fact: FileFact {
                path: path(&entry.path),
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                size: entry.size(),
                sha256: String::new(),
                magic: String::new(),
                program: None,
                mtime: entry.mtime,
                xattrs: entry
                    .xattrs
                    .keys()
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect(),
            },
            hasher: Hasher::new(),
            head: Vec::new(),
            program: ProgramScan::default(),
            keep,
        });
    }

    fn content(&mut self, data: &[u8]) {
        let Some(open) = &mut self.open else { return };
        open.hasher.update(data);
        open.program.feed(data);
        if open.head.len() < 4 {
            open.head.extend(data.iter().take(4 - open.head.len()));
        }
        if let Some(keep) = &mut open.keep {
            keep.extend(data.iter().take(KEPT_LIMIT - keep.len()));
        }
    }

    fn end(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.fact.kind == FileKind::File {
            let digest: Digest<Blob> = open.hasher.finish();
            open.fact.sha256 = digest.hex();
            open.fact.magic = hex(&open.head);
            open.fact.program = open.program.finish().map(Box::new);
        }
        if let Some(keep) = open.keep {
            let text = String::from_utf8_lossy(&keep).into_owned();
            self.table.texts.insert(open.fact.path.clone(), text);
        }
        self.table.files.push(open.fact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_kept_and_read_back() {
        let mut observer = TableObserver::new();
        let entry = |path: &str, kind, mode| {
            Entry::new(ImagePath::from_entry(path.as_bytes()).unwrap(), kind, mode)
        };
        observer.entry(&entry("etc/passwd", EntryKind::File { size: 9 }, 0o644));
        observer.content(b"root:");
        observer.content(b"x:0:");
        observer.end();
        observer.entry(&entry("bin/su", EntryKind::File { size: 0 }, 0o4755));
        observer.end();
        observer.entry(&entry("x\n\"y", EntryKind::Symlink(b"a".to_vec()), 0o777));
        observer.end();
        let table = observer.finish();
        assert_eq!(table.texts["/etc/passwd"], "root:x:0:");
        assert_eq!(table.files[0].magic, "726f6f74");
        assert_eq!(table.files[1].mode, 0o4755);
        assert_eq!(table.files[0].program, None);
        assert_eq!(LayerTable::from_bytes(&table.to_bytes()).unwrap(), table);
        assert_eq!(LayerTable::from_bytes(b"other\n"), None);
    }
}
