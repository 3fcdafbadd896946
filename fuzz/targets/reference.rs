//! Names: image references, platforms, digests. What parses prints as what parses the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::base::{Blob, Digest, ImagePath, ImageRef, Platform};

fuzz_target!(|text: &str| {
    if let Ok(reference) = ImageRef::parse(text) {
        let printed = reference.to_string();
        assert_eq!(ImageRef::parse(&printed).as_ref(), Ok(&reference), "{printed}");
        let familiar = reference.familiar();
        assert_eq!(ImageRef::parse(&familiar).as_ref(), Ok(&reference), "{familiar}");
    }
    if let Ok(platform) = Platform::parse(text) {
        assert_eq!(Platform::parse(&platform.to_string()), Ok(platform));
    }
    if let Ok(digest) = Digest::<Blob>::parse(text) {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(path) = ImagePath::from_entry(text.as_bytes()) {
        assert!(path.components().all(|name| name != b".." && name != b"." && !name.is_empty()));
        assert_eq!(ImagePath::from_entry(path.as_bytes()).as_ref(), Ok(&path));
    }
});
