//! The package database of rpm, as far as sums of files go: SQLite (`rpmdb.sqlite`) and ndb
//! (`Packages.db`). Berkeley DB is not read.
//!
//! Only what is needed of each format is read: of SQLite the table b-tree of `Packages` (SQLite file
//! format, 1.3 to 2.1), of ndb the slots, of a header of rpm the tags of files (rpm,
//! `docs/manual/hdrfmt`, `tags`). All of it is a stranger's: each place is checked, each page is read
//! once.

use std::collections::BTreeSet;

/// Bytes of text for each byte of the database: names of folders stand there once, in the text before
/// each file.
const LARGER: usize = 4;

/// Returns what a database says as text: `P:` and a package, below it `SUM  PATH` for each file that is
/// installed and is no configuration. `None` if it cannot be read, or says much more than it has bytes:
/// packages that share their bytes are none.
pub(super) fn text(path: &str, bytes: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut left = bytes.len();
    let mut take = |blob: &[u8]| {
        left = left.checked_sub(blob.len())?;
        package(blob, bytes.len().saturating_mul(LARGER), &mut out)
    };
    match path.rsplit('/').next()? {
        "rpmdb.sqlite" => Sqlite::open(bytes)?.packages(&mut take)?,
        "Packages.db" => slots(bytes, &mut take)?,
        _ => return None,
    }
    // A database of no packages is none that was understood.
    (!out.is_empty()).then_some(out)
}

fn be(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn le(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

// One to nine bytes, seven bits each, of the ninth all eight.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for count in 1..=9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if count == 9 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

struct Sqlite<'a> {
    bytes: &'a [u8],
    page: usize,
    usable: usize,
}

/// A value of a record.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Sqlite<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let page = match be(bytes, 16, 2)? as usize {
            1 => 65_536,
            size => size,
        };
        let usable = page.checked_sub(usize::from(*bytes.get(20)?))?;
        (page >= 512 && page.is_power_of_two() && usable >= 480).then_some(Sqlite {
            bytes,
            page,
            usable,
        })
    }

    fn packages(&self, take: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        let mut root = None;
        self.rows(1, &mut |record| {
            if let Some([kind, name, _, page]) = values::<4>(record)
                && let (Value::Bytes(b"table"), Value::Bytes(b"Packages")) = (&kind, &name)
                && let Value::Number(page) = page
            {
                root = usize::try_from(page).ok();
            }
            Some(())
        })?;
        self.rows(root?, &mut |record| match values::<2>(record) {
            Some([_, Value::Bytes(blob)]) => take(blob),
            _ => Some(()),
        })
    }

    // The records of a table, in order of their keys.
    fn rows(&self, root: usize, take: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        let mut seen = BTreeSet::new();
        // Rows do not share their bytes.
        let mut left = self.bytes.len();
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            // A page that points to one above it would have no end.
            if !seen.insert(number) {
                return None;
            }
            let page = self.page_at(number)?;
            let start = if number == 1 { 100 } else { 0 };
            let kind = *page.get(start)?;
            let cells = be(page, start + 3, 2)? as usize;
            let (leaf, first) = match kind {
                0x0d => (true, start + 8),
                0x05 => (false, start + 12),
                _ => return None,
            };
            let mut below = Vec::new();
            for cell in 0..cells {
                let mut at = be(page, first + 2 * cell, 2)? as usize;
                if leaf {
                    let length = usize::try_from(varint(page, &mut at)?).ok()?;
                    varint(page, &mut at)?;
                    left = left.checked_sub(length)?;
                    take(&self.payload(page, at, length, &mut seen)?)?;
                } else {
                    below.push(be(page, at, 4)? as usize);
                }
            }
            if !leaf {
                below.push(be(page, start + 8, 4)? as usize);
                open.extend(below.into_iter().rev());
            }
        }
        Some(())
    }

    fn page_at(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.page)?;
        self.bytes.get(start..start.checked_add(self.page)?)
    }

    // What does not fit in its page goes on in others.
    fn payload(
        &self,
        page: &[u8],
        at: usize,
        length: usize,
        seen: &mut BTreeSet<usize>,
    ) -> Option<Vec<u8>> {
        if length > self.bytes.len() {
            return None;
        }
        let most = self.usable - 35;
        if length <= most {
            return page.get(at..at + length).map(<[u8]>::to_vec);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fits = least + (length - least) % (self.usable - 4);
        let local = if fits <= most { fits } else { least };
        let mut out = page.get(at..at + local)?.to_vec();
        let mut next = be(page, at + local, 4)? as usize;
        while out.len() < length {
            if !seen.insert(next) {
                return None;
            }
            let page = self.page_at(next)?;
            let more = (length - out.len()).min(self.usable - 4);
            out.extend_from_slice(page.get(4..4 + more)?);
            next = be(page, 0, 4)? as usize;
        }
        Some(out)
    }
}

// The first values of a record.
fn values<const N: usize>(record: &[u8]) -> Option<[Value<'_>; N]> {
    let mut at = 0;
    let mut body = usize::try_from(varint(record, &mut at)?).ok()?;
    let mut out = Vec::with_capacity(N);
    for _ in 0..N {
        let kind = varint(record, &mut at)?;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let end = body.checked_add(size)?;
        let bytes = record.get(body..end)?;
        out.push(match kind {
            1..=6 => Value::Number(be(record, body, size)?),
            8 | 9 => Value::Number(kind - 8),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        });
        body = end;
    }
    out.try_into().ok()
}

// ndb: pages of slots, each of which names a blob (rpm, `lib/backend/ndb/rpmpkg.c`).
fn slots(bytes: &[u8], take: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
    if !bytes.starts_with(b"RpmP") {
        return None;
    }
    let pages = le(bytes, 12)?;
    let end = pages.checked_mul(4096)?.min(bytes.len());
    // The first two places are the header.
    for at in (32..end).step_by(16) {
        if bytes.get(at..at + 4) != Some(b"Slot".as_slice()) {
            continue;
        }
        let (number, offset) = (le(bytes, at + 4)?, le(bytes, at + 8)?);
        if number == 0 || offset == 0 {
            continue;
        }
        let blob = offset.checked_mul(16)?;
        if bytes.get(blob..blob + 4) != Some(b"BlbS".as_slice()) || le(bytes, blob + 4)? != number {
            return None;
        }
        let length = le(bytes, blob + 12)?;
        take(bytes.get(blob + 16..(blob + 16).checked_add(length)?)?)?;
    }
    Some(())
}

// Tags of a header, and flags and states of files (rpm, `include/rpm/rpmtag.h`, `rpmfiles.h`).
const NAME: u64 = 1000;
const STATES: u64 = 1029;
const DIGESTS: u64 = 1035;
const FLAGS: u64 = 1037;
const FOLDER_OF: u64 = 1116;
const VERIFY: u64 = 1045;
const NAMES: u64 = 1117;
const FOLDERS: u64 = 1118;
const CONFIG: u64 = 1;
const GHOST: u64 = 1 << 6;

/// Files of one package: those with most have some hundred thousand.
const FILES: usize = 1 << 20;

// Adds what a header says, unless it is none; `None` if that is more than `most` bytes in all.
fn package(header: &[u8], most: usize, out: &mut String) -> Option<()> {
    let before = out.len();
    let read = read_package(header, most, out);
    if read.is_none() {
        out.truncate(before);
    }
    match read {
        Some(Full(true)) => None,
        _ => Some(()),
    }
}

// Whether there was more than may be told.
struct Full(bool);

fn read_package(header: &[u8], most: usize, out: &mut String) -> Option<Full> {
    let entries = be(header, 0, 4)? as usize;
    let data = header.get(8usize.checked_add(entries.checked_mul(16)?)?..)?;
    let find = |tag: u64| -> Option<(usize, usize)> {
        let mut places = (0..entries).map(|index| 8 + 16 * index);
        let at = places.find(|at| be(header, *at, 4) == Some(tag))?;
        Some((be(header, at + 8, 4)? as usize, be(header, at + 12, 4)? as usize))
    };
    let texts = |tag: u64| -> Option<Vec<&str>> {
        let (start, count) = find(tag)?;
        let mut parts = data.get(start..)?.split(|byte| *byte == 0);
        (0..count.min(data.len())).map(|_| std::str::from_utf8(parts.next()?).ok()).collect()
    };
    out.push_str(&format!("P:{}\n", texts(NAME)?.first()?));
    // Who tells of more than can be is not believed about the rest.
    if [NAMES, FOLDERS, DIGESTS].iter().filter_map(|tag| find(*tag)).any(|(_, count)| count > FILES)
    {
        return Some(Full(true));
    }
    // A package without files has none of these.
    let (Some(names), Some(folders), Some(digests)) =
        (texts(NAMES), texts(FOLDERS), texts(DIGESTS))
    else {
        return Some(Full(out.len() > most));
    };
    let (folder_of, flags, states) = (find(FOLDER_OF)?, find(FLAGS), find(STATES));
    // What `rpm --verify` compares; of files that a program rewrites it leaves the sum out.
    let verify = find(VERIFY);
    for (index, (name, digest)) in names.iter().zip(&digests).enumerate() {
        let of = |place: Option<(usize, usize)>, size: usize| {
            place.and_then(|(start, _)| be(data, start + index * size, size)).unwrap_or(0)
        };
        let compared = verify.is_none() || of(verify, 4) & 1 != 0;
        if digest.is_empty()
            || !compared
            || of(flags, 4) & (CONFIG | GHOST) != 0
            || of(states, 1) != 0
        {
            continue;
        }
        let folder = folders.get(of(Some(folder_of), 4) as usize)?;
        if out.len() > most {
            break;
        }
        out.push_str(&format!("{digest}  {folder}{name}\n"));
    }
    Some(Full(out.len() > most))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by rpm 4.18 of three packages without content of note (`rpmbuild`, `rpm --justdb -i`), then
    /// copied to pages of 512 bytes: rows go on in other pages, and the table has more than one.
    const DATABASE: &[u8] = include_bytes!("rpm/packages.sqlite");

    // As ndb would hold the same headers.
    fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"RpmP\0\0\0\0\x01\0\0\0\x01\0\0\0".to_vec();
        out.resize(4096, 0);
        for (index, header) in headers.iter().enumerate() {
            let number = (index as u32 + 1).to_le_bytes();
            let block = (out.len() as u32 / 16).to_le_bytes();
            let slot = [b"Slot".as_slice(), &number, &block, &[1, 0, 0, 0]].concat();
            out[32 + 16 * index..48 + 16 * index].copy_from_slice(&slot);
            let length = (header.len() as u32).to_le_bytes();
            out.extend([b"BlbS".as_slice(), &number, &[1, 0, 0, 0], &length, header].concat());
            out.resize(out.len().next_multiple_of(16), 0);
        }
        out
    }

    #[test]
    fn packages_of_both_databases() {
        let found = text("/var/lib/rpm/rpmdb.sqlite", DATABASE).unwrap();
        let mut packages: Vec<&str> =
            found.lines().filter_map(|line| line.strip_prefix("P:")).collect();
        packages.sort_unstable();
        assert_eq!(packages, ["alpha", "beta", "gamma"]);
        // `sha256sum` of "alpha\n", and of the last file of the package that goes on in most pages.
        for line in [
            "b6a98d9ce9a2d9149288fa3df42d377c3e42737afdcdaf714e33c0a100b51060  /usr/bin/alpha",
            "f4a78a6e4c00313d567f5af2ee7911f348b6257074792bee261539231f810a71  /usr/share/gamma/f60",
        ] {
            assert!(found.lines().any(|known| known == line), "{line}\n{found}");
        }
        // Configuration and ghosts are not told.
        assert!(!found.contains("/etc/") && !found.contains("/var/lib/"), "{found}");

        let mut headers = Vec::new();
        let mut keep = |blob: &[u8]| {
            headers.push(blob.to_vec());
            Some(())
        };
        Sqlite::open(DATABASE).unwrap().packages(&mut keep).unwrap();
        assert_eq!(text("/usr/lib/sysimage/rpm/Packages.db", &ndb(&headers)).unwrap(), found);
    }

    // A header with these files in one folder; NAME, FOLDERS, NAMES, DIGESTS, FOLDER_OF.
    fn header(folder: &str, files: usize) -> Vec<u8> {
        let texts = |text: &str, count: usize| format!("{text}\0").repeat(count).into_bytes();
        let parts = [
            (NAME, 1, texts("p", 1)),
            (FOLDERS, 1, texts(folder, 1)),
            (NAMES, files, texts("f", files)),
            (DIGESTS, files, texts("d", files)),
            (FOLDER_OF, files, vec![0; 4 * files]),
        ];
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (tag, count, bytes) in parts {
            for number in [tag as usize, 0, data.len(), count] {
                index.extend((number as u32).to_be_bytes());
            }
            data.extend(bytes);
        }
        let head = [5u32.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
        [head, index, data].concat()
    }

    #[test]
    fn databases_say_no_more_than_they_can_hold() {
        let name = "/var/lib/rpm/Packages.db";
        let long = format!("/{}/", "a".repeat(2000));
        assert_eq!(text(name, &ndb(&[header("/usr/", 3)])).unwrap().lines().count(), 4);
        assert!(text(name, &ndb(&[header(&long, 3)])).is_some());
        assert_eq!(text(name, &ndb(&[header(&long, 3000)])), None, "a folder before each file");
        // Two packages, and two slots of one.
        let both = ndb(&[header(&long, 3), header(&long, 4)]);
        assert_eq!(text(name, &both).unwrap().lines().count(), 9);
        let mut many = header("/usr/", 3);
        many[8 + 16 * 2 + 12..8 + 16 * 3].copy_from_slice(&(1u32 << 24).to_be_bytes());
        assert_eq!(text(name, &ndb(&[many])), None, "more files than can be");
        let mut shared = ndb(&[header("/usr/", 900)]);
        assert!(text(name, &shared).is_some());
        shared.copy_within(32..48, 48);
        assert_eq!(text(name, &shared), None);
    }

    #[test]
    fn broken_databases_end() {
        assert_eq!(text("/var/lib/rpm/Packages", b"x"), None);
        assert_eq!(text("/var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0"), None);
        assert_eq!(text("/var/lib/rpm/Packages.db", b"RpmP"), None);
        let name = "/var/lib/rpm/rpmdb.sqlite";
        for cut in (0..DATABASE.len()).step_by(97) {
            text(name, &DATABASE[..cut]);
        }
        // Any byte may be another; a loop of pages has an end.
        let mut bytes = DATABASE.to_vec();
        for at in (0..bytes.len()).step_by(7) {
            let old = std::mem::replace(&mut bytes[at], 0xff);
            text(name, &bytes);
            bytes[at] = 1;
            text(name, &bytes);
            bytes[at] = old;
        }
    }
}
