//! `rbuild audit`: finished images, wherever they are.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Build, Done, Place, Registry, Who, have, run};

const TEXT: &str = "FROM busybox\nRUN head -c 3000000 /dev/zero > /big && echo one > /word\n\
                    RUN rm /big && chmod 4755 /word\nCMD [\"/nonesuch\"]\n";

fn audit(place: &Place, arguments: &[&str]) -> Done {
    let mut command = place.who().command(place.program(), &place.at("home"));
    command.arg("audit").args(arguments).current_dir(place.path());
    run(&mut command, Duration::from_secs(60))
}

// What was found, without the image's name.
fn found(done: &Done) -> (Vec<String>, Value) {
    let report: Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", done.out(), done.err()));
    let findings = report["findings"].as_array().expect("findings").iter();
    let findings =
        findings.map(|one| format!("{} {} {}", one["rule"], one["image"], one["message"]));
    (findings.collect(), report["images"].clone())
}

#[test]
fn one_image_is_judged_the_same_in_every_place() {
    let place = Place::new(Who::usual());
    let archives = ["--output=type=oci,dest=a.tar", "--output=type=docker,dest=d.tar"];
    let mut build = Build::text(&place, TEXT).arg("--output=type=oci,dest=image.oci,tar=false");
    for output in archives {
        build = build.arg(output);
    }
    let (_, image) = build.image();
    let done = audit(&place, &["--format=json", "image.oci"]);
    assert_eq!(done.code(), 1, "{}", done.err());
    let (want, images) = found(&done);
    let has = |rule: &str, path: &str| {
        want.iter().any(|one| one.contains(&format!("\"{rule}\"")) && one.contains(path))
    };
    assert!(has("entrypoint-unrunnable", "/nonesuch"), "{want:#?}");
    assert!(has("setuid-file", "/word"), "{want:#?}");
    assert!(has("image-efficiency", "image"), "{want:#?}");
    assert!(!has("digest-mismatch", ""), "{want:#?}");
    assert_eq!(images[0]["digest"], image.digest.as_str());
    assert_eq!(images[0]["worst"][0]["path"], "/big");
    assert_eq!(images[0]["layers"][1]["size"], 3_000_004);
    for other in ["oci:image.oci", "a.tar", "oci-archive:a.tar", "d.tar"] {
        let done = audit(&place, &["--format=json", "--jobs=3", other]);
        assert_eq!(found(&done).0, want, "{other}");
        let alone = audit(&place, &["--format=json", "--jobs=1", other]);
        assert!(alone.stdout == done.stdout, "{other}");
    }
    // Nothing is left behind.
    assert!(!place.at("home/.cache").exists(), "no store is made");
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Registry::with_login(false);
    let name = format!("{}/app:1", registry.host());
    let mut push = place.who().command(place.program(), &place.at("home"));
    push.args(["push", "image.oci", &name]).current_dir(place.path());
    let pushed = run(&mut push, Duration::from_secs(60));
    assert_eq!(pushed.code(), 0, "{}", pushed.err());
    let done = audit(&place, &["--format=json", &name]);
    // A registry cannot be asked for what nothing names; all else is the same.
    assert_eq!(found(&done).0, want, "{}", done.err());
    assert_eq!(audit(&place, &[&format!("{name}x")]).code(), 5);
}

#[test]
fn docker_archives_of_other_tools() {
    if !have(&["skopeo"]) {
        return;
    }
    let place = Place::new(Who::usual());
    Build::text(&place, TEXT).image();
    let mut copy = std::process::Command::new("skopeo");
    let to = format!("docker-archive:{}:app:1", place.at("s.tar").display());
    copy.arg("copy").arg(format!("oci:{}", place.at("image.oci").display())).arg(to);
    let copied = run(&mut copy, Duration::from_secs(60));
    assert_eq!(copied.code(), 0, "{}", copied.err());
    let rule = "--only=setuid-file";
    let (want, _) = found(&audit(&place, &["--format=json", rule, "image.oci"]));
    assert_eq!(want.len(), 1, "{want:?}");
    for name in ["s.tar", "docker-archive:s.tar:1"] {
        let done = audit(&place, &["--format=json", rule, name]);
        assert_eq!(found(&done).0, want, "{}", done.err());
    }
    let missing = audit(&place, &["docker-archive:s.tar:2"]);
    assert_eq!(missing.code(), 2);
    assert!(missing.err().contains("app:1"), "{}", missing.err());
}

fn largest(layout: &Path) -> std::path::PathBuf {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("blobs").flatten();
    let blobs = blobs.map(|entry| entry.path());
    blobs.max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("a blob")
}

#[test]
fn exit_codes_and_changed_bytes() {
    let place = Place::new(Who::usual());
    let (_, image) = Build::text(&place, TEXT).image();
    let check = |arguments: &[&str], code: i32, said: &[&str]| {
        let done = audit(&place, arguments);
        let text = done.out() + &done.err();
        assert_eq!(done.code(), code, "{arguments:?} {text}");
        for words in said {
            assert!(text.contains(words), "not said: {words}\n{text}");
        }
    };
    let digest = image.digest.as_str();
    check(
        &["image.oci"],
        1,
        &["efficiency", "/big", digest, "made by: RUN", "in the image: /word"],
    );
    check(&["--policy=none", "image.oci"], 0, &["efficiency"]);
    check(&["--fail-on=never", "image.oci"], 0, &[]);
    check(&["--policy=none", "--only=image-efficiency", "image.oci"], 0, &["image-efficiency"]);
    check(&["./nonesuch"], 2, &["no such file"]);
    check(&["--format=xml", "image.oci"], 2, &["checkstyle"]);
    check(&["--offline", "debian:12"], 5, &["--offline"]);
    // dive's thresholds, of the flags and of the file.
    let none = "--policy=none";
    check(&[none, "--ci", "image.oci"], 1, &["image-wasted-percent"]);
    place.file(
        ".dive-ci",
        "rules:\n  lowestEfficiency: 0.1\n  highestUserWastedPercent: disabled\n",
    );
    check(&[none, "--ci", "image.oci"], 0, &[]);
    check(&[none, "--ci", "--highest-wasted-bytes=1kB", "image.oci"], 1, &["image-wasted-bytes"]);
    check(&[none, "--ci", "--lowestEfficiency=0.999", "image.oci"], 1, &["image-efficiency"]);
    place.file(".dive-ci", "rules:\n  lowestEficiency: 0.1\n");
    check(&[none, "--ci", "image.oci"], 2, &[".dive-ci:2"]);
    // Larger than an image before it, which is the base.
    let before = format!("--compare=oci:{}:latest", place.at("busybox").display());
    let growth = "--set=budget.max_growth=0";
    check(&[none, "--only=image-size-budget", growth, &before, "image.oci"], 0, &["has grown"]);

    // What nothing names.
    let stray = place.at("image.oci/blobs/sha256").join("0".repeat(64));
    fs::write(&stray, "stray").expect("a file of ours");
    check(&["--only=unreferenced-blob", "image.oci"], 0, &["that nothing names", "00000000"]);
    fs::remove_file(stray).expect("a file of ours");
    // A layer, then the config: both are told, whatever the profile, and nothing of the latter's.
    let path = largest(&place.at("image.oci"));
    let mut bytes = fs::read(&path).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("a file of ours");
    check(&["--policy=none", "image.oci"], 6, &["digest-mismatch", "layer 0 is not what names it"]);
    check(&["--fail-on=never", "image.oci"], 0, &["digest-mismatch"]);
    let config = image.manifest["config"]["digest"].as_str().expect("a digest");
    let config = config.trim_start_matches("sha256:");
    fs::write(place.at("image.oci/blobs/sha256").join(config), "{}").expect("a file of ours");
    check(&["--policy=none", "image.oci"], 6, &["digest-mismatch"]);
}

#[test]
fn several_images_and_files_are_one_report() {
    let place = Place::new(Who::usual());
    Build::text(&place, TEXT).image();
    place.folder("x");
    place.file("x/Dockerfile", "FROM node:latest\n");
    place.file("y.Dockerfile", "FROM node:latest\n");
    let at = |name: &str| format!("{name}={}", place.at(name).display());
    let reports: Vec<String> = ["sarif", "junit", "checkstyle", "gitlab", "json"]
        .map(at)
        .map(|it| format!("--report={it}"))
        .into();
    let mut arguments: Vec<&str> = reports.iter().map(String::as_str).collect();
    arguments.extend(["image.oci", "oci:image.oci"]);
    assert_eq!(audit(&place, &arguments).code(), 1);
    let read = |name: &str| fs::read_to_string(place.at(name)).expect(name);
    let json = |name: &str| -> Value { serde_json::from_str(&read(name)).expect(name) };
    let check = |subjects: [&str; 2]| {
        assert_eq!(json("sarif")["runs"].as_array().expect("runs").len(), 1);
        for result in json("sarif")["runs"][0]["results"].as_array().expect("results") {
            assert!(result["locations"][0]["physicalLocation"].is_object(), "{result}");
        }
        for subject in subjects {
            let findings = json("json")["findings"].as_array().cloned().expect("findings");
            assert!(findings.iter().any(|one| one["subject"] == subject), "{subject}");
            assert!(read("junit").contains(&format!("<testsuite name=\"{subject}\"")));
            assert!(read("checkstyle").contains(&format!("<file name=\"{subject}")));
        }
        assert_eq!(read("junit").matches("<?xml").count(), 1);
        assert_eq!(read("checkstyle").matches("<?xml").count(), 1);
        let prints = json("gitlab");
        let prints = prints.as_array().expect("a list").iter().map(|one| &one["fingerprint"]);
        let all: std::collections::BTreeSet<String> =
            prints.clone().map(Value::to_string).collect();
        assert_eq!(all.len(), prints.count());
    };
    check(["image.oci", "oci:image.oci"]);
    let mut lint = place.who().command(place.program(), &place.at("home"));
    lint.arg("lint").args(&reports).args(["x", "y.Dockerfile"]).current_dir(place.path());
    assert_eq!(run(&mut lint, Duration::from_secs(60)).code(), 1);
    check(["x/Dockerfile", "y.Dockerfile"]);
}
