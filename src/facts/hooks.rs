//! Files through which a loader, an interpreter or a shell takes code of others: which a step wrote,
//! and which of them a package brought.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A file that a step made or changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// Its path.
    pub path: String,
    /// What kind of file it is.
    pub kind: HookKind,
    /// Its text, where it decides; at most [`Hook::MOST`] bytes.
    pub text: Option<String>,
    /// A package that the step installed lists it.
    pub packaged: bool,
}

/// Who takes code from such a file, and when.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookKind {
    /// The loader, for every program: `/etc/ld.so.preload`.
    Preload,
    /// The loader's list of folders.
    Folders,
    /// The loader itself.
    Loader,
    /// The C library.
    Libc,
    /// Whoever checks passwords.
    Pam,
    /// Whoever looks up users and hosts.
    Names,
    /// Python, at each start.
    Python,
    /// A shell that is logged in to.
    Shell,
}

impl Hook {
    /// Bytes of a text that are looked at.
    pub const MOST: u64 = 64 << 10;
}

impl HookKind {
    /// Tells what kind of hook a path is, if it is one.
    pub fn of(path: &str) -> Option<HookKind> {
        let (folder, name) = path.rsplit_once('/')?;
        let library = ["/lib", "/usr/lib", "/usr/local/lib"].iter().any(|start| {
            folder.strip_prefix(start).is_some_and(|rest| {
                let rest = rest.trim_start_matches(['6', '4', '3', '2', 'x']);
                rest.is_empty() || rest.starts_with('/')
            })
        });
        // Numbered only: `libc.so` is a text for linkers.
        let versioned =
            |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(".so."));
        Some(match (folder, name) {
            ("/etc", "ld.so.preload") => HookKind::Preload,
            ("/etc", "ld.so.conf") => HookKind::Folders,
            ("/etc/ld.so.conf.d", name) if name.ends_with(".conf") => HookKind::Folders,
            ("/etc", name) if name.starts_with("ld-musl-") && name.ends_with(".path") => {
                HookKind::Folders
            }
            (_, name)
                if library && (name.starts_with("ld-linux") || name.starts_with("ld-musl-")) =>
            {
                HookKind::Loader
            }
            (_, "ld.so" | "ld64.so") if library => HookKind::Loader,
            (_, name)
                if library
                    && (versioned("libc")
                        || name.starts_with("libc.musl-")
                        || (name.starts_with("libc-2.") && name.ends_with(".so"))) =>
            {
                HookKind::Libc
            }
            (_, name) if library && name.starts_with("libpam") && name.contains(".so") => {
                HookKind::Pam
            }
            (folder, name)
                if library && folder.ends_with("/security") && name.starts_with("pam_") =>
            {
                HookKind::Pam
            }
            (_, name) if library && name.starts_with("libnss_") && name.contains(".so") => {
                HookKind::Names
            }
            (_, "sitecustomize.py" | "usercustomize.py") => HookKind::Python,
            (folder, name) if name.ends_with(".pth") && is_site(folder) => HookKind::Python,
            ("/etc/profile.d", _) => HookKind::Shell,
            ("/etc", "profile" | "bash.bashrc" | "bashrc" | "zshrc" | "zshenv") => HookKind::Shell,
            ("/root", name) if is_start_file(name) => HookKind::Shell,
            (folder, name) if is_home(folder) && is_start_file(name) => HookKind::Shell,
            _ => return None,
        })
    }

    /// Tells whether a list of packages that names such a file waives it: no package brings
    /// `/etc/ld.so.preload`, and one of Python brings only what Python reads.
    pub fn is_waived_by(self, list: &str) -> bool {
        match self {
            HookKind::Preload => false,
            HookKind::Python => !is_rpm_database(list),
            _ => !list.ends_with("/RECORD"),
        }
    }

    /// Tells whether the text of such a file decides about it.
    pub fn has_text(self) -> bool {
        matches!(self, HookKind::Preload | HookKind::Folders | HookKind::Python)
    }
}

fn is_start_file(name: &str) -> bool {
    matches!(name, ".bashrc" | ".profile" | ".bash_profile" | ".zshrc" | ".zshenv")
}

fn is_home(folder: &str) -> bool {
    folder.strip_prefix("/home/").is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// Tells whether a file of a step is a list of what a package brought. A step can write such a file
/// itself: what the lists name is a hint, and [`HookKind::is_waived_by`] tells for which hooks.
pub fn is_package_list(path: &str) -> bool {
    (path.starts_with("/var/lib/dpkg/info/") && path.ends_with(".list"))
        || is_apk_list(path)
        || (path.starts_with("/var/lib/pacman/local/") && path.ends_with("/files"))
        || is_record(path)
        || is_rpm_database(path)
}

fn is_apk_list(path: &str) -> bool {
    matches!(path, "/lib/apk/db/installed" | "/usr/lib/apk/db/installed")
}

/// The list of a Python package, in the folder that it was installed to.
fn is_record(path: &str) -> bool {
    path.ends_with(".dist-info/RECORD") && site_of(path).is_some_and(is_site)
}

fn site_of(record: &str) -> Option<&str> {
    let (info, _) = record.rsplit_once('/')?;
    Some(info.rsplit_once('/')?.0)
}

fn is_site(folder: &str) -> bool {
    folder.ends_with("/site-packages") || folder.ends_with("/dist-packages")
}

/// A database that tells no names to who does not know its form.
pub fn is_rpm_database(path: &str) -> bool {
    ["/var/lib/rpm/", "/usr/lib/sysimage/rpm/"].iter().any(|folder| path.starts_with(folder))
}

/// The files that are rpm's database, by its versions; others beside them come and go.
pub const RPM_DATABASES: [&str; 6] = [
    "/usr/lib/sysimage/rpm/Packages",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/rpmdb.sqlite",
];

/// Returns the paths that a list names, each without `/usr` in front: one folder may be a link to the
/// other.
pub fn packaged(list: &str, text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |path: &str| {
        out.insert(plain(&format!("/{}", path.trim_start_matches('/'))).to_owned());
    };
    if is_apk_list(list) {
        let mut folder = "";
        for line in text.lines() {
            match line.split_once(':') {
                Some(("F", path)) => folder = path,
                Some(("R", name)) => add(&format!("{folder}/{name}")),
                _ => {}
            }
        }
    } else if let (true, Some(folder)) = (is_record(list), site_of(list)) {
        let names = text.lines().map(|line| line.split(',').next().unwrap_or(""));
        // Programs and data lie elsewhere (`../../bin/x`): they are no hooks of Python's.
        let below =
            |name: &&str| !name.starts_with('/') && !name.split('/').any(|part| part == "..");
        names.filter(below).for_each(|name| add(&format!("{folder}/{name}")));
    } else {
        text.lines().filter(|line| !line.starts_with('%')).for_each(add);
    }
    out
}

/// A path without `/usr` in front.
pub fn plain(path: &str) -> &str {
    path.strip_prefix("/usr").filter(|rest| rest.starts_with("/lib")).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_known_by_their_place() {
        use HookKind::{Folders, Libc, Loader, Names, Pam, Preload, Python, Shell};
        for (path, want) in [
            ("/etc/ld.so.preload", Some(Preload)),
            ("/etc/ld.so.conf.d/x.conf", Some(Folders)),
            ("/etc/ld-musl-x86_64.path", Some(Folders)),
            ("/lib64/ld-linux-x86-64.so.2", Some(Loader)),
            ("/lib/ld-musl-x86_64.so.1", Some(Loader)),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", Some(Libc)),
            ("/lib/x86_64-linux-gnu/libc-2.31.so", Some(Libc)),
            ("/usr/lib/x86_64-linux-gnu/libpam.so.0.85.1", Some(Pam)),
            ("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", Some(Pam)),
            ("/lib/libnss_files.so.2", Some(Names)),
            ("/usr/lib/python3/dist-packages/sitecustomize.py", Some(Python)),
            ("/usr/lib/python3/dist-packages/a.pth", Some(Python)),
            ("/etc/profile.d/x.sh", Some(Shell)),
            ("/home/app/.bashrc", Some(Shell)),
            ("/etc/app.conf", None),
            ("/opt/sysroot/lib/libc.so.6", None),
            ("/usr/lib/libc.so", None),
            ("/usr/lib/libcurl.so.4", None),
            ("/library/libc.so.6", None),
            ("/srv/model.pth", None),
            ("/home/app/src/.bashrc", None),
        ] {
            assert_eq!(HookKind::of(path), want, "{path}");
        }
    }

    #[test]
    fn lists_of_packages_name_their_files() {
        for (list, text, want) in [
            ("/var/lib/dpkg/info/libc6.list", "/.\n/lib\n/lib/x/libc.so.6\n", "/lib/x/libc.so.6"),
            (
                "/lib/apk/db/installed",
                "P:musl\nF:lib\nR:ld-musl.so\na:0:0:755\n",
                "/lib/ld-musl.so",
            ),
            ("/var/lib/pacman/local/a-1/files", "%FILES%\nusr/lib/libc.so.6\n", "/lib/libc.so.6"),
            (
                "/usr/lib/python3/site-packages/a-1.dist-info/RECORD",
                "a.pth,sha256=x,7\na/b.py,,\n",
                "/lib/python3/site-packages/a.pth",
            ),
        ] {
            assert!(is_package_list(list), "{list}");
            assert!(packaged(list, text).contains(want), "{list}: {:?}", packaged(list, text));
        }
        for list in ["/etc/list", "/x.dist-info/RECORD", "/tmp/apk/db/installed"] {
            assert!(!is_package_list(list), "{list}");
        }
        let record = "/usr/lib/python3/site-packages/a-1.dist-info/RECORD";
        let outside = packaged(record, "../../../../etc/profile.d/x.sh,,\n/etc/profile,,\n");
        assert!(outside.is_empty(), "{outside:?}");
    }

    #[test]
    fn a_list_waives_what_its_packages_bring() {
        use HookKind::{Libc, Preload, Python, Shell};
        let record = "/usr/lib/python3/site-packages/a-1.dist-info/RECORD";
        for (kind, list, want) in [
            (Preload, "/var/lib/dpkg/info/a.list", false),
            (Preload, "/lib/apk/db/installed", false),
            (Preload, "/var/lib/rpm/rpmdb.sqlite", false),
            (Preload, record, false),
            (Python, record, true),
            (Python, "/var/lib/dpkg/info/a.list", true),
            (Python, "/var/lib/rpm/rpmdb.sqlite", false),
            (Shell, record, false),
            (Shell, "/var/lib/rpm/rpmdb.sqlite", true),
            (Libc, "/lib/apk/db/installed", true),
        ] {
            assert_eq!(kind.is_waived_by(list), want, "{kind:?} {list}");
        }
    }
}
