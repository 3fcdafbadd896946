//! The files whose text is kept, since rules read it: accounts, the system's identity, the package
//! databases. Bounded, and without hashes of passwords.

use super::rpm;

/// The databases of rpm: SQLite, ndb, Berkeley DB; where it has them, and where Fedora and SUSE have.
pub(super) const RPM: &[&str] = &[
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/usr/share/rpm/rpmdb.sqlite",
];

/// Texts of one layer together, in bytes: the databases of a full desktop take a quarter of it.
const TOGETHER: usize = 64 << 20;

/// The text of a file on its way.
pub(super) struct Keep {
    text: Vec<u8>,
    limit: usize,
    cut: bool,
    form: Form,
}

/// What is kept of a file.
enum Form {
    Text,
    /// The text without hashes.
    Accounts,
    /// What rpm's database says, as text; its path.
    Rpm(String),
}

/// What is still left of [`TOGETHER`].
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Room(TOGETHER)
    }
}

impl Keep {
    /// Tells whether the text of this file is kept.
    pub(super) fn of(path: &[u8]) -> Option<Keep> {
        let path = std::str::from_utf8(path).ok()?;
        let limit = limit(path)?;
        let form = match path {
            // Old systems, and some attackers, have hashes in the readable files too (passwd(5)).
            "/etc/passwd" | "/etc/group" | "/etc/shadow" | "/etc/gshadow" => Form::Accounts,
            _ if RPM.contains(&path) => Form::Rpm(path.to_owned()),
            _ => Form::Text,
        };
        Some(Keep { text: Vec::new(), limit, cut: false, form })
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, data: &[u8], room: &mut Room) {
        let fits = data.len().min(self.limit - self.text.len()).min(room.0);
        self.text.extend_from_slice(&data[..fits]);
        room.0 -= fits;
        self.cut |= fits < data.len();
    }

    /// Returns the text, and whether it is the whole text.
    pub(super) fn end(self) -> (String, bool) {
        let text = || String::from_utf8_lossy(&self.text);
        match self.form {
            Form::Text => (text().into_owned(), !self.cut),
            Form::Accounts => (without_hashes(&text()), !self.cut),
            Form::Rpm(path) => match rpm::text(&path, &self.text).filter(|_| !self.cut) {
                Some(text) => (text, true),
                None => (String::new(), false),
            },
        }
    }
}

fn limit(path: &str) -> Option<usize> {
    let (folder, name) = path.rsplit_once('/')?;
    Some(match folder {
        "/etc" => match name {
            "passwd" | "group" | "shadow" | "gshadow" => 1 << 20,
            "os-release" | "sudoers" | "hosts" | "resolv.conf" | "nsswitch.conf" | "crontab" => {
                64 << 10
            }
            _ => return None,
        },
        "/usr/lib" if name == "os-release" => 64 << 10,
        "/etc/ssh" if name == "sshd_config" => 64 << 10,
        "/etc/sudoers.d" | "/etc/pam.d" | "/etc/cron.d" | "/etc/profile.d" => 16 << 10,
        "/var/lib/dpkg/info" | "/var/lib/dpkg/status.d" if name.ends_with(".md5sums") => 8 << 20,
        "/var/lib/dpkg/info" if name.ends_with(".list") => 8 << 20,
        "/var/lib/dpkg" if name == "diversions" => 1 << 20,
        "/lib/apk/db" | "/usr/lib/apk/db" if name == "installed" => 32 << 20,
        _ if RPM.contains(&path) => 48 << 20,
        _ => return None,
    })
}

/// What stands for the hash of a password in a kept text.
pub(super) const HASHED: &str = "(hash)";

// Leaves of each password field what rules ask: none, locked, or some hash.
fn without_hashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some((name, rest)) = line.split_once(':') else {
            // No account stands there; whatever does is nobody's business.
            out.push_str(if line.ends_with('\n') { "\n" } else { "" });
            continue;
        };
        let (field, rest) = rest.split_at(rest.find([':', '\n', '\r']).unwrap_or(rest.len()));
        out.push_str(name);
        out.push(':');
        out.push_str(if is_hash(field) { HASHED } else { field });
        out.push_str(rest);
    }
    out
}

/// Tells whether a password field holds what a password can be tried against (crypt(5), shadow(5)).
/// Behind `!` stands the hash of a locked account: it can be tried all the same.
pub(super) fn is_hash(field: &str) -> bool {
    let field = field.trim_start_matches('!');
    field == HASHED
        || (field.starts_with('$') && field.len() > 4)
        || (field.starts_with('_') && field.len() == 20)
        // DES: 13 letters of its alphabet.
        || (field.len() == 13
            && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_not_kept() {
        let mut keep = Keep::of(b"/etc/shadow").unwrap();
        let text = "root:$6$abcdefgh$0123456789:19000:0:::\na:!:1\nb::1\nc:*\nd:ab0123456789.\nodd\ne:!$y$j9T$x:1\n";
        text.as_bytes().chunks(5).for_each(|piece| keep.feed(piece, &mut Room::default()));
        let want = "root:(hash):19000:0:::\na:!:1\nb::1\nc:*\nd:(hash)\n\ne:(hash):1\n";
        assert_eq!(keep.end(), (want.to_owned(), true));
    }

    #[test]
    fn hashes_are_not_kept_of_the_readable_files_either() {
        for (path, text, want) in [
            (
                "/etc/passwd",
                "root:$6$abcdefgh$0123456789:0:0:root:/root:/bin/sh\na:x:1:1::/:/bin/sh\nb::0:0:::",
                "root:(hash):0:0:root:/root:/bin/sh\na:x:1:1::/:/bin/sh\nb::0:0:::",
            ),
            (
                "/etc/group",
                "root:ab0123456789.:0:\nwheel:x:10:a,b\n",
                "root:(hash):0:\nwheel:x:10:a,b\n",
            ),
        ] {
            let mut keep = Keep::of(path.as_bytes()).unwrap();
            keep.feed(text.as_bytes(), &mut Room::default());
            assert_eq!(keep.end(), (want.to_owned(), true), "{path}");
        }
    }

    #[test]
    fn texts_are_bounded() {
        let mut keep = Keep::of(b"/etc/cron.d/x").unwrap();
        keep.feed(&[b'x'; 20_000], &mut Room::default());
        let (text, whole) = keep.end();
        assert_eq!((text.len(), whole), (16 << 10, false));
        let mut keep = Keep::of(b"/etc/hosts").unwrap();
        keep.feed(b"root", &mut Room(2));
        assert_eq!(keep.end(), ("ro".to_owned(), false));
        assert!(Keep::of(b"/etc/motd").is_none());
    }
}
