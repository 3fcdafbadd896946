//! The files of a folder, for rules: listed when the first rule asks, and never opened before.

use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::base::ImagePath;
use crate::input::Ignore;
use crate::policy::{ContextFile, ContextFiles};
use crate::sys::{Dir, FileKind, Follow, Root};

/// A context with more files than this is not looked at by rules: it would take longer than they
/// are worth.
const MOST: usize = 100_000;

/// The folder that a build has its files from, less what its ignore file excludes.
#[derive(Debug)]
pub struct FolderFiles {
    folder: PathBuf,
    ignore: Option<Ignore>,
    ignore_file: Option<String>,
    listed: OnceLock<Option<Vec<ContextFile>>>,
}

impl FolderFiles {
    /// Takes a folder, what is left out of it, and the name of the file that says so.
    pub fn new(folder: PathBuf, ignore: Option<Ignore>, ignore_file: Option<String>) -> Self {
        FolderFiles { folder, ignore, ignore_file, listed: OnceLock::new() }
    }

    fn list(&self) -> Option<Vec<ContextFile>> {
        let root = Root::open_host(&self.folder).ok()?;
        let top = root.open_dir(&ImagePath::root(), Follow::No).ok()?;
        let back = self.ignore.as_ref().is_some_and(Ignore::brings_back);
        let mut files = Vec::new();
        let mut open: Vec<(ImagePath, Dir)> = vec![(ImagePath::root(), top)];
        while let Some((path, dir)) = open.pop() {
            // What cannot be read cannot be copied either.
            for (name, kind) in dir.list().unwrap_or_default() {
                let Ok(at) = path.join(&name) else { continue };
                let ignored = self.ignore.as_ref().is_some_and(|ignore| ignore.excludes(&at));
                let size = match kind {
                    FileKind::File if !ignored => dir.stat(&name).map_or(0, |stat| stat.size),
                    _ => 0,
                };
                let folder = kind == FileKind::Dir;
                if folder
                    && (!ignored || back)
                    && let Ok(below) = dir.open_dir(&name)
                {
                    open.push((at.clone(), below));
                }
                let path = String::from_utf8_lossy(at.relative()).into_owned();
                files.push(ContextFile { path, size, folder, ignored });
                if files.len() > MOST {
                    return None;
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Some(files)
    }
}

impl ContextFiles for FolderFiles {
    fn files(&self) -> Option<&[ContextFile]> {
        self.listed.get_or_init(|| self.list()).as_deref()
    }

    fn text(&self, path: &str, most: u64) -> Option<String> {
        let at = ImagePath::from_entry(path.as_bytes()).ok()?;
        if self.ignore.as_ref().is_some_and(|ignore| ignore.excludes(&at)) {
            return None;
        }
        let root = Root::open_host(&self.folder).ok()?;
        let file = root.open(&at, Follow::InRoot).ok()?;
        let mut text = String::new();
        file.take(most + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= most).then_some(text)
    }

    fn ignore_file(&self) -> Option<&str> {
        self.ignore_file.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_with_what_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a", "1"), ("b/c", "22"), ("out/d", "3"), ("out/keep", "4")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let check = |ignore: &[u8], want: &[(&str, bool)]| {
            let ignore = Ignore::parse(ignore).unwrap();
            let files = FolderFiles::new(folder.path().to_owned(), Some(ignore), None);
            let found: Vec<(&str, bool)> =
                files.files().unwrap().iter().map(|f| (f.path.as_str(), f.ignored)).collect();
            assert_eq!(found, want);
            assert_eq!(files.text("a", 1).as_deref(), Some("1"));
            assert_eq!(files.text("b/c", 1), None);
            assert_eq!(files.text("out/d", 9), None);
        };
        check(b"out\n", &[("a", false), ("b", false), ("b/c", false), ("out", true)]);
        let all = [("a", false), ("b", false), ("b/c", false)];
        let back = [("out", true), ("out/d", true), ("out/keep", false)];
        check(b"out\n!out/keep\n", &[&all[..], &back[..]].concat());
    }
}
