//! C. The context, COPY and ADD (attacks 48 to 59).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::archives::{framing, paths};
use crate::ground::{Ground, Mode, every_mode, every_user};
use crate::harness::{Kind, have, ok};
use crate::layout::{Hostile, Layer, digest};
use crate::tarbytes::{Header, Tar};
use crate::testserver::{Reply, Server};

/// Makes a link in the context.
fn link(ground: &Ground, name: &str, target: impl AsRef<std::path::Path>) {
    let path = ground.place().at("ctx").join(name);
    let _ = fs::remove_file(&path);
    symlink(target, path).expect("a link of the test");
}

#[test]
fn attack_48_links_out_of_the_context() {
    every_mode(|ground| {
        let host = ground.canary().path().to_owned();
        ground.place().file("ctx/kept", "kept");
        link(ground, "leak", host.join("secret"));
        link(ground, "near", "../canary/secret");
        link(ground, "dir", &host);
        link(ground, "up", "..");
        link(ground, "proc", "/proc/self/root");
        // As the last component it is followed within the context, as BuildKit does, and found
        // nowhere; what lies in a folder is copied as a link.
        ground
            .build("FROM scratch\nCOPY leak near /links/\n")
            .run()
            .refused(&["leak", "not found"]);
        let image = ground.build("FROM scratch\nCOPY . /all/\n").run().built();
        let text = host.join("secret").display().to_string();
        assert_eq!(image.tree["all/leak"].kind, Kind::Link(text));
        assert!(matches!(image.tree["all/dir"].kind, Kind::Link(_)));
        // In a parent: not found, as a path of the context.
        for source in [
            "dir/secret",
            "up/canary/secret",
            "dir/*",
            "up/canary/*",
            "d*r/secret",
            "../canary/secret",
            "/../canary/secret",
            "kept/../../canary/secret",
            "proc/etc/hostname",
            "./../../../etc/passwd",
        ] {
            for word in ["COPY", "ADD"] {
                let outcome = ground.build(&format!("FROM scratch\n{word} {source} /x/\n")).run();
                // A pattern may mean nothing.
                match source.contains('*') {
                    true => {
                        let image = outcome.survived();
                        assert!(
                            image.is_none_or(|image| image.tree.keys().all(|name| name == "x"))
                        );
                    }
                    false => drop(outcome.refused(&[])),
                }
            }
            let all = format!("FROM scratch\nCOPY --parents {source} /x/\n");
            ground.build(&all).run().survived();
        }
        let absolute = format!("FROM scratch\nCOPY {}/secret /\n", host.display());
        ground.build(&absolute).run().refused(&["not"]);
        // An absolute source is one of the context.
        assert_eq!(ground.build("FROM scratch\nCOPY /kept /\n").run().built().text("kept"), "kept");
        let mount = "FROM busybox\nRUN --mount=source=dir,target=/m ls /m\n".to_owned();
        ground.build(&mount).run().refused(&[]);
    });
}

#[test]
fn attack_49_links_of_another_stage() {
    every_mode(|ground| {
        let host = ground.canary().path().display().to_string();
        let layer = Tar::new()
            .symlink("d", &host)
            .symlink("up", format!("../../../../../..{host}"))
            .dir("real")
            .file("real/f", "in the stage")
            .symlink("abs", "/real")
            .file(format!("{}/secret", &host[1..]), "of the stage")
            .end();
        let base = Hostile::of(vec![Layer::tar(&layer)]);
        let text = "FROM base AS one\nFROM scratch\nCOPY --from=one /d/secret /a\n\
            COPY --from=one /up/sec* /b/\nCOPY --from=base /d/secret /c\nCOPY --from=one abs/f /d\n";
        let image = ground.build_on(&base, text).run().built();
        for name in ["a", "b/secret", "c"] {
            assert_eq!(image.text(name), "of the stage", "{name}");
        }
        assert_eq!(image.text("d"), "in the stage");
        // A folder as a named context.
        let named = ground.place().folder("named");
        let _ = fs::remove_file(named.join("d"));
        symlink(&host, named.join("d")).expect("ours");
        for source in ["/d/secret", "d/*", "/../canary/secret"] {
            let build = ground.build(&format!("FROM scratch\nCOPY --from=named {source} /x/\n"));
            let build = build.arg(format!("--build-context=named={}", named.display()));
            let image = build.run().survived();
            assert!(
                image.is_none_or(|image| image.tree.keys().all(|name| name == "x")),
                "{source}"
            );
        }
    });
}

#[test]
fn attack_50_destinations_that_are_links() {
    every_mode(|ground| {
        let host = ground.canary().path().display().to_string();
        let up = format!("../../../../../..{host}");
        let layer = Tar::new()
            .symlink("abs", &host)
            .symlink("rel", &up)
            .symlink("dangling", "/no/such/folder")
            .symlink("file", format!("{host}/open"))
            .symlink("loop", "loop")
            .end();
        let Some(base) = Hostile::on_busybox([Layer::tar(&layer)]) else { return };
        ground.place().file("ctx/f", "copied");
        let inside = &host[1..];
        let text = "FROM base\nCOPY f /abs/one\nCOPY f /rel/two\nADD f /dangling/\nCOPY f /file\n\
            WORKDIR /abs/work\nRUN pwd > here\nWORKDIR /rel/deeper/still\nCOPY f .\n";
        let outcome = ground.build_on(&base, text).arg("--output=type=local,dest=out").run();
        assert_eq!(outcome.done.code(), 0, "{}", outcome.story());
        let out = ground.place().at("out").join(inside);
        let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
        for name in ["one", "two", "open", "deeper/still/f"] {
            assert_eq!(read(name), "copied", "{name}");
        }
        assert_eq!(read("work/here"), format!("{host}/work\n"));
        for line in ["COPY f /loop/", "COPY f /loop", "WORKDIR /loop/x\nRUN pwd", "ADD f /loop/x/y"]
        {
            ground.build_on(&base, &format!("FROM base\n{line}\n")).run().refused(&["link"]);
        }
    });
}

#[test]
fn attack_51_a_context_that_changes() {
    every_mode(|ground| {
        let secret = ground.canary().path().join("secret");
        let (file, sub) = (ground.place().at("ctx/f"), ground.place().at("ctx/sub"));
        ground.place().file("ctx/sub/secret", "mine");
        ground.place().file("ctx/f", "mine");
        let canary = ground.canary().path().to_owned();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let aside = ground.place().at("aside");
                let mut round = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let _ = fs::remove_file(&aside);
                    match round % 3 {
                        0 => symlink(&secret, &aside).expect("ours"),
                        1 => fs::write(&aside, vec![b'x'; round % 70_000]).expect("ours"),
                        _ => fs::write(&aside, "mine").expect("ours"),
                    }
                    fs::rename(&aside, &file).expect("ours");
                    // A folder becomes a link to the host's, and a folder again.
                    let moved = ground.place().at("moved");
                    if fs::rename(&sub, &moved).is_ok() {
                        let _ = symlink(&canary, &sub);
                        let _ = fs::remove_file(&sub);
                        fs::rename(&moved, &sub).expect("ours");
                    }
                }
            });
            for round in 0..12 {
                let text =
                    format!("FROM scratch\nCOPY f /f\nCOPY sub/secret /s{round}\nCOPY . /all/\n");
                if let Some(image) = ground.build(&text).run().survived()
                    && let Kind::File(Some(content)) = &image.tree[&format!("s{round}")].kind
                {
                    assert_eq!(content, b"mine");
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        fs::remove_file(&file).expect("whatever it is");
        ground.build("FROM scratch\nCOPY . /\n").run().built();
    });
}

#[test]
fn attack_52_odd_files_in_the_context() {
    every_mode(|ground| {
        let ctx = ground.place().at("ctx");
        ground.place().file("ctx/f", "x");
        ok(std::process::Command::new("mkfifo").arg(ctx.join("pipe")));
        drop(UnixListener::bind(ctx.join("socket")).expect("a socket"));
        let deep = format!("deep/{}", "d/".repeat(100));
        ground.place().file(&format!("ctx/{deep}f"), "deep");
        for number in 0..300 {
            ground.place().file(&format!("ctx/many/{number}"), "");
        }
        // Beside what is asked for they do not matter.
        let image = ground.build(&format!("FROM scratch\nCOPY f {deep}f /\nCOPY many /many/\n"));
        let image = image.run().built();
        assert_eq!(image.tree.keys().filter(|name| name.starts_with("many/")).count(), 300);
        for name in ["pipe", "socket"] {
            ground.build(&format!("FROM scratch\nCOPY {name} /\n")).run().survived();
            ground.build(&format!("FROM scratch\nADD {name} /\n")).run().survived();
        }
        ground.build("FROM scratch\nCOPY . /\n").run().survived();
        // Unreadable: told only where it is needed; root reads all.
        // (The file is root's, so that the user who builds has no right to it at all.)
        fs::write(ctx.join("closed"), "x").expect("ours");
        fs::set_permissions(ctx.join("closed"), fs::Permissions::from_mode(0o600)).expect("ours");
        ground.build("FROM scratch\nCOPY f /\n").run().built();
        let all = ground.build("FROM scratch\nCOPY closed f /\n").run();
        match ground.mode() {
            Mode::Root | Mode::Chroot => drop(all.built()),
            Mode::Range | Mode::Single => drop(all.refused(&["closed", "ermission"])),
        }
        // A Dockerfile, an ignore file that are no files.
        let dockerfile = ground.place().at("Dockerfile");
        fs::remove_file(&dockerfile).expect("ours");
        fs::create_dir(&dockerfile).expect("ours");
        let command = ground.command(&["build", "--file"]).arg(&dockerfile).last(&ctx);
        command.run().refused_with(2, &["Dockerfile"]);
    });
}

#[test]
fn attack_53_ignore_files() {
    every_user(|ground| {
        ground.place().file("ctx/f", "x");
        ground.place().file("ctx/.gitignore", "f\n");
        let text = "FROM scratch\nCOPY . /\n";
        // A link out of the context: by any way.
        for target in ["../canary/secret", "../canary/open", "/etc/passwd", "/proc/self/environ"] {
            link(ground, ".dockerignore", target);
            let outcome = ground.build(text).run();
            outcome.refused_with(2, &[".dockerignore"]);
        }
        // A link within it is one.
        link(ground, ".dockerignore", ".gitignore");
        let image = ground.build(text).run().built();
        assert!(!image.tree.contains_key("f"), "{:?}", image.tree.keys());
        fs::remove_file(ground.place().at("ctx/.dockerignore")).expect("ours");
        // Too large; many patterns, and evil ones.
        ground.place().file("ctx/.dockerignore", vec![b'\n'; (10 << 20) + 1]);
        ground.build(text).run().refused_with(2, &["larger than"]);
        let stars = format!("{}b\n", "**/*a*".repeat(40)).repeat(50);
        ground.place().file("ctx/.dockerignore", stars);
        ground.place().file(&format!("ctx/{}", "a".repeat(200)), "x");
        ground.build(text).run().survived();
        let many: String = (0..20_000).map(|number| format!("**/no-{number}*\n")).collect();
        ground.place().file("ctx/.dockerignore", many);
        ground.build(text).run().built();
        // Nothing from outside is let in again.
        ground.place().file("ctx/.dockerignore", "*\n!../canary/secret\n!f\n!/../canary\n");
        let image = ground.build(text).run().built();
        let names: Vec<_> = image.tree.keys().collect();
        assert_eq!(names, ["f"]);
    });
}

#[test]
fn attack_54_a_dockerfile_that_is_a_link() {
    every_user(|ground| {
        // Named on the command line: the user's choice.
        let real = ground.place().file("elsewhere/Dockerfile", "FROM scratch\nCOPY f /\n");
        ground.place().file("ctx/f", "x");
        link(ground, "Dockerfile", &real);
        let root = ground.place().at("store");
        let build = ground.command(&["build", "--policy=none", "--root"]).arg(root);
        build.last(ground.place().at("ctx")).run().built();
        // There are no remote contexts but a tar on standard input, and no Dockerfile is taken from
        // that. Its links stay in it.
        let host = ground.canary().path().display().to_string();
        let tar = Tar::new()
            .symlink("Dockerfile", format!("{host}/secret"))
            .symlink(".dockerignore", format!("{host}/secret"))
            .symlink("d", &host)
            .file("d/new", "x")
            .file("g", "of the tar");
        let stdin = ground.place().file("context.tar", tar.end());
        let text = ground.place().file("Dockerfile", "FROM scratch\nCOPY g /\n");
        let root = ground.place().at("store");
        let build = ground.command(&["build", "--policy=none", "--root"]).arg(root);
        let build = build.arg("--file").arg(text).last("-").stdin(stdin.clone());
        assert_eq!(build.run().built().text("g"), "of the tar");
        let build = ground.command(&["build", "--policy=none"]).last("-").stdin(stdin);
        build.run().refused(&[]);
    });
}

#[test]
fn attack_55_files_by_address() {
    every_user(|ground| {
        let server = Server::start(|seen| match seen.target.as_str() {
            "/to-file" => Reply::new(302, "").header("Location", "file:///etc/passwd"),
            "/to-ftp" => Reply::new(302, "").header("Location", "ftp://127.0.0.1/x"),
            "/circle" => Reply::new(302, "").header("Location", "/circle"),
            "/lie" => Reply { length: Some(1 << 62), ..Reply::new(200, "x") },
            "/short" => Reply { length: Some(1000), ..Reply::new(200, "x") },
            _ => Reply::new(200, "content"),
        });
        let host = server.host();
        let add = |what: &str| {
            let build = ground.build(&format!("FROM scratch\nADD {what}\n"));
            build.bounds(40, 256 << 20).run()
        };
        for path in ["to-file", "to-ftp", "circle", "lie", "short"] {
            add(&format!("http://{host}/{path} /x")).refused(&[]);
        }
        // The checksum: right, wrong, of another kind, none.
        let right = digest(b"content");
        assert_eq!(
            add(&format!("--checksum={right} http://{host}/f /f")).built().text("f"),
            "content"
        );
        let wrong = digest(b"other");
        add(&format!("--checksum={wrong} http://{host}/f /f"))
            .refused_with(6, &["checksum mismatch"]);
        for bad in ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x", "x"] {
            add(&format!("--checksum={bad} http://{host}/f /f")).refused(&["checksum"]);
        }
        // The name that an address gives a file.
        for path in
            ["..%2f..%2fx", "%2e%2e", "..", ".", "a%2fb", "", "?a", "#a", "%00", "x%0ay", ".wh.x"]
        {
            let outcome = add(&format!("http://{host}/{path} /d/"));
            if let Some(image) = outcome.survived() {
                let names: Vec<_> = image.tree.keys().filter(|name| *name != "d").collect();
                assert_eq!(names.len(), 1, "{path}: {names:?}");
                assert!(names[0].starts_with("d/") && !names[0][2..].contains('/'), "{names:?}");
            }
        }
        for scheme in ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"] {
            add(&format!("{scheme} /x")).refused(&[]);
        }
        // Without a checksum, where it is asked for.
        let text = format!("FROM scratch\nADD http://{host}/f /f\nUSER 1000:1000\n");
        let before = server.seen().len();
        let outcome = ground.build(&text).policy("hardened").run();
        outcome.refused_with(1, &["add-remote-unverified"]);
        assert_eq!(server.seen().len(), before, "refused before anything is fetched");
    });
}

#[test]
fn attack_56_addresses_of_git() {
    if !have(&["git"]) {
        return;
    }
    every_user(|ground| {
        let mark = ground.place().at("canary/pwned");
        let touch = format!("touch {}", mark.display());
        let host = ground.canary().path().display().to_string();
        for source in [
            format!("ext::sh -c {touch}"),
            "--upload-pack=touch:/x.git".to_owned(),
            "-x.git".to_owned(),
            format!("file://{host}/.git"),
            format!("git::file://{host}"),
            "git@-oProxyCommand=touch:x.git".to_owned(),
            format!("ssh://-oProxyCommand={}/x.git", touch.replace(' ', "%20")),
            "https://-h/x.git".to_owned(),
            "https://127.0.0.1:1/x.git#--upload-pack=x".to_owned(),
            "https://127.0.0.1:1/x.git#-x".to_owned(),
            "https://127.0.0.1:1/x.git#main:../..".to_owned(),
            "https://127.0.0.1:1/x.git#main:a/../../b".to_owned(),
            "https://127.0.0.1:1/x.git#main:-x".to_owned(),
            "https://127.0.0.1:1/x.git?ref=--exec&subdir=/..".to_owned(),
            "https://127.0.0.1:1/x.git#a..b^{}~1".to_owned(),
            "https://tester:correct-horse@127.0.0.1:1/x.git".to_owned(),
        ] {
            let line = json!([source, "/x"]);
            let outcome = ground.build(&format!("FROM scratch\nADD {line}\n"));
            let outcome = outcome.env("GIT_SSH_COMMAND", touch.as_str());
            let outcome =
                outcome.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "core.fsmonitor");
            let err = outcome.env("GIT_CONFIG_VALUE_0", touch.as_str()).run().refused(&[]);
            assert!(!err.contains("correct-horse"), "{err}");
        }
    });
}

#[test]
fn attack_57_hostile_archives_of_add() {
    every_mode(|ground| {
        let host = ground.canary().path().display().to_string();
        let layer = Tar::new().symlink("link", &host).end();
        let Some(base) = Hostile::on_busybox([Layer::tar(&layer)]) else { return };
        let cases: Vec<_> = paths(ground).into_iter().chain(framing(ground)).collect();
        for case in &cases {
            let [archive] = case.layers.as_slice() else { continue };
            // The destination is a link to the host as well.
            ground.place().file("ctx/x.tar", archive);
            let build = ground.build_on(&base, "FROM base\nADD x.tar /link/\n");
            let outcome = build.arg("--output=type=cacheonly").run();
            if outcome.done.code() != 0 {
                outcome.refused(&[]);
            }
        }
        assert!(cases.len() > 80, "{}", cases.len());
        // And that an honest one arrives.
        let honest = Tar::new().file("hello", "hello").end();
        ground.place().file("ctx/x.tar", honest);
        let text = format!("FROM base\nADD x.tar /link/\nRUN test $(cat {host}/hello) = hello\n");
        ground.build_on(&base, &text).run().built();
    });
}

#[test]
fn attack_58_owners_and_modes() {
    every_mode(|ground| {
        ground.place().file("ctx/f", "x");
        let copy = |flag: &str| ground.build(&format!("FROM busybox\nCOPY {flag} f /\n")).run();
        for owner in [
            "4294967296",
            "-1",
            "99999999999999999999",
            "0:4294967296",
            "nobody:-1",
            "absent",
            "nobody:absent",
            "root:x:y",
            "0x0",
            "\"root \"",
            "4294967295",
            "..",
        ] {
            let outcome = copy(&format!("--chown={owner}"));
            outcome.refused(&[]);
        }
        for mode in ["77777", "8", "-1", "0o1777777", "u+q", "999999999999999999999", "\"7 7\""] {
            copy(&format!("--chmod={mode}")).refused(&[]);
        }
        let image = copy("--chown=nobody:root --chmod=4750").built();
        assert_eq!((image.tree["f"].owner, image.tree["f"].mode), ((65534, 0), 0o4750));
        // Names come from the image's own files, whatever these are.
        let host = ground.canary().path().display().to_string();
        let passwd = |tar: Tar| Hostile::on_busybox([Layer::tar(&tar.end())]);
        let fifo = Header::new(b'6', "etc/passwd");
        let huge = vec![b'x'; 70 << 20];
        for (tar, what) in [
            (Tar::new().symlink("etc/passwd", format!("{host}/etc/passwd")), "a link out"),
            (Tar::new().symlink("etc", format!("{host}/etc")), "a folder that is a link out"),
            (Tar::new().entry(&fifo, b""), "a pipe"),
            (Tar::new().dir("etc/passwd"), "a folder"),
            (Tar::new().symlink("etc/passwd", "passwd"), "a loop"),
            (Tar::new().file("etc/passwd", &huge), "one long line"),
            (Tar::new().file("etc/passwd", [0xff, 0, b':', b'\n', 0xfe]), "no text"),
        ] {
            let Some(base) = passwd(tar) else { return };
            let text = "FROM base\nCOPY --chown=someone f /\n";
            let outcome = ground.build_on(&base, text).run();
            assert_ne!(outcome.done.code(), 0, "{what}\n{}", outcome.story());
            outcome.refused(&[]);
        }
    });
}

#[test]
fn attack_59_secrets_in_the_context() {
    // Named in a COPY they are a finding of the text; taken with all the rest, the ignore file keeps
    // them out, and a value that the build was given as a secret is found in what was copied.
    every_user(|ground| {
        ground.place().file("ctx/.env", "TOKEN=correct-horse-battery-staple\n");
        ground.place().file("ctx/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
        ground.place().file("ctx/f", "x");
        let secret = ground.place().file("secret", "correct-horse-battery-staple");
        let text = "FROM scratch\nCOPY . /\nUSER 1000:1000\n";
        let named = "FROM scratch\nCOPY .env id_ed25519 /\nUSER 1000:1000\n";
        ground.build(named).policy("hardened").run().refused_with(1, &["copy-sensitive-file"]);
        let build = ground.build(text).policy("hardened").arg("--only=build-secret-leaked");
        let build = build.arg(format!("--secret=id=token,src={}", secret.display()));
        let err = build.run().refused_with(1, &["build-secret-leaked", ".env"]);
        assert!(!err.contains("correct-horse"), "{err}");
        ground.place().file("ctx/.dockerignore", ".*\nid_*\n");
        let image = ground.build(text).run().built();
        assert_eq!(image.tree.keys().collect::<Vec<_>>(), ["f"]);
    });
}
