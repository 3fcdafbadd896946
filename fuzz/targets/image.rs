//! Documents of images: what parses is written as what parses the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::image::{Config, Document, Index, Manifest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let written = manifest.to_bytes();
        let again = Manifest::parse(&written).expect("our own manifest");
        assert_eq!(again.to_bytes(), written);
    }
    if let Ok(index) = Index::parse(bytes) {
        let written = index.to_bytes();
        let again = Index::parse(&written).expect("our own index");
        assert_eq!(again.to_bytes(), written);
    }
    if let Ok(config) = Config::parse(bytes) {
        let written = config.to_bytes();
        let again = Config::parse(&written).expect("our own config");
        assert_eq!(again.to_bytes(), written);
        let _ = config.platform();
    }
    let _ = Document::parse(bytes, None);
});
