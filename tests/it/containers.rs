//! The program in containers of a real engine, which is where CI services run it: each build that can be
//! done there is done, to the same bytes as on the host; what cannot be done says why and what to do.

use crate::harness::{Build, Cell, Containers, Done, Profile, Registry, StoreOn, User, Who, have};

const WITHOUT_RUN: &str = "\
FROM busybox AS parts
COPY --chown=1000:1001 one /data/one
COPY dir /data/dir
ADD --chmod=0400 one /data/closed/two
FROM busybox
ENV A=b
WORKDIR /srv/app
COPY --from=parts /data /srv/data
COPY --from=parts --chown=5:6 /data/closed/two three
ADD --chmod=4755 one /four
LABEL a=b
USER 1000
CMD [\"cat\", \"/four\"]
";

// All that a step can do to files: make, link, change, own, move, remove.
const WITH_RUN: &str = "\
FROM busybox AS parts
COPY dir /data/dir
COPY one /etc/hosts
RUN mkdir -p /made/deep && echo x > /made/deep/f && ln -s deep/f /made/link && ln /made/deep/f /made/hard \\
    && rm /data/dir/a && echo more >> /data/dir/sub/b && chown 33:34 /made/deep/f && chmod 4711 /made/deep/f \\
    && chown -h 5:6 /made/link && rm -rf /tmp && mkdir -m 1777 /tmp
RUN --mount=type=bind,source=dir,target=/mnt/d --mount=type=tmpfs,target=/scratch \\
    --mount=type=cache,target=/cache --mount=type=bind,from=parts-of,target=/parts \\
    test \"$(cat /mnt/d/a)\" = a && echo z > /scratch/z && echo c >> /cache/n && mv /made /moved \\
    && cp /parts/one /from-parts && grep -q buildkitsandbox /etc/hosts && touch /bin/sh -t 202001010000
FROM busybox
COPY --from=parts /moved /moved
COPY --from=parts /etc/hosts /etc/hosts
RUN ls /moved/deep > /list && test -c /dev/null && echo quiet > /dev/null && chmod 0700 /moved
";

fn fill(containers: &Containers) {
    containers.fill(|place| {
        for (name, text) in [("one", "1\n"), ("dir/a", "a\n"), ("dir/sub/b", "b\n")] {
            place.file(&format!("ctx/{name}"), text);
        }
        place.file("parts-of/one", "1\n");
        place.file("without", WITHOUT_RUN);
        place.file("with", WITH_RUN);
    });
}

/// The digest of the same build on this host, as root.
fn on_the_host(containers: &Containers, text: &str) -> String {
    let place = crate::harness::Place::new(Who::Root);
    for name in ["one", "dir/a", "dir/sub/b"] {
        let content = std::fs::read(containers.place.at("ctx").join(name)).expect("a file of ours");
        place.file(&format!("ctx/{name}"), content);
    }
    let parts = containers.place.at("parts-of");
    Build::text(&place, text)
        .arg(format!("--build-context=parts-of={}", parts.display()))
        .image()
        .1
        .digest
}

#[track_caller]
fn says(cell: Cell, done: &Done, lines: &[&str]) {
    let (out, err) = (done.out(), done.err());
    for line in lines {
        let said = out.lines().any(|said| said == *line) || err.contains(line);
        assert!(said, "{cell:?}: not said: {line:?}\n--- out\n{out}\n--- err\n{err}");
    }
    assert!(!err.contains("panicked at"), "{err}");
}

#[test]
fn what_needs_no_run_works_in_every_container() {
    let Some(containers) = Containers::start() else { return };
    fill(&containers);
    let digest = on_the_host(&containers, WITHOUT_RUN);
    for cell in Cell::all(&[Profile::Default, Profile::Userns, Profile::Open]) {
        // Twice: the second time all is in the store.
        let script = "
            $R lint --policy=none /job/without; echo lint $?
            for n in 1 2; do
                $R $B --file=/job/without --output=type=oci,dest=/out/oci,tar=false \\
                    --output=type=docker,dest=/out/docker --output=type=local,dest=/out/local /job/ctx
                echo build $?
            done
            cat /out/local/four; stat -c %a /out/local/four
            test -s /out/docker && echo archive
            $R $B --squash --output=type=cacheonly --file=/job/without /job/ctx > /dev/null; echo squash $?";
        let done = containers.run(cell, script);
        says(cell, &done, &["lint 0", "build 0", "1", "archive", "squash 0"]);
        assert_eq!(done.out().matches(&digest).count(), 2, "{cell:?}: {digest}\n{}", done.out());
        assert!(done.err().contains("0 steps run"), "{cell:?}: {}", done.err());
    }
}

#[test]
fn push_works_without_user_namespaces() {
    if !have(&["docker-registry"]) {
        return;
    }
    let Some(containers) = Containers::start() else { return };
    fill(&containers);
    let registry = Registry::start();
    for user in [User::Root, User::Stranger] {
        let cell = Cell { profile: Profile::Default, user, store: StoreOn::Overlay };
        let name = format!("{}/{user:?}:1", registry.host()).to_lowercase();
        let script = format!(
            "$R $B --file=/job/without --output=type=oci,dest=/out/oci,tar=false --push --tag={name} \
             /job/ctx; echo build $?; $R push --root=$S /out/oci {name}-again; echo push $?"
        );
        let done = containers.run_on("host", cell, &script);
        says(cell, &done, &["build 0", "push 0"]);
        let path = format!("{user:?}").to_lowercase();
        let first = registry.digest(&format!("{path}:1"));
        assert_eq!(first, registry.digest(&format!("{path}:1-again")));
        assert!(done.out().contains(&first), "{}", done.out());
    }
}

#[test]
fn run_without_user_namespaces_is_refused_with_the_cures() {
    let Some(containers) = Containers::start() else { return };
    fill(&containers);
    for cell in Cell::all(&[Profile::Default]) {
        let build = "$R $B --build-context=parts-of=/job/parts-of --file=/job/with \
                     --output=type=oci,dest=/out/oci,tar=false";
        let script = format!(
            "{build} /job/ctx; echo auto $?; {build} --isolation=userns /job/ctx; echo userns $?; \
             ls /out | wc -l; ls $S/trees | wc -l"
        );
        let done = containers.run(cell, &script);
        // Nothing was unpacked before it was said.
        says(cell, &done, &["auto 7", "userns 7", "0", "seccomp filter of this container"]);
        says(cell, &done, &["/job/with:4", "seccomp=unconfined", "--isolation=chroot"]);
        assert!(done.out().ends_with("\n0\n0\n"), "{cell:?}: {}", done.out());
    }
}

#[test]
fn run_works_where_user_namespaces_are_allowed() {
    let Some(containers) = Containers::start() else { return };
    fill(&containers);
    let digest = on_the_host(&containers, WITH_RUN);
    for cell in Cell::all(&[Profile::Userns, Profile::Open]) {
        let script = "
            $R $B --build-context=parts-of=/job/parts-of --file=/job/with \\
                --output=type=oci,dest=/out/oci,tar=false /job/ctx; echo build $?
            printf 'FROM busybox\\nRUN echo first=$(readlink /proc/1/exe; tr \"\\\\0\" \" \" < /proc/1/cmdline)\\n\\
                RUN (busybox setsid sh -c \"trap : TERM; sleep 4711\" &) ; sleep 0.2' > /tmp/daemon
            $R $B --file=/tmp/daemon --output=type=cacheonly /job/ctx > /dev/null; echo daemon $?
            for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done | grep -c '^sleep 4711'";
        let done = containers.run(cell, script);
        says(cell, &done, &["build 0", "daemon 0", &digest]);
        // The processes of the container are seen only where its `/proc` is masked.
        let (own, outer) = ("| first=rbuild __sandbox", "| first=/bin/sh -c");
        let masked = cell.profile == Profile::Userns;
        let outer = done.err().contains(outer) || done.err().contains("| first=/bin/busybox");
        assert_eq!(outer, masked, "{}", done.err());
        assert_eq!(done.err().contains(own), !masked, "{}", done.err());
        assert_eq!(done.err().contains("parts of /proc are masked"), masked, "{}", done.err());
        assert!(done.out().ends_with("daemon 0\n0\n"), "a daemon is left: {}", done.out());
    }
}

#[test]
fn a_builder_that_is_killed_takes_its_steps_along() {
    let Some(containers) = Containers::start() else { return };
    for (profile, user, more) in [
        (Profile::Userns, User::Root, ""),
        (Profile::Userns, User::Stranger, ""),
        (Profile::Default, User::Root, "--isolation=chroot"),
    ] {
        let cell = Cell { profile, user, store: StoreOn::Overlay };
        let script = format!(
            "printf 'FROM busybox\\nRUN (busybox setsid sleep 4712 &) ; sleep 4712' > /tmp/long
             count() {{ for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done \
                 | grep -c '^sleep 4712'; }}
             $R $B {more} --file=/tmp/long --output=type=cacheonly /job/ctx 2>/dev/null &
             for i in $(seq 200); do n=$(count); test $n = 2 && break; sleep 0.05; done
             echo before $n
             kill -9 $!; wait $! 2>/dev/null
             for i in $(seq 100); do n=$(count); test $n = 0 && break; sleep 0.05; done
             echo after $n"
        );
        let done = containers.run(cell, &script);
        says(cell, &done, &["before 2", "after 0"]);
    }
}

#[test]
fn a_change_of_the_root_runs_steps_in_an_ordinary_container() {
    let Some(containers) = Containers::start() else { return };
    fill(&containers);
    let digest = on_the_host(&containers, WITH_RUN);
    for store in [StoreOn::Overlay, StoreOn::Volume] {
        let cell = Cell { profile: Profile::Default, user: User::Root, store };
        let script = "
            $R $B --isolation=chroot --build-context=parts-of=/job/parts-of --file=/job/with \\
                --output=type=oci,dest=/out/oci,tar=false /job/ctx; echo build $?";
        says(cell, &containers.run(cell, script), &["build 0", &digest]);
    }
    // Asked for by one who is not root, or of a policy that does not want it.
    let cell = Cell { profile: Profile::Default, user: User::Stranger, store: StoreOn::Overlay };
    let script = "$R $B --isolation=chroot --build-context=parts-of=/job/parts-of --file=/job/with \
                  --output=type=cacheonly /job/ctx; echo stranger $?";
    says(cell, &containers.run(cell, script), &["stranger 7", "CAP_SYS_CHROOT"]);
    let cell = Cell { user: User::Root, ..cell };
    // The last word on the policy is the file's.
    let script = "printf 'FROM busybox\\nRUN true\\n' > /tmp/f
        printf 'extends = \"hardened\"\\nchroot = \"allow\"\\n' > /tmp/policy.toml
        B=$(echo $B | sed 's/--policy=none//')
        for p in hardened /tmp/policy.toml; do
            $R $B --isolation=chroot --policy=$p --only=base-untagged --skip=base-untagged \\
                --file=/tmp/f --output=type=cacheonly /job/ctx > /dev/null; echo $p $?
        done";
    let done = containers.run(cell, script);
    says(cell, &done, &["hardened 1", "does not allow --isolation=chroot", "chroot = \"allow\""]);
    says(cell, &done, &["/tmp/policy.toml 0"]);
}

#[test]
fn a_step_in_a_change_of_the_root_is_fenced_in() {
    let Some(containers) = Containers::start() else { return };
    containers.place.file("fences", FENCES);
    containers.place.file("token", "hunter2-token\n");
    let cell = Cell { profile: Profile::Default, user: User::Root, store: StoreOn::Volume };
    let script = "echo mine > /tmp/mine
        $R $B --isolation=chroot --secret=id=token,src=/job/token --file=/job/fences \\
            --output=type=local,dest=/out/tree /job/ctx; echo build $?
        ls -a /out/tree/run /out/tree/dev /out/tree/proc /out/tree/etc 2>&1 | tr '\\n' ' '; echo
        grep -r hunter2 $S /out | wc -l";
    let done = containers.run(cell, script);
    says(cell, &done, &["build 0"]);
    let mut lines = vec![
        "| token ***",
        "| 400 7:8",
        "| no mknod",
        "| no chroot",
        "| no mount",
        "| no namespace",
        "| no inet",
        "| no_new_privs: 1",
        "| processes: none",
    ];
    // Signals are fenced in since Linux 6.12.
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(6), Some(12)) {
        lines.push("| no kill");
    }
    for line in lines {
        assert!(done.err().contains(line), "not said: {line}\n{}", done.err());
    }
    assert!(done.out().ends_with("\n0\n"), "nothing of the secret is left: {}", done.out());
    for gone in ["null", "cpuinfo", "hosts", "secrets", "resolv.conf"] {
        assert!(!done.out().contains(gone), "{gone} is in the image: {}", done.out());
    }
}

const FENCES: &str = "\
FROM busybox
RUN --mount=type=secret,id=token,uid=7,gid=8 \\
    echo token $(cat /run/secrets/token); stat -c '%a %u:%g' /run/secrets/token
RUN --network=none \\
    mknod /tmp/n b 1 1 2>/dev/null || echo no mknod; \\
    busybox chroot /tmp true 2>&1 | grep -q 'not permitted' && echo no chroot; \\
    mount -t tmpfs x /tmp 2>/dev/null || echo no mount; \\
    busybox unshare -U true 2>/dev/null || echo no namespace; \\
    kill -0 1 2>/dev/null || echo no kill; \\
    nc 127.0.0.1 1 2>&1 | grep -q -i 'permitted' && echo no inet; \\
    busybox setpriv -d | grep no_new_privs; \\
    ls -d /proc/1 2>/dev/null || echo processes: none
";
