//! Same input, same bytes: whoever builds, wherever, however many at once.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::harness::{Build, Place, Who};

/// Files of every kind that a step or a COPY makes, all owned by root.
const ROOTS: &str = r#"
FROM busybox AS one
RUN mkdir -p /made/deep && echo one > /made/file && ln /made/file /made/deep/hard && ln -s ../file /made/deep/soft
RUN chmod 4711 /made/file && rm /etc/group && touch -d @12345 /made/deep
FROM busybox AS two
COPY tree /tree
RUN seq 1 20000 > /numbers && rm -r /tree/sub
FROM busybox
ENV GREETING=hello
WORKDIR /work
COPY --chmod=0640 tree/a tree/b copied/
COPY --from=one /made /made
COPY --from=two /tree /numbers /two/
RUN echo "$GREETING" > greeting; mkdir -m 1777 sticky; rm /work/copied/b; mkdir /work/copied/b
RUN true
USER 10001:10001
CMD ["cat", "/work/greeting"]
"#;

/// Owners as well, which a user with one id has no power over.
const OWNERS: &str = r#"
FROM busybox
COPY --chown=10001:10002 tree /tree
RUN chown -R 7:8 /tree/sub && mkdir /var && chown 65534:65534 /var
COPY --from=busybox --chown=3 /etc/passwd /etc/passwd.3
USER 10001
RUN echo mine > /tmp/mine
"#;

fn place(who: Who) -> Place {
    let place = Place::new(who);
    for (name, content) in [("a", "A"), ("b", "BB"), ("sub/c", "CCC"), ("sub/deeper/d", "")] {
        place.file(&format!("ctx/tree/{name}"), content);
    }
    place
}

/// Builds and compares each with the first: manifest digest, and the layouts byte for byte.
fn check(dockerfile: &str, builds: &[(&str, Place, &[&str])]) {
    let mut first: Option<(String, Vec<u8>)> = None;
    for (what, place, flags) in builds {
        let build =
            flags.iter().fold(Build::text(place, dockerfile), |build, flag| build.arg(*flag));
        let (outcome, image) = build.image();
        let index = fs::read(outcome.result.join("index.json")).expect("it was validated");
        match &first {
            None => first = Some((image.digest, index)),
            Some((digest, bytes)) => {
                assert_eq!(&image.digest, digest, "{what}\n{}", outcome.story());
                assert_eq!(&index, bytes, "{what}");
            }
        }
    }
}

#[test]
fn folder_store_mtimes_and_jobs_do_not_matter() {
    let who = Who::usual();
    let later = place(who);
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["tree/a", "tree/sub/c", "tree/sub", "tree"] {
        let file = fs::File::open(later.at("ctx").join(name)).expect("it was just made");
        file.set_modified(past).expect("root and owners may");
    }
    check(
        ROOTS,
        &[
            ("first", place(who), &[]),
            ("other mtimes", later, &[]),
            ("one job", place(who), &["--jobs=1"]),
            ("four jobs", place(who), &["--jobs=4"]),
        ],
    );
}

#[test]
fn the_user_does_not_matter() {
    let builds: Vec<_> =
        Who::every().into_iter().map(|who| ("another user", place(who), &[] as &[&str])).collect();
    check(ROOTS, &builds);
}

#[test]
fn owners_are_the_same_for_root_and_for_a_range_of_ids() {
    let users = Who::every().into_iter().filter(|who| *who != Who::Single);
    let builds: Vec<_> = users.map(|who| ("another user", place(who), &[] as &[&str])).collect();
    check(OWNERS, &builds);
}

#[test]
fn owners_are_what_the_dockerfile_says() {
    for who in Who::every().into_iter().filter(|who| *who != Who::Single) {
        let place = place(who);
        let (_, image) = Build::text(&place, OWNERS).image();
        for (path, owner) in [
            ("tree/a", (10001, 10002)),
            ("tree/sub/c", (7, 8)),
            ("var", (65534, 65534)),
            ("etc/passwd.3", (3, 3)),
            ("tmp/mine", (10001, 0)),
            ("bin/busybox", (0, 0)),
        ] {
            assert_eq!(image.tree[path].owner, owner, "{path} as {who:?}");
        }
    }
}

#[test]
fn a_second_build_in_the_same_place_replaces_the_first() {
    let place = place(Who::usual());
    let (_, first) = Build::text(&place, ROOTS).image();
    let (_, other) = Build::text(&place, "FROM busybox\nRUN echo other > /file\n").image();
    assert_ne!(first.digest, other.digest);
    let (_, again) = Build::text(&place, ROOTS).image();
    assert_eq!(first.digest, again.digest);
}
