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
use crate::layer::{EntryKind, Error, Format, Limits, Reader};

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
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
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
        // What claims to be longer than the file is a lie; its bytes would be made up below.
        let length = metadata.len();
        let limits = Limits { entries: MOST as u64 * 3, content: length, ..Limits::default() };
        let mut reader = Reader::archive(headers, limits);
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        while let Some(entry) = reader.next_entry().map_err(|error| not(error.to_string()))? {
            let name = String::from_utf8_lossy(entry.path.relative()).into_owned();
            match entry.kind {
                EntryKind::File { size } => {
                    // Its length is not that of its bytes here: passed over by it, it would hide the
                    // entries behind it.
                    if !reader.is_contiguous() {
                        return Err(not(format!(
                            "`{}` in it is a sparse file; make the archive without `--sparse`",
                            name.escape_default()
                        )));
                    }
                    if at.get().checked_add(size).is_none_or(|end| end > length) {
                        return Err(not(Error::Truncated.to_string()));
                    }
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

    // One header of old GNU form, with a sum that holds.
    fn header(name: &str, kind: u8, size: &[u8; 12]) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[124..136].copy_from_slice(size);
        block[136..148].copy_from_slice(b"00000000000\0");
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar  \0");
        block
    }

    fn summed(mut block: [u8; 512]) -> [u8; 512] {
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    #[test]
    fn sizes_that_the_file_does_not_hold_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let check = |bytes: &[u8], want: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Archive::open(&path).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        let end = [0; 1024];
        // 2^62, in base 256: zeros for it would take years.
        let huge = [0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0];
        check(&[&summed(header("a", b'0', &huge))[..], &end].concat(), "content");
        // Within the length of the file, and past its end from there.
        check(&[&summed(header("a", b'0', b"00000002777\0"))[..], &end].concat(), "truncated");
        // One stored block that stands for three: the entry behind it would be passed over.
        let mut sparse = header("s", b'S', b"00000001000\0");
        for (at, number) in [(386, 1024), (398, 512), (483, 1536)] {
            sparse[at..at + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
        }
        let hidden = summed(header("hidden", b'0', b"00000000000\0"));
        let bytes = [&summed(sparse)[..], &[b'x'; 512], &hidden, &end].concat();
        check(&bytes, "`s` in it is a sparse file");
        // Its like without holes is a file as any other.
        let plain = summed(header("s", b'0', b"00000001000\0"));
        std::fs::write(&path, [&plain[..], &[b'x'; 512], &hidden, &end].concat()).unwrap();
        assert_eq!(Archive::open(&path).unwrap().names().collect::<Vec<_>>(), ["hidden", "s"]);
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
