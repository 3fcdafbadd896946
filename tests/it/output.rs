//! What is written is what other tools read, in every form.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::{
    Build, Image, Kind, Place, Who, have, ok, podman, skopeo_copy, skopeo_inspect, umoci_unpack,
};

const TEXT: &str = r#"
FROM busybox
RUN mkdir /dir && echo content > /dir/file && ln /dir/file /dir/hard && ln -s file /dir/soft && rm /etc/group
RUN rm -r /dir && mkdir /dir && echo new > /dir/file2
LABEL org.example.word="two words"
EXPOSE 8080
WORKDIR /dir
USER 10001
CMD ["cat", "file2"]
"#;

fn check_compression(flags: &[&str], media: &str) {
    let place = Place::new(Who::usual());
    let build = flags.iter().fold(Build::text(&place, TEXT), |build, flag| build.arg(*flag));
    let (outcome, image) = build.image();
    let layers = image.manifest["layers"].as_array().expect("layers");
    for layer in &layers[1..] {
        assert_eq!(layer["mediaType"], format!("application/vnd.oci.image.layer.v1.{media}"));
    }
    assert_eq!(image.text("dir/file2"), "new\n");
    assert!(!image.tree.contains_key("dir/file") && !image.tree.contains_key("etc/group"));
    if !have(&["skopeo", "umoci", "podman"]) {
        return;
    }
    let name = format!("oci:{}", outcome.result.display());
    assert_eq!(skopeo_inspect(&name)["Digest"], image.digest);
    let unpacked = umoci_unpack(&outcome.result);
    let rootfs = unpacked.at("bundle/rootfs");
    assert_eq!(fs::read_to_string(rootfs.join("dir/file2")).expect("it is there"), "new\n");
    assert!(!rootfs.join("dir/file").exists() && !rootfs.join("etc/group").exists());
    let id = podman(&outcome.result);
    assert_eq!(format!("sha256:{id}"), image.manifest["config"]["digest"]);
}

#[test]
fn gzip_is_read_by_others() {
    check_compression(&[], "tar+gzip");
}

#[test]
fn zstd_is_read_by_others() {
    // umoci of Debian 12 has no zstd.
    let place = Place::new(Who::usual());
    let (outcome, image) = Build::text(&place, TEXT).arg("--compression=zstd").image();
    let layers = image.manifest["layers"].as_array().expect("layers");
    assert_eq!(layers[1]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    if !have(&["skopeo", "podman"]) {
        return;
    }
    let name = format!("oci:{}", outcome.result.display());
    assert_eq!(skopeo_inspect(&name)["Digest"], image.digest);
    let id = podman(&outcome.result);
    assert_eq!(format!("sha256:{id}"), image.manifest["config"]["digest"]);
}

#[test]
fn uncompressed_is_read_by_others() {
    check_compression(&["--compression=uncompressed"], "tar");
}

#[test]
fn compression_does_not_change_diff_ids() {
    let place = Place::new(Who::usual());
    let configs: Vec<Value> = ["gzip", "zstd", "uncompressed"]
        .iter()
        .map(|name| Build::text(&place, TEXT).arg(format!("--compression={name}")).image().1.config)
        .collect();
    assert_eq!(configs[0], configs[1]);
    assert_eq!(configs[0], configs[2]);
}

#[test]
fn an_archive_holds_the_same_image() {
    let place = Place::new(Who::usual());
    let (_, image) = Build::text(&place, TEXT).image();
    let archive = place.at("image.tar");
    let spec = format!("--output=type=oci,dest={},tar=true", archive.display());
    let outcome = Build::text(&place, TEXT).arg(spec).run();
    assert_eq!(outcome.digest(), image.digest);
    place.folder("unpacked");
    ok(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(place.at("unpacked")));
    assert_eq!(Image::read(&place.at("unpacked")).digest, image.digest);
    if have(&["skopeo"]) {
        let name = format!("oci-archive:{}", archive.display());
        assert_eq!(skopeo_inspect(&name)["Digest"], image.digest);
        let copy = format!("oci:{}:copy", place.at("copy").display());
        skopeo_copy(&[], &name, &copy);
    }
}

#[test]
fn config_and_history_say_what_the_dockerfile_says() {
    let place = Place::new(Who::usual());
    let (outcome, image) = Build::text(&place, TEXT).arg("--tag=example.org/app:1.2").image();
    let config = &image.config["config"];
    assert_eq!(config["User"], "10001");
    assert_eq!(config["WorkingDir"], "/dir");
    assert_eq!(config["Cmd"], serde_json::json!(["cat", "file2"]));
    assert_eq!(config["Labels"]["org.example.word"], "two words");
    assert!(config["ExposedPorts"]["8080/tcp"].is_object(), "{config}");
    let index = fs::read(outcome.result.join("index.json")).expect("it was validated");
    let index: Value = serde_json::from_slice(&index).expect("it was validated");
    let notes = &index["manifests"][0]["annotations"];
    assert_eq!(notes["org.opencontainers.image.ref.name"], "1.2", "{index}");
    assert_eq!(notes["io.containerd.image.name"], "example.org/app:1.2", "{index}");
}

#[test]
fn id_and_metadata_are_written_to_files() {
    let place = Place::new(Who::usual());
    let build = Build::text(&place, TEXT)
        .arg(format!("--iidfile={}", place.at("id").display()))
        .arg(format!("--metadata-file={}", place.at("meta.json").display()));
    let (_, image) = build.image();
    let id = fs::read_to_string(place.at("id")).expect("an id file");
    assert_eq!(id.trim(), image.manifest["config"]["digest"]);
    let meta = fs::read(place.at("meta.json")).expect("a metadata file");
    let meta: Value = serde_json::from_slice(&meta).expect("JSON");
    assert_eq!(meta["containerimage.digest"], image.digest);
    assert_eq!(meta["containerimage.config.digest"], id.trim());
}

#[test]
fn scratch_holds_only_what_was_copied() {
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/app", "binary");
        let (_, image) = Build::text(&place, "FROM scratch\nCOPY --chmod=0755 app /app\n").image();
        let names: Vec<_> = image.tree.keys().collect();
        assert_eq!(names, ["app"]);
        assert_eq!(image.tree["app"].mode, 0o755);
        assert_eq!(image.tree["app"].kind, Kind::File(Some(b"binary".to_vec())));
    }
}

#[test]
fn the_result_is_not_part_of_its_own_context() {
    let place = Place::new(Who::usual());
    place.file("ctx/file", "x");
    let spec = format!("--output=type=oci,dest={},tar=false", place.at("ctx/image.oci").display());
    let text = "FROM scratch\nCOPY . /\n";
    let first = Build::text(&place, text).arg(&spec).run().digest();
    let second = Build::text(&place, text).arg(&spec).run().digest();
    assert_eq!(first, second);
    let image = Image::read(&place.at("ctx/image.oci"));
    assert!(
        !image.tree.keys().any(|name| name.starts_with("image.oci")),
        "{:?}",
        image.tree.keys()
    );
}
