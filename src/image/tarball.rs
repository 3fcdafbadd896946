//! Archives that are looked into where they lie: one pass over the headers tells where each file
//! is, content is read from its place when it is asked for. Nothing is unpacked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::layout::LayoutError;
use crate::layer::{EntryKind, Format, Limits, Reader};

/// Files of one archive that are remembered; an image has a few hundred at most.
const MOST: usize = 100_000;

/// Links that are followed from one name, as Linux does.
const LINKS: usize = 40;

/// An uncompressed tar file and what is where in it.
#[derive(Clone, Debug)]
pub struct Archive {
    path: PathBuf,
    file: Arc<File>,
    files: BTreeMap<String, (u64, u64)>,
    links: BTreeMap<String, String>,
}

/// The content of one file of an archive.
#[derive(Debug)]
pub struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read_at(&mut buffer[..room], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

// Hands the headers on; what is to be passed over is told as zeros, and not read.
struct Headers {
    file: Arc<File>,
    at: Rc<Cell<u64>>,
    pass: Rc<Cell<u64>>,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pass = self.pass.get();
        if pass > 0 {
            let passed = usize::try_from(pass).unwrap_or(usize::MAX).min(buffer.len());
            self.pass.set(pass - passed as u64);
            self.at.set(self.at.get() + passed as u64);
            return Ok(passed);
        }
        let got = self.file.read_at(buffer, self.at.get())?;
        self.at.set(self.at.get() + got as u64);
        Ok(got)
    }
}

impl Archive {
    /// Opens an archive and reads its headers. Of several files with one name the last one counts.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let io = |source| LayoutError::Io { path: path.to_owned(), source };
        let not = |why: String| LayoutError::NotALayout { path: path.to_owned(), why };
        let file = File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(io(io::Error::other("not a regular file")));
        }
        let mut start = [0; 4];
        let got = file.read_at(&mut start, 0).map_err(io)?;
        if Format::sniff(&start[..got]) != Format::Plain {
            return Err(not("it is compressed; decompress it first (`gunzip`, `unzstd`)".into()));
        }
        let file = Arc::new(file);
        let (at, pass) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let headers =
            Headers { file: Arc::clone(&file), at: Rc::clone(&at), pass: Rc::clone(&pass) };
        let limits = Limits { entries: MOST as u64 * 3, content: u64::MAX, ..Limits::default() };
        let mut reader = Reader::archive(headers, limits);
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        while let Some(entry) = reader.next_entry().map_err(|error| not(error.to_string()))? {
            let name = String::from_utf8_lossy(entry.path.relative()).into_owned();
            match entry.kind {
                EntryKind::File { size } => {
                    files.insert(name.clone(), (at.get(), size));
                    links.remove(&name);
                    pass.set(size.next_multiple_of(512));
                }
                EntryKind::Symlink(to) => {
                    links.insert(name.clone(), beside(&name, &String::from_utf8_lossy(&to)));
                    files.remove(&name);
                }
                EntryKind::Hardlink(to) => {
                    let to = String::from_utf8_lossy(to.relative()).into_owned();
                    links.insert(name.clone(), to);
                    files.remove(&name);
                }
                _ => {}
            }
            if files.len() + links.len() > MOST {
                return Err(not(format!("it holds more than {MOST} files")));
            }
        }
        Ok(Archive { path: path.to_owned(), file, files, links })
    }

    /// The archive's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size of a file, links followed; `None` if it is not there.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.place(name).map(|(_, size)| size)
    }

    /// Returns the content of a file, links followed; `None` if it is not there.
    pub fn content(&self, name: &str) -> Option<Section> {
        let (at, left) = self.place(name)?;
        Some(Section { file: Arc::clone(&self.file), at, left })
    }

    /// The names of all files, links left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn place(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = name.strip_prefix("./").unwrap_or(name);
        for _ in 0..LINKS {
            if let Some(place) = self.files.get(name) {
                return Some(*place);
            }
            name = self.links.get(name)?;
        }
        None
    }
}

// Where a link in the archive leads.
fn beside(name: &str, to: &str) -> String {
    let folder =
        if to.starts_with('/') { "" } else { name.rsplit_once('/').map_or("", |(f, _)| f) };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(to.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ImagePath;
    use crate::layer::{Compression, Entry, LayerWriter};

    fn archive(entries: &[(&str, EntryKind, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let writer = LayerWriter::new(Vec::new(), Compression::None, 1, Vec::new()).unwrap();
        let mut writer = writer.any_order();
        for (name, kind, content) in entries {
            let name = ImagePath::from_entry(name.as_bytes()).unwrap();
            writer.entry(&Entry::new(name, kind.clone(), 0o644), &mut &content[..]).unwrap();
        }
        std::fs::write(&path, writer.finish().unwrap().0).unwrap();
        (folder, path)
    }

    #[test]
    fn files_are_found_where_they_lie() {
        let long = format!("{}/x", "d".repeat(150));
        let big = vec![7; 300_000];
        let file = |content: &[u8]| EntryKind::File { size: content.len() as u64 };
        let (_keep, path) = archive(&[
            ("a", file(b"one"), b"one"),
            ("d", EntryKind::Dir, b""),
            (&long, file(&big), &big),
            ("d/l", EntryKind::Symlink(b"../a".to_vec()), b""),
            ("d/loop", EntryKind::Symlink(b"loop".to_vec()), b""),
            ("z", file(b"last"), b"last"),
        ]);
        let archive = Archive::open(&path).unwrap();
        let read = |name: &str| {
            let mut out = Vec::new();
            archive.content(name)?.read_to_end(&mut out).unwrap();
            Some(out)
        };
        assert_eq!(read("a").unwrap(), b"one");
        assert_eq!(read("./d/l").unwrap(), b"one");
        assert_eq!(read(&long).unwrap(), big);
        assert_eq!(read("z").unwrap(), b"last");
        assert_eq!((read("d/loop"), read("d"), read("nonesuch")), (None, None, None));
        assert_eq!(archive.size("z"), Some(4));
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", long.as_str(), "z"]);
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (bytes, want) in
            [(&b"\x1f\x8b\x08\0"[..], "it is compressed"), (&[b'x'; 600], "is no OCI layout")]
        {
            std::fs::write(&path, bytes).unwrap();
            let error = Archive::open(&path).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(Archive::open(folder.path()).unwrap_err().to_string().contains("regular file"));
    }
}
