//! Who a step is, and images whose own files lie about it (80, 81, 82, 84).

use std::fs;

use super::wrote;
use crate::ground::{Mode, every_mode};
use crate::layout::{Hostile, Layer};
use crate::tarbytes::Tar;

#[test]
fn attack_80_passwd_and_group_of_an_image() {
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        let check = |name: &str, make: &str, user: &str, said: &[&str]| {
            let text = format!("FROM busybox\nRUN {make}\nUSER {user}\nRUN id -u\n");
            let outcome = ground.build(&text).run();
            assert!(outcome.survived().is_none(), "{name}\n{}", outcome.story());
            outcome.says(said);
        };
        let absent = ["no user `app`", "/etc/passwd of the image"];
        check(
            "large",
            "dd if=/dev/zero of=/etc/passwd bs=1M count=40 2>/dev/null; echo 'app:x:7:7::/:/bin/sh' >> /etc/passwd",
            "app",
            &absent,
        );
        check(
            "one line",
            "head -c 20000000 /dev/zero | tr '\\0' 'x' > /etc/passwd",
            "app",
            &absent,
        );
        check("a pipe", "rm /etc/passwd; busybox mkfifo /etc/passwd", "app", &absent);
        check("a folder", "rm /etc/passwd; mkdir /etc/passwd", "app", &absent);
        check("a loop", "rm /etc/passwd; ln -s passwd /etc/passwd", "app", &absent);
        let token = ground.canary().token().to_owned();
        // The token is the name of a user in the host's file; it may be said where it is asked for.
        let text = format!(
            "FROM busybox\nRUN rm /etc/passwd && ln -s {canary}/etc/passwd /etc/passwd\nARG WHO\nUSER $WHO\nRUN id -u\n"
        );
        let mut command = ground.build(&text).arg(format!("--build-arg=WHO={token}")).command();
        let done = crate::harness::run(&mut command, std::time::Duration::from_secs(30));
        assert_eq!(done.code(), 4, "{}", done.err());
        assert!(done.err().contains("no user"), "{}", done.err());
        check(
            "too many groups",
            "for n in $(seq 70000); do echo \"g$n:x:$n:app\"; done >> /etc/group; echo 'app:x:7:7::/:/bin/sh' >> /etc/passwd",
            "app",
            &["more than 65536 groups"],
        );
        // A number needs none of the files.
        let text = "FROM busybox\nRUN rm /etc/passwd; busybox mkfifo /etc/passwd; rm /etc/group; ln -s / /etc/group\nUSER 0:0\nRUN echo somebody\n";
        wrote(&ground.build(text).run(), &["somebody"]);
    });
}

#[test]
fn attack_81_spellings_of_a_user() {
    every_mode(|ground| {
        let build = |user: &str| {
            ground.build(&format!(
                "FROM busybox\nRUN echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd; echo 'minus:x:4294967295:0::/:/bin/sh' >> /etc/passwd\nUSER {user}\nRUN echo \"is $(id -u):$(id -g)\"\n"
            ))
        };
        for user in
            ["4294967296", "4294967295", "2147483648", "-1", "1:4294967295", "18446744073709551616"]
        {
            build(user).run().refused_with(4, &["is no id of a user or group"]);
        }
        for user in ["0x0", "\"root \"", "ghost", "minus", "0.0", "\u{661}"] {
            build(user).run().refused_with(4, &["no user"]);
        }
        for user in ["00", "+0", "-0", "toor", ":0", "root", "0:0", "\"\""] {
            let outcome = build(user).run();
            if user == "\"\"" {
                outcome.survived();
            } else {
                wrote(&outcome, &["is 0:0"]);
            }
        }
    });
}

#[test]
fn attack_81_hardened_refuses_root_in_each_spelling() {
    // Judged before any step: one kind of user shows it.
    let ground = crate::ground::Ground::new(Mode::every()[0]);
    let text = |before: &str, user: &str| {
        format!(
            "FROM busybox AS build\nRUN true\nFROM busybox\n{before}USER {user}\nHEALTHCHECK NONE\n"
        )
    };
    for user in [
        "0",
        "00",
        "000",
        "+0",
        "-0",
        "root",
        "\"root \"",
        "0:0",
        "0:1000",
        "root:app",
        ":0",
        "4294967296",
        "4294967295",
        "-1",
        "$U",
        "${U:-0}",
        "${U}",
    ] {
        let outcome = ground.build(&text("ARG U=root\n", user)).policy("hardened").run();
        outcome.refused_with(1, &["final-user-root", "Dockerfile:5:"]);
    }
    let text = text("RUN echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd\n", "toor");
    ground.build(&text).policy("hardened").run().refused_with(1, &["final-user-root", "toor"]);
}

#[test]
fn attack_82_groups_are_of_the_image_and_hold_the_primary() {
    every_mode(|ground| {
        let text = "FROM busybox\n\
             RUN echo 'app:x:1234:77::/home/app:/bin/sh' >> /etc/passwd; echo 'more:x:88:other,app' >> /etc/group; echo 'none:x:99:apps' >> /etc/group; \
                 mkdir /shut && chown 0:77 /shut && chmod 0705 /shut\n\
             USER app\nRUN grep ^Groups: /proc/self/status | tr -d '\\t'\n\
             USER app:55\nRUN grep ^Groups: /proc/self/status | tr -d '\\t'\n\
             USER 4000\nRUN grep ^Groups: /proc/self/status | tr -d '\\t'\n";
        if ground.mode() == Mode::Chroot {
            // There is no /proc/self: the groups are asked for.
            let text = text.replace(
                "grep ^Groups: /proc/self/status | tr -d '\\t'",
                "echo \"Groups: $(id -G)\"",
            );
            wrote(&ground.build(&text).run(), &["Groups: 77 88", "Groups: 55", "Groups: 0"]);
            return;
        }
        let outcome = ground.build(text).run();
        if ground.mode() == Mode::Single {
            // One id, and the kernel lets nobody set groups: those of the builder's are none of its ids.
            outcome.built();
            return;
        }
        wrote(&outcome, &["Groups:77 88 ", "Groups:55 ", "Groups:0 "]);
    });
}

#[test]
fn attack_84_folders_of_the_sandbox_that_are_none() {
    every_mode(|ground| {
        let canary = ground.canary().path().display().to_string();
        for folder in ["proc", "dev", "sys", "etc", "run"] {
            for to in [Some(canary.as_str()), Some("tmp"), None] {
                let tar = match to {
                    Some(to) => Tar::new().symlink(folder, to),
                    None => Tar::new().file(folder, b"a file"),
                };
                // Without busybox's own /etc below: it would be replaced, which is the same.
                let Some(base) = Hostile::on_busybox([Layer::tar(&tar.end())]) else { return };
                let text = "FROM base\nRUN --mount=type=secret,id=t echo the step ran; ls -la / /proc/self /run\n";
                let outcome = ground
                    .build_on(&base, text)
                    .arg(format!(
                        "--secret=id=t,src={}",
                        ground.canary().path().join("secret").display()
                    ))
                    .run();
                let err = outcome.refused(&[&format!("`/{folder}`"), "in the image"]);
                assert!(!err.contains("| the step ran"), "{}", outcome.story());
            }
        }
        assert!(fs::metadata(ground.canary().path()).is_ok());
    });
}
