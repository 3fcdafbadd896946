//! What a layer holds: one row per entry, made while the layer streams by.
//!
//! Kept with the layer's diff id in the store ([`LayerTable::to_bytes`]), so that a layer that has
//! been seen once is never read again for facts. The form is JSON lines, one row each, behind a
//! line that names the version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::content::{ContentScan, Mark, MarkKind};
use super::keep::{Keep, Room};
use super::program::{Program, ProgramScan};
use crate::base::{Blob, Digest, Hasher, ImagePath, Sums, hex};
use crate::layer::{Entry, EntryKind, Observer};

const VERSION: &str = "rbuild layer table 4";

/// The kind under which the store keeps tables: `store.facts(diff, LayerTable::KIND)`.
const KIND: &str = "table-4";

/// Where packages put files: of those in there, the sums that package databases hold are taken too.
const PACKAGED: &[&[u8]] = &[b"/bin/", b"/sbin/", b"/lib", b"/usr/", b"/etc/", b"/opt/", b"/boot/"];

/// Anomalies of one layer that are kept, and tokens: a hostile layer may hold millions.
const MOST_ANOMALIES: usize = 1000;
const MOST_MARKS: usize = 20_000;

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    #[default]
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
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
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
    /// MD5 of the content in hex, where packages put files; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub md5: String,
    /// SHA-1 likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha1: String,
    /// Tokens, keys and telling words that stand in the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

impl FileFact {
    /// Tells whether it is machine code: ELF, PE or Mach-O.
    pub fn is_machine_code(&self) -> bool {
        self.kind == FileKind::File
            && (matches!(
                self.magic.as_str(),
                "7f454c46" | "feedface" | "feedfacf" | "cefaedfe" | "cffaedfe"
            ) || (self.magic.starts_with("4d5a") && self.size > 128))
    }

    /// Tells whether it is a program: machine code, or a script that may be run.
    pub fn is_program(&self) -> bool {
        self.is_machine_code() || (self.magic.starts_with("2321") && self.mode & 0o111 != 0)
    }
}

/// Something about the stream of a layer that readers may take in several ways.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Anomaly {
    /// The name as it is written, behind a slash; bytes that are not UTF-8 escaped.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

/// All rows of a layer, in its order, and the text of the few files that rules read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LayerTable {
    /// The rows.
    pub files: Vec<FileFact>,
    /// Path to text: accounts, os-release, the system's identity, package databases. Hashes of
    /// passwords are left out.
    pub texts: BTreeMap<String, String>,
    /// Those of them that are not whole, since they were too large.
    pub cut: BTreeSet<String>,
    /// What is odd about the stream.
    pub anomalies: Vec<Anomaly>,
}

/// What stands in the second line of the kept form.
#[derive(serde::Serialize, serde::Deserialize)]
struct Head<'a> {
    texts: std::borrow::Cow<'a, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    cut: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<Anomaly>,
}

impl LayerTable {
    /// The name under which the store keeps it: `store.facts(diff, LayerTable::KIND)`.
    pub const KIND: &'static str = KIND;

    /// Writes the kept form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(VERSION.as_bytes());
        out.push(b'\n');
        let head = Head {
            texts: std::borrow::Cow::Borrowed(&self.texts),
            cut: self.cut.clone(),
            anomalies: self.anomalies.clone(),
        };
        serde_json::to_writer(&mut out, &head).expect("plain values are JSON");
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
        let head: Head<'_> = serde_json::from_slice(lines.next()?).ok()?;
        let files = lines.map(|line| serde_json::from_slice(line).ok()).collect::<Option<_>>()?;
        Some(LayerTable {
            files,
            texts: head.texts.into_owned(),
            cut: head.cut,
            anomalies: head.anomalies,
        })
    }
}

/// What tables that are made at once may cost together ([`TableObserver::cost`]).
#[derive(Debug)]
pub struct Budget {
    most: u64,
    taken: AtomicU64,
    spent: AtomicBool,
}

impl Budget {
    /// Starts with nothing taken.
    pub fn new(most: u64) -> Self {
        Budget { most, taken: AtomicU64::new(0), spent: AtomicBool::new(false) }
    }

    /// Takes so much of it.
    pub fn take(&self, cost: u64) {
        let before = self.taken.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) > self.most {
            self.spent.store(true, Ordering::Relaxed);
        }
    }

    /// Gives back what a table took that is not there any more.
    pub fn give_back(&self, cost: u64) {
        self.taken.fetch_sub(cost, Ordering::Relaxed);
    }

    /// Tells whether more was wanted than there is, at any time: since then no table is whole.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}

/// Makes the table of a layer while it is written or read.
#[derive(Default)]
pub struct TableObserver {
    table: LayerTable,
    open: Option<Open>,
    room: Room,
    content: ContentScan,
    marks: usize,
    cost: u64,
    budget: Option<Arc<Budget>>,
}

struct Open {
    fact: FileFact,
    hasher: Hasher,
    sums: Option<Sums>,
    head: Vec<u8>,
    program: ProgramScan,
    keep: Option<Keep>,
}

impl TableObserver {
    /// Starts with an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with an empty table that takes what it costs from a budget: what is more is not seen.
    pub fn within(budget: &Arc<Budget>) -> Self {
        TableObserver { budget: Some(Arc::clone(budget)), ..Self::default() }
    }

    /// What the table costs, about as many bytes as it takes in memory; a deep path costs more, since
    /// rules look at each folder of it.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Tells whether it would have cost more than there is: the table is not whole then.
    pub fn is_full(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.is_spent())
    }

    fn pay(&mut self, cost: u64) {
        self.cost += cost;
        if let Some(budget) = &self.budget {
            budget.take(cost);
        }
    }

    /// Returns the table of all that was seen.
    pub fn finish(self) -> LayerTable {
        self.table
    }
}

impl Observer for TableObserver {
    fn entry(&mut self, entry: &Entry) {
        if self.is_full() {
            return;
        }
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
        let name = entry.path.as_bytes();
        let is_file = kind == FileKind::File;
        if is_file {
            self.content.start(name);
        }
        let packaged = is_file
            && PACKAGED.iter().any(|top| name.starts_with(top))
            && !name.starts_with(b"/usr/local/");
        if std::str::from_utf8(name).is_err() {
            self.anomaly(entry.path.relative(), "its name is not UTF-8");
        }
        self.open = Some(Open {
            fact: FileFact {
                path: path(&entry.path),
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                size: entry.size(),
                mtime: entry.mtime,
                xattrs: entry
                    .xattrs
                    .keys()
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect(),
                ..FileFact::default()
            },
            hasher: Hasher::new(),
            sums: packaged.then(Sums::new),
            head: Vec::new(),
            program: ProgramScan::default(),
            keep: if is_file { Keep::of(name) } else { None },
        });
    }

    fn content(&mut self, data: &[u8]) {
        let Some(open) = &mut self.open else { return };
        open.hasher.update(data);
        open.program.feed(data);
        if open.head.len() < 4 {
            open.head.extend(data.iter().take(4 - open.head.len()));
        }
        if let Some(sums) = &mut open.sums {
            sums.update(data);
        }
        if let Some(keep) = &mut open.keep {
            keep.feed(data, &mut self.room);
        }
        self.content.feed(data);
    }

    fn end(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.fact.kind == FileKind::File {
            let digest: Digest<Blob> = open.hasher.finish();
            open.fact.sha256 = digest.hex();
            open.fact.magic = hex(&open.head);
            open.fact.program = open.program.finish().map(Box::new);
            if let Some(sums) = open.sums {
                (open.fact.md5, open.fact.sha1) = sums.finish();
            }
            open.fact.marks = self.content.end();
            // Tokens may be examples without end; keys and logins are always told.
            if self.marks >= MOST_MARKS {
                open.fact.marks.retain(|mark| mark.kind != MarkKind::Token);
            }
            self.marks += open.fact.marks.len();
        }
        self.pay(cost(&open.fact));
        if let Some(keep) = open.keep {
            let (text, whole) = keep.end();
            self.pay(text.len() as u64);
            let path = &open.fact.path;
            match whole {
                true => self.table.cut.remove(path),
                false => self.table.cut.insert(path.clone()),
            };
            if !self.is_full() {
                self.table.texts.insert(path.clone(), text);
            }
        }
        if !self.is_full() {
            self.table.files.push(open.fact);
        }
    }

    fn anomaly(&mut self, name: &[u8], what: &str) {
        if self.table.anomalies.len() >= MOST_ANOMALIES || self.is_full() {
            return;
        }
        let name = &name[..name.len().min(4096)];
        let path = match std::str::from_utf8(name) {
            Ok(name) => format!("/{name}"),
            Err(_) => format!("/{}", name.escape_ascii()),
        };
        self.pay((path.len() + what.len() + size_of::<Anomaly>()) as u64);
        self.table.anomalies.push(Anomaly { path, what: what.to_owned() });
    }
}

/// What each folder above an entry costs: rules look it up, again and again, by a path that grows.
const FOLDER: usize = 64;
/// Folders above an entry that are usual, and what each further one costs.
const USUAL: usize = 32;
const FURTHER: usize = 1024;

// A row in memory, with what it owns.
fn cost(fact: &FileFact) -> u64 {
    let target = match &fact.kind {
        FileKind::Symlink(to) | FileKind::Hardlink(to) => to.len(),
        _ => 0,
    };
    let program = match fact.program.as_deref() {
        Some(Program::Script(line)) => size_of::<Program>() + line.len(),
        Some(Program::Elf(elf)) => {
            let names = elf.needed.iter().chain(&elf.interpreter);
            size_of::<Program>() + names.map(|name| size_of::<String>() + name.len()).sum::<usize>()
        }
        None => 0,
    };
    let marks = fact.marks.iter();
    let marks = marks.map(|mark| size_of::<Mark>() + mark.what.len() + mark.shown.len());
    let names = fact.xattrs.iter().map(|name| size_of::<String>() + name.len());
    let sums = fact.sha256.len() + fact.md5.len() + fact.sha1.len();
    let depth = fact.path.bytes().filter(|byte| *byte == b'/').count();
    let own = size_of::<FileFact>() + fact.path.len() + target + program + sums;
    let folders = depth * FOLDER + depth.saturating_sub(USUAL) * FURTHER;
    (own + marks.sum::<usize>() + names.sum::<usize>() + folders) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_at_its_limit() {
        let add = |table: &mut TableObserver, path: &str| {
            let path = ImagePath::from_entry(path.as_bytes()).unwrap();
            table.entry(&Entry::new(path, EntryKind::File { size: 100 }, 0o644));
            table.content(&[b'x'; 100]);
            table.end();
        };
        let cost = |path: &str| {
            let mut table = TableObserver::new();
            add(&mut table, path);
            table.cost()
        };
        assert!(cost("a") > 256 && cost("etc/hosts") > cost("etc/hostx") + 99, "texts count");
        assert!(cost(&"a/".repeat(30)) > cost(&"a/".repeat(20)) + 640, "folders count");
        assert!(cost(&"a/".repeat(500)) > 450 * 1024, "many of them a lot");
        let mut table = TableObserver::within(&Arc::new(Budget::new(10 * cost("a"))));
        (0..10).for_each(|_| add(&mut table, "a"));
        assert!(!table.is_full());
        (0..90).for_each(|_| add(&mut table, "etc/hosts"));
        (0..9).for_each(|_| table.anomaly(b"x", "y"));
        assert!(table.is_full() && table.cost() < 12 * cost("a"));
        let table = table.finish();
        assert_eq!((table.files.len(), table.texts.len(), table.anomalies.len()), (10, 0, 0));
    }

    #[test]
    fn a_budget_that_was_spent_stays_so() {
        let budget = Budget::new(10);
        budget.take(8);
        budget.give_back(8);
        budget.take(10);
        assert!(!budget.is_spent());
        budget.take(1);
        // Some table is not whole since, whatever comes back.
        budget.give_back(11);
        assert!(budget.is_spent());
    }

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
        observer.entry(&entry("usr/bin/x", EntryKind::File { size: 0 }, 0o755));
        observer.content(b"#! /bin/sh");
        observer.content(b" -e\nxmrig\n");
        observer.end();
        observer.anomaly(b"../x", "has a `..`");
        let table = observer.finish();
        let script = &table.files[3];
        assert_eq!(script.program.as_deref(), Some(&Program::Script(" /bin/sh -e".into())));
        assert_eq!(script.md5, "09f80dea4d2d8023cc0649d834627f87");
        assert_eq!(script.marks[0].what, "xmrig");
        assert!(script.is_program() && !script.is_machine_code());
        assert_eq!(table.anomalies[0].path, "/../x");
        assert_eq!(table.texts["/etc/passwd"], "root:x:0:");
        assert_eq!(table.files[0].magic, "726f6f74");
        assert_eq!(table.files[1].mode, 0o4755);
        assert_eq!(table.files[0].program, None);
        assert_eq!(LayerTable::from_bytes(&table.to_bytes()).unwrap(), table);
        assert_eq!(LayerTable::from_bytes(b"other\n"), None);
    }
}
