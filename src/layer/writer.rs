//! The one pass that makes a layer: tar, SHA-256, compression, SHA-256, sink.

use std::io::{self, Read, Write};

use super::compress::Packer;
use super::header::{BLOCK, Encoder};
use super::{Compression, Entry, EntryKind, Error};
use crate::base::{Blob, Diff, Digest, Hasher};

/// Looks at a layer while it is written or read: facts and the search for secrets.
///
/// For each entry [`entry`](Observer::entry) is called, then [`content`](Observer::content) with
/// the pieces of a file's content in order, then [`end`](Observer::end).
pub trait Observer: Send {
    /// An entry begins.
    fn entry(&mut self, entry: &Entry);
    /// More of the entry's content; never called for what is no file.
    fn content(&mut self, data: &[u8]);
    /// The entry is over.
    fn end(&mut self);
    /// Something of the stream may be taken in several ways: the name of the entry as it is
    /// written, and what is wrong. Told while a layer is read; between entries.
    fn anomaly(&mut self, name: &[u8], what: &str) {
        let _ = (name, what);
    }
}

/// What a [`LayerWriter`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Digest of the uncompressed tar.
    pub diff: Digest<Diff>,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// Digest of the bytes that went to the sink.
    pub blob: Digest<Blob>,
    /// Bytes that went to the sink.
    pub packed: u64,
    /// The media type of the bytes that went to the sink.
    pub media_type: &'static str,
}

// The tar is hashed and compressed in pieces of this size.
const STAGE: usize = 256 << 10;
// Content is not read in smaller pieces, unless it is smaller.
const LEAST_READ: usize = 32 << 10;

/// Writes a layer.
///
/// Entries must come sorted by the bytes of their paths (the order of `ImagePath`), each path
/// once; an `Opaque` may follow the `Dir` of the same path. Memory is bounded (about 20 MB)
/// whatever comes. After an error the writer is of no use any more.
pub struct LayerWriter<'o, W: Write> {
    packer: Packer<W>,
    media_type: &'static str,
    observers: Vec<&'o mut dyn Observer>,
    hasher: Hasher,
    size: u64,
    stage: Box<[u8]>,
    staged: usize,
    encoder: Encoder,
    header: Vec<u8>,
    ordered: bool,
    last_path: Vec<u8>,
    last_is_dir: bool,
}

impl<'o, W: Write> LayerWriter<'o, W> {
    /// Starts a layer that goes to `sink`, compressed on up to `threads` threads (at least 1; the
    /// bytes do not depend on it). Big pieces are written: `sink` needs no buffer.
    pub fn new(
        sink: W,
        compression: Compression,
        threads: usize,
        observers: Vec<&'o mut dyn Observer>,
    ) -> Result<Self, Error> {
        Ok(LayerWriter {
            packer: Packer::new(sink, compression, threads)?,
            media_type: compression.media_type(),
            observers,
            hasher: Hasher::new(),
            size: 0,
            stage: vec![0; STAGE].into_boxed_slice(),
            staged: 0,
            encoder: Encoder::default(),
            header: Vec::new(),
            ordered: true,
            last_path: Vec::new(),
            last_is_dir: false,
        })
    }

    /// Takes entries in any order: for a tar that is no layer. That no path comes twice is then the
    /// caller's business.
    #[must_use]
    pub fn any_order(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// Adds an entry. For a file exactly its `size` bytes are taken from `content`; fewer are an
    /// error, more are not looked at. For anything else `content` is not touched.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        self.check_order(entry)?;
        let mut header = std::mem::take(&mut self.header);
        header.clear();
        self.encoder.encode(entry, &mut header)?;
        self.push(&header)?;
        self.header = header;
        self.observers.iter_mut().for_each(|observer| observer.entry(entry));
        let size = entry.size();
        self.copy(entry, size, content)?;
        self.pad(size)?;
        self.observers.iter_mut().for_each(|observer| observer.end());
        Ok(())
    }

    /// Adds an entry without content; a file must have size 0.
    pub fn bare(&mut self, entry: &Entry) -> Result<(), Error> {
        self.entry(entry, &mut io::empty())
    }

    /// Writes the end, waits for the compressing threads, and returns the sink.
    pub fn finish(mut self) -> Result<(W, Written), Error> {
        self.push(&[0; 2 * BLOCK])?;
        self.drain()?;
        let diff: Digest<Diff> = self.hasher.finish();
        let (sink, blob, packed) = self.packer.finish()?;
        let blob = blob.unwrap_or(Digest::from_bytes(*diff.as_bytes()));
        Ok((sink, Written { diff, size: self.size, blob, packed, media_type: self.media_type }))
    }

    fn check_order(&mut self, entry: &Entry) -> Result<(), Error> {
        if !self.ordered {
            return Ok(());
        }
        let path = entry.path.as_bytes();
        let follows = match path.cmp(&self.last_path) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => self.last_is_dir && entry.kind == EntryKind::Opaque,
            std::cmp::Ordering::Less => false,
        };
        if !follows {
            return Err(Error::Order(entry.path.to_string()));
        }
        self.last_path.clear();
        self.last_path.extend_from_slice(path);
        self.last_is_dir = entry.kind == EntryKind::Dir;
        Ok(())
    }

    fn copy(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            if STAGE - self.staged < wanted.min(LEAST_READ) {
                self.drain()?;
            }
            let end = self.staged + wanted.min(STAGE - self.staged);
            let piece = &mut self.stage[self.staged..end];
            let got = match content.read(piece) {
                Ok(0) => {
                    let path = entry.path.to_string();
                    return Err(Error::ContentShort { path, want: size, got: size - left });
                }
                Ok(got) => got.min(piece.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let piece = &self.stage[self.staged..self.staged + got];
            self.observers.iter_mut().for_each(|observer| observer.content(piece));
            self.staged += got;
            left -= got as u64;
        }
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        let over = (size % BLOCK as u64) as usize;
        if over > 0 {
            self.push(&[0; BLOCK][over..])?;
        }
        Ok(())
    }

    fn push(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            if self.staged == STAGE {
                self.drain()?;
            }
            let room = data.len().min(STAGE - self.staged);
            self.stage[self.staged..self.staged + room].copy_from_slice(&data[..room]);
            self.staged += room;
            data = &data[room..];
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Error> {
        let piece = &self.stage[..self.staged];
        // First to the compressing threads, so that they have work while this one hashes.
        self.packer.write_all(piece)?;
        self.hasher.update(piece);
        self.size += self.staged as u64;
        self.staged = 0;
        Ok(())
    }
}

impl<'o> LayerWriter<'o, io::Sink> {
    /// Starts a layer that is only hashed: gives the diff id, and feeds the observers, at the
    /// price of SHA-256 alone. `Written::blob` is then the digest of the plain tar.
    pub fn hash_only(observers: Vec<&'o mut dyn Observer>) -> Result<Self, Error> {
        LayerWriter::new(io::sink(), Compression::None, 1, observers)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::{Command, Stdio};

    use expect_test::{Expect, expect};

    use super::*;
    use crate::base::ImagePath;

    fn path(text: &str) -> ImagePath {
        ImagePath::from_entry(text.as_bytes()).unwrap()
    }

    fn at(text: &str, kind: EntryKind) -> Entry {
        Entry { mtime: 315_532_801, ..Entry::new(path(text), kind, 0o755) }
    }

    // Text that deflate can work on, without being trivial: the same on every machine.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut out = Vec::with_capacity(size + 16);
        while out.len() < size {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = (state >> 33) % 5000;
            out.extend_from_slice(format!("{word} ").as_bytes());
        }
        out.truncate(size);
        out
    }

    fn sample() -> Vec<(Entry, Vec<u8>)> {
        let long = format!("d/{}/{}", "p".repeat(120), "n".repeat(90));
        let longest = format!("d/{}/{}", "q".repeat(120), "n".repeat(150));
        let mut all = vec![
            (at("d", EntryKind::Dir), vec![]),
            (at("d", EntryKind::Opaque), vec![]),
            (at("d/gone", EntryKind::Whiteout), vec![]),
            (at("d/link", EntryKind::Symlink(b"../../up".to_vec())), vec![]),
            (at("d/pipe", EntryKind::Fifo), vec![]),
            (at("d/null", EntryKind::Char { major: 1, minor: 3 }), vec![]),
            (at("d/big", EntryKind::File { size: 700_001 }), noise(700_001)),
            (at("d/hard", EntryKind::Hardlink(path("d/big"))), vec![]),
            (at("d/\u{e9}", EntryKind::File { size: 3 }), b"abc".to_vec()),
            (at("d/far", EntryKind::Symlink(vec![b't'; 300])), vec![]),
            (at(&long, EntryKind::Dir), vec![]),
            (at(&longest, EntryKind::File { size: 0 }), vec![]),
        ];
        let mut odd = at("d/odd", EntryKind::File { size: 512 });
        (odd.uid, odd.gid, odd.mtime, odd.mode) = (4_000_000_000, 3_000_000, -5, 0o6755);
        odd.xattrs = BTreeMap::from([
            (b"user.b".to_vec(), b"x\n17 path=etc/evil\n".to_vec()),
            (b"security.capability".to_vec(), vec![1, 0, 0, 2, 10, 0]),
        ]);
        all.push((odd, vec![7; 512]));
        all.sort_by(|a, b| {
            (&a.0.path, a.0.kind == EntryKind::Opaque)
                .cmp(&(&b.0.path, b.0.kind == EntryKind::Opaque))
        });
        all
    }

    fn write(
        entries: &[(Entry, Vec<u8>)],
        compression: Compression,
        threads: usize,
    ) -> (Vec<u8>, Written) {
        let mut writer = LayerWriter::new(Vec::new(), compression, threads, vec![]).unwrap();
        for (entry, content) in entries {
            writer.entry(entry, &mut content.as_slice()).unwrap();
        }
        writer.finish().unwrap()
    }

    fn check_golden(compression: Compression, want: Expect) {
        let (bytes, first) = write(&sample(), compression, 1);
        want.assert_eq(&format!("{}\n{}\n{} {}", first.diff, first.blob, first.size, first.packed));
        assert_eq!(Digest::<Blob>::of(&bytes), first.blob);
        assert_eq!(bytes.len() as u64, first.packed);
        for threads in [2, 3, 8] {
            assert_eq!(write(&sample(), compression, threads).1, first, "{threads} threads");
        }
    }

    // The digests of layers may change only on purpose: with them change those of all images.
    #[test]
    fn golden_plain() {
        check_golden(
            Compression::None,
            expect![[r#"
            sha256:102f75e638e01f06153a4e1b039d1cf1e6184c4d527294e7d218da3334006f77
            sha256:102f75e638e01f06153a4e1b039d1cf1e6184c4d527294e7d218da3334006f77
            712192 712192"#]],
        );
    }

    #[test]
    fn golden_gzip() {
        check_golden(
            Compression::default(),
            expect![[r#"
                sha256:102f75e638e01f06153a4e1b039d1cf1e6184c4d527294e7d218da3334006f77
                sha256:730eaaad0650c3d9aea416848facc20e653a8724d01e12e10ea196f13b534e09
                712192 297049"#]],
        );
    }

    #[test]
    fn golden_zstd() {
        check_golden(
            Compression::Zstd { level: 3 },
            expect![[r#"
            sha256:102f75e638e01f06153a4e1b039d1cf1e6184c4d527294e7d218da3334006f77
            sha256:a6a0829e01c715e50788722ca5063ce783713f80b4ff143bc4e757da4dfbb874
            712192 308686"#]],
        );
    }

    // Tells what another program makes of `input`; `None` where there is no such program.
    fn ask(program: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new(program)
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.status.success(), "{program} refused the bytes");
        Some(output.stdout)
    }

    #[test]
    fn other_programs_unpack_every_kind_of_compression() {
        let (plain, _) = write(&sample(), Compression::None, 1);
        for (program, compression) in [
            ("gzip", Compression::Gzip { level: 1 }),
            ("gzip", Compression::Gzip { level: 9 }),
            ("gzip", Compression::default()),
            ("zstd", Compression::Zstd { level: 3 }),
        ] {
            let (packed, _) = write(&sample(), compression, 3);
            if let Some(unpacked) = ask(program, &["-dc"], &packed) {
                assert!(unpacked == plain, "{program}");
            }
        }
    }

    #[test]
    fn blocks_end_where_they_end_whatever_the_length() {
        for size in [0, 1, 262_143, 262_144, 262_145, 524_288, 800_000] {
            let data = noise(size);
            let packed = |threads, piece: usize| {
                let mut gzip =
                    super::super::gzip::Gzip::new(Vec::new(), Compression::GZIP_LEVEL, threads);
                data.chunks(piece).for_each(|piece| gzip.write_all(piece).unwrap());
                gzip.finish().unwrap()
            };
            let one = packed(1, 1 << 20);
            assert!(one == packed(4, 4099) && one == packed(2, 262_144), "{size} bytes");
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&one[..]).read_to_end(&mut back).unwrap();
            assert!(back == data, "{size} bytes");
        }
    }

    #[test]
    fn gnu_tar_lists_what_was_written() {
        let (plain, _) = write(&sample(), Compression::None, 1);
        let Some(list) = ask("tar", &["-tvf", "-", "--numeric-owner", "--full-time"], &plain)
        else {
            return;
        };
        let list = String::from_utf8(list).unwrap();
        let list = list.replace(&"p".repeat(120), "P").replace(&"q".repeat(120), "Q");
        let list = list.replace(&"n".repeat(150), "NN").replace(&"n".repeat(90), "N");
        let list = list.replace(&"t".repeat(300), "T");
        expect![[r#"
            drwxr-xr-x 0/0               0 1980-01-01 00:00:01 d/
            ---------- 0/0               0 1980-01-01 00:00:01 d/.wh..wh..opq
            -rwxr-xr-x 0/0          700001 1980-01-01 00:00:01 d/big
            lrwxr-xr-x 0/0               0 1980-01-01 00:00:01 d/far -> T
            ---------- 0/0               0 1980-01-01 00:00:01 d/.wh.gone
            hrwxr-xr-x 0/0               0 1980-01-01 00:00:01 d/hard link to d/big
            lrwxr-xr-x 0/0               0 1980-01-01 00:00:01 d/link -> ../../up
            crwxr-xr-x 0/0             1,3 1980-01-01 00:00:01 d/null
            -rwsr-sr-x 4000000000/3000000 512 1969-12-31 23:59:55 d/odd
            prwxr-xr-x 0/0                  0 1980-01-01 00:00:01 d/pipe
            drwxr-xr-x 0/0                  0 1980-01-01 00:00:01 d/P/N/
            -rwxr-xr-x 0/0                  0 1980-01-01 00:00:01 d/Q/NN
            -rwxr-xr-x 0/0                  3 1980-01-01 00:00:01 d/é
        "#]]
        .assert_eq(&list);
    }

    #[test]
    fn python_reads_the_extended_attributes() {
        let (plain, _) = write(&sample(), Compression::None, 1);
        let program = "import sys, tarfile\n\
            for e in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):\n  \
            if e.name == 'd/odd': print(e.uid, e.gid, e.mtime, sorted(e.pax_headers.items()))";
        if let Some(said) = ask("python3", &["-c", program], &plain) {
            expect![[r#"
                4000000000 3000000 -5.0 [('SCHILY.xattr.security.capability', '\x01\x00\x00\x02\n\x00'), ('SCHILY.xattr.user.b', 'x\n17 path=etc/evil\n'), ('gid', '3000000'), ('mtime', '-5'), ('uid', '4000000000')]
            "#]].assert_eq(&String::from_utf8(said).unwrap());
        }
    }

    #[test]
    fn entries_that_a_layer_cannot_hold_are_refused() {
        fn refused(entries: &[Entry], want: Expect) {
            let mut writer = LayerWriter::hash_only(vec![]).unwrap();
            let error = entries.iter().find_map(|entry| writer.bare(entry).err()).unwrap();
            want.assert_eq(&error.to_string());
        }
        refused(
            &[at("a", EntryKind::File { size: 5 })],
            expect!["`/a` ended after 0 of 5 bytes: it changed while it was read"],
        );
        refused(
            &[at("b", EntryKind::Fifo), at("a", EntryKind::Fifo)],
            expect!["internal error: entry `/a` is out of order"],
        );
        refused(
            &[at("a", EntryKind::Fifo), at("a", EntryKind::Fifo)],
            expect!["internal error: entry `/a` is out of order"],
        );
        refused(
            &[at("x/.wh.a", EntryKind::Fifo)],
            expect![
                "`/x/.wh.a` cannot be put in a layer: names that begin with `.wh.` mean deletions in a layer"
            ],
        );
        refused(
            &[at("/", EntryKind::Fifo)],
            expect!["`/` cannot be put in a layer: the root is a folder"],
        );
    }

    #[test]
    fn observers_see_all_content_and_the_hash_alone_is_the_same() {
        #[derive(Default)]
        struct Log(Vec<(ImagePath, u64)>);
        impl Observer for Log {
            fn entry(&mut self, entry: &Entry) {
                self.0.push((entry.path.clone(), 0));
            }
            fn content(&mut self, data: &[u8]) {
                self.0.last_mut().unwrap().1 += data.len() as u64;
            }
            fn end(&mut self) {}
        }
        let mut log = Log::default();
        let mut writer = LayerWriter::hash_only(vec![&mut log]).unwrap();
        for (entry, content) in sample() {
            writer.entry(&entry, &mut content.as_slice()).unwrap();
        }
        let written = writer.finish().unwrap().1;
        let full = write(&sample(), Compression::default(), 2).1;
        assert_eq!((written.diff, written.size), (full.diff, full.size));
        let want: Vec<_> = sample().iter().map(|(e, _)| (e.path.clone(), e.size())).collect();
        assert_eq!(log.0, want);
    }
}
