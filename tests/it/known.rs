//! A build whose steps are all known is done before the program becomes anything: without namespaces,
//! and with the same end as one that has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Build, Done, Place, Who, have, run, skip};

const STEPS: &str = "FROM busybox AS below\nRUN echo one > /one\n\
                     FROM below\nWORKDIR /work\nCOPY file tool ./\nCOPY --chmod=600 <<E /text\nhello\nE\n\
                     RUN --mount=type=cache,target=/c echo two > /two\nUSER 1000\n";

/// What comes of a stage that is not shipped, and of an image.
const STAGES: &str = "FROM busybox AS build\nCOPY file tool /src/\nRUN cp -r /src /built && chown 7:7 /built/file\n\
                      FROM busybox\nCOPY --from=build /built /built\nCOPY --from=busybox /bin/busybox /b\n\
                      RUN --mount=from=build,target=/m cp /m/built/file /copy\n";

fn place(who: Who) -> Place {
    let place = Place::new(who);
    place.file("ctx/file", "text");
    let tool = place.file("ctx/tool", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tool, mode).expect("own file");
    // Files that have just changed are not remembered.
    std::thread::sleep(Duration::from_millis(200));
    place
}

/// All that a build leaves outside of its store, and says.
#[derive(Debug, PartialEq)]
struct End {
    code: i32,
    out: String,
    err: String,
    files: BTreeMap<String, Vec<u8>>,
}

fn end(place: &Place, done: &Done) -> End {
    let mut files = BTreeMap::new();
    let out = place.at("out");
    let mut folders = vec![out.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&out).expect("below").display().to_string();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(name, fs::read(&path).expect("a file"))),
            }
        }
    }
    End { code: done.code(), out: done.out(), err: done.err(), files }
}

/// Builds until all is known; then as it is, and again where something waits to be removed from the
/// store, which takes a namespace. Both have to end the same.
fn check(who: Who, text: &str, arguments: &[&str]) -> End {
    let place = place(who);
    place.folder("out/closed");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(place.at("out/closed"), mode).expect("own folder");
    let mut build = Build::text(&place, text);
    for argument in arguments {
        build = build.arg(argument.replace("OUT", &place.at("out").display().to_string()));
    }
    // What is asked for here comes in the place of what every line has.
    let mut line = build.line();
    for (flag, usual) in [("--progress=", "--progress=plain"), ("--policy=", "--policy=none")] {
        if arguments.iter().any(|argument| argument.starts_with(flag)) {
            line.retain(|argument| argument != usual);
        }
    }
    let build = || {
        let mut command = who.command(place.program(), &place.at("home"));
        run(command.args(&line).current_dir(place.path()), Duration::from_secs(60))
    };
    for _ in 0..2 {
        build();
    }
    let one = end(&place, &build());
    let dead = place.file("store/tmp/0123456789.lock", "");
    let other = end(&place, &build());
    assert!(!dead.exists(), "the second one has removed what the dead left: {other:?}");
    assert_eq!(one, other, "{text}{arguments:?} as {who:?}");
    one
}

#[test]
fn what_is_known_ends_as_it_does_with_a_namespace() {
    let files = ["-o=type=oci,dest=OUT/image.oci,tar=false", "--iidfile=OUT/iid", "-t=a:1"];
    for who in Who::every() {
        let more = ["--metadata-file=OUT/meta", "--report=json=OUT/report", "--build-arg=NOT=used"];
        let all = [files.as_slice(), &more];
        let done = check(who, STEPS, &all.concat());
        assert_eq!(done.code, 0, "{}", done.err);
        assert_eq!(done.err.matches("] CACHED ").count(), 5, "{}", done.err);
        for name in ["image.oci/index.json", "iid", "meta", "report"] {
            assert!(done.files.contains_key(name), "{name}: {:?}", done.files.keys());
        }
        let done = check(who, STAGES, &files);
        assert_eq!(done.err.matches("] CACHED ").count(), 5, "{}", done.err);
    }
    let who = Who::usual();
    for more in [
        ["-o=type=oci,dest=OUT/image.tar", "--progress=json"],
        ["-o=type=oci,dest=OUT/image.tar", "--audit=exec"],
        ["-o=type=docker,dest=OUT/image.tar", "--compression=zstd"],
        ["-o=type=cacheonly", "--quiet"],
        // What its owner has closed, root of a namespace may write to.
        ["-o=type=oci,dest=OUT/closed/image.oci,tar=false", "--iidfile=OUT/closed/iid"],
        // Not without a namespace, or not with its steps as they are.
        ["-o=type=local,dest=OUT/tree", "--squash"],
        ["-o=type=tar,dest=OUT/tree.tar", "--audit=exec"],
    ] {
        assert_eq!(check(who, STEPS, &more).code, 0, "{more:?}");
    }
    // Refused for its text, and for a file in a layer that is in the store already.
    for (text, rule) in [
        ("FROM busybox\nRUN true\nUSER root\n", "final-user-root"),
        ("FROM busybox\nRUN cp /bin/busybox /b && chmod 4755 /b\nUSER 9:9\n", "setuid"),
    ] {
        let refused = check(who, text, &["--policy=hardened"]);
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(refused.err.contains(rule), "{}", refused.err);
    }
    // Without a step before: whether that is kept when a build fails is a matter of chance.
    let missing = check(who, "FROM busybox\nCOPY nothing /\n", &[]);
    assert_ne!(missing.code, 0);
}

/// Builds until all is known; gives the image's digest.
fn twice(build: &Build<'_>) -> String {
    build.image();
    build.image().1.digest
}

/// Runs a build where there are no user namespaces to be had; `None` where that cannot be set up.
fn without_namespaces(place: &Place, build: &Build<'_>) -> Option<Done> {
    in_namespace(place, build, 0)
}

/// Runs a build in a namespace of the test's, where this many further ones may be made.
fn in_namespace(place: &Place, build: &Build<'_>, further: u32) -> Option<Done> {
    let limit = "/proc/sys/user/max_user_namespaces";
    let script = format!("echo {further} > {limit} || exit 99; exec \"$@\"");
    let script = script.as_str();
    let mut command = place.who().command("unshare", &place.at("home"));
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(place.program()).args(build.line()).current_dir(place.path());
    let done = run(&mut command, Duration::from_secs(30));
    if done.code() == 99 || done.err().contains("unshare failed") {
        skip(&format!("no nested user namespace here: {}", done.err()));
        return None;
    }
    Some(done)
}

#[test]
fn what_is_known_needs_no_namespace() {
    if !have(&["unshare"]) || !Who::Single.here() {
        return;
    }
    // In that namespace too, it has one id only.
    let place = place(Who::Single);
    let build = Build::text(&place, STEPS);
    let image = twice(&build);
    let Some(done) = without_namespaces(&place, &build) else { return };
    assert_eq!(done.code(), 0, "{}", done.err());
    assert_eq!(done.out().trim(), image);

    place.file("ctx/file", "other");
    let Some(done) = without_namespaces(&place, &build) else { return };
    assert_eq!(done.code(), 7, "a step has to run: {}", done.err());
    assert!(done.err().contains("user.max_user_namespaces"), "{}", done.err());
}

#[test]
fn what_comes_of_other_stages_needs_no_namespace() {
    if !have(&["unshare"]) || !Who::Single.here() {
        return;
    }
    let place = place(Who::Single);
    let build = Build::text(&place, STAGES);
    // All in one namespace: trees of other owners are other trees.
    let mut images = Vec::new();
    for further in [100, 100, 0] {
        let Some(done) = in_namespace(&place, &build, further) else { return };
        assert_eq!(done.code(), 0, "{}", done.err());
        images.push(done.out());
    }
    assert!(images.iter().all(|image| *image == images[0]), "{images:?}");

    // What a stage makes otherwise is taken anew.
    place.file("ctx/tool", "#!/bin/sh\nexit 1\n");
    let Some(done) = in_namespace(&place, &build, 0) else { return };
    assert_eq!(done.code(), 7, "{}", done.err());
    let Some(done) = in_namespace(&place, &build, 100) else { return };
    assert!(done.err().contains("miss: changed: built/tool"), "{}", done.err());
}

#[test]
fn a_capability_for_the_root_of_a_namespace_is_no_secret_to_a_known_build() {
    if !have(&["unshare", "setcap"]) || !Who::Range.here() {
        return;
    }
    let place = place(Who::Range);
    for path in ["ctx/tool", "ctx/folder/empty"] {
        place.file("ctx/folder/empty", "");
        let build = Build::text(&place, "FROM busybox\nCOPY . /all\n");
        let without = twice(&build);
        let mut set = place.who().command("unshare", &place.at("home"));
        set.args(["--user", "--map-root-user", "setcap", "cap_net_raw+ep"]).arg(place.at(path));
        let done = run(&mut set, Duration::from_secs(10));
        assert_eq!(done.code(), 0, "{}", done.err());
        std::thread::sleep(Duration::from_millis(200));
        let with = build.image().1.digest;
        assert_ne!(with, without, "{path}");
        assert_eq!(build.image().1.digest, with, "{path}: a second time");
        assert_eq!(build.image().1.digest, with, "{path}: a third time");
    }
}

/// A COPY of these files, whose marks are known; whether that took a namespace.
fn is_known(who: Who, prepare: impl FnOnce(&Path)) -> Option<bool> {
    let place = place(who);
    prepare(&place.at("ctx"));
    std::thread::sleep(Duration::from_millis(200));
    let build = Build::text(&place, "FROM busybox\nRUN true\nCOPY . /all\n");
    let digest = twice(&build);
    let done = without_namespaces(&place, &build)?;
    assert!(done.code() == 7 || done.out().trim() == digest, "{}", done.err());
    Some(done.code() == 0)
}

#[test]
fn a_large_context_is_walked_with_all_there_is() {
    if !have(&["unshare"]) || !Who::Single.here() {
        return;
    }
    let files = |count: usize| {
        is_known(Who::Single, move |folder| {
            for number in 0..count {
                fs::write(folder.join(format!("file{number}")), "x").expect("own folder");
            }
        })
    };
    for (count, want) in [(900, true), (1100, false)] {
        let Some(known) = files(count) else { return };
        assert_eq!(known, want, "{count} files");
    }
}
