//! Names of users and groups to numbers, by the files of the image and nothing else.
//!
//! The forms are those of passwd(5) and group(5). USER and `--chown` read the same text in
//! different ways, as BuildKit does: `USER 33` has group 0 unless passwd knows the user,
//! `--chown=33` has group 33.

use std::io::Read;

use super::{Error, Lookup, resolve};
use crate::base::ImagePath;
use crate::sys::Follow;

/// Bytes that are read of each of the two files. Larger ones are cut: no image has more.
const LIMIT: u64 = 16 << 20;

/// Who a command is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, without `gid`, in the order of the group file.
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
    let number = id(name);
    let mut user = match passwd.user(|line| match number {
        // BuildKit and runc look for the name first, then for the number.
        Some(number) => line.uid == number,
        None => line.name == name,
    }) {
        Some(line) => {
            User { uid: line.uid, gid: line.gid, groups: Vec::new(), home: Some(line.home.into()) }
        }
        None => match number {
            Some(uid) => User { uid, ..User::default() },
            None => return Err(UserError::User(name.into())),
        },
    };
    match group {
        Some(group) => user.gid = group_id(tree, group)?,
        None => {
            let known =
                passwd.user(|line| line.uid == user.uid && (number.is_some() || line.name == name));
            if let Some(line) = known {
                let groups = Passwd::read(tree, "/etc/group")?;
                user.groups = groups.member_of(line.name);
                user.groups.retain(|gid| *gid != user.gid);
            }
        }
    }
    Ok(user)
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
        Some(group) => Ok((uid, group_id(tree, group)?)),
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
    if let Some(number) = id(group) {
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

    fn member_of(&self, user: &str) -> Vec<u32> {
        let mut found = Vec::new();
        for (_, gid, members) in self.groups() {
            if members.split(',').any(|member| member.trim() == user) && !found.contains(&gid) {
                found.push(gid);
            }
        }
        found
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.0.lines().filter_map(|text| {
            let mut fields = text.trim().split(':');
            let (name, _password) = (fields.next()?, fields.next()?);
            Some((name, id(fields.next()?)?, fields.next().unwrap_or_default()))
        })
    }
}
