//! Names of users and groups to numbers, by the files of the image and nothing else.
//!
//! The forms are those of passwd(5) and group(5). USER and `--chown` read the same text in
//! different ways, as BuildKit does: `USER 33` has group 0 unless passwd knows the user,
//! `--chown=33` has group 33.

use std::collections::BTreeSet;
use std::io::Read;

use super::{Error, Lookup, resolve};
use crate::base::ImagePath;
use crate::sys::Follow;

/// Bytes that are read of each of the two files. Larger ones are cut: no image has more.
const LIMIT: u64 = 16 << 20;

/// The largest id of a user: what every runtime takes (runc's limit). Above it lies the id -1, which
/// means "as before" to the kernel: whoever asks to become it stays root.
const LARGEST: u32 = i32::MAX as u32;

/// The most groups that a process can be in (NGROUPS_MAX of Linux).
const MOST_GROUPS: usize = 65_536;

/// Who a command is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups: `gid` itself, then those of the group file, in its order. Without `gid`
    /// in the list, a setgid program could leave the group, and with it what the group is denied.
    pub groups: Vec<u32>,
    /// The user's home folder, if passwd knows the user.
    pub home: Option<String>,
}

/// Why a name has no number.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Not in the image's passwd.
    #[error("no user `{0}` in /etc/passwd of the image")]
    User(String),
    /// Not in the image's group.
    #[error("no group `{0}` in /etc/group of the image")]
    Group(String),
    /// A number that is no id.
    #[error("`{0}` is no id of a user or group: they go from 0 to 2147483647")]
    Range(String),
    /// More groups than the kernel takes.
    #[error("user `{0}` is in more than 65536 groups by /etc/group of the image")]
    Groups(String),
    /// The files could not be read.
    #[error(transparent)]
    Tree(#[from] Error),
}

/// Finds who `spec` (`user`, `user:group`, each a name or a number; empty is root) is in `tree`, as
/// USER means it: without a group, the primary and the supplementary groups of the user; with one,
/// that alone. A number needs no entry.
pub fn lookup(tree: &dyn Lookup, spec: &str) -> Result<User, UserError> {
    let (name, group) = split(spec);
    let passwd = Passwd::read(tree, "/etc/passwd")?;
    let name = if name.is_empty() { "0" } else { name };
    let number = number(name)?;
    let known = passwd.user(|line| match number {
        // BuildKit and runc look for the name first, then for the number.
        Some(number) => line.uid == number,
        None => line.name == name,
    });
    let mut user = match (&known, number) {
        (Some(line), _) => {
            User { uid: line.uid, gid: line.gid, groups: Vec::new(), home: Some(line.home.into()) }
        }
        (None, Some(uid)) => User { uid, ..User::default() },
        (None, None) => return Err(UserError::User(name.into())),
    };
    let mut others = Vec::new();
    match (group, known) {
        (Some(group), _) => user.gid = group_id(tree, group)?,
        (None, Some(line)) => {
            let groups = Passwd::read(tree, "/etc/group")?;
            others =
                groups.member_of(line.name).ok_or_else(|| UserError::Groups(line.name.into()))?;
        }
        (None, None) => {}
    }
    user.groups = std::iter::once(user.gid)
        .chain(others.into_iter().filter(|gid| *gid != user.gid))
        .collect();
    match [user.uid].iter().chain(&user.groups).find(|id| **id > LARGEST) {
        Some(id) => Err(UserError::Range(id.to_string())),
        None => Ok(user),
    }
}

// The number that a text is: `0`, `00`, `+0` and `-0` are all root to the runtimes. `None` for a name.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<i64>().ok().and_then(|number| u32::try_from(number).ok()) {
        Some(number) if number <= LARGEST => Ok(Some(number)),
        _ => Err(UserError::Range(text.chars().take(40).collect())),
    }
}

/// Finds the owner that `spec` (as in [`lookup`]) means in `--chown`: without a group, a name has
/// the user's primary group, a number the group of the same number.
pub fn owner(tree: &dyn Lookup, spec: &str) -> Result<(u32, u32), UserError> {
    let (name, group) = split(spec);
    let name = if name.is_empty() { "0" } else { name };
    let (uid, gid) = match id(name) {
        Some(number) => (number, number),
        None => {
            let passwd = Passwd::read(tree, "/etc/passwd")?;
            let line = passwd.user(|line| line.name == name);
            line.map(|line| (line.uid, line.gid)).ok_or_else(|| UserError::User(name.into()))?
        }
    };
    match group {
        Some(group) => Ok((uid, id(group).map_or_else(|| group_id(tree, group), Ok)?)),
        None => Ok((uid, gid)),
    }
}

// The last number of 32 bits is no id: to the kernel it means "leave as it is", which may be root.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn split(spec: &str) -> (&str, Option<&str>) {
    match spec.split_once(':') {
        Some((user, group)) if !group.is_empty() => (user, Some(group)),
        Some((user, _)) => (user, None),
        None => (spec, None),
    }
}

fn group_id(tree: &dyn Lookup, group: &str) -> Result<u32, UserError> {
    if let Some(number) = number(group)? {
        return Ok(number);
    }
    let groups = Passwd::read(tree, "/etc/group")?;
    groups.group(group).ok_or_else(|| UserError::Group(group.into()))
}

/// The text of `/etc/passwd` or `/etc/group`.
struct Passwd(String);

struct Line<'t> {
    name: &'t str,
    uid: u32,
    gid: u32,
    home: &'t str,
}

impl Passwd {
    /// An absent file, or one that is no file, is an empty one.
    fn read(tree: &dyn Lookup, path: &str) -> Result<Passwd, Error> {
        let path = ImagePath::from_entry(path.as_bytes()).expect("a clean path");
        let path = match resolve(tree, &path, Follow::InRoot) {
            Ok(path) => path,
            Err(Error::Loop(_)) => return Ok(Passwd(String::new())),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        if let Some(entry) = tree.entry(&path)?
            && matches!(entry.kind, crate::layer::EntryKind::File { .. })
            && let Some(file) = tree.open(&path)?
        {
            file.take(LIMIT).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        }
        Ok(Passwd(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns the first line of a user that `is` takes. Malformed lines are passed over.
    fn user(&self, is: impl Fn(&Line<'_>) -> bool) -> Option<Line<'_>> {
        self.0.lines().find_map(|text| {
            let mut fields = text.trim().split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
            let home = fields.nth(1).unwrap_or_default();
            let line = Line { name, uid, gid, home };
            is(&line).then_some(line)
        })
    }

    fn group(&self, wanted: &str) -> Option<u32> {
        self.groups().find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid)
    }

    /// Each group once; `None` when there are more than a process can be in.
    fn member_of(&self, user: &str) -> Option<Vec<u32>> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for (_, gid, members) in self.groups() {
            if members.split(',').any(|member| member.trim() == user) && seen.insert(gid) {
                found.push(gid);
                if found.len() > MOST_GROUPS {
                    return None;
                }
            }
        }
        Some(found)
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.0.lines().filter_map(|text| {
            let mut fields = text.trim().split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            Some((name, id(fields.next()?)?, fields.next().unwrap_or_default()))
        })
    }
}
