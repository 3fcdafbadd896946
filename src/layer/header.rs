//! Entries as tar headers: ustar where it can hold the values, PAX records where it cannot
//! (POSIX.1-2024, `pax`, "ustar Interchange Format" and "pax Extended Header").

use tar::{EntryType, Header};

use super::{Entry, EntryKind, Error};

/// Size of a tar block.
pub(super) const BLOCK: usize = 512;

/// What begins the name of a whiteout (OCI image specification, layer.md, "Whiteouts").
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// The name of an opaque whiteout.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The prefix of PAX records that hold extended attributes, as `star` introduced it.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

// Largest octal numbers of 7 and 11 digits.
const MAX_7: u64 = 0o777_7777;
const MAX_11: u64 = 0o777_7777_7777;

/// Makes headers; keeps its buffers from entry to entry.
#[derive(Default)]
pub(super) struct Encoder {
    name: Vec<u8>,
    pax: Vec<u8>,
}

impl Encoder {
    /// Appends the header blocks of the entry to `out`.
    pub(super) fn encode(&mut self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), Error> {
        self.check(entry)?;
        self.set_name(entry);
        self.pax.clear();
        let mut header = Header::new_ustar();
        let (kind, link): (EntryType, &[u8]) = match &entry.kind {
            EntryKind::File { .. } | EntryKind::Whiteout | EntryKind::Opaque => {
                (EntryType::Regular, b"")
            }
            EntryKind::Dir => (EntryType::Directory, b""),
            EntryKind::Symlink(target) => (EntryType::Symlink, target),
            EntryKind::Hardlink(target) => (EntryType::Link, target.relative()),
            EntryKind::Char { .. } => (EntryType::Char, b""),
            EntryKind::Block { .. } => (EntryType::Block, b""),
            EntryKind::Fifo => (EntryType::Fifo, b""),
        };
        // A whiteout is a mark, not a file: nobody owns it.
        let is_mark = matches!(entry.kind, EntryKind::Whiteout | EntryKind::Opaque);
        let (mode, uid, gid) = if is_mark { (0, 0, 0) } else { (entry.mode, entry.uid, entry.gid) };
        let size = entry.size();

        // PAX records, by the order of their keys.
        if !is_mark {
            for (key, value) in &entry.xattrs {
                push_record(&mut self.pax, &[XATTR, key], value);
            }
        }
        let gid = number(&mut self.pax, b"gid", gid.into(), MAX_7);
        if link.len() > 100 {
            push_record(&mut self.pax, &[b"linkpath"], link);
        }
        let mtime = match u64::try_from(entry.mtime) {
            Ok(mtime) if mtime <= MAX_11 => mtime,
            _ => {
                push_record(&mut self.pax, &[b"mtime"], entry.mtime.to_string().as_bytes());
                0
            }
        };
        let split = split_name(&self.name);
        if split.is_none() {
            push_record(&mut self.pax, &[b"path"], &self.name);
        }
        let size = number(&mut self.pax, b"size", size, MAX_11);
        let uid = number(&mut self.pax, b"uid", uid.into(), MAX_7);

        let fields = header.as_ustar_mut().expect("made as ustar");
        let (prefix, name) = split.unwrap_or((b"", &self.name[..self.name.len().min(100)]));
        fields.name[..name.len()].copy_from_slice(name);
        fields.prefix[..prefix.len()].copy_from_slice(prefix);
        let link = &link[..link.len().min(100)];
        fields.linkname[..link.len()].copy_from_slice(link);
        octal(&mut fields.mode, u64::from(mode & 0o7777));
        octal(&mut fields.uid, uid);
        octal(&mut fields.gid, gid);
        octal(&mut fields.size, size);
        octal(&mut fields.mtime, mtime);
        let (major, minor) = match entry.kind {
            EntryKind::Char { major, minor } | EntryKind::Block { major, minor } => (major, minor),
            _ => (0, 0),
        };
        octal(&mut fields.dev_major, major.into());
        octal(&mut fields.dev_minor, minor.into());
        fields.typeflag = [kind.as_byte()];

        if !self.pax.is_empty() {
            let mut extended = Header::new_ustar();
            let fields = extended.as_ustar_mut().expect("made as ustar");
            fields.name[..9].copy_from_slice(b"PaxHeader");
            octal(&mut fields.mode, 0o644);
            octal(&mut fields.uid, 0);
            octal(&mut fields.gid, 0);
            octal(&mut fields.size, self.pax.len() as u64);
            octal(&mut fields.mtime, 0);
            octal(&mut fields.dev_major, 0);
            octal(&mut fields.dev_minor, 0);
            fields.typeflag = [EntryType::XHeader.as_byte()];
            seal(&mut extended);
            out.extend_from_slice(extended.as_bytes());
            out.extend_from_slice(&self.pax);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        seal(&mut header);
        out.extend_from_slice(header.as_bytes());
        Ok(())
    }

    fn check(&self, entry: &Entry) -> Result<(), Error> {
        let fail = |reason| Err(Error::Unwritable { path: entry.path.to_string(), reason });
        if entry.path.components().any(|part| part.starts_with(WHITEOUT)) {
            return fail("names that begin with `.wh.` mean deletions in a layer");
        }
        if entry.path.is_root() && !matches!(entry.kind, EntryKind::Dir | EntryKind::Opaque) {
            return fail("the root is a folder");
        }
        if entry.xattrs.keys().any(|key| key.is_empty() || key.contains(&b'=') || key.contains(&0))
        {
            return fail("the name of an extended attribute is empty or has a `=`");
        }
        if let EntryKind::Char { major, minor } | EntryKind::Block { major, minor } = entry.kind
            && (u64::from(major) > MAX_7 || u64::from(minor) > MAX_7)
        {
            return fail("the device number is too large for tar");
        }
        match &entry.kind {
            EntryKind::Symlink(target) if target.is_empty() => fail("the link has no target"),
            EntryKind::Symlink(target) if target.contains(&0) => {
                fail("the link's target has a NUL byte")
            }
            EntryKind::Symlink(target) if target.len() > 4095 => {
                fail("the link's target is too long for Linux")
            }
            EntryKind::Hardlink(target) if target.is_root() => {
                fail("a hard link cannot lead to the root")
            }
            _ => Ok(()),
        }
    }

    fn set_name(&mut self, entry: &Entry) {
        let name = &mut self.name;
        name.clear();
        let path = entry.path.relative();
        match entry.kind {
            EntryKind::Dir if path.is_empty() => name.extend_from_slice(b"./"),
            EntryKind::Dir => {
                name.extend_from_slice(path);
                name.push(b'/');
            }
            EntryKind::Whiteout => {
                let last = entry.path.name();
                name.extend_from_slice(&path[..path.len() - last.len()]);
                name.extend_from_slice(WHITEOUT);
                name.extend_from_slice(last);
            }
            EntryKind::Opaque => {
                name.extend_from_slice(path);
                if !path.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(OPAQUE);
            }
            _ => name.extend_from_slice(path),
        }
    }
}

// Splits a name into prefix (155 bytes at most) and name (100) at a slash, as far right as can be.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The slash that ends a folder's name cannot be the border.
    let end = name.len().min(156).min(name.len() - 1);
    let slash = name[..end].iter().rposition(|byte| *byte == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && rest.len() <= 100).then_some((prefix, rest))
}

// Returns the number if the header can hold it; else records it, and returns 0 for the header.
fn number(pax: &mut Vec<u8>, key: &[u8], value: u64, max: u64) -> u64 {
    if value <= max {
        return value;
    }
    push_record(pax, &[key], value.to_string().as_bytes());
    0
}

// Appends `<length> <key>=<value>\n`, where the length counts itself.
fn push_record(out: &mut Vec<u8>, key: &[&[u8]], value: &[u8]) {
    let rest = key.iter().map(|part| part.len()).sum::<usize>() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length = rest + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    key.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

// Zero-filled digits and a NUL. The value fits: larger ones went to PAX.
fn octal(field: &mut [u8], mut value: u64) {
    let last = field.len() - 1;
    field[last] = 0;
    for digit in field[..last].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

// Fills in the checksum: the sum of all bytes, its own field counted as spaces.
fn seal(header: &mut Header) {
    header.as_old_mut().cksum = *b"        ";
    let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    let field = &mut header.as_old_mut().cksum;
    octal(&mut field[..7], sum.into());
    field[7] = b' ';
}
