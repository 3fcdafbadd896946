//! A layer: unpacked, then read as a tar stream in both ways there are.
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use rbuild::layer::{Bounds, Entry, Format, Limits, Reader, decompress};

const LIMITS: Limits = Limits { metadata: 1 << 16, entries: 1000, content: 1 << 20 };

fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds { ratio: 200, grace: 1 << 16, total: 1 << 20 };
    let mut plain = Vec::new();
    if let Ok(mut reader) = decompress(bytes, Format::sniff(bytes), bounds) {
        let _ = reader.read_to_end(&mut plain);
        assert!(plain.len() as u64 <= bounds.total);
    }
    let layer = entries(Reader::layer(plain.as_slice(), LIMITS));
    let archive = entries(Reader::archive(plain.as_slice(), LIMITS));
    for entry in layer.iter().chain(&archive) {
        let clean = |name: &[u8]| !name.is_empty() && name != b"." && name != b"..";
        assert!(entry.path.components().all(clean), "{entry:?}");
    }
});

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
