//! `RUN --mount`: sources, targets, options, and what stays (60 to 66, 70).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::wrote;
use crate::ground::{Ground, Mode, every_mode};
use crate::harness::Kind;

/// Ids of caches that look like paths, like each other, or like names of the store's own.
const IDS: &[&str] = &[
    "../../canary",
    "/",
    "..",
    ".",
    "a/b",
    "a/../a/b",
    "a%2fb",
    "a",
    "A",
    "A/B",
    "%00",
    "\\0",
    "tmp",
    "locks/store",
    "records",
    "cafe\u{301}",
    "caf\u{e9}",
];

#[test]
fn attack_60_ids_of_caches_are_no_paths() {
    every_mode(|ground| {
        let long = "x".repeat(10_000);
        let ids: Vec<&str> = IDS.iter().copied().chain([long.as_str()]).collect();
        let mut text = "FROM busybox\n".to_owned();
        for (number, id) in ids.iter().enumerate() {
            text += &format!(
                "RUN --mount=type=cache,\"id={id}\",target=/c test -z \"$(ls /c)\" && echo {number} > /c/mark\n"
            );
        }
        let mut mounts = String::new();
        for (number, id) in ids.iter().enumerate() {
            mounts += &format!("--mount=type=cache,\"id={id}\",target=/c{number} ");
        }
        let each = format!("for n in $(seq 0 {}); do cat /c$n/mark; done", ids.len() - 1);
        text += &format!(
            "RUN {mounts} test \"$({each})\" = \"$(seq 0 {})\" && echo apart\n",
            ids.len() - 1
        );
        wrote(&ground.build(&text).run(), &["apart"]);
        // In the store there are folders by digest, and nothing else.
        let names = fs::read_dir(ground.place().at("store/cache")).expect("the store").flatten();
        let names: BTreeSet<String> =
            names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        let hex = |name: &String| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(names.iter().all(hex), "{names:?}");
    });
}

// A cache in which an earlier step has planted links to the host, by every road.
fn plant(ground: &Ground) -> String {
    let canary = ground.canary().path().display();
    format!(
        "RUN --mount=type=cache,id=x,target=/c cd /c && rm -rf * && mkdir -p real/inner && echo mine > real/f && \
         ln -s {canary} host && ln -s ../../../../../../../..{canary} up && ln -s / root && \
         ln -s real link && ln -s /proc/self/root magic && ln -s {canary}/secret file\n"
    )
}

#[test]
fn attack_61_a_link_planted_in_a_cache_is_no_source() {
    every_mode(|ground| {
        let plant = plant(ground);
        let with = |source: &str| {
            format!(
                "FROM busybox\n{plant}RUN --mount=type=cache,id=x,source={source},target=/s ls -R /s; cat /s/secret\n"
            )
        };
        if ground.mode() == Mode::Chroot {
            // Exception: a cache is copied as a whole there.
            for source in ["host", "root", "link", "magic", "real/f", "real"] {
                ground.build(&with(source)).run().refused_with(2, &["as a whole", "source="]);
            }
            return;
        }
        for source in ["host", "root", "link", "magic", "link/inner"] {
            ground.build(&with(source)).run().refused_with(4, &["cache", source, "symlink"]);
        }
        for source in ["none", "real/f"] {
            ground.build(&with(source)).run().refused_with(4, &["cache", source]);
        }
        let text = format!(
            "FROM busybox\n{plant}\
             RUN --mount=type=cache,id=x,source=real,target=/s cat /s/f && ls -d /s/inner\n\
             RUN --mount=type=cache,id=x,source=../../real/../real,target=/s cat /s/f && echo clamped\n"
        );
        wrote(&ground.build(&text).run(), &["mine", "/s/inner", "clamped"]);
    });
}

#[test]
fn attack_61_a_source_swapped_by_a_parallel_step() {
    // The moment itself is raced a thousand times in `sys::root`; here the whole road.
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        let mut text = format!(
            "FROM busybox AS first\n\
             RUN --mount=type=cache,id=x,target=/c mkdir -p /c/d /c/stop; rmdir /c/stop; echo mine > /c/d/secret\n\
             FROM first AS swapper\n\
             RUN --mount=type=cache,id=x,target=/c cd /c; ln -s {canary} l; n=0; \
                 while [ ! -e stop ] && [ $n -lt 100000 ]; do mv -T d k; mv -T l d; mv -T d l; mv -T k d; n=$((n+1)); done; echo swapped\n\
             FROM first AS racer\n"
        );
        for number in 0..8 {
            text += &format!(
                "RUN --mount=type=cache,id=x,source=d,target=/s echo {number}; ls /s; cat /s/secret\n"
            );
        }
        text += "RUN --mount=type=cache,id=x,target=/c touch /c/stop\n\
                 FROM busybox\nCOPY --from=swapper /etc/passwd /a\nCOPY --from=racer /etc/passwd /b\n";
        // Most rounds end in an error, for the link is there; that of the canary is never shown.
        let mut ended = [0, 0];
        for _ in 0..2 {
            let outcome = ground.build(&text).arg("--no-cache").arg("--jobs=2").run();
            ended[usize::from(outcome.survived().is_some())] += 1;
        }
        assert!(ended[0] + ended[1] == 2);
    });
}

#[test]
fn attack_62_sources_of_binds_stay_inside() {
    every_mode(|ground| {
        let place = ground.place();
        let canary = ground.canary().path().display().to_string();
        let links = [
            ("abs", canary.clone()),
            ("up", format!("../../../../../../../../..{canary}")),
            ("magic", format!("/proc/self/root{canary}")),
            ("pid", format!("/proc/1/root{canary}")),
            ("dangling", "/nowhere/at/all".to_owned()),
            ("loop", "loop".to_owned()),
        ];
        for folder in ["ctx", "named"] {
            place.folder(folder);
            place.file(&format!("{folder}/own"), "own\n");
            for (name, to) in &links {
                symlink(to, place.at(folder).join(name)).expect("ours");
            }
            symlink("/", place.at(folder).join("top")).expect("ours");
        }
        let made: String = links.iter().map(|(name, to)| format!("ln -s {to} /{name}; ")).collect();
        let stage = format!(
            "FROM busybox AS stage\nRUN {made} ln -s / /top; echo own > /own\nFROM busybox\n"
        );
        let named = format!("--build-context=named={}", place.at("named").display());
        let check = |from: &str, source: &str| {
            let (first, origin) = match from {
                "stage" => (stage.as_str(), "from=stage,"),
                "named" => ("FROM busybox\n", "from=named,"),
                _ => ("FROM busybox\n", ""),
            };
            let text = format!(
                "{first}RUN --mount=type=bind,{origin}source={source},target=/m ls -R /m; cat /m/secret /m/deep/file\n"
            );
            // Inside it leads nowhere: an error that names it.
            ground
                .build(&text)
                .arg(&named)
                .run()
                .refused(&[source.rsplit('/').next().expect("a name")]);
        };
        for (name, _) in &links {
            check("stage", name);
        }
        for source in ["abs", "magic", "top/abs"] {
            check("named", source);
            check("", source);
        }
        check("stage", "top/up");
        let text = format!(
            "{stage}RUN --mount=type=bind,from=stage,source=/top,target=/m cat /m/own && test ! -e /m{canary} && echo inside\n\
             RUN --mount=type=bind,from=stage,source=/../../top/../own,target=/m cat /m && echo clamped\n"
        );
        wrote(&ground.build(&text).run(), &["inside", "clamped"]);
    });
}

#[test]
fn attack_63_what_is_written_into_a_bind_is_thrown_away() {
    every_mode(|ground| {
        let place = ground.place();
        place.file("ctx/d/file", "of the context\n");
        place.file("ctx/one", "one\n");
        let text = "FROM busybox AS stage\n\
             RUN mkdir /d && echo of the stage > /d/file\n\
             FROM busybox\n\
             RUN --mount=target=/m,rw echo bad > /m/d/file && rm /m/one && touch /m/new && chmod 0777 /m/d && ls /m\n\
             RUN --mount=source=one,target=/one,rw echo bad > /one && cat /one\n\
             RUN --mount=from=stage,source=/d,target=/s,rw echo bad > /s/file && touch /s/new && chown 7:7 /s 2>/dev/null; cat /s/file\n\
             RUN --mount=target=/m,rw --mount=from=stage,source=/d,target=/s cat /m/d/file /m/one /s/file && test ! -e /m/new && test ! -e /s/new && echo unharmed\n\
             COPY --from=stage /d /copied\n";
        let first = ground.build(text).run();
        first.says(&["| unharmed"]);
        let image = first.built();
        assert_eq!(image.text("copied/file"), "of the stage\n");
        assert!(!image.tree.contains_key("copied/new"));
        let again = ground.build(text).run();
        assert!(!again.err().contains("] |"), "all of it is cached\n{}", again.story());
        assert_eq!(again.built().digest, image.digest);
        let read = |name: &str| fs::read_to_string(place.at(name)).expect("still there");
        assert_eq!(
            (read("ctx/d/file"), read("ctx/one")),
            ("of the context\n".into(), "one\n".into())
        );
        assert!(!place.at("ctx/new").exists());
    });
}

#[test]
fn attack_64_options_that_are_not_in_the_dialect() {
    every_mode(|ground| {
        for option in [
            "bind-propagation=rshared",
            "bind-propagation=shared",
            "relabel=shared",
            "relabel=private",
            "z",
            "Z",
            "U",
            "U=true",
            "suid",
            "dev",
            "exec",
            "volume-opt=o=bind",
            "o=bind",
            "consistency=cached",
            "tmpfs-mode=0777",
        ] {
            for kind in ["bind", "cache", "tmpfs"] {
                let text =
                    format!("FROM busybox\nRUN --mount=type={kind},target=/m,{option} true\n");
                ground.build(&text).run().refused_with(3, &["unexpected option", "Dockerfile:2:"]);
            }
        }
        for kind in ["volume", "npipe", "image", "devpts", "proc"] {
            let text = format!("FROM busybox\nRUN --mount=type={kind},target=/m true\n");
            ground.build(&text).run().refused_with(3, &["unsupported mount type"]);
        }
        // The root of a context is the context.
        ground.place().file("ctx/own", "own\n");
        for source in ["/", "..", "/../..", "../../../../../../.."] {
            let text = format!("FROM busybox\nRUN --mount=source={source},target=/m ls /m\n");
            wrote(&ground.build(&text).arg("--no-cache").run(), &["own"]);
        }
    });
}

#[test]
fn attack_65_targets_stay_in_the_root() {
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        let first = format!(
            "FROM busybox\nRUN ln -s {canary} /abs; ln -s ../../../../../../..{canary} /up; ln -s /nowhere/at/all /dangling; \
             ln -s loop /loop; ln -s /etc /inner; echo file > /file; mkdir -p /full && echo x > /full/x\n"
        );
        // One after the other, on the same image.
        let mut text = first.clone();
        for target in [
            "/abs",
            "/abs/empty",
            "/up",
            "/up/sub",
            "/dangling",
            "/inner",
            "/inner/passwd2",
            "/full",
            "/dev",
            "/dev/pts",
        ] {
            text += &format!(
                "RUN --mount=type=tmpfs,target={target} touch {target}/made; ls {target}/secret; true\n"
            );
        }
        ground.build(&text).run().built();
        for target in ["/proc", "/proc/1", "/sys/kernel", "/inner/passwd"] {
            let text = format!(
                "{first}RUN --mount=type=tmpfs,target={target} touch {target}/made; true\n"
            );
            ground.build(&text).run().survived();
        }
        for (target, said) in [
            ("/", "cannot cover the root"),
            ("/..", "cannot cover the root"),
            ("/inner/..", "cannot cover the root"),
            ("/proc/self/fd/3", "/proc/self/fd/3"),
            ("/proc/self/root", "/proc/self/root"),
            ("/proc/self/cwd/x", "/proc/self/cwd/x"),
            ("/loop", "/loop"),
            ("/loop/x", "/loop/x"),
            ("/file", "/file"),
            ("/file/x", "/file/x"),
            ("/dev/null", "/dev/null"),
            ("/etc/passwd", "/etc/passwd"),
        ] {
            let text = format!("{first}RUN --mount=type=tmpfs,target={target} true\n");
            let run = ground.build(&text).run();
            if ground.mode() == Mode::Chroot && target.starts_with("/proc/self") {
                // There are no doors in that `/proc`: names like any others, gone after the step.
                let image = run.built();
                assert!(!image.tree.keys().any(|name| name.starts_with("proc")), "{}", run.story());
                continue;
            }
            run.refused(&[said]);
        }
        let text = format!(
            "{first}RUN --mount=type=tmpfs,target=/a/b/c --mount=type=tmpfs,target=/a --mount=type=cache,target=/a/b --mount=target=/a/b/c/d touch /a/b/c/x && ls /a/b/c\n\
             WORKDIR /w\n\
             RUN --mount=type=tmpfs,target=../../../../up-and-out touch /up-and-out/x && echo clamped\n\
             RUN --mount=type=tmpfs,target=/abs touch /abs/made && test -e {canary}/made && echo inside\n"
        );
        let outcome = ground.build(&text).run();
        outcome.says(&["| clamped", "| inside"]);
        let image = outcome.built();
        assert!(!image.tree.contains_key("a") && !image.tree.contains_key("up-and-out"));
    });
}

#[test]
fn attack_66_removing_mount_points_follows_nothing() {
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        let inner = canary.trim_start_matches('/');
        // At the same path as on the host, the image has files that could be mistaken for stubs too.
        let text = format!(
            "FROM busybox\n\
             RUN mkdir -p {canary}/sub/deep {canary}/empty && echo of the image > {canary}/secret && : > {canary}/open\n\
             RUN --mount=type=tmpfs,target=/p/empty mv /p /away && ln -s {canary} /p\n\
             RUN --mount=type=secret,id=t,target=/q/open mv /q /gone && ln -s {canary} /q\n\
             RUN --mount=type=tmpfs,target=/r/empty mv /r /r2 && mkdir -p /r/empty && echo filled > /r/empty/f\n\
             RUN --mount=type=tmpfs,target=/s/t touch /s/kept\n\
             RUN --mount=type=tmpfs,target=/u/v/w mv /u/v /u/x && ln -s ../../../../../../..{canary} /u/v\n"
        );
        let token = ground.place().file("token", "no more than a token");
        let secret = format!("--secret=id=t,src={}", token.display());
        let mut links = vec!["p", "q", "u/v"];
        let mut text = text;
        if ground.mode() == Mode::Chroot {
            // Exception: the secret is a file there, and went along with the folder that was moved.
            let mine = |line: &&str| !line.contains("type=secret");
            let moved = text.lines().filter(|line| line.starts_with("FROM") || !mine(line));
            let moved = moved.collect::<Vec<_>>().join("\n");
            let refused = ground.build(&moved).arg(&secret).run();
            refused.refused_with(4, &["gave the secret at `/q/open` another name"]);
            text = text.lines().filter(mine).collect::<Vec<_>>().join("\n");
            links = vec!["p", "u/v"];
        }
        let outcome = ground.build(&text).arg(&secret).run();
        let image = outcome.built();
        let story = outcome.story();
        for name in ["secret", "open", "empty", "sub/deep"] {
            assert!(image.tree.contains_key(&format!("{inner}/{name}")), "{name}\n{story}");
        }
        for link in links {
            assert!(matches!(image.tree[link].kind, Kind::Link(_)), "{link}\n{story}");
        }
        assert_eq!(image.text("r/empty/f"), "filled\n");
        assert!(image.tree.contains_key("s/kept") && !image.tree.contains_key("s/t"), "{story}");
    });
}

#[test]
fn attack_70_what_is_in_mounts_is_not_in_layers() {
    every_mode(|ground| {
        ground.place().file("ctx/file", "x");
        let text = "FROM busybox\n\
             RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/c --mount=target=/b,rw \
                 for d in t c b dev dev/shm; do echo bad > /$d/bad; mkdir -p /$d/sub; done; \
                 echo bad > /etc/hosts; echo bad > /etc/resolv.conf; echo bad > /etc/hostname; true\n\
             RUN test ! -e /t && test ! -e /c && test ! -e /b && ! ls /dev/shm/bad /dev/bad && echo gone\n";
        let outcome = ground.build(text).run();
        outcome.says(&["| gone"]);
        let image = outcome.built();
        let bad: Vec<_> = image.layers[1..].iter().flatten().collect();
        assert!(bad.is_empty(), "{bad:?}");
    });
}
