//! Accounts of an image: who its process is, what that may write, and which accounts have what for a
//! password.

use std::collections::BTreeMap;

use super::keep::is_hash;
use super::{FileFact, FileKind, ImageFacts, Visible};

/// Who the process of the image is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its user id.
    pub uid: u32,
    /// Its group ids.
    pub gids: Vec<u32>,
    /// Its home; empty where it has no account.
    pub home: String,
}

/// A line of `/etc/shadow` or `/etc/passwd` whose password field is not locked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shadowed {
    /// The account.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// Whether there is a hash; else the field is empty.
    pub hashed: bool,
}

impl ImageFacts {
    /// Returns who the config's user is; `None` for one that the image does not have. A number
    /// without an account is in group 0, as runtimes have it.
    pub fn identity(&self, visible: &BTreeMap<&str, Visible<'_>>) -> Option<Identity> {
        let who = &self.config.config.user;
        let (user, group) = who.split_once(':').unwrap_or((who, ""));
        let user = if user.is_empty() { "0" } else { user };
        let text = self.text(visible, "/etc/passwd").unwrap_or("");
        let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let account = rows.find(|row| row.len() >= 4 && (row[0] == user || row[2] == user));
        let uid = match (&account, user.parse()) {
            (Some(row), _) => row[2].parse().ok()?,
            (None, Ok(uid)) => uid,
            (None, Err(_)) if user == "root" => 0,
            (None, Err(_)) => return None,
        };
        let name = account.as_ref().map_or("", |row| row[0]);
        let text = self.text(visible, "/etc/group").unwrap_or("");
        let groups = || {
            text.lines().filter_map(|line| {
                let mut parts = line.split(':');
                let (name, gid) = (parts.next()?, parts.nth(1)?.parse::<u32>().ok()?);
                Some((name, gid, parts.next().unwrap_or("")))
            })
        };
        let mut gids = Vec::new();
        match group {
            "" => {
                gids.push(account.as_ref().and_then(|row| row[3].parse().ok()).unwrap_or(0));
                let member = |list: &str| !name.is_empty() && list.split(',').any(|m| m == name);
                gids.extend(groups().filter(|group| member(group.2)).map(|group| group.1));
            }
            _ => {
                let known = groups().find(|known| known.0 == group).map(|known| known.1);
                gids.push(known.or_else(|| group.parse().ok())?);
            }
        }
        let home = account.as_ref().and_then(|row| row.get(5)).unwrap_or(&"");
        Some(Identity { uid, gids, home: (*home).to_owned() })
    }

    /// Returns the accounts without a password, and those with a hash of one, in a layer's own
    /// version of `path` (`/etc/shadow`, `/etc/passwd`).
    pub fn passwords(&self, layer: usize, path: &str) -> Vec<Shadowed> {
        let text = self.layers.get(layer).and_then(|layer| layer.table.texts.get(path));
        let text = text.map_or("", String::as_str);
        let lines = text.lines().enumerate().filter_map(|(index, line)| {
            let mut fields = line.split(':');
            let (name, field) = (fields.next()?, fields.next()?);
            // An account has more fields than two; `+::::::` is a mark of NIS.
            fields.next()?;
            let hashed = is_hash(field);
            let known = !name.is_empty() && !name.starts_with(['+', '-', '#']);
            (known && (field.is_empty() || hashed)).then(|| Shadowed {
                name: name.to_owned(),
                line: index + 1,
                hashed,
            })
        });
        lines.collect()
    }
}

impl Identity {
    /// Tells whether its mode lets this user write a file or folder. Root may write all.
    pub fn may_write(&self, file: &FileFact) -> bool {
        match &file.kind {
            FileKind::Symlink(_) => false,
            _ if self.uid == 0 => true,
            _ if file.uid == self.uid => file.mode & 0o200 != 0,
            _ if self.gids.contains(&file.gid) => file.mode & 0o020 != 0,
            _ => file.mode & 0o002 != 0,
        }
    }

    /// Tells whether this user may put another file in the place of one that is not its own, in the
    /// folder.
    pub fn may_replace_in(&self, folder: &FileFact) -> bool {
        self.may_write(folder) && (folder.mode & 0o1000 == 0 || folder.uid == self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{file, image};
    use super::*;

    fn with(user: &str, texts: &[(&str, &str)]) -> ImageFacts {
        let files = texts.iter().map(|(path, _)| file(path, FileKind::File)).collect();
        let mut image = image(vec![files]);
        image.config.config.user = user.into();
        for (path, text) in texts {
            let table = std::sync::Arc::make_mut(&mut image.layers[0].table);
            table.texts.insert((*path).into(), (*text).into());
        }
        image
    }

    #[test]
    fn users_by_name_and_number() {
        let texts = [
            ("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:10001:10002::/home/app:/bin/sh\n"),
            ("/etc/group", "root:x:0:\napp:x:10002:\nmore:x:30:other,app\n"),
        ];
        let who = |user: &str| {
            let image = with(user, &texts);
            image.identity(&image.visible()).map(|who| (who.uid, who.gids, who.home))
        };
        let home = "/home/app".to_owned();
        assert_eq!(who("app"), Some((10001, vec![10002, 30], home.clone())));
        assert_eq!(who("10001"), Some((10001, vec![10002, 30], home.clone())));
        assert_eq!(who("10001:more"), Some((10001, vec![30], home)));
        assert_eq!(who("77"), Some((77, vec![0], String::new())));
        assert_eq!(who(""), Some((0, vec![0], "/root".to_owned())));
        assert_eq!(who("nobody"), None);
        assert_eq!(who("app:none"), None);
    }

    #[test]
    fn modes_decide_who_writes() {
        let who = Identity { uid: 5, gids: vec![6], home: String::new() };
        let may = |uid, gid, mode| {
            let file = FileFact { uid, gid, mode, ..file("/x", FileKind::File) };
            (who.may_write(&file), who.may_replace_in(&file))
        };
        assert_eq!(may(5, 0, 0o755), (true, true));
        assert_eq!(may(5, 0, 0o577), (false, false));
        assert_eq!(may(0, 6, 0o775), (true, true));
        assert_eq!(may(0, 0, 0o755), (false, false));
        assert_eq!(may(0, 0, 0o1777), (true, false));
        assert_eq!(may(5, 0, 0o1777), (true, true));
    }

    #[test]
    fn fields_of_passwords() {
        let text = "root::1:0\na:(hash):1\nb:*:1\nc:!:1\n+::::\nd:x:1\n";
        let found = with("", &[("/etc/shadow", text)]).passwords(0, "/etc/shadow");
        let found: Vec<_> =
            found.iter().map(|one| (one.name.as_str(), one.line, one.hashed)).collect();
        assert_eq!(found, [("root", 1, false), ("a", 2, true)]);
    }
}
