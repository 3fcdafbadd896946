//! What the writer writes is read back, and any bytes are read without a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::layer::{Compression, LayerWriter};

fn path() -> impl Strategy<Value = ImagePath> {
    let part = prop_oneof!["[a-z\u{e9}]{1,12}", "[a-z]{90,130}", "[.][a-z]{1,3}"];
    proptest::collection::vec(part, 1..4)
        .prop_map(|parts| ImagePath::from_entry(parts.join("/").as_bytes()).unwrap())
}

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..1500);
    let kind = prop_oneof![
        Just(EntryKind::File { size: 0 }),
        Just(EntryKind::Dir),
        "[a-z/.]{1,200}".prop_map(|target| EntryKind::Symlink(target.into_bytes())),
        path().prop_map(EntryKind::Hardlink),
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| EntryKind::Char { major, minor }),
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| EntryKind::Block { major, minor }),
        Just(EntryKind::Fifo),
        Just(EntryKind::Whiteout),
        Just(EntryKind::Opaque),
    ];
    let ids = (any::<u32>(), 0u32..0o10000, any::<u32>());
    let mtime = -62_135_596_800i64..=253_402_300_799;
    let xattrs = proptest::collection::btree_map("[a-z.]{1,20}", bytes(), 0..3);
    (path(), kind, ids, mtime, xattrs, bytes()).prop_map(
        |(path, mut kind, (uid, mode, gid), mtime, xattrs, content)| {
            if let EntryKind::File { size } = &mut kind {
                *size = content.len() as u64;
            }
            let content = if matches!(kind, EntryKind::File { .. }) { content } else { vec![] };
            // A whiteout is a mark: nothing but its time is written.
            let is_mark = matches!(kind, EntryKind::Whiteout | EntryKind::Opaque);
            let xattrs: BTreeMap<_, _> =
                xattrs.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
            let entry = match is_mark {
                true => Entry { mtime, ..Entry::new(path, kind, 0) },
                false => Entry { path, kind, mode, uid, gid, mtime, xattrs },
            };
            (entry, content)
        },
    )
}

fn write(mut entries: Vec<(Entry, Vec<u8>)>) -> (Vec<(Entry, Vec<u8>)>, Vec<u8>) {
    entries.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    entries.dedup_by(|a, b| a.0.path == b.0.path);
    let mut writer = LayerWriter::new(Vec::new(), Compression::None, 1, vec![]).unwrap();
    for (entry, content) in &entries {
        writer.entry(entry, &mut content.as_slice()).unwrap();
    }
    (entries, writer.finish().unwrap().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(entries in proptest::collection::vec(entry(), 0..8)) {
        let (entries, bytes) = write(entries);
        let mut reader = Reader::layer(&bytes[..], Limits::default());
        for (entry, content) in entries {
            prop_assert_eq!(reader.next_entry().unwrap(), Some(entry));
            let mut read = Vec::new();
            reader.content().read_to_end(&mut read).unwrap();
            prop_assert!(read == content);
        }
        prop_assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn the_tar_crate_finds_the_same_names_and_content(
        entries in proptest::collection::vec(entry(), 0..8)
    ) {
        // That reader splits PAX records at newlines.
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(entry, content)| (Entry { xattrs: BTreeMap::new(), ..entry }, content))
            .collect();
        let (entries, bytes) = write(entries);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut found = archive.entries().unwrap();
        for (entry, content) in &entries {
            let mut other = found.next().unwrap().unwrap();
            if !matches!(entry.kind, EntryKind::Whiteout | EntryKind::Opaque) {
                let name = other.path_bytes().into_owned();
                prop_assert_eq!(name.strip_suffix(b"/").unwrap_or(&name), entry.path.relative());
            }
            let mut read = Vec::new();
            other.read_to_end(&mut read).unwrap();
            prop_assert!(read == *content);
        }
        prop_assert!(found.next().is_none());
    }

    #[test]
    fn mutated_bytes_never_panic_and_stay_bounded(
        entries in proptest::collection::vec(entry(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        seal in any::<bool>(),
    ) {
        let (_, mut bytes) = write(entries);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if seal {
            // With good checksums the changes get further in.
            for block in bytes.chunks_exact_mut(BLOCK) {
                if block[257..262] == *b"ustar" {
                    block[148..156].fill(b' ');
                    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
                }
            }
        }
        let limits = Limits { content: 1 << 20, ..Limits::default() };
        let mut reader = Reader::layer(&bytes[..], limits);
        let mut read = 0;
        while let Ok(Some(_)) = reader.next_entry() {
            read += io::copy(&mut reader.content(), &mut io::sink()).unwrap_or(0);
        }
        prop_assert!(read <= limits.content);
    }

    #[test]
    fn any_bytes_as_records_never_panic(data in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = pax::parse(&data);
    }
}
