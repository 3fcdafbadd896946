//! Metadata between an [`Entry`] and a file on disk: owners, attributes, device nodes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use super::Error;
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::sys::own::{self, Node, Own};
use crate::sys::{self, Dir, FileKind, IdMode, Root, Stat, xattr};

/// Marks a folder that hides what lower layers have in it (overlayfs with `userxattr`).
pub(super) const OPAQUE: &[u8] = b"user.overlay.opaque";
/// Mode of a file or folder that its owner could not work with otherwise ([`IdMode::Bare`]), octal.
const MODE: &[u8] = b"user.rbuild.mode";
/// What would be in `security.capability`, where this may not be set ([`IdMode::Bare`]).
const KEPT_CAPABILITY: &[u8] = b"user.rbuild.capability";
/// Makes an empty file a whiteout, where the file system takes no device 0:0 (an overlay, as the
/// root of a container is).
const WHITEOUT: &[u8] = b"user.rbuild.whiteout";
const CAPABILITY: &[u8] = b"security.capability";
pub(super) const OVERLAY: &[u8] = b"user.overlay.";
/// How an attribute `user.overlay.x` that a step sets arrives on disk (overlayfs since 6.7).
const ESCAPED: &[u8] = b"user.overlay.overlay.";
const OURS: &[u8] = b"user.rbuild.";

/// Tells whether an attribute that comes from outside (a layer, an archive, a context) is taken
/// over: `security.capability`, and `user.*` that means nothing to overlayfs or to us.
fn is_taken_over(name: &[u8]) -> bool {
    name == CAPABILITY
        || (name.starts_with(b"user.") && !name.starts_with(OVERLAY) && !name.starts_with(OURS))
}

/// Gives a file or folder owner, attributes, mode and time as in `entry`. By descriptor, in the
/// one order that works: a change of owner clears set-uid bits and capabilities.
pub(super) fn apply(fd: impl AsFd, entry: &Entry, mode: IdMode) -> Result<(), Error> {
    let fd = fd.as_fd();
    let node = match entry.kind {
        EntryKind::Char { major, minor } => Some(Node { block: false, major, minor }),
        EntryKind::Block { major, minor } => Some(Node { block: true, major, minor }),
        _ => None,
    };
    if mode.has_many() {
        sys::set_owner(fd, entry.uid, entry.gid).map_err(|error| owner_error(error, entry))?;
    }
    // A plain user may set attributes only of what it may write to.
    let kept_mode = kept_mode(entry, mode);
    if entry.kind == EntryKind::Dir && mode == IdMode::Bare {
        sys::set_mode(fd, entry.mode | 0o700).map_err(Error::io("set the mode of", &entry.path))?;
    }
    let own = Own { uid: entry.uid, gid: entry.gid, node };
    let recorded = node.is_some() || (!mode.has_many() && !own.is_usual());
    let path = &entry.path;
    if recorded {
        xattr::set(fd, own::ATTRIBUTE, own.to_string().as_bytes())
    } else if !mode.has_many() && entry.kind == EntryKind::Dir {
        // A folder may have one from an earlier entry of the same path.
        xattr::remove(fd, own::ATTRIBUTE)
    } else {
        Ok(())
    }
    .map_err(Error::io("set the owner of", path))?;
    if mode == IdMode::Bare && kept_mode != entry.mode {
        let text = format!("{:o}", entry.mode);
        xattr::set(fd, MODE, text.as_bytes()).map_err(Error::io("set the mode of", path))?;
    } else if mode == IdMode::Bare && entry.kind == EntryKind::Dir {
        xattr::remove(fd, MODE).map_err(Error::io("set the mode of", path))?;
    }
    for (name, value) in &entry.xattrs {
        if is_taken_over(name) {
            let name = match name.as_slice() {
                CAPABILITY if mode == IdMode::Bare => KEPT_CAPABILITY,
                name => name,
            };
            match xattr::set(fd, name, value) {
                // Best effort, as Docker does with attributes that a file system does not have.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => result.map_err(Error::io("set an extended attribute of", path))?,
            }
        }
    }
    sys::set_mode(fd, kept_mode).map_err(Error::io("set the mode of", path))?;
    sys::set_mtime(fd, entry.mtime).map_err(Error::io("set the time of", path))
}

/// The mode on disk: without any power over its own files, an account has to be let in by the mode.
fn kept_mode(entry: &Entry, mode: IdMode) -> u32 {
    match (mode, &entry.kind) {
        (IdMode::Bare, EntryKind::Dir) => entry.mode | 0o700,
        (IdMode::Bare, _) => entry.mode | 0o600,
        _ => entry.mode,
    }
}

/// Marks `name` as removed, in the one of two forms that the file system takes: a character device
/// 0:0, or an empty file with an attribute of ours. Only the first is seen by overlayfs; the second
/// is made where overlayfs could not be used either.
pub(super) fn put_whiteout(dir: &Dir, name: &[u8]) -> io::Result<()> {
    match dir.whiteout(name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let file = dir.create_file(name)?;
            xattr::set(&file, WHITEOUT, b"y")
        }
        result => result,
    }
}

/// Tells whether `name`, whose status is `stat`, marks a removed name in either form.
pub(super) fn is_whiteout(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<bool> {
    if stat.kind != FileKind::File || stat.size != 0 {
        return Ok(stat.is_whiteout());
    }
    if !xattr::may_be_at(dir, name) {
        return Ok(false);
    }
    match dir.open_meta(name) {
        Ok(fd) => Ok(xattr::get(fd, WHITEOUT)?.is_some()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the mark of [`put_whiteout`] off an empty file: a step has set it, and it means nothing then.
pub(super) fn unmark(dir: &Dir, name: &[u8], stat: &Stat) -> io::Result<()> {
    if stat.kind != FileKind::File || stat.size != 0 {
        return Ok(());
    }
    match dir.open_meta(name).and_then(|fd| xattr::remove(fd, WHITEOUT)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

/// Tells whether a folder hides what lower layers have in it.
pub(super) fn is_opaque(dir: &Dir) -> io::Result<bool> {
    Ok(xattr::get(dir, OPAQUE)?.as_deref() == Some(b"y"))
}

/// Gives a symlink or pipe owner and time as in `entry`.
pub(super) fn apply_special(
    dir: &Dir,
    name: &[u8],
    entry: &Entry,
    mode: IdMode,
) -> Result<(), Error> {
    if mode.has_many() {
        dir.set_owner(name, entry.uid, entry.gid).map_err(|error| owner_error(error, entry))?;
    } else if (entry.uid, entry.gid) != (0, 0) {
        match own::set_special(dir, name, Own::of(entry.uid, entry.gid)) {
            // Only root of a namespace may leave this record: the owner is lost.
            Err(error) if mode == IdMode::Bare && is_denied(&error) => {}
            result => result.map_err(Error::io("set the owner of", &entry.path))?,
        }
    }
    if entry.kind == EntryKind::Fifo {
        let fd = dir.open_meta(name).map_err(Error::io("open", &entry.path))?;
        sys::set_mode(fd, entry.mode).map_err(Error::io("set the mode of", &entry.path))?;
    }
    dir.set_mtime(name, entry.mtime).map_err(Error::io("set the time of", &entry.path))
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn owner_error(error: io::Error, entry: &Entry) -> Error {
    if error.kind() == io::ErrorKind::InvalidInput {
        return Error::Unmapped { path: entry.path.clone(), uid: entry.uid, gid: entry.gid };
    }
    Error::io("set the owner of", &entry.path)(error)
}

/// Reads back what is at `name` in `dir`, as the image has it at `path`; `None` for nothing, a
/// whiteout or a socket. Files are [`EntryKind::File`] however many names they have.
pub fn entry_at(
    dir: &Dir,
    name: &[u8],
    path: &ImagePath,
    mode: IdMode,
) -> Result<Option<(Entry, Stat)>, Error> {
    entry_unless_plain(dir, name, path, mode, |_| false)
}

/// Like [`entry_at`]; a file of which `plain` says so has no attributes, and is not asked for them.
pub fn entry_unless_plain(
    dir: &Dir,
    name: &[u8],
    path: &ImagePath,
    mode: IdMode,
    plain: impl FnOnce(&Stat) -> bool,
) -> Result<Option<(Entry, Stat)>, Error> {
    let Some(stat) = dir.stat_opt(name).map_err(Error::io("read", path))? else { return Ok(None) };
    if stat.kind == FileKind::File && plain(&stat) {
        return entry_of(Place::Plain, stat, path, mode);
    }
    match is_whiteout(dir, name, &stat).map_err(Error::io("read", path))? {
        true => Ok(None),
        false => entry_of(Place::Name(dir, name), stat, path, mode),
    }
}

/// Like [`entry_at`], for what a step may have left, whose status is `stat`: a mark of ours that it has set
/// is none.
pub(super) fn left_at(
    dir: &Dir,
    name: &[u8],
    stat: Stat,
    path: &ImagePath,
    mode: IdMode,
) -> Result<Option<(Entry, Stat)>, Error> {
    entry_of(Place::Name(dir, name), stat, path, mode)
}

/// Like [`entry_at`], for an open folder itself.
pub(super) fn entry_of_dir(dir: &Dir, path: &ImagePath, mode: IdMode) -> Result<Entry, Error> {
    let stat = dir.own_stat().map_err(Error::io("read", path))?;
    Ok(entry_of(Place::Open(dir), stat, path, mode)?.expect("a folder has an entry").0)
}

enum Place<'a> {
    Name(&'a Dir, &'a [u8]),
    Open(&'a Dir),
    /// Of a file without attributes.
    Plain,
}

fn entry_of(
    place: Place<'_>,
    stat: Stat,
    path: &ImagePath,
    mode: IdMode,
) -> Result<Option<(Entry, Stat)>, Error> {
    let io = |error| Error::io("read", path)(error);
    let kind = match stat.kind {
        FileKind::File => EntryKind::File { size: stat.size },
        FileKind::Dir => EntryKind::Dir,
        FileKind::Symlink => match &place {
            Place::Name(dir, name) => EntryKind::Symlink(dir.readlink(name).map_err(io)?),
            Place::Open(_) | Place::Plain => return Ok(None),
        },
        FileKind::Fifo => EntryKind::Fifo,
        FileKind::Char if stat.is_whiteout() => return Ok(None),
        FileKind::Char => EntryKind::Char { major: stat.major, minor: stat.minor },
        FileKind::Block => EntryKind::Block { major: stat.major, minor: stat.minor },
        FileKind::Other => return Ok(None),
    };
    let mut entry = Entry::new(path.clone(), kind, stat.mode);
    entry.mtime = stat.mtime;
    if mode.has_many() {
        (entry.uid, entry.gid) = (stat.uid, stat.gid);
    }
    if matches!(stat.kind, FileKind::File | FileKind::Dir) {
        let attributes = match &place {
            Place::Name(dir, name) if !xattr::may_be_at(dir, name) => Ok(Vec::new()),
            Place::Name(dir, name) => match dir.open_meta(name) {
                Ok(fd) => attributes(fd),
                // Attributes of what cannot be read are not worth a failure: its content, if it
                // is wanted, will be one.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Vec::new()),
                Err(error) => Err(error),
            },
            Place::Open(dir) => attributes(dir),
            Place::Plain => Ok(Vec::new()),
        };
        for (name, value) in attributes.map_err(io)? {
            if name == own::ATTRIBUTE {
                take_own(&mut entry, &value, mode);
            } else if name == MODE && mode == IdMode::Bare {
                entry.mode = octal(&value).unwrap_or(entry.mode);
            } else if name == KEPT_CAPABILITY && mode == IdMode::Bare {
                entry.xattrs.insert(CAPABILITY.to_vec(), value);
            } else if let Some(rest) = name.strip_prefix(ESCAPED) {
                entry.xattrs.insert([OVERLAY, rest].concat(), value);
            } else if name == CAPABILITY {
                entry.xattrs.extend(capability(value).map(|value| (name, value)));
            } else if is_taken_over(&name) {
                entry.xattrs.insert(name, value);
            }
        }
    }
    if !mode.has_many()
        && matches!(stat.kind, FileKind::Symlink | FileKind::Fifo)
        && let Place::Name(dir, name) = place
        && let Some(own) = own::of_special(dir, name).map_err(io)?
    {
        (entry.uid, entry.gid) = (own.uid, own.gid);
    }
    Ok(Some((entry, stat)))
}

/// Tells whether a file or folder has a capability of any kind, also one that is left out of its entry: for
/// the root of which namespace it is, another namespace says otherwise. What cannot be looked at may.
pub fn may_have_capability(root: &Root, path: &ImagePath) -> bool {
    let found = || {
        if path.is_root() {
            return xattr::get(root.top(), CAPABILITY);
        }
        let (dir, name) = root.parent(path)?;
        xattr::get(dir.open_meta(&name)?, CAPABILITY)
    };
    !matches!(found(), Ok(None))
}

fn octal(value: &[u8]) -> Option<u32> {
    let mode = u32::from_str_radix(std::str::from_utf8(value).ok()?, 8).ok()?;
    (mode <= 0o7777).then_some(mode)
}

fn attributes(fd: impl AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in xattr::list(&fd)? {
        if (name == CAPABILITY || name.starts_with(b"user."))
            && let Some(value) = xattr::get(&fd, &name)?
        {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Reads our record. A step can write one as well; it gains no more than root in any container
/// has: an entry with an owner of its choice. Nodes of a step that may make none are taken away
/// again ([`super::forget_nodes`]).
fn take_own(entry: &mut Entry, value: &[u8], mode: IdMode) {
    let Some(own) = Own::parse(value) else { return };
    if !mode.has_many() {
        (entry.uid, entry.gid) = (own.uid, own.gid);
    }
    if entry.kind == (EntryKind::File { size: 0 })
        && let Some(Node { block, major, minor }) = own.node
    {
        entry.kind = match block {
            false => EntryKind::Char { major, minor },
            true => EntryKind::Block { major, minor },
        };
    }
}

/// Capabilities set in a user namespace are stored with the id of its root (revision 3, 24 bytes);
/// layers hold revision 2, which is the same without it (linux/capability.h). `None` for those that
/// are for another root than that of the image: without the id they would be for everybody.
fn capability(mut value: Vec<u8>) -> Option<Vec<u8>> {
    if value.len() == 24 && value[3] == 3 {
        let root = value.split_off(20);
        value[3] = 2;
        return (root == [0; 4]).then_some(value);
    }
    Some(value)
}

/// Leaves the attributes that are taken over from outside. Capabilities for
/// another root than that of the image are not.
pub fn clean(xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    xattrs.retain(|name, _| is_taken_over(name));
    if let Some(value) = xattrs.remove(CAPABILITY) {
        xattrs.extend(capability(value).map(|value| (CAPABILITY.to_vec(), value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_23_capabilities_of_another_root_are_nobodys() {
        let form = |revision: u8, root: &[u8]| {
            let words = [[1, 0, 0, revision], [0, 32, 0, 0], [0; 4], [0; 4], [0; 4]];
            [words.as_flattened(), root].concat()
        };
        let check = |value: Vec<u8>, want: Option<Vec<u8>>| {
            let mut xattrs = BTreeMap::from([(CAPABILITY.to_vec(), value)]);
            xattrs.insert(crate::sys::own::ATTRIBUTE.to_vec(), b"1:1".to_vec());
            clean(&mut xattrs);
            assert_eq!(xattrs.into_values().next(), want);
        };
        let plain = form(2, &[]);
        check(plain.clone(), Some(plain.clone()));
        check(form(3, &[0; 4]), Some(plain));
        check(form(3, &1000_u32.to_le_bytes()), None);
    }
}
