//! `RUN --mount` and `RUN --network` for every kind of user.

use crate::harness::{Build, Place, Who};

/// Builds this text as every user, with a context and a secret; nothing of a mount may stay.
fn check(dockerfile: &str, said: &[&str], left_out: &[&str]) {
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/file", "of the context\n");
        place.file("ctx/folder/inner", "inner\n");
        let secret = place.file("secret", "s3cr3t-of-the-tests");
        let build = Build::text(&place, dockerfile);
        let build = build.arg(format!("--secret=id=token,src={}", secret.display()));
        let (outcome, image) = build.image();
        outcome.says(said);
        for path in left_out {
            assert!(!image.tree.contains_key(*path), "`{path}` stayed, as {who:?}");
        }
    }
}

#[test]
fn secret_mounts() {
    check(
        "FROM busybox\n\
         RUN --mount=type=secret,id=token test $(wc -c < /run/secrets/token) = 19 && stat -c 'mode %a of %u:%g' /run/secrets/token\n\
         RUN --mount=type=secret,id=token,target=/etc/deep/token,mode=0440 test -s /etc/deep/token && stat -c 'mode %a there' /etc/deep/token\n\
         RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 19\n\
         RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent && echo absent is absent\n\
         RUN test ! -e /run/secrets/token && echo gone\n",
        &["mode 400 of 0:0", "mode 440 there", "absent is absent", "gone"],
        &["run/secrets/token", "run/secrets", "etc/deep/token"],
    );
}

#[test]
fn cache_mounts() {
    check(
        "FROM busybox\n\
         RUN --mount=type=cache,target=/cache echo one >> /cache/list\n\
         RUN --mount=type=cache,target=/cache echo two >> /cache/list; echo \"lines: $(wc -l < /cache/list)\"\n\
         RUN --mount=type=cache,target=/other test ! -e /other/list && echo another cache\n\
         RUN --mount=type=cache,id=/cache,target=/third cat /third/list\n\
         RUN --mount=type=cache,target=/cache,sharing=locked,mode=0700 true\n\
         RUN --mount=type=cache,id=a,target=/a,sharing=locked --mount=type=cache,id=a,target=/b,sharing=locked echo one > /a/x; cat /b/x\n",
        &["lines: 2", "another cache", "] | two"],
        &["cache/list", "other/list", "third/list"],
    );
}

#[test]
fn a_cache_mount_survives_a_build() {
    for who in Who::every() {
        let place = Place::new(who);
        let text = "FROM busybox\nRUN --mount=type=cache,target=/cache echo x >> /cache/list; echo \"lines: $(wc -l < /cache/list)\"\n";
        Build::text(&place, text).image();
        let (outcome, _) = Build::text(&place, text).arg("--no-cache").image();
        outcome.says(&["lines: 2"]);
    }
}

#[test]
fn bind_mounts() {
    check(
        "FROM busybox AS other\n\
         RUN mkdir /data && echo of the stage > /data/file\n\
         FROM busybox\n\
         RUN --mount=target=/ctx cat /ctx/file /ctx/folder/inner && ! touch /ctx/new 2>/dev/null && echo read-only\n\
         RUN --mount=type=bind,source=folder,target=/mnt ls /mnt\n\
         RUN --mount=type=bind,source=file,target=/one-file cat /one-file\n\
         RUN --mount=type=bind,from=other,source=/data,target=/data,rw cat /data/file && echo changed > /data/file && echo written\n\
         RUN --mount=type=bind,from=other,source=/data,target=/data grep 'of the stage' /data/file && echo unharmed\n\
         RUN --mount=type=bind,from=busybox,target=/base test -x /base/bin/busybox && echo an image\n",
        &[
            "of the context",
            "inner",
            "read-only",
            "of the stage",
            "written",
            "unharmed",
            "an image",
        ],
        &["ctx/file", "mnt/inner", "one-file", "data/file", "base/bin"],
    );
}

#[test]
fn tmpfs_mounts() {
    check(
        "FROM busybox\n\
         RUN --mount=type=tmpfs,target=/scratch,size=1m echo x > /scratch/x && ! dd if=/dev/zero of=/scratch/y bs=1M count=4 2>/dev/null && echo bounded\n\
         RUN --mount=type=tmpfs,target=/scratch test ! -e /scratch/x && echo empty again\n",
        &["bounded", "empty again"],
        &["scratch/x", "scratch/y"],
    );
}

#[test]
fn no_network_when_asked() {
    check(
        "FROM busybox\n\
         RUN --network=none test -z \"$(ip route)\" && ip addr show lo | grep -q 'UP' && \
             test \"$(ls /sys/class/net 2>/dev/null | grep -vc '^lo$')\" = 0 || grep -c : /proc/net/dev\n\
         RUN --network=none test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo && echo only lo\n\
         RUN --network=none (echo hello | nc -l -p 7777 &) ; sleep 0.3; nc 127.0.0.1 7777 < /dev/null\n",
        &["only lo", "] | hello"],
        &[],
    );
}

#[test]
fn the_host_network_needs_a_grant() {
    let place = Place::new(Who::usual());
    Build::text(&place, "FROM busybox\nRUN --network=host true\n")
        .run()
        .fails(2, &["network.host"]);
}

#[test]
fn a_step_sees_little_of_the_host() {
    check(
        "FROM busybox\n\
         RUN test \"$(ps | grep -c sleep-of-the-host)\" -le 1; test $$ -lt 20 && echo own processes\n\
         RUN ! mount -t tmpfs none /tmp 2>/dev/null && echo no mounts\n\
         RUN ! echo x > /proc/sysrq-trigger 2>/dev/null && ! test -s /proc/kcore && echo masked\n\
         RUN ls /dev | tr '\\n' ' '; test -c /dev/null && test -w /dev/null && ! test -e /dev/mem && echo little dev\n\
         RUN grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; grep -q '^Seccomp:.*2' /proc/self/status && echo filtered\n",
        &["own processes", "no mounts", "masked", "little dev", "filtered"],
        &[],
    );
}

#[test]
fn users_and_groups_of_a_step() {
    for who in Who::every().into_iter().filter(|who| *who != Who::Single) {
        let place = Place::new(who);
        let text = "FROM busybox\nRUN echo 'app:x:1234:77::/home/app:/bin/sh' >> /etc/passwd && echo 'more:x:88:app' >> /etc/group\n\
                    USER app\nRUN id; echo \"home $HOME\"; touch /tmp/mine; ! touch /etc/not 2>/dev/null\n\
                    USER 4000:5000\nRUN id\n";
        let (outcome, image) = Build::text(&place, text).image();
        outcome.says(&["uid=1234(app) gid=77", "88(more)", "home /home/app", "uid=4000 gid=5000"]);
        assert_eq!(image.tree["tmp/mine"].owner, (1234, 77));
    }
}
