//! Bases from a real registry: names, digests, passwords, and bytes that somebody changed.

use std::fs;

use serde_json::Value;

use crate::harness::{Build, PASSWORD, Place, Registry, Who, busybox, have};

fn ready() -> bool {
    have(&["docker-registry", "skopeo"])
}

/// A registry with busybox as `base:1`, and a place.
fn with_base(login: bool) -> Option<(Registry, Place)> {
    if !ready() {
        return None;
    }
    let place = Place::new(Who::usual());
    let registry = Registry::with_login(login);
    registry.push(&busybox(&place.at("busybox"))?, "base:1");
    Some((registry, place))
}

#[test]
fn a_base_by_tag_and_by_digest() {
    let Some((registry, place)) = with_base(false) else { return };
    let host = registry.host();
    let (_, by_tag) =
        Build::text(&place, &format!("FROM {host}/base:1\nRUN echo x > /x\n")).image();
    let digest = registry.digest("base:1");
    let text = format!("FROM {host}/base@{digest}\nRUN echo x > /x\n");
    let (outcome, by_digest) = Build::text(&place, &text).arg("--offline").image();
    assert_eq!(by_tag.digest, by_digest.digest, "{}", outcome.story());
}

#[test]
fn a_missing_name_is_told() {
    let Some((registry, place)) = with_base(false) else { return };
    let text = format!("FROM {}/base:2\n", registry.host());
    Build::text(&place, &text).run().fails(5, &["base:2", "Dockerfile:1:"]);
}

#[test]
fn a_password_is_needed_and_used() {
    let Some((registry, place)) = with_base(true) else { return };
    let text = format!("FROM {}/base:1\nRUN echo x > /x\n", registry.host());
    Build::text(&place, &text).run().fails(5, &[registry.host()]);
    let auth = |user: &str, password: &str| {
        let auths = format!(
            "{{\"auths\": {{\"{}\": {{\"username\": \"{user}\", \"password\": \"{password}\"}}}}}}",
            registry.host()
        );
        place.file("auth.json", auths)
    };
    let file = auth("tester", "wrong");
    let build = Build::text(&place, &text).arg(format!("--authfile={}", file.display()));
    build.run().fails(5, &[registry.host()]);
    auth("tester", PASSWORD);
    let (outcome, _) = build.image();
    assert!(!outcome.err().contains(PASSWORD), "{}", outcome.story());
}

/// The digest of the one layer of the layout `busybox`.
fn layer_of_busybox(place: &Place) -> String {
    let index = fs::read(place.at("busybox/index.json")).expect("a layout of ours");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let hex = index["manifests"][0]["digest"].as_str().expect("a digest").replace("sha256:", "");
    let manifest = fs::read(place.at("busybox/blobs/sha256").join(hex)).expect("a blob");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_damaged_blob_of_the_store_is_brought_again() {
    let Some((registry, place)) = with_base(false) else { return };
    let from = format!("FROM {}/base:1\n", registry.host());
    Build::text(&place, &from).image();
    let hex = layer_of_busybox(&place).replace("sha256:", "");
    let blob = place.at("store/blobs/sha256").join(hex);
    let mut bytes = fs::read(&blob).expect("the layer is in the store");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&blob).expect("ours");
    fs::write(&blob, &bytes).expect("ours");
    let (outcome, image) = Build::text(&place, &format!("{from}RUN echo x > /x\n")).image();
    outcome.says(&["was damaged: bringing it again"]);
    assert_eq!(image.text("x"), "x\n");
    assert_ne!(fs::read(&blob).expect("brought again"), bytes);
}

#[test]
fn a_layer_with_other_bytes_is_tampering() {
    let Some((registry, place)) = with_base(false) else { return };
    let layer = layer_of_busybox(&place);
    registry.falsify(&layer);
    let text = format!("FROM {}/base:1\nRUN true\n", registry.host());
    Build::text(&place, &text).run().fails(6, &[&layer]);
    let hex = layer.replace("sha256:", "");
    assert!(!place.at("store/blobs/sha256").join(hex).exists(), "nothing false is stored");
}

#[test]
fn no_user_is_refused_with_a_base_from_a_registry() {
    let Some((registry, place)) = with_base(false) else { return };
    let text = format!("FROM {}/base:1\nRUN echo THE STEP | sed 's/$/ RAN/'\n", registry.host());
    let err = Build::text(&place, &text)
        .policy(None)
        .run()
        .fails(1, &["final-user-root", "base-unpinned"]);
    assert!(!err.contains("THE STEP RAN"), "{err}");
}

#[test]
fn named_contexts_may_be_images_and_folders() {
    let Some((registry, place)) = with_base(false) else { return };
    let folder = place.folder("more");
    place.file("more/data", "of the folder\n");
    let build = Build::text(&place, "FROM app\nCOPY --from=more data /data\nRUN cat /data\n")
        .arg(format!("--build-context=app=docker-image://{}/base:1", registry.host()))
        .arg(format!("--build-context=more={}", folder.display()));
    let (outcome, image) = build.image();
    outcome.says(&["] | of the folder"]);
    assert_eq!(image.text("data"), "of the folder\n");
}
