//! Which file belongs to which package, and what the package database says its content is.
//!
//! Read from the kept texts of dpkg (`info/*.md5sums`, `info/*.list`, `diversions`; without files of
//! configuration, which dpkg does not list there) and apk (`lib/apk/db/installed`), and from what
//! [`super::rpm`] makes of rpm's. Berkeley DB, as rpm had it before 4.16, is told as unread.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::keep::RPM;
use super::{FileFact, FileKind, ImageFacts, Visible};

/// A file of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owned<'a> {
    /// The package.
    pub package: &'a str,
    /// What its content is, if the database says so.
    sum: Option<Sum>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Sum {
    Md5(String),
    Sha1(String),
    Sha256(String),
}

impl Sum {
    // `None` where the sum was not taken of the file.
    fn is_of(&self, file: &FileFact) -> Option<bool> {
        let (wanted, found) = match self {
            Sum::Md5(sum) => (sum, &file.md5),
            Sum::Sha1(sum) => (sum, &file.sha1),
            Sum::Sha256(sum) => (sum, &file.sha256),
        };
        (!found.is_empty()).then_some(wanted == found)
    }
}

/// What the package databases say, as a view through some layers shows them.
#[derive(Clone, Debug, Default)]
pub struct Packages<'a> {
    owned: BTreeMap<String, Owned<'a>>,
    diverted: BTreeSet<&'a str>,
    /// Databases that could not be read, or not as a whole: their paths.
    pub unread: Vec<&'a str>,
    read: usize,
    most: usize,
    // The database that is read.
    reading: &'a str,
}

/// Files that lists of packages name, all together: a full desktop has a quarter of it.
const MOST: usize = 2_000_000;

/// The folders of a package database: what changes it changes a file in one.
const FOLDERS: &[&str] = &[
    "/var/lib/dpkg/",
    "/lib/apk/db/",
    "/usr/lib/apk/db/",
    "/var/lib/rpm/",
    "/usr/lib/sysimage/rpm/",
    "/usr/share/rpm/",
];

/// Tells whether a path is part of a package database.
pub fn is_database(path: &str) -> bool {
    FOLDERS.iter().any(|folder| path.starts_with(folder))
}

impl<'a> Packages<'a> {
    /// Knows nothing, since the database at this path was not read.
    pub fn unread(path: &'a str) -> Self {
        Packages { unread: Vec::from([path]), ..Packages::default() }
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.owned.len()
    }

    /// Tells whether no file is known.
    pub fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// How many bytes of databases were read for it.
    pub fn read(&self) -> usize {
        self.read
    }

    /// Reads the databases that are visible in `visible`, a view of `facts`. Of more than two million
    /// files the rest is not read.
    pub fn of(facts: &'a ImageFacts, visible: &BTreeMap<&'a str, Visible<'a>>) -> Self {
        Self::of_at_most(MOST, facts, visible)
    }

    fn of_at_most(
        most: usize,
        facts: &'a ImageFacts,
        visible: &BTreeMap<&'a str, Visible<'a>>,
    ) -> Self {
        let mut packages = Packages { most, ..Packages::default() };
        let mut folders = BTreeMap::new();
        let text = |path: &'a str, at: &Visible<'a>| -> Option<&'a str> {
            facts.layers[at.layer].table.texts.get(path).map(String::as_str)
        };
        let mut lists = Vec::new();
        for folder in ["/var/lib/dpkg/info/", "/var/lib/dpkg/status.d/"] {
            let below = visible
                .range::<str, _>((Bound::Included(folder), Bound::Unbounded))
                .map(|(path, at)| (*path, *at));
            for (path, at) in below.take_while(|(path, _)| path.starts_with(folder)) {
                let name = &path[folder.len()..];
                if let (Some(package), Some(text)) =
                    (name.strip_suffix(".md5sums"), text(path, &at))
                {
                    packages.begin(facts, path, &at, text);
                    for line in text.lines() {
                        let Some((sum, file)) = line.split_once(' ') else { continue };
                        let sum = Some(Sum::Md5(sum.to_owned()));
                        let file = file.trim_start().trim_start_matches(['*', '/']);
                        packages.add(visible, &mut folders, &format!("/{file}"), package, sum);
                    }
                } else if let (Some(package), Some(text)) =
                    (name.strip_suffix(".list"), text(path, &at))
                {
                    lists.push((package, text, path, at));
                }
            }
        }
        for (package, text, path, at) in lists {
            packages.begin(facts, path, &at, text);
            for file in text.lines().filter(|line| line.len() > 2) {
                packages.add(visible, &mut folders, file, package, None);
            }
        }
        for path in ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"] {
            if let Some((path, at)) = visible.get_key_value(path)
                && let Some(text) = text(path, at)
            {
                packages.begin(facts, path, at, text);
                packages.apk(visible, &mut folders, text);
            }
        }
        if let Some((path, at)) = visible.get_key_value("/var/lib/dpkg/diversions")
            && let Some(text) = text(path, at)
        {
            // Three lines each: the name, where it is put aside, and for whom.
            packages.diverted = text.lines().step_by(3).collect();
        }
        for path in RPM {
            let Some((path, at)) = visible.get_key_value(path) else { continue };
            // What SQLite has not yet put into the database stands beside it.
            let beside = visible.get(format!("{path}-wal").as_str());
            match text(path, at).filter(|text| !text.is_empty()) {
                Some(text) if beside.is_none_or(|beside| beside.file.size == 0) => {
                    packages.begin(facts, path, at, text);
                    packages.rpm(visible, &mut folders, text);
                }
                _ => packages.unread.push(path),
            }
        }
        packages
    }

    fn begin(&mut self, facts: &'a ImageFacts, path: &'a str, at: &Visible<'a>, text: &str) {
        self.read += text.len();
        self.reading = path;
        if facts.layers[at.layer].table.cut.contains(path) {
            self.unread.push(path);
        }
    }

    fn apk(
        &mut self,
        visible: &BTreeMap<&'a str, Visible<'a>>,
        folders: &mut BTreeMap<String, String>,
        text: &'a str,
    ) {
        // apk-tools' installed-database format: `P:` package, `F:` folder, `R:` file in it, `Z:` the
        // SHA-1 of the file in base64 behind `Q1`.
        let (mut package, mut folder) = ("", "");
        let mut file: Option<String> = None;
        for line in text.lines().chain([""]) {
            let (key, value) = line.split_at_checked(2).unwrap_or(("", ""));
            match key {
                "P:" => package = value,
                "F:" => folder = value,
                "R:" | "" => {
                    if let Some(path) = file.take() {
                        self.add(visible, folders, &path, package, None);
                    }
                    if key == "R:" {
                        file = Some(format!("/{folder}/{value}").replace("//", "/"));
                    }
                }
                "Z:" => {
                    let sum = value.strip_prefix("Q1").and_then(base64_hex).map(Sum::Sha1);
                    if let Some(path) = file.take() {
                        // What is in `etc` is for the owner of the system to change.
                        let sum = sum.filter(|_| !folder.starts_with("etc"));
                        self.add(visible, folders, &path, package, sum);
                    }
                }
                _ => {}
            }
        }
    }

    // As `rpm::text` writes it.
    fn rpm(
        &mut self,
        visible: &BTreeMap<&'a str, Visible<'a>>,
        folders: &mut BTreeMap<String, String>,
        text: &'a str,
    ) {
        let mut package = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("P:") {
                package = name;
                continue;
            }
            let Some((sum, path)) = line.split_once("  ") else { continue };
            let sum = match sum.len() {
                32 => Some(Sum::Md5(sum.to_owned())),
                40 => Some(Sum::Sha1(sum.to_owned())),
                64 => Some(Sum::Sha256(sum.to_owned())),
                _ => None,
            };
            self.add(visible, folders, path, package, sum);
        }
    }

    fn add(
        &mut self,
        visible: &BTreeMap<&'a str, Visible<'a>>,
        folders: &mut BTreeMap<String, String>,
        path: &str,
        package: &'a str,
        sum: Option<Sum>,
    ) {
        let Some((folder, name)) = path.rsplit_once('/') else { return };
        if self.owned.len() >= self.most {
            if self.unread.last() != Some(&self.reading) {
                self.unread.push(self.reading);
            }
            return;
        }
        // `bin/ls` of a package is `/usr/bin/ls` where `/bin` is a link.
        let real = folders.entry(folder.to_owned()).or_insert_with(|| {
            ImageFacts::real(visible, folder).unwrap_or_else(|| folder.to_owned())
        });
        let real = format!("{}/{name}", real.trim_end_matches('/'));
        match self.owned.get_mut(&real) {
            Some(known) if known.sum.is_none() => *known = Owned { package, sum },
            Some(_) => {}
            None => {
                self.owned.insert(real, Owned { package, sum });
            }
        }
    }

    /// Returns the package that a path belongs to.
    pub fn owner(&self, path: &str) -> Option<&'a str> {
        self.owned.get(path).map(|owned| owned.package)
    }

    /// Tells whether a file is what its package brought; `None` where no database says.
    pub fn genuine(&self, file: &FileFact) -> Option<bool> {
        self.holds(&file.path, file)
    }

    /// Tells whether what a file holds is what a package brought to `path`, wherever it lies now.
    pub fn holds(&self, path: &str, file: &FileFact) -> Option<bool> {
        if file.kind != FileKind::File || self.diverted.contains(path) {
            return None;
        }
        self.owned.get(path)?.sum.as_ref()?.is_of(file)
    }

    /// Returns the paths whose content the databases know, with their packages.
    pub fn summed(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let owned = self
            .owned
            .iter()
            .filter(|(path, owned)| owned.sum.is_some() && !self.diverted.contains(path.as_str()));
        owned.map(|(path, owned)| (path.as_str(), owned.package))
    }
}

// Base64 (RFC 4648, 4) of 20 bytes, in hex.
fn base64_hex(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(21);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    (bytes.len() == 20).then(|| crate::base::hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{file, image};
    use super::*;

    fn summed(path: &str, md5: &str, sha1: &str) -> FileFact {
        FileFact { md5: md5.into(), sha1: sha1.into(), ..file(path, FileKind::File) }
    }

    #[test]
    fn files_without_end_are_not_kept() {
        let path = "/var/lib/dpkg/info/a.md5sums";
        let mut image = image(vec![vec![file(path, FileKind::File)]]);
        let text: String = (0..100).map(|file| format!("x  {file}\n")).collect();
        let table = std::sync::Arc::make_mut(&mut image.layers[0].table);
        table.texts.insert(path.into(), text);
        let of = |most| Packages::of_at_most(most, &image, &image.visible());
        assert_eq!((of(100).len(), of(100).unread.len()), (100, 0));
        assert_eq!((of(99).len(), of(99).unread), (99, vec![path]));
    }

    #[test]
    fn owners_and_sums_of_both_databases() {
        let mut image = image(vec![vec![
            file("/bin", FileKind::Symlink("usr/bin".into())),
            file("/usr/bin", FileKind::Dir),
            summed("/usr/bin/ls", "aa", ""),
            summed("/usr/bin/cat", "bb", ""),
            summed("/usr/bin/put-aside", "cc", ""),
            summed("/sbin/apk", "", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            file("/var/lib/dpkg/info/coreutils.md5sums", FileKind::File),
            file("/var/lib/dpkg/info/coreutils.list", FileKind::File),
            file("/var/lib/dpkg/diversions", FileKind::File),
            file("/lib/apk/db/installed", FileKind::File),
        ]]);
        for (path, text) in [
            (
                "/var/lib/dpkg/info/coreutils.md5sums",
                "aa  bin/ls\nxx  bin/cat\nxx  usr/bin/put-aside\n",
            ),
            ("/var/lib/dpkg/info/coreutils.list", "/.\n/etc/ls.conf\n"),
            ("/var/lib/dpkg/diversions", "/usr/bin/put-aside\n/usr/bin/put-aside.real\n:\n"),
            (
                "/lib/apk/db/installed",
                "C:Q1x=\nP:apk-tools\nV:2\nF:sbin\nR:apk\na:0:0:755\nZ:Q1qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\nR:plain\n\n",
            ),
        ] {
            let table = std::sync::Arc::make_mut(&mut image.layers[0].table);
            table.texts.insert(path.into(), text.into());
        }
        let visible = image.visible();
        let packages = Packages::of(&image, &visible);
        assert_eq!(packages.unread, [""; 0]);
        let genuine = |path: &str| packages.genuine(visible[path].file);
        assert_eq!(genuine("/usr/bin/ls"), Some(true));
        assert_eq!(genuine("/usr/bin/cat"), Some(false));
        assert_eq!(genuine("/usr/bin/put-aside"), None);
        assert_eq!(genuine("/sbin/apk"), Some(true));
        assert_eq!(packages.owner("/etc/ls.conf"), Some("coreutils"));
        assert_eq!(packages.owner("/sbin/plain"), Some("apk-tools"));
        assert_eq!(packages.owner("/sbin/none"), None);
        assert!(packages.holds("/usr/bin/ls", &summed("/x", "aa", "")) == Some(true));
    }
}
