//! A layer: unpacked, then read as a tar stream in both ways there are.
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use rbuild::layer::{Bounds, Entry, Format, Limits, Reader, decompress};

const LIMITS: Limits = Limits { metadata: 1 << 16, entries: 1000, content: 1 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds { grace: 1 << 16, total: 1 << 20, ..Bounds::default() };
    let mut plain = Vec::new();
    if let Ok(mut reader) = decompress(bytes, Format::sniff(bytes), bounds) {
        let _ = reader.read_to_end(&mut plain);
        assert!(plain.len() as u64 <= bounds.total);
    }
    right_sums(&mut plain);
    let layer = entries(Reader::layer(plain.as_slice(), LIMITS));
    let archive = entries(Reader::archive(plain.as_slice(), LIMITS));
    for entry in layer.iter().chain(&archive) {
        let clean = |name: &[u8]| !name.is_empty() && name != b"." && name != b"..";
        assert!(entry.path.components().all(clean), "{entry:?}");
    }
});

/// Puts the checksums of headers right that say what they are: no mutation hits upon them, and nothing
/// behind a wrong one is read. Headers without a magic keep theirs, and so a wrong one is met too.
fn right_sums(plain: &mut [u8]) {
    for block in plain.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

/// What is read until the end or the first error; contents are read through holes and all.
fn entries(mut reader: Reader<&[u8]>) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut total = 0;
    while let Ok(Some(entry)) = reader.next_entry() {
        let size = entry.size();
        found.push(entry);
        let Ok(read) = io::copy(&mut reader.content(), &mut io::sink()) else { break };
        assert_eq!(read, size, "the content is as long as announced");
        total += read;
    }
    assert!(total <= LIMITS.content);
    found
}
