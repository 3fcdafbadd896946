//! What the conformance suite leaves open: names that are no UTF-8, odd modes, holes, attributes,
//! destinations that are links, several outputs at once.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::harness::{Build, Image, Kind, Place, Who, have, ok, skip};

/// Builds this text as every user, with what `prepare` puts into the place; `judge` sees the image.
fn check(dockerfile: &str, prepare: impl Fn(&Place), said: &[&str], judge: impl Fn(&Image)) {
    for who in Who::every() {
        let place = Place::new(who);
        prepare(&place);
        let (outcome, image) = Build::text(&place, dockerfile).image();
        outcome.says(said);
        judge(&image);
    }
}

/// Writes a file whose name is bytes, for the user of the place.
fn odd(place: &Place, folder: &str, name: &[u8], content: &str) {
    let path = place.folder(folder).join(OsStr::from_bytes(name));
    fs::write(&path, content).expect("writing a file of a test");
    if let Some((uid, gid)) = place.who().ids() {
        chown(&path, Some(uid), Some(gid)).expect("root may give files away");
    }
}

#[test]
fn names_that_are_no_utf8() {
    let hex = "for name in *; do printf '%s ' \"$name\"; done | base64";
    check(
        &format!(
            "FROM busybox AS one\nCOPY d /d/\nRUN cd /d && {hex}\n\
             FROM busybox\nCOPY --from=one /d/ /e/\nCOPY d/?a /f/\nRUN cd /e && {hex}; cd /f && {hex}\n"
        ),
        |place| {
            odd(place, "ctx/d", b"\xffa", "one");
            odd(place, "ctx/d", b"\xfe\xc3(", "two");
            odd(place, "ctx/d", b"left-out\x80", "three");
            fs::write(place.at("ctx/.dockerignore"), b"d/left-out\x80\n").expect("a file of ours");
        },
        // `\xfe\xc3( \xffa ` and `\xffa `.
        &["/sMoIP9hIA==", "] | /2Eg"],
        |image| assert_eq!(image.tree.keys().filter(|path| path.starts_with("e/")).count(), 2),
    );
}

#[test]
fn an_archive_with_odd_names_and_modes() {
    if !have(&["tar"]) {
        return;
    }
    check(
        "FROM busybox\nADD odd.tar /t/\nRUN stat -c 'mode %a' /t/set /t/none /t/sticky | sort\n",
        |place| {
            let folder = place.folder("made");
            fs::write(folder.join(OsStr::from_bytes(b"n\xff")), "n").expect("a file of ours");
            for (name, mode) in [("set", 0o4711), ("none", 0o000)] {
                fs::write(folder.join(name), name).expect("a file of ours");
                let mode = fs::Permissions::from_mode(mode);
                fs::set_permissions(folder.join(name), mode).expect("a mode of ours");
            }
            fs::create_dir(folder.join("sticky")).expect("a folder of ours");
            let mode = fs::Permissions::from_mode(0o1777);
            fs::set_permissions(folder.join("sticky"), mode).expect("a mode of ours");
            let tar = place.file("ctx/odd.tar", "");
            let mut pack = Command::new("tar");
            pack.args(["--owner=0", "--group=0", "-C"]).arg(&folder).arg("-cf").arg(&tar).arg(".");
            ok(&mut pack);
        },
        &["mode 4711", "mode 0", "mode 1777"],
        |image| {
            assert_eq!(image.tree["t/set"].mode, 0o4711);
            assert_eq!(image.tree["t/none"].mode, 0);
            assert_eq!(image.tree["t/sticky"].mode, 0o1777);
            assert!(image.tree.keys().any(|path| path.starts_with("t/n\u{fffd}")));
        },
    );
}

#[test]
fn holes_stay_cheap() {
    check(
        "FROM busybox\nCOPY hole /\nRUN test $(stat -c %s /hole) = 209715203 && tail -c 3 /hole\n",
        |place| {
            let path = place.file("ctx/hole", "");
            let mut file = fs::File::options().write(true).open(path).expect("it is ours");
            file.seek(SeekFrom::Start(200 << 20)).expect("a seek");
            file.write_all(b"end").expect("three bytes");
        },
        &["] | end"],
        |image| {
            let layers = image.manifest["layers"].as_array().expect("layers");
            let size: u64 = layers.iter().filter_map(|layer| layer["size"].as_u64()).sum();
            assert!(size < 16 << 20, "200 MiB of nothing take {size} bytes");
        },
    );
}

#[test]
fn destinations_that_are_links_and_folders() {
    check(
        "FROM busybox\n\
         RUN mkdir -p /real/sub /full && ln -s real /link && ln -s /real/file /to-file && ln -s nowhere /dangling && echo old > /real/file\n\
         COPY a /link/\nCOPY a /to-file\nCOPY d /link/sub/\nCOPY a /dangling\nCOPY a /full\n",
        |place| {
            place.file("ctx/a", "new\n");
            place.file("ctx/d/inner", "inner\n");
        },
        &[],
        |image| {
            assert_eq!(image.text("real/a"), "new\n");
            assert_eq!(image.text("real/sub/inner"), "inner\n");
            assert_eq!(image.text("full/a"), "new\n");
            assert_eq!(image.tree["link"].kind, Kind::Link("real".to_owned()));
        },
    );
}

#[test]
fn a_pattern_that_matches_nothing() {
    // As in the reference, whether the pattern stands alone or not.
    for (text, copied) in [("COPY no-such-* /d/\n", false), ("COPY a no-such-[0-9] /d/\n", true)] {
        let place = Place::new(Who::usual());
        place.file("ctx/a", "a");
        let (_, image) = Build::text(&place, &format!("FROM scratch\n{text}")).image();
        assert_eq!(image.tree.contains_key("d/a"), copied, "{text}");
    }
    let place = Place::new(Who::usual());
    place.file("ctx/a", "a");
    let bad = Build::text(&place, "FROM scratch\nCOPY a[ /d/\n").run();
    assert_ne!(bad.done.code(), 0, "{}", bad.story());
}

#[test]
fn folders_of_variables() {
    check(
        "FROM busybox\nARG base=/srv\nENV app=${base}/app\nWORKDIR $app\nWORKDIR ${nothing:-sub}/${app##*/}\n\
         RUN pwd\nCOPY a ${app}/copied\n",
        |place| {
            place.file("ctx/a", "a\n");
        },
        &["] | /srv/app/sub/app"],
        |image| {
            assert_eq!(image.config["config"]["WorkingDir"], "/srv/app/sub/app");
            assert_eq!(image.text("srv/app/copied"), "a\n");
        },
    );
}

#[test]
fn several_outputs_at_once() {
    let place = Place::new(Who::usual());
    let store = place.at("out.tar");
    let folder = place.at("out");
    let layout = place.at("layout");
    let outcome = Build::text(&place, "FROM scratch\nCOPY <<A /a\nhello\nA\n")
        .arg(format!("--output=type=oci,dest={},tar=false", layout.display()))
        .arg(format!("--output=type=local,dest={}", folder.display()))
        .arg(format!("--output=type=tar,dest={}", store.display()))
        .run();
    let digest = outcome.digest();
    assert_eq!(Image::read(&layout).digest, digest);
    assert_eq!(fs::read_to_string(folder.join("a")).expect("a file"), "hello\n");
    let listed = ok(Command::new("tar").arg("-tf").arg(&store));
    assert!(listed.lines().any(|line| line.trim_start_matches("./") == "a"), "{listed}");
}

#[test]
fn annotations_of_an_output() {
    let place = Place::new(Who::usual());
    let layout = |more: &str| {
        let output = format!("-o=type=oci,dest=image.oci,tar=false{more}");
        Build::text(&place, "FROM scratch\nCOPY <<x /x\ny\nx\n").arg(output)
    };
    let given = layout(",annotation.org.example.a=b,annotation[linux/s390x].c=d");
    let (_, image) = given.arg("--annotation=e=f").image();
    let want = serde_json::json!({ "org.example.a": "b", "e": "f" });
    assert_eq!(image.manifest["annotations"], want);
    fs::remove_dir_all(place.at("image.oci")).expect("it was written");
    layout(",annotation.e=g").arg("--annotation=e=f").run().fails(2, &["both `f` and `g`"]);
}

#[test]
fn attributes_of_files_come_along() {
    if !have(&["tar"]) {
        return;
    }
    for who in Who::every() {
        let place = Place::new(who);
        let set = |path: &std::path::Path, value: &[u8]| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path, "user.note", value, flags)
        };
        let file = place.file("ctx/file", "f");
        let inner = place.file("made/inner", "i");
        if let Err(error) = set(&file, b"copied").and_then(|()| set(&inner, b"unpacked")) {
            return skip(&format!("attributes of files in {}: {error}", place.path().display()));
        }
        let tar = place.file("ctx/made.tar", "");
        let mut pack = Command::new("tar");
        pack.args(["--xattrs", "--format=pax", "-C"]).arg(place.at("made"));
        ok(pack.arg("-cf").arg(&tar).arg("."));
        let (_, image) = Build::text(
            &place,
            "FROM busybox\nCOPY file /file\nADD made.tar /made/\n\
             RUN chmod 0600 /file /made/inner\n",
        )
        .arg("--compression=uncompressed")
        .image();
        let layers = image.manifest["layers"].as_array().expect("layers");
        let holds = |layer: usize, words: &str| {
            let digest = layers[layer]["digest"].as_str().expect("a digest");
            let hex = digest.strip_prefix("sha256:").expect("a SHA-256");
            let blob = place.at("image.oci/blobs/sha256").join(hex);
            let bytes = fs::read(blob).expect("a blob of the layout");
            bytes.windows(words.len()).any(|window| window == words.as_bytes())
        };
        let (copied, unpacked) = ("xattr.user.note=copied\n", "xattr.user.note=unpacked\n");
        assert!(holds(1, copied) && holds(2, unpacked), "{who:?}: COPY and ADD");
        assert!(holds(3, copied) && holds(3, unpacked), "{who:?}: RUN");
    }
}
