//! The record of an owner or a device node, where the kernel cannot have it: with a single id every
//! file is owned by that one, and devices cannot be made.
//!
//! The record is an attribute of the inode itself, so that it follows renames and hard links and is
//! copied up by overlayfs; a file without one is owned by `0:0`.
//!
//! | on | attribute | value |
//! |---|---|---|
//! | files and folders | `user.rbuild.own` | `uid:gid`, or for a node `uid:gid:c:major:minor` (or `b`) |
//! | symlinks, pipes, sockets | `security.capability` | the two ids in place of capabilities |
//!
//! User attributes are refused on the latter (xattr(7)), capabilities are not, though they mean
//! nothing there: nothing of that kind is ever executed. Only root of a user namespace may set them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Name of the attribute on files and folders.
pub const ATTRIBUTE: &[u8] = b"user.rbuild.own";
const ON_SPECIAL: &[u8] = b"security.capability";

/// `VFS_CAP_REVISION_2`, and our mark in the upper 32 bits of both sets (linux/capability.h).
const REVISION_2: u32 = 0x0200_0000;
const MARK: [u32; 2] = [u32::from_le_bytes(*b"rbui"), u32::from_le_bytes(*b"down")];

/// An owner, and what device the file stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Set on the empty file that stands for a device node.
    pub node: Option<Node>,
}

/// A device node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// A block device, not a character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Own {
    /// An owner of something that is no device.
    pub fn of(uid: u32, gid: u32) -> Self {
        Own { uid, gid, node: None }
    }

    /// Tells whether a file needs no record to have this owner.
    pub fn is_usual(&self) -> bool {
        *self == Own::default()
    }

    /// Reads the text of [`ATTRIBUTE`]; `None` if it is none of ours.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(':');
        let uid = parts.next()?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        let node = match parts.next() {
            None => None,
            Some(kind @ ("c" | "b")) => Some(Node {
                block: kind == "b",
                major: parts.next()?.parse().ok()?,
                minor: parts.next()?.parse().ok()?,
            }),
            Some(_) => return None,
        };
        Some(Own { uid, gid, node })
    }

    fn as_capability(self) -> Vec<u8> {
        let words = [REVISION_2, self.uid, self.gid, MARK[0], MARK[1]];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn of_capability(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("chunks of four")));
        let (_, uid, gid) = (words.next()?, words.next()?, words.next()?);
        ([words.next()?, words.next()?] == MARK).then_some(Own { uid, gid, node: None })
    }
}

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)?;
        if let Some(Node { block, major, minor }) = self.node {
            write!(f, ":{}:{major}:{minor}", if block { 'b' } else { 'c' })?;
        }
        Ok(())
    }
}

/// Returns the record of the symlink, pipe or socket `name` in `dir`.
pub fn of_special(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Own>> {
    match get(&place(dir.as_fd(), name), ON_SPECIAL, false) {
        Ok(value) => Ok(value.and_then(|value| Own::of_capability(&value))),
        Err(Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Records the owner of the symlink, pipe or socket `name` in `dir`. A file system without such
/// attributes is no error: the owner is lost there.
pub fn set_special(dir: impl AsFd, name: &[u8], own: Own) -> io::Result<()> {
    match set(&place(dir.as_fd(), name), false, true, own) {
        Err(Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result?),
    }
}

// Attributes of what cannot be opened are reached by a path alone.
fn place(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat()
}

/// Returns the record of what is at a path of this process. `OPNOTSUPP` where there can be none.
pub(super) fn at(path: &[u8], follow: bool) -> Result<Option<Own>, Errno> {
    if let Some(text) = get(path, ATTRIBUTE, follow)? {
        return Ok(Own::parse(&text));
    }
    let value = get(path, ON_SPECIAL, follow)?;
    Ok(value.and_then(|value| Own::of_capability(&value)))
}

/// Records an owner for what is at a path of this process; removes the record that is not needed.
pub(super) fn set(path: &[u8], follow: bool, special: bool, own: Own) -> Result<(), Errno> {
    let (name, value) = match special {
        true => (ON_SPECIAL, own.as_capability()),
        false => (ATTRIBUTE, own.to_string().into_bytes()),
    };
    let flags = XattrFlags::empty();
    match (own.is_usual(), follow) {
        (false, true) => rustix::fs::setxattr(path, name, &value, flags),
        (false, false) => rustix::fs::lsetxattr(path, name, &value, flags),
        (true, _) => {
            let removed = match follow {
                true => rustix::fs::removexattr(path, name),
                false => rustix::fs::lremovexattr(path, name),
            };
            match removed {
                Err(Errno::NODATA) => Ok(()),
                other => other,
            }
        }
    }
}

fn get(path: &[u8], name: &[u8], follow: bool) -> Result<Option<Vec<u8>>, Errno> {
    // Longer than any record: the longest text is of five numbers of ten digits.
    let mut buffer = [0u8; 128];
    let got = match follow {
        true => rustix::fs::getxattr(path, name, &mut buffer),
        false => rustix::fs::lgetxattr(path, name, &mut buffer),
    };
    match got {
        Ok(size) => Ok(Some(buffer[..size].to_vec())),
        Err(Errno::NODATA | Errno::RANGE) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let node = Some(Node { block: true, major: 8, minor: 1 });
        for own in [Own::of(0, 0), Own::of(1, u32::MAX), Own { uid: 0, gid: 6, node }] {
            assert_eq!(Own::parse(own.to_string().as_bytes()), Some(own));
        }
        assert_eq!(Own { uid: 0, gid: 6, node }.to_string(), "0:6:b:8:1");
        assert_eq!(Own::of_capability(&Own::of(33, 44).as_capability()), Some(Own::of(33, 44)));
    }

    #[test]
    fn what_is_not_ours_is_no_record() {
        for text in ["", "1", "1:", ":1", "1:x", "1:2:c", "1:2:c:3", "1:2:d:3:4", "-1:2", "1:2:"] {
            assert_eq!(Own::parse(text.as_bytes()), None, "{text}");
        }
        // CAP_NET_RAW, as on ping.
        let real = [0x0200_0001u32, 0x2000, 0, 0, 0].map(u32::to_le_bytes).concat();
        assert_eq!(Own::of_capability(&real), None);
        assert_eq!(Own::of_capability(&real[..8]), None);
    }
}
