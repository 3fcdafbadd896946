//! The judge of images is judged: it passes a good layout and none that is damaged.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Image, Place, Who, busybox};

/// Damages a good layout and asserts that it is refused, with these words.
fn check(what: &str, damage: impl FnOnce(&Path, &mut Value)) {
    let place = Place::new(Who::usual());
    let Some(layout) = busybox(&place.at("layout")) else { return };
    Image::read(&layout);
    let path = layout.join("index.json");
    let mut index = serde_json::from_slice(&fs::read(&path).expect("an index")).expect("JSON");
    damage(&layout.join("blobs/sha256"), &mut index);
    fs::write(path, index.to_string()).expect("a file of ours");
    let judged = std::panic::catch_unwind(|| Image::read(&layout));
    let panic = judged.err().unwrap_or_else(|| panic!("not noticed: {what}"));
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains(what), "{what}: {text}");
}

fn largest(blobs: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(blobs).expect("blobs").flatten().map(|entry| entry.path());
    files.max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("a blob")
}

#[test]
fn damaged_layouts_are_noticed() {
    check("sha256:", |blobs, _| {
        let path = largest(blobs);
        let mut bytes = fs::read(&path).expect("a blob");
        bytes[100] ^= 1;
        fs::write(path, bytes).expect("a file of ours");
    });
    check("a blob that a descriptor names", |blobs, _| {
        fs::remove_file(largest(blobs)).expect("a file of ours");
    });
    check("names and nothing else", |blobs, _| {
        fs::write(blobs.join("0".repeat(64)), b"more").expect("a file of ours");
    });
    check("one image, one entry", |_, index| {
        let first = index["manifests"][0].clone();
        index["manifests"].as_array_mut().expect("a list").push(first);
    });
    check("size", |_, index| index["manifests"][0]["size"] = json!(1));
}
