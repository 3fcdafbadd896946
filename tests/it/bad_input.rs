//! Bad input gets a clear error and leaves nothing half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Build, Place, Who, have, is_root, ok, run, skip};

#[test]
fn a_missing_dockerfile() {
    let place = Place::new(Who::usual());
    Build::of(&place).run().fails(2, &["Dockerfile"]);
}

#[test]
fn a_missing_context() {
    let place = Place::new(Who::usual());
    place.file("Dockerfile", "FROM scratch\n");
    fs::remove_dir(place.at("ctx")).expect("it is empty");
    Build::of(&place).run().fails(2, &["ctx"]);
}

#[test]
fn an_unknown_flag() {
    let place = Place::new(Who::usual());
    place.file("Dockerfile", "FROM scratch\n");
    Build::of(&place).arg("--sqash").run().fails(2, &["--sqash", "--squash"]);
}

#[test]
fn all_mistakes_of_a_dockerfile_at_once() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nCOPPY a b\nRUN true\nEXPOSE\nRUM x\n";
    let places = ["COPPY", "Dockerfile:2:1", "COPY", "Dockerfile:4:1", "RUM", "Dockerfile:5:1"];
    Build::text(&place, text).run().fails(3, &places);
}

#[test]
fn an_empty_dockerfile() {
    let place = Place::new(Who::usual());
    Build::text(&place, "# nothing\n").run().fails(3, &["Dockerfile"]);
}

#[test]
fn a_missing_copy_source() {
    let place = Place::new(Who::usual());
    let outcome = Build::text(&place, "FROM busybox\nCOPY app.jar /app/\n").run();
    assert_ne!(outcome.done.code(), 70, "{}", outcome.story());
    outcome.says(&["app.jar", "Dockerfile:2:"]);
    assert!(!outcome.result.exists());
    let text = "FROM busybox AS one\nFROM busybox\nCOPY --from=one /no/such /\n";
    Build::text(&place, text).run().says(&["/no/such", "Dockerfile:3:"]);
}

#[test]
fn a_copy_source_that_dockerignore_hides() {
    let place = Place::new(Who::usual());
    place.file("ctx/app.jar", "x");
    place.file("ctx/.dockerignore", "*.jar\n");
    let build = Build::text(&place, "FROM busybox\nCOPY app.jar /\n");
    build.run().says(&["app.jar", ".dockerignore:1` excludes it, pattern `*.jar`"]);
}

#[test]
fn a_registry_that_is_not_there() {
    let place = Place::new(Who::usual());
    // A port that was free a moment ago.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback");
    let host = socket.local_addr().expect("it is bound").to_string();
    drop(socket);
    let text = format!("FROM {host}/debian:bookworm-slim\nRUN true\n");
    Build::text(&place, &text).run().fails(5, &[&host, "Dockerfile:1:"]);
}

#[test]
fn a_base_that_may_not_be_fetched() {
    let place = Place::new(Who::usual());
    let text = "FROM 127.0.0.1:9/debian:bookworm-slim\n";
    Build::text(&place, text).arg("--offline").run().fails(5, &["127.0.0.1:9", "offline"]);
}

#[test]
fn a_destination_that_is_not_ours() {
    let place = Place::new(Who::usual());
    let precious = place.file("image.oci/precious", "kept");
    let outcome = Build::text(&place, "FROM busybox\n").run();
    assert_eq!(outcome.done.code(), 2, "{}", outcome.story());
    outcome.says(&["image.oci"]);
    assert_eq!(fs::read_to_string(precious).expect("untouched"), "kept");
}

#[test]
fn a_store_of_another_format() {
    let place = Place::new(Who::usual());
    Build::text(&place, "FROM busybox\n").image();
    fs::remove_dir_all(place.at("image.oci")).expect("it was just made");
    place.file("store/version", "99\n");
    let outcome = Build::text(&place, "FROM busybox\n").run();
    assert_ne!(outcome.done.code(), 0);
    outcome.says(&["99", "store"]);
    assert!(!outcome.result.exists());
}

/// A small disk, mounted for a test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Disk {
        ok(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs"])
            .arg(at));
        Disk(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    if !is_root() {
        return skip("only root can mount a small disk");
    }
    for who in Who::every() {
        for (dockerfile, what) in [
            ("FROM busybox\nCOPY big /big\nRUN true\n", "COPY"),
            ("FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=64\n", "RUN"),
        ] {
            let place = Place::new(who);
            let disk = Disk::mount(&place.folder("store"), "20m");
            if let Some((uid, gid)) = who.ids() {
                std::os::unix::fs::chown(place.at("store"), Some(uid), Some(gid))
                    .expect("root may");
            }
            // Random, so that compression does not make room.
            let mut big = vec![0_u8; 64 << 20];
            let mut random = fs::File::open("/dev/urandom").expect("a source of bytes");
            std::io::Read::read_exact(&mut random, &mut big).expect("bytes");
            place.file("ctx/big", &big);
            let outcome = Build::text(&place, dockerfile).run();
            let code = outcome.done.code();
            assert_eq!(code, if what == "RUN" { 4 } else { 70 }, "{}", outcome.story());
            outcome.says(&["o space left"]);
            assert!(!outcome.result.exists(), "{}", outcome.story());
            // With room, the same store is good.
            ok(Command::new("mount").args(["-o", "remount,size=400m"]).arg(place.at("store")));
            Build::text(&place, dockerfile).image();
            drop(disk);
        }
    }
}

#[test]
fn a_full_disk_at_the_destination() {
    if !is_root() {
        return skip("only root can mount a small disk");
    }
    let place = Place::new(Who::Root);
    let _disk = Disk::mount(&place.folder("small"), "256k");
    let spec = format!("-otype=oci,dest={},tar=false", place.at("small/image.oci").display());
    let outcome =
        Build::text(&place, "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=4\n")
            .arg(spec)
            .run();
    assert_ne!(outcome.done.code(), 0);
    outcome.says(&["o space left", "small/"]);
    let left: Vec<_> = fs::read_dir(place.at("small")).expect("a folder").flatten().collect();
    assert!(left.is_empty(), "nothing half-written: {left:?}");
}

#[test]
fn a_host_without_user_namespaces() {
    if !have(&["unshare"]) {
        return;
    }
    for who in [Who::Range, Who::Single].into_iter().filter(|who| who.here()) {
        let place = Place::new(who);
        let build = Build::text(&place, "FROM busybox\nRUN true\n");
        // Inside a namespace of the test's, the limit is ours to set.
        let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 99; exec \"$@\"";
        let mut command = who.command("unshare", &place.at("home"));
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
        command.arg(place.program()).args(build.line()).current_dir(place.path());
        let done = run(&mut command, Duration::from_secs(30));
        let err = done.err();
        if done.code() == 99 || err.contains("unshare failed") {
            skip(&format!("no nested user namespace here: {err}"));
            continue;
        }
        assert_eq!(done.code(), 7, "{err}");
        assert!(err.contains("user.max_user_namespaces"), "the cause and the cure: {err}");
        assert!(!place.at("image.oci").exists());
    }
}
