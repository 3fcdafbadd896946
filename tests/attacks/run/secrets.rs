//! Secrets and agents: where they are, and where they are not (67, 68, 69).

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{hostile, wrote};
use crate::canary::walk;
use crate::ground::{Ground, Mode, every_mode};

/// The canary's token as a secret: whoever judges a run looks for it in all that was written.
fn secret(ground: &Ground) -> String {
    format!("--secret=id=t,src={}", ground.canary().path().join("secret").display())
}

#[test]
fn attack_67_a_secret_is_nowhere_afterwards() {
    every_mode(|ground| {
        let place = ground.place();
        let size = ground.canary().token().len();
        let text = format!(
            "FROM busybox\n\
             RUN mkdir /x && echo old > /x/file && chmod 0604 /x/file\n\
             RUN --mount=type=secret,id=t test $(wc -c < /run/secrets/t) = {size} && stat -c 'mode %a of %u:%g' /run/secrets/t && ! echo x 2>/dev/null > /run/secrets/t && ! rm /run/secrets/t 2>/dev/null && echo fixed\n\
             RUN --mount=type=secret,id=t,target=/x/file,mode=0440 test $(wc -c < /x/file) = {size} && stat -c 'mode %a there' /x/file\n\
             RUN --mount=type=secret,id=t,env=TOKEN test ${{#TOKEN}} = {size} && echo in the environment\n\
             RUN --mount=type=secret,id=t cat /proc/*/cmdline /proc/1/environ 2>/dev/null | tr '\\0' '\\n'; grep /run/secrets /proc/mounts | cut -d' ' -f2,3\n\
             RUN test ! -e /run/secrets && test -z \"$TOKEN\" && stat -c 'file %a %s' /x/file && cat /x/file\n"
        );
        // Exception: without namespaces it is a file of the store's disk while the step runs, which the
        // step's root may write; afterwards it is nowhere all the same.
        let chroot = ground.mode() == Mode::Chroot;
        let text = match chroot {
            true => text.replace("! echo x 2>/dev/null > /run/secrets/t && ! rm /run/secrets/t 2>/dev/null && echo fixed", "echo x > /run/secrets/t && rm /run/secrets/t && echo its own"),
            false => text,
        };
        let outcome = ground
            .build(&text)
            .arg(secret(ground))
            .arg(format!("--metadata-file={}", place.at("metadata").display()))
            .run();
        let want = [
            "mode 400 of 0:0",
            if chroot { "its own" } else { "fixed" },
            "mode 440 there",
            "in the environment",
            if chroot { "file 604 4" } else { "/run/secrets/t ramfs" },
            "file 604 4",
            "old",
        ];
        for line in want {
            outcome.says(&[&format!("] | {line}")]);
        }
        let image = outcome.built();
        assert_eq!((image.text("x/file"), image.tree["x/file"].mode), ("old\n".into(), 0o604));
        assert!(!image.tree.contains_key("run"));
        ground.canary().not_in(&place.at("metadata"), "the metadata file");
        ground.canary().not_in(&place.at("store"), "the whole store");
        // Its value is no part of the key; its id, target and mode are.
        let again = text.replace("mode=0440", "mode=0400").replace("RUN test !", "RUN test  !");
        let other = place.file("other", "x".repeat(size));
        let outcome =
            ground.build(&text).arg(format!("--secret=id=t,src={}", other.display())).run();
        assert!(!outcome.err().contains("] |"), "all of it is cached\n{}", outcome.story());
        outcome.built();
        let outcome = ground.build(&again).arg(secret(ground)).run();
        assert!(outcome.err().contains("] | mode 400 there"), "{}", outcome.story());
        outcome.built();
    });
}

#[test]
fn attack_67_secrets_that_are_not_there_or_too_large() {
    every_mode(|ground| {
        let required = "FROM busybox\nRUN --mount=type=secret,id=t,required=true true\n";
        ground.build(required).run().refused_with(4, &["secret t", "--secret id=t"]);
        let env = "FROM busybox\nRUN --mount=type=secret,id=t,env=T,required=true true\n";
        ground.build(env).run().refused_with(4, &["secret t"]);
        let optional =
            "FROM busybox\nRUN --mount=type=secret,id=t test ! -e /run/secrets/t && echo absent\n";
        wrote(&ground.build(optional).run(), &["absent"]);
        let text = "FROM busybox\nRUN --mount=type=secret,id=t wc -c < /run/secrets/t\n";
        let with = |size: usize| {
            let file = ground.place().file("large", "x".repeat(size));
            ground
                .build(text)
                .arg("--no-cache")
                .arg(format!("--secret=id=t,src={}", file.display()))
        };
        wrote(&with(500 << 10).run(), &["512000"]);
        with((500 << 10) + 1).run().refused_with(2, &["larger than 512000 bytes"]);
        ground.build(text).arg("--secret=id=t,src=/dev/zero").run().refused_with(2, &["larger"]);
        ground.build(text).arg("--secret=id=t,src=/nowhere").run().refused_with(2, &["/nowhere"]);
    });
}

#[test]
fn attack_68_a_secret_in_a_layer_is_an_error() {
    every_mode(|ground| {
        for (how, line) in [
            ("copied", "cp /run/secrets/t /copy"),
            (
                "in a folder of a hidden name",
                "mkdir -p /usr/...; (head -c 100000 /dev/zero; cat /run/secrets/t) > /usr/.../x",
            ),
            ("base64", "base64 -w 0 /run/secrets/t > /copy"),
            ("base64, shifted", "(echo -n x; cat /run/secrets/t) | base64 -w 0 > /copy"),
            ("gzip", "gzip -c /run/secrets/t > /copy"),
            ("a gzip of a tar", "tar -cz -f /copy /run/secrets/t"),
            ("as a name", "touch \"/$(cat /run/secrets/t)\""),
            ("as a link", "ln -s \"$(cat /run/secrets/t)\" /link"),
        ] {
            let text = format!(
                "FROM busybox AS build\nRUN true\nFROM busybox\nRUN --mount=type=secret,id=t {line}\nUSER 10001\nHEALTHCHECK NONE\n"
            );
            let build = ground.build(&text).policy("hardened").arg("--only=build-secret-leaked");
            let outcome = build.arg(secret(ground)).run();
            assert_eq!(outcome.done.code(), 1, "{how}\n{}", outcome.story());
            outcome.refused(&["build-secret-leaked", "Dockerfile:4:"]);
        }
    });
}

#[test]
fn attack_68_a_printed_secret_is_masked() {
    every_mode(|ground| {
        let text = "FROM busybox\n\
             RUN --mount=type=secret,id=t cat /run/secrets/t; cat /run/secrets/t >&2; echo; \
                 base64 -w 0 /run/secrets/t; echo; S=$(cat /run/secrets/t); echo \"$S$S x$S\"; \
                 printf '%s' \"${S%???????}\"; sleep 0.1; printf '%s\\n' \"${S#\"${S%???????}\"}\"; \
                 false\n";
        let outcome = ground.build(text).arg(secret(ground)).run();
        outcome.refused(&["| ***"]);
        let packed = base64(ground.canary().token().as_bytes());
        assert!(!outcome.err().contains(packed.trim_end_matches('=')), "{}", outcome.story());
        let place = ground.place();
        let layout = place.at("busybox");
        let json = ground
            .command(&["build", "--progress=json", "--policy=none"])
            .arg("--root")
            .arg(place.at("store"))
            .layout("busybox", &layout)
            .arg(secret(ground))
            .last(place.at("ctx"));
        place.file("ctx/Dockerfile", text);
        assert!(json.run().refused(&["***"]).contains("step_output"));
    });
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for part in 0..=group.len() {
            out.push(char::from(LETTERS[(word >> (18 - 6 * part)) as usize & 63]));
        }
    }
    out
}

/// An agent that answers everything with "failure" (5), but for the list, which is empty; it notes
/// what it was asked.
fn agent(ground: &Ground) -> (PathBuf, Arc<Mutex<BTreeSet<u8>>>) {
    let path = ground.place().at("agent-of-the-host");
    let listener = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    if let Ok(meta) = fs::metadata(ground.place().at("ctx")) {
        use std::os::unix::fs::MetadataExt;
        chown(&path, Some(meta.uid()), Some(meta.gid())).expect("the user's");
    }
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let notes = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let notes = Arc::clone(&notes);
            std::thread::spawn(move || {
                let mut size = [0; 4];
                while stream.read_exact(&mut size).is_ok() {
                    let mut message = vec![0; (u32::from_be_bytes(size) as usize).min(1 << 20)];
                    if stream.read_exact(&mut message).is_err() {
                        return;
                    }
                    let kind = message.first().copied().unwrap_or(0);
                    notes.lock().expect("a set").insert(kind);
                    let answer: &[u8] =
                        if kind == 11 { &[0, 0, 0, 5, 12, 0, 0, 0, 0] } else { &[0, 0, 0, 1, 5] };
                    let _ = stream.write_all(answer);
                }
            });
        }
    });
    (path, asked)
}

#[test]
fn attack_69_an_agent_lists_and_signs_and_no_more() {
    every_mode(|ground| {
        let (path, asked) = agent(ground);
        let step = hostile::step(ground, "--mount=type=ssh", "agent /run/buildkit/ssh_agent.0");
        let text = format!(
            "FROM busybox\n{step}\
             RUN --mount=type=ssh cat /proc/self/mountinfo /proc/mounts; env; ls -l /run/buildkit\n\
             RUN test ! -e /run/buildkit && test -z \"$SSH_AUTH_SOCK\" && ! grep -q ssh /proc/net/unix && echo gone\n"
        );
        let outcome = ground.build(&text).arg(format!("--ssh=default={}", path.display())).run();
        assert!(!outcome.err().contains("agent-of-the-host"), "{}", outcome.story());
        let want = [
            "list 12",
            "sign 5",
            "add 5",
            "remove 5",
            "remove-all 5",
            "add-card 5",
            "lock 5",
            "unlock 5",
            "extension 5",
            "unknown 5",
            "gone",
        ];
        wrote(&outcome, &want);
        assert_eq!(*asked.lock().expect("a set"), BTreeSet::from([11, 13]));
        let sockets = walk(&ground.place().at("store"));
        assert!(!sockets.iter().any(|path| path.to_string_lossy().contains("ssh")), "{sockets:?}");
    });
}
