//! An ignore file, judging paths; the last line of the input is one of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::base::ImagePath;
use rbuild::input::Ignore;

fuzz_target!(|bytes: &[u8]| {
    let (text, path) = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b"a/b.c"[..]),
    };
    let _ = Ignore::from_patterns(&[String::from_utf8_lossy(text).into_owned()]);
    let Ok(ignore) = Ignore::parse(text) else { return };
    if let Ok(path) = ImagePath::from_entry(path) {
        let excluded = ignore.excludes(&path);
        assert!(!(excluded && ignore.is_empty()));
        assert_eq!(excluded, ignore.excludes(&path), "a question changes nothing");
    }
    for path in [&b"src/main.rs"[..], b".git/HEAD", b"a/b/c/d/e"] {
        ignore.excludes(&ImagePath::from_entry(path).expect("a clean path"));
    }
});
