//! What a folder of an ordinary user cannot hold of an image: owners, set-uid bits, devices,
//! capabilities. Written beside it, in the form of mtree(5), which `bsdtar` and others read.

use std::fmt::Write;

use crate::layer::{Entry, EntryKind};

/// The entries that lost something, in the order of their paths.
#[derive(Default)]
pub(super) struct Owners {
    lines: Vec<String>,
}

impl Owners {
    /// Records the entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        let mut line = String::from(".");
        for byte in entry.path.as_bytes() {
            // vis(3), octal: what would end the word, and what is not text.
            if byte.is_ascii_graphic() && !b"\\#*?[".contains(byte) {
                line.push(char::from(*byte));
            } else {
                let _ = write!(line, "\\{byte:03o}");
            }
        }
        let kind = match entry.kind {
            EntryKind::Dir => "dir",
            EntryKind::Symlink(_) => "link",
            EntryKind::Char { .. } => "char",
            EntryKind::Block { .. } => "block",
            EntryKind::Fifo => "fifo",
            _ => "file",
        };
        let (uid, gid, mode) = (entry.uid, entry.gid, entry.mode);
        let _ = write!(line, " type={kind} uid={uid} gid={gid} mode={mode:04o}");
        if let EntryKind::Char { major, minor } | EntryKind::Block { major, minor } = entry.kind {
            let _ = write!(line, " device=linux,{major},{minor}");
        }
        for (name, value) in &entry.xattrs {
            if name == b"security.capability" {
                let _ = write!(line, " # security.capability=0x");
                for byte in value {
                    let _ = write!(line, "{byte:02x}");
                }
            }
        }
        self.lines.push(line);
    }

    /// The text of the file; `None` when nothing was lost.
    pub(super) fn text(mut self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        self.lines.sort();
        Some(format!("#mtree\n/set uid=0 gid=0\n{}\n", self.lines.join("\n")))
    }
}
