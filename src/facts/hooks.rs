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
            (folder, name)
                if name.ends_with(".pth")
                    && (folder.ends_with("/site-packages")
                        || folder.ends_with("/dist-packages")) =>
            {
                HookKind::Python
            }
            ("/etc/profile.d", _) => HookKind::Shell,
            ("/etc", "profile" | "bash.bashrc" | "bashrc" | "zshrc" | "zshenv") => HookKind::Shell,
            ("/root", name) if is_start_file(name) => HookKind::Shell,
            (folder, name) if is_home(folder) && is_start_file(name) => HookKind::Shell,
            _ => return None,
        })
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

/// Tells whether a file of a step is a list of what a package brought.
pub fn is_package_list(path: &str) -> bool {
    (path.starts_with("/var/lib/dpkg/info/") && path.ends_with(".list"))
        || path.ends_with("/apk/db/installed")
        || (path.starts_with("/var/lib/pacman/local/") && path.ends_with("/files"))
        || path.ends_with(".dist-info/RECORD")
        || is_rpm_database(path)
}

/// A database that tells no names to who does not know its form.
pub fn is_rpm_database(path: &str) -> bool {
    ["/var/lib/rpm/", "/usr/lib/sysimage/rpm/"].iter().any(|folder| path.starts_with(folder))
}

/// Returns the paths that a list names, each without `/usr` in front: one folder may be a link to the
/// other.
pub fn packaged(list: &str, text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut add = |path: &str| {
        out.insert(plain(&format!("/{}", path.trim_start_matches('/'))).to_owned());
    };
    if list.ends_with("/installed") {
        let mut folder = "";
        for line in text.lines() {
            match line.split_once(':') {
                Some(("F", path)) => folder = path,
                Some(("R", name)) => add(&format!("{folder}/{name}")),
                _ => {}
            }
        }
    } else if let Some((folder, _)) =
        list.rsplit_once('/').and_then(|(info, _)| info.rsplit_once('/'))
        && list.ends_with("/RECORD")
    {
        for line in text.lines() {
            add(&format!("{folder}/{}", line.split(',').next().unwrap_or("")));
        }
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
        assert!(!is_package_list("/etc/list"));
    }
}
