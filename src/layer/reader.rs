//! Reads a tar stream: entries and their content, hostile input expected.
//!
//! The framing is our own. That of the `tar` crate goes by the size in the header, even where a
//! PAX record says otherwise, and does not know the blocks that continue an old sparse map: with
//! it, data could pose as entries that no other reader sees.

use std::io::{self, Read};

use super::header::{BLOCK, OPAQUE, WHITEOUT};
use super::pax::{self, Pax};
use super::sparse::{Body, Map, MapReader, Next};
use super::{Entry, EntryKind, Error};
use crate::base::ImagePath;

/// What a [`Reader`] takes before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of names, PAX records and sparse maps of one entry.
    pub metadata: u64,
    /// Number of headers.
    pub entries: u64,
    /// Bytes of content of all files, holes included.
    pub content: u64,
}

impl Default for Limits {
    /// 1 MiB of metadata, 10 million headers, 64 GiB of content.
    fn default() -> Self {
        Limits { metadata: 1 << 20, entries: 10_000_000, content: 64 << 30 }
    }
}

/// Reads entries from an uncompressed tar: ustar, GNU and PAX.
///
/// ```ignore
/// while let Some(entry) = reader.next_entry()? {
///     io::copy(&mut reader.content(), &mut file)?;   // may be left unread
/// }
/// ```
///
/// Names are effective ones (PAX over GNU over ustar), cleaned: no leading slash, no `..`. Types,
/// owners and modes are as written; which extended attributes to believe is the caller's choice.
/// Times are clamped to the years 1 to 9999. After an error there is nothing more to read.
pub struct Reader<R: Read> {
    source: R,
    limits: Limits,
    is_layer: bool,
    headers: u64,
    total: u64,
    // Bytes of the current entry that are still in the source, padding included.
    stored: u64,
    body: Body,
    ended: bool,
    scratch: Vec<u8>,
    // Entries that cannot be are passed over, and told.
    tolerant: bool,
    anomalies: Vec<(Vec<u8>, String)>,
}

/// Anomalies that are kept until somebody asks: a hostile layer may hold millions.
const MOST_ANOMALIES: usize = 1000;

type Block = [u8; BLOCK];

// The extension headers before an entry.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
    metadata: u64,
}

impl Pending {
    // The effective name, as it is written but for slashes before it.
    fn name_of(&self, block: &Block) -> Vec<u8> {
        let sparse = self.pax.as_ref().and_then(|pax| pax.sparse.name.as_ref());
        let pax = self.pax.as_ref().and_then(|pax| pax.path.as_ref());
        let name = sparse.or(pax).or(self.name.as_ref());
        let name = name.cloned().unwrap_or_else(|| header_name(block));
        let slashes = name.iter().take_while(|byte| **byte == b'/').count();
        name[slashes..].to_vec()
    }
}

impl<R: Read> Reader<R> {
    /// Reads a layer: names that begin with `.wh.` are whiteouts.
    pub fn layer(source: R, limits: Limits) -> Self {
        Self::new(source, limits, true)
    }

    /// Reads a layer for what is in it, not to unpack it: an entry that cannot be (a name with `..`,
    /// an unknown type) is passed over and told as an anomaly. What breaks the framing is an error
    /// still.
    pub fn audit(source: R, limits: Limits) -> Self {
        Reader { tolerant: true, ..Self::new(source, limits, true) }
    }

    /// Reads an archive as ADD unpacks it: there are no whiteouts, and `.wh.x` is a name.
    pub fn archive(source: R, limits: Limits) -> Self {
        Self::new(source, limits, false)
    }

    fn new(source: R, limits: Limits, is_layer: bool) -> Self {
        Reader {
            source,
            limits,
            is_layer,
            headers: 0,
            total: 0,
            stored: 0,
            body: Body::default(),
            ended: false,
            scratch: Vec::new(),
            tolerant: false,
            anomalies: Vec::new(),
        }
    }

    /// Returns what is odd about the stream since the last call: names as they are written, and what
    /// is wrong with them.
    pub fn anomalies(&mut self) -> Vec<(Vec<u8>, String)> {
        std::mem::take(&mut self.anomalies)
    }

    /// Reads what stands behind the end marker: zeros pad an archive, anything else is an anomaly.
    pub fn read_trail(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; 64 << 10];
        let mut told = false;
        loop {
            match self.source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => {
                    if !told && buffer[..got].iter().any(|byte| *byte != 0) {
                        self.note(b"", "data stand behind the end of the archive");
                        told = true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn note(&mut self, name: &[u8], what: impl Into<String>) {
        if self.anomalies.len() < MOST_ANOMALIES {
            self.anomalies.push((name.to_vec(), what.into()));
        }
    }

    /// Returns the next entry; `None` at the end marker or where the stream ends between entries.
    /// What was left of the content of the entry before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        if self.ended {
            return Ok(None);
        }
        // An error ends the archive too.
        self.ended = true;
        let entry = self.read_entry()?;
        self.ended = entry.is_none();
        Ok(entry)
    }

    /// Returns the content of the last entry: empty for what is no file.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }

    /// Tells whether the content of the current entry stands in the source as it is: without holes,
    /// and nothing of it was read yet.
    pub fn is_contiguous(&self) -> bool {
        self.body.is_whole()
    }

    /// Returns the source, positioned behind what was read so far. Bytes behind the end marker
    /// have not been read: a diff id covers them too ([`super::DiffReader::finish`]).
    pub fn into_inner(self) -> R {
        self.source
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut pending = Pending::default();
        loop {
            self.skip_rest()?;
            let block = self.read_block()?;
            let begun = pending.name.is_some() || pending.link.is_some() || pending.pax.is_some();
            if begun && block.is_none_or(|block| block == [0; BLOCK]) {
                return Err(Error::Truncated);
            }
            let Some(block) = block else { return Ok(None) };
            if block == [0; BLOCK] {
                // Two such blocks are the end; some writers leave one out.
                return match self.read_block()? {
                    None => Ok(None),
                    Some(block) if block == [0; BLOCK] => Ok(None),
                    Some(_) => Err(malformed("a block of zeros stands between entries")),
                };
            }
            self.headers += 1;
            if self.headers > self.limits.entries {
                return Err(Error::Limit {
                    what: "the number of entries",
                    limit: self.limits.entries,
                });
            }
            check_sum(&block)?;
            match block[156] {
                b'L' => once(&mut pending.name, self.read_text(&block, &mut pending.metadata)?)?,
                b'K' => once(&mut pending.link, self.read_text(&block, &mut pending.metadata)?)?,
                b'x' | b'X' => {
                    let data = self.read_extension(&block, &mut pending.metadata)?;
                    once(&mut pending.pax, pax::parse(&data)?)?;
                }
                // What is said about all entries is checked, and not believed.
                b'g' => {
                    let data = self.read_extension(&block, &mut pending.metadata)?;
                    pax::parse(&data)?;
                }
                // The name of a volume.
                b'V' => self.frame(octal(&block[124..136])?)?,
                _ => {
                    let pending = std::mem::take(&mut pending);
                    let name = self.tolerant.then(|| pending.name_of(&block));
                    let stored = pending.pax.as_ref().and_then(|pax| pax.size);
                    match (self.entry(&block, pending), name) {
                        (Ok(Some(entry)), _) => return Ok(Some(entry)),
                        (Ok(None), _) => {}
                        (Err(Error::Name { reason, .. }), Some(name)) => {
                            self.note(&name, reason);
                            self.body = Body::default();
                            // What is no file has no data; what is unknown is framed as one.
                            if !matches!(block[156], b'1'..=b'6') {
                                let header = || octal(&block[124..136]);
                                self.frame(stored.map_or_else(header, Ok)?)?;
                            }
                        }
                        (Err(error), _) => return Err(error),
                    }
                }
            }
        }
    }

    // Makes an entry of a header and what came before it; `None` for what is to be passed over.
    fn entry(&mut self, block: &Block, mut pending: Pending) -> Result<Option<Entry>, Error> {
        let mut pax = pending.pax.take().unwrap_or_default();
        let stored = match pax.size {
            Some(size) => size,
            None => octal(&block[124..136])?,
        };
        let sparse_name = pax.sparse.name.take();
        let name = sparse_name.or(pax.path.take()).or(pending.name.take());
        let name = name.unwrap_or_else(|| header_name(block));
        let link = pax.link.take().or(pending.link.take());
        let link = || link.clone().unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        let device = || -> Result<(u32, u32), Error> {
            let part = |field: &[u8]| {
                u32::try_from(octal(field)?).map_err(|_| malformed("a device number is too large"))
            };
            Ok((part(&block[329..337])?, part(&block[337..345])?))
        };
        if name.is_empty() {
            return Err(bad_name(&name, "the name is empty"));
        }
        let path =
            ImagePath::from_entry(&name).map_err(|error| bad_name(&name, &error.to_string()))?;

        let mut kind = match block[156] {
            b'0' | 0 | b'7' if name.ends_with(b"/") => {
                if stored > 0 {
                    return Err(bad_name(&name, "a folder has content"));
                }
                EntryKind::Dir
            }
            b'0' | 0 | b'7' | b'S' => EntryKind::File { size: 0 },
            b'1' => {
                let target = link();
                EntryKind::Hardlink(
                    ImagePath::from_entry(&target)
                        .map_err(|error| bad_name(&name, &format!("its target: {error}")))?,
                )
            }
            b'2' => {
                let target = link();
                if target.is_empty() || target.len() > 4095 {
                    return Err(bad_name(&name, "its target is empty or too long for Linux"));
                }
                EntryKind::Symlink(target)
            }
            b'3' => device().map(|(major, minor)| EntryKind::Char { major, minor })?,
            b'4' => device().map(|(major, minor)| EntryKind::Block { major, minor })?,
            b'5' => EntryKind::Dir,
            b'6' => EntryKind::Fifo,
            other => {
                let shown = char::from(other).escape_default();
                return Err(bad_name(&name, &format!("its type `{shown}` is not known")));
            }
        };
        if let EntryKind::File { size } = &mut kind {
            if let (Some(says), Ok(header)) = (pax.size, octal(&block[124..136]))
                && header != 0
                && header != says
            {
                self.note(
                    path.relative(),
                    format!("PAX gives it {says} bytes, its header {header}"),
                );
            }
            self.frame(stored)?;
            self.body = self.file_body(block, &pax, stored, &mut pending.metadata)?;
            *size = self.body.size();
            self.total = self.total.saturating_add(*size);
            if self.total > self.limits.content {
                return Err(Error::Limit {
                    what: "the content of the archive",
                    limit: self.limits.content,
                });
            }
        } else {
            // Links, folders and devices have no data, whatever size their header names.
            self.body = Body::default();
        }
        if path.is_root() && kind != EntryKind::Dir {
            return Err(bad_name(&name, "the root is a folder"));
        }
        let (path, kind) = if self.is_layer {
            match whiteout(path, kind, &name)? {
                Some(both) => both,
                None => return Ok(None),
            }
        } else {
            (path, kind)
        };
        if !matches!(kind, EntryKind::File { .. }) {
            self.body = Body::default();
        }
        let id = |record: Option<u64>, field: &[u8]| -> Result<u32, Error> {
            let id = match record {
                Some(id) => id,
                None => octal(field)?,
            };
            u32::try_from(id).map_err(|_| bad_name(&name, &format!("its owner {id} is over 2^32")))
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => clamp(signed(&block[136..148])?),
        };
        Ok(Some(Entry {
            path,
            kind,
            mode: (octal(&block[100..108])? & 0o7777) as u32,
            uid: id(pax.uid, &block[108..116])?,
            gid: id(pax.gid, &block[116..124])?,
            // 0001-01-01 to 9999-12-31.
            mtime: mtime.clamp(-62_135_596_800, 253_402_300_799),
            xattrs: pax.xattrs,
        }))
    }

    // Finds out where the stored bytes of a file belong. Reads the map, if it stands before them.
    fn file_body(
        &mut self,
        block: &Block,
        pax: &Pax,
        stored: u64,
        metadata: &mut u64,
    ) -> Result<Body, Error> {
        let sparse = &pax.sparse;
        if block[156] == b'S' {
            return self.old_sparse(block, stored, metadata);
        }
        if (sparse.major, sparse.minor) == (Some(1), Some(0)) {
            let size = sparse.size.ok_or_else(|| malformed("a sparse file has no size"))?;
            let mut reader = MapReader::default();
            let mut left = stored;
            loop {
                if left < BLOCK as u64 {
                    return Err(malformed("a sparse map is broken"));
                }
                self.count(metadata, BLOCK as u64)?;
                let block = self.read_block()?.ok_or(Error::Truncated)?;
                self.stored -= BLOCK as u64;
                left -= BLOCK as u64;
                if let Some(numbers) = reader.block(&block)? {
                    return Ok(Body::sparse(Map::new(&numbers, size, left)?));
                }
            }
        }
        if sparse.major.is_some_and(|major| major > 0) {
            return Err(malformed("a sparse file of an unknown form"));
        }
        match (&sparse.map, sparse.size) {
            (Some(map), Some(size)) => Ok(Body::sparse(Map::new(map, size, stored)?)),
            (Some(_), None) => Err(malformed("a sparse file has no size")),
            (None, _) => Ok(Body::whole(stored)),
        }
    }

    // GNU's first form: four pieces in the header, 21 in each block that follows it.
    fn old_sparse(
        &mut self,
        block: &Block,
        stored: u64,
        metadata: &mut u64,
    ) -> Result<Body, Error> {
        let mut numbers = Vec::new();
        let pieces = |field: &[u8], numbers: &mut Vec<u64>| -> Result<(), Error> {
            for number in field.chunks_exact(12) {
                numbers.push(octal(number)?);
            }
            Ok(())
        };
        pieces(&block[386..482], &mut numbers)?;
        let size = octal(&block[483..495])?;
        let mut goes_on = block[482] != 0;
        while goes_on {
            self.count(metadata, BLOCK as u64)?;
            // These blocks come before the data and are not counted in the size.
            let block = self.read_block()?.ok_or(Error::Truncated)?;
            pieces(&block[..504], &mut numbers)?;
            goes_on = block[504] != 0;
        }
        // Places that are not used are zeros, wherever the file's pieces are.
        while let [.., 0, 0] = numbers[..] {
            numbers.truncate(numbers.len() - 2);
        }
        Ok(Body::sparse(Map::new(&numbers, size, stored)?))
    }

    // Notes that so many bytes, and their padding, belong to this entry.
    fn frame(&mut self, stored: u64) -> Result<(), Error> {
        if stored > i64::MAX as u64 {
            return Err(malformed("a size is over 2^63"));
        }
        self.stored = stored.next_multiple_of(BLOCK as u64);
        Ok(())
    }

    fn count(&self, metadata: &mut u64, more: u64) -> Result<(), Error> {
        *metadata = metadata.saturating_add(more);
        if *metadata > self.limits.metadata {
            return Err(Error::Limit {
                what: "the metadata of an entry",
                limit: self.limits.metadata,
            });
        }
        Ok(())
    }

    fn read_extension(&mut self, block: &Block, metadata: &mut u64) -> Result<Vec<u8>, Error> {
        let size = octal(&block[124..136])?;
        self.count(metadata, size)?;
        self.frame(size)?;
        let mut data = Vec::new();
        (&mut self.source).take(size).read_to_end(&mut data)?;
        if (data.len() as u64) < size {
            return Err(Error::Truncated);
        }
        self.stored -= size;
        Ok(data)
    }

    fn read_text(&mut self, block: &Block, metadata: &mut u64) -> Result<Vec<u8>, Error> {
        let data = self.read_extension(block, metadata)?;
        Ok(until_nul(&data).to_vec())
    }

    // Returns the next block, `None` where the stream ends before it.
    fn read_block(&mut self) -> Result<Option<Block>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Error::Truncated),
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(block))
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        self.body = Body::default();
        if self.stored > 0 && self.scratch.is_empty() {
            self.scratch = vec![0; 64 << 10];
        }
        while self.stored > 0 {
            let room = self.scratch.len().min(usize::try_from(self.stored).unwrap_or(usize::MAX));
            match self.source.read(&mut self.scratch[..room]) {
                Ok(0) => return Err(Error::Truncated),
                Ok(got) => self.stored -= got as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The content of an entry, holes read as zeros.
pub struct Content<'a, R: Read> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Content<'_, R> {
    /// If the next bytes are a hole of a sparse file, skips it and returns its length; else 0.
    pub fn skip_hole(&mut self) -> u64 {
        let Next::Hole(length) = self.reader.body.next() else { return 0 };
        self.reader.body.advance(length);
        length
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = |length: u64| usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let got = match self.reader.body.next() {
            Next::End => 0,
            Next::Hole(length) => {
                let room = room(length);
                buffer[..room].fill(0);
                room
            }
            Next::Data(length) => {
                let room = room(length);
                let got = self.reader.source.read(&mut buffer[..room])?;
                if got == 0 && room > 0 {
                    return Err(Error::Truncated.into());
                }
                self.reader.stored -= got as u64;
                got
            }
        };
        self.reader.body.advance(got as u64);
        Ok(got)
    }
}

// Tells whiteouts by their names. `None` for what AUFS kept for itself in layers of old.
fn whiteout(
    path: ImagePath,
    kind: EntryKind,
    name: &[u8],
) -> Result<Option<(ImagePath, EntryKind)>, Error> {
    if !path.as_bytes().windows(WHITEOUT.len() + 1).any(|part| part == b"/.wh.") {
        return Ok(Some((path, kind)));
    }
    let own = |part: &[u8]| part.starts_with(b".wh..wh.") && part != OPAQUE;
    if path.components().any(own) {
        return Ok(None);
    }
    let parent = path.parent().unwrap_or(ImagePath::root());
    if parent.components().any(|part| part.starts_with(WHITEOUT)) {
        return Err(bad_name(name, "a folder has the name of a whiteout"));
    }
    match path.name().strip_prefix(WHITEOUT) {
        None => Ok(Some((path, kind))),
        Some(_) if path.name() == OPAQUE => Ok(Some((parent, EntryKind::Opaque))),
        Some(b"" | b"." | b"..") => Err(bad_name(name, "a whiteout hides no name")),
        Some(hidden) => match parent.join(hidden) {
            Ok(path) => Ok(Some((path, EntryKind::Whiteout))),
            Err(error) => Err(bad_name(name, &error.to_string())),
        },
    }
}

// The name in the header itself, with the prefix of ustar.
fn header_name(block: &Block) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    // GNU's magic is `ustar  `, and its headers have other things where the prefix would be.
    if &block[257..263] != b"ustar\0" {
        return name.to_vec();
    }
    // `star` keeps times in the last 24 bytes of the prefix.
    let end = if &block[508..512] == b"tar\0" { 476 } else { 500 };
    match until_nul(&block[345..end]) {
        b"" => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

// The sum of all bytes, its own field counted as spaces; old programs summed signed bytes.
fn check_sum(block: &Block) -> Result<(), Error> {
    let want = octal(&block[148..156])?;
    let (mut plain, mut signed) = (8 * 32i64, 8 * 32i64);
    for (at, byte) in block.iter().enumerate() {
        if !(148..156).contains(&at) {
            plain += i64::from(*byte);
            signed += i64::from(*byte as i8);
        }
    }
    let want = i64::try_from(want).unwrap_or(-1);
    if want == plain || want == signed {
        Ok(())
    } else {
        Err(malformed("the checksum of a header is wrong"))
    }
}

// A number that is not negative and below 2^63.
fn octal(field: &[u8]) -> Result<u64, Error> {
    u64::try_from(signed(field)?)
        .ok()
        .filter(|number| *number <= i64::MAX as u64)
        .ok_or_else(|| malformed("a number in a header is negative or too large"))
}

// Octal digits between spaces and NULs; or, with the first bit set, two's complement (base-256).
fn signed(field: &[u8]) -> Result<i128, Error> {
    if let Some(first) = field.first().filter(|first| **first & 0x80 != 0) {
        // The second bit is the sign; 12 bytes at most fit.
        let start = if first & 0x40 != 0 { -1i128 } else { 0 };
        let start = start << 6 | i128::from(first & 0x3f);
        return Ok(field[1..].iter().fold(start, |number, byte| number << 8 | i128::from(*byte)));
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    field[start..end].iter().try_fold(0i128, |number, digit| match digit {
        b'0'..=b'7' => Ok(number << 3 | i128::from(digit - b'0')),
        _ => Err(malformed("a number in a header is none")),
    })
}

fn clamp(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed("an entry has two extension headers of a kind")),
    }
}

fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}

fn bad_name(name: &[u8], reason: &str) -> Error {
    let shown = &name[..name.len().min(200)];
    Error::Name { name: shown.escape_ascii().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod written;
