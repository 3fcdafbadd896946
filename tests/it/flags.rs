//! What flags do that no other file and no case of the conformance suite shows: those of ADD that
//! it shares with COPY, those of a build that reach into steps, and those that change the image.

use std::fs;

use crate::harness::{Build, Image, Kind, Place, Who};

#[test]
fn add_takes_the_flags_of_copy() {
    for who in Who::every() {
        let place = Place::new(who);
        for name in ["a.o", "a.c", "keep.o", "sub/b.o", "sub/b.c"] {
            place.file(&format!("ctx/d/{name}"), name);
        }
        // With --link nothing below is looked at: the link to a folder is replaced, not followed.
        let text = "FROM busybox\nRUN mkdir /real && ln -s real /link\n\
            ADD --exclude=**/*.o --exclude=!keep.o --chown=7:8 d/ /d/\n\
            ADD --link d/a.c /link/\nADD --link=false d/a.c /real/\n";
        let (_, image) = Build::text(&place, text).image();
        let has = |path: &str| image.tree.contains_key(path);
        assert!(has("d/a.c") && has("d/sub/b.c") && has("d/keep.o"), "{who:?}");
        assert!(!has("d/a.o") && !has("d/sub/b.o"), "{who:?}");
        assert_eq!(image.tree["d/a.c"].owner, (7, 8), "{who:?}");
        assert_eq!(image.tree["link"].kind, Kind::Folder, "{who:?}");
        assert!(has("link/a.c") && has("real/a.c"), "{who:?}");
    }
}

#[test]
fn steps_get_hosts_limits_and_memory() {
    let text = "FROM busybox\nRUN grep db.example /etc/hosts; echo files $(ulimit -n) $(ulimit -Hn); \
        echo shm $(df -k /dev/shm | tail -n 1 | awk '{print $2}')\n";
    for who in Who::every() {
        let place = Place::new(who);
        let build = Build::text(&place, text);
        let (outcome, plain) = build.image();
        let said = outcome.says(&["] | files", "] | shm 65536"]);
        assert!(!said.contains("] | files 77 99") && !said.contains("10.1.2.3"), "{said}");
        let flags = ["--add-host=db.example:10.1.2.3", "--ulimit=nofile=77:99", "--shm-size=8m"];
        let build = flags.iter().fold(Build::text(&place, text), |build, flag| build.arg(*flag));
        let (outcome, image) = build.arg("--no-cache").image();
        outcome.says(&["] | 10.1.2.3", "] | files 77 99", "] | shm 8192"]);
        // Nothing of it is in the image.
        assert_eq!(plain.config["rootfs"], image.config["rootfs"], "{who:?}");
    }
}

#[test]
fn labels_levels_and_squashing_change_the_image() {
    let place = Place::new(Who::usual());
    let noise: String =
        (0..40_000u32).map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_761))).collect();
    place.file("ctx/noise", &noise);
    let text = "FROM busybox\nLABEL a=file b=file\nCOPY noise /gone\nRUN mv /gone /kept\n";
    let built = |flags: &[&str]| {
        let build = flags.iter().fold(Build::text(&place, text), |build, flag| build.arg(*flag));
        let (_, image) = build.image();
        fs::remove_dir_all(place.at("image.oci")).expect("it was written");
        image
    };
    let plain = built(&[]);
    assert_eq!(built(&["--pull"]).digest, plain.digest, "tags are resolved again in any case");
    let labels = &built(&["--label=a=flag", "--label=c=flag"]).config["config"]["Labels"];
    assert_eq!(
        (&labels["a"], &labels["b"], &labels["c"]),
        (&"flag".into(), &"file".into(), &"flag".into())
    );

    let squashed = built(&["--squash"]);
    let paths = |image: &Image| image.layers[1..].concat();
    assert_eq!((plain.layers.len(), squashed.layers.len()), (3, 2));
    assert!(paths(&plain).iter().any(|path| path == "gone"), "{:?}", paths(&plain));
    assert!(!paths(&squashed).iter().any(|path| path.contains("gone")), "{:?}", paths(&squashed));
    assert_eq!(squashed.tree, plain.tree);

    let [fast, small] = ["1", "9"].map(|level| built(&[&format!("--compression-level={level}")]));
    let size = |image: &Image| image.manifest["layers"][1]["size"].as_u64().expect("a size");
    assert!(size(&fast) > size(&small), "{} and {}", size(&fast), size(&small));
    assert_eq!(fast.config["rootfs"], small.config["rootfs"]);
    let base = |image: &Image| image.manifest["layers"][0].clone();
    assert_eq!(base(&fast), base(&small), "the base's layers stay as they are");
}

#[test]
fn a_quiet_build_says_its_digest_alone() {
    let place = Place::new(Who::usual());
    let build = Build::text(&place, "FROM busybox\nRUN echo much\n").arg("--quiet");
    let (outcome, image) = build.image();
    assert_eq!(outcome.done.out().trim(), image.digest);
    assert_eq!(outcome.done.err(), "");
}
