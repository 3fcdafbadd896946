//! Git LFS: pointers in place of files (git-lfs, docs/spec.md), and how they are made files.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::Error;
use super::command::{Open, Runner};
use super::remote::{Remote, Scheme};

/// A pointer has at most so many bytes, and begins like this.
const LIMIT: u64 = 1024;
const START: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Finds a file that is a pointer, the first one by name, where attributes say that there may be some.
pub(super) fn pointer(top: &Path) -> Option<String> {
    let mut folders = vec![top.to_owned()];
    let (mut attributes, mut found) = (false, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && name != ".git" {
                folders.push(path);
            } else if kind.is_file() && name == ".gitattributes" {
                attributes |= start(&path, 1 << 20)
                    .is_some_and(|text| String::from_utf8_lossy(&text).contains("filter=lfs"));
            } else if kind.is_file()
                && entry.metadata().is_ok_and(|meta| meta.len() <= LIMIT)
                && start(&path, START.len() as u64).is_some_and(|text| text == START)
            {
                found.extend(path.strip_prefix(top).map(|path| path.display().to_string()));
            }
        }
    }
    found.into_iter().min().filter(|_| attributes)
}

fn start(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Puts the files in place of the pointers. The server is the repository's own, whatever a
/// `.lfsconfig` of it says.
pub(super) fn fetch(runner: &Runner<'_>, tree: &Path, remote: &Remote) -> Result<(), Error> {
    let server = match remote.scheme {
        Scheme::Https | Scheme::Http => {
            format!("lfs.url={}/info/lfs", remote.url.trim_end_matches('/'))
        }
        Scheme::Git | Scheme::Ssh => format!("lfs.url={}", remote.url),
    };
    let pull = ["-c", &server, "lfs", "pull", "origin"];
    runner.run("fetch files of Git LFS from", tree, Open::Remote, &pull).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_found_where_attributes_announce_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
        file("data/big.bin", text);
        file("data/a.bin", text);
        file("README", "version https://git-lfs.github.com/spec/v1 is the first line\n");
        assert_eq!(pointer(folder.path()), None);
        file("data/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
        assert_eq!(pointer(folder.path()).as_deref(), Some("data/a.bin"));
        file("data/a.bin", "abc");
        file("data/big.bin", "abc");
        assert_eq!(pointer(folder.path()), None);
    }
}
