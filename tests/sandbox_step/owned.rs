//! Owners, identities and nodes: the same in every mode of ids, whether the kernel keeps them or the
//! supervisor does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rbuild::layer::EntryKind;
use rbuild::rootfs::{Nothing, Stacking, changes};
use rbuild::sandbox::{Hardening, Mount, MountKind, Source, Spec, User};
use rbuild::sys::{IdMode, Root};

use crate::world::{Case, World, at};

/// By name.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("owned_files", files),
    ("owned_users", users),
    ("owned_new_files", new_files),
    ("owned_folders", folders),
    ("owned_nodes", nodes),
    ("owned_chroot", chroot),
    ("owned_probes", probes),
    ("owned_lost", lost),
    ("owned_timing", timing),
];

// What becomes of the upper folder: path to kind, mode and owner.
fn layer_of(world: &World, spec: &Spec) -> BTreeMap<String, String> {
    let root = Arc::new(Root::open_host(&spec.upper).unwrap());
    let entry = |entry: rbuild::layer::Entry| {
        let kind = match entry.kind {
            EntryKind::File { .. } => "file".to_owned(),
            EntryKind::Dir => "dir".to_owned(),
            EntryKind::Symlink(_) => "link".to_owned(),
            EntryKind::Hardlink(to) => format!("same as {to}"),
            EntryKind::Char { major, minor } => format!("char {major}:{minor}"),
            EntryKind::Block { major, minor } => format!("block {major}:{minor}"),
            other => format!("{other:?}"),
        };
        let text = format!("{kind} {:o} {}:{}", entry.mode, entry.uid, entry.gid);
        (entry.path.display().into_owned(), text)
    };
    let all = changes(&root, Stacking::Overlay { most: 9 }, world.mode, &Nothing).unwrap();
    all.into_iter().map(|change| entry(change.entry)).collect()
}

fn check(world: &World, spec: &Spec, said: &str, layer: &[(&str, &str)]) {
    assert_eq!(world.say(spec), said);
    let found = layer_of(world, spec);
    for (path, want) in layer {
        assert_eq!(found.get(*path).map(String::as_str), Some(*want), "{path} of {found:#?}");
    }
}

// A layer with two accounts, and room for everybody in /tmp.
fn with_accounts(world: &World, script: &str) -> Spec {
    let layer = world.home.join("accounts");
    fs::create_dir_all(layer.join("etc")).unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\nzed:x:1000:1001::/tmp:/bin/sh\n";
    fs::write(layer.join("etc/passwd"), passwd).unwrap();
    fs::write(layer.join("etc/group"), "root:x:0:\nzed:x:1001:\nstaff:x:50:zed\n").unwrap();
    let mut spec = world.spec(script);
    spec.lowers.push(layer);
    spec
}

fn files(world: &World) {
    let spec = world.spec(
        "touch /f /s /w; chown 33:44 /f; stat -c %u:%g /f; ln /f /g; mv /f /h; stat -c %u:%g /g /h; \
         ln -s h /l; chown -h 5:6 /l; stat -c %u:%g /l; stat -L -c %u:%g /l; cp -a /h /i; cp -a /l /m; \
         chmod 6755 /s; chown 7:7 /s; stat -c %a /s; chgrp 9 /s; stat -c %u:%g /s; mkfifo /p; \
         chown 8:9 /p; mkdir /d; chown 1:2 /d; cd /d; touch x; chown 3:4 x; chown 3:4 ../w; chown 0:0 /w; \
         chown 5:5 /etc/passwd; echo a:x:1:1::/: >> /etc/passwd; chown 12:13 /bin/sleep; \
         ls -ln /d | tail -n 1 | tr -s ' ' | cut -d ' ' -f 3,4; chown 1 /nonesuch 2>/dev/null || echo none; \
         mkdir /t; chown 77:78 /t; rmdir /t; mkdir /t",
    );
    check(
        world,
        &spec,
        "33:44\n33:44\n33:44\n5:6\n33:44\n755\n7:9\n3 4\nnone\n",
        &[
            ("/g", "file 644 33:44"),
            ("/h", "same as /g 644 33:44"),
            ("/i", "file 644 33:44"),
            ("/l", "link 777 5:6"),
            ("/m", "link 777 5:6"),
            ("/s", "file 755 7:9"),
            ("/p", "Fifo 644 8:9"),
            ("/d", "dir 755 1:2"),
            ("/d/x", "file 644 3:4"),
            ("/w", "file 644 0:0"),
            ("/etc/passwd", "file 644 5:5"),
            ("/bin/busybox", "file 755 12:13"),
            ("/t", "dir 755 0:0"),
        ],
    );
    // What one step recorded the next one sees, also on files that it only moves.
    let mut next = world.spec(
        "stat -c %u:%g /g /l /p /d; mv /g /gg; ln /l /ll; rm /p; echo x >> /d/x; chown 99 /gg",
    );
    next.lowers.push(spec.upper);
    check(
        world,
        &next,
        "33:44\n5:6\n8:9\n1:2\n",
        &[
            ("/gg", "file 644 99:44"),
            ("/l", "link 777 5:6"),
            ("/ll", "same as /l 777 5:6"),
            ("/d", "dir 755 1:2"),
            ("/d/x", "file 644 3:4"),
        ],
    );
}

fn users(world: &World) {
    let spec = with_accounts(
        world,
        "id -u; su zed -c 'id -u; id -g; id -G; touch /tmp/z; mkdir /tmp/d; ln -s x /tmp/l; mkfifo /tmp/p; \
         echo a > /tmp/d/e; echo b >> /tmp/d/e; chown 0 /tmp/z 2>/dev/null || echo refused; \
         chgrp staff /tmp/z && stat -c %u:%g /tmp/z; (umask 027; touch /tmp/u); \
         (setsid sh -c \"sleep 0.3; touch /tmp/late\" &); (sh -c \"(sleep 0.2; mkdir /tmp/later) &\") &'; \
         sleep 0.7; touch /tmp/root; id -u",
    );
    check(
        world,
        &spec,
        "0\n1000\n1001\n1001 50\nrefused\n1000:50\n0\n",
        &[
            ("/tmp/z", "file 644 1000:50"),
            ("/tmp/d", "dir 755 1000:1001"),
            ("/tmp/d/e", "file 644 1000:1001"),
            ("/tmp/l", "link 777 1000:1001"),
            ("/tmp/p", "Fifo 644 1000:1001"),
            ("/tmp/u", "file 640 1000:1001"),
            ("/tmp/late", "file 644 1000:1001"),
            ("/tmp/later", "dir 755 1000:1001"),
            ("/tmp/root", "file 644 0:0"),
        ],
    );
    // USER of a step.
    let mut spec = with_accounts(world, "id -u; id -g; id -G; echo x > /tmp/f; cp /tmp/f /tmp/g");
    spec.user = User { uid: 1000, gid: 1500, groups: vec![50, 1500] };
    let owned = "file 644 1000:1500";
    check(world, &spec, "1000\n1500\n1500 50\n", &[("/tmp/f", owned), ("/tmp/g", owned)]);
}

fn new_files(world: &World) {
    // The many ways to make a file, as somebody else.
    let mut spec = with_accounts(world, "/probe --exact probe --nocapture --test-threads=1");
    probe(&mut spec, "make");
    spec.user = User { uid: 1000, gid: 1001, groups: Vec::new() };
    let said = world.say(&spec);
    let said: Vec<_> = said.lines().filter(|line| line.contains("PROBE")).collect();
    assert_eq!(said, ["PROBE made, 4 descriptors close on exec"], "{}", world.out());
    let found = layer_of(world, &spec);
    for name in ["creat", "openat", "openat2", "unnamed", "excl", "relative", "stdlib"] {
        let path = format!("/tmp/{name}");
        assert_eq!(found.get(&path).map(String::as_str), Some("file 640 1000:1001"), "{found:#?}");
    }
}

fn folders(world: &World) {
    let spec = with_accounts(
        world,
        "mkdir /sg; chown 0:50 /sg; chmod 2775 /sg; touch /sg/f; mkdir /sg/d; touch /sg/d/g; \
         ln -s x /sg/l; su zed -c 'touch /sg/z'; chmod 777 /sg; touch /sg/plain; stat -c %a /sg/d",
    );
    check(
        world,
        &spec,
        "2755\n",
        &[
            ("/sg/f", "file 644 0:50"),
            ("/sg/d", "dir 2755 0:50"),
            ("/sg/d/g", "file 644 0:50"),
            ("/sg/l", "link 777 0:50"),
            ("/sg/z", "file 644 1000:50"),
        ],
    );
}

fn nodes(world: &World) {
    let script = "exec 2>/dev/null; mknod /n c 1 3 && test -c /n && stat -c '%F %t:%T' /n && \
                  chown 0:6 /n && mknod -m 600 /b b 259 300 || echo refused; mknod /w c 0 0 || echo refused";
    let spec = world.spec(script);
    // Only where they are mere records: the kernel makes none in a user namespace.
    if world.mode != IdMode::Single {
        assert_eq!(world.say(&spec), "refused\nrefused\n");
        return;
    }
    let said = "character special file 1:3\nrefused\n";
    let nodes = [("/n", "char 1:3 644 0:6"), ("/b", "block 259:300 600 0:0")];
    check(world, &spec, said, &nodes);
    let mut next = world.spec("stat -c '%F %t:%T %u:%g' /n; mv /b /bb; stat -c %F /bb");
    next.lowers.push(spec.upper);
    check(
        world,
        &next,
        "character special file 1:3 0:6\nblock special file\n",
        &[("/bb", "block 259:300 600 0:0")],
    );
    let mut spec = world.spec(script);
    spec.hardening = Hardening::Hardened;
    assert_eq!(world.say(&spec), "refused\nrefused\n");
}

fn chroot(world: &World) {
    let spec = world.spec(
        "mkdir -p /c/bin /c/d; cp /bin/busybox /c/bin/; touch /x /c/x; ln -s /x /c/l; \
         chroot /c /bin/busybox sh -c 'b=/bin/busybox; $b chown 3:4 /l; $b stat -c %u:%g /x; \
         cd /d; $b chown 5:6 ../../../x; $b stat -c %u:%g ../../x /../x'; stat -c %u:%g /x /c/x",
    );
    check(
        world,
        &spec,
        "3:4\n5:6\n5:6\n0:0\n5:6\n",
        &[("/x", "file 644 0:0"), ("/c/x", "file 644 5:6")],
    );
}

// Has the step find this program as `/probe`.
fn probe(spec: &mut Spec, what: &str) {
    let program = std::env::var_os("RBUILD_STEP_STAGE").map(PathBuf::from).unwrap().join("test");
    let kind = MountKind::Bind { source: Source::Path(program), writable: false };
    spec.mounts.push(Mount { target: at("probe"), kind });
    spec.env.push(("RBUILD_STEP_PROBE".into(), what.into()));
}

fn probes(world: &World) {
    let run = "/probe --exact probe --nocapture --test-threads=1";
    let said = |spec: &Spec| {
        let all = world.say(spec);
        let lines: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("PROBE ")).collect();
        lines.join("\n")
    };
    // A set-uid program makes its owner of whoever runs it; a copy without the bit does not.
    let script = format!(
        "cp /probe /suid; cp /probe /sgid; chown 7:8 /suid /sgid; chmod 4755 /suid; chmod 2755 /sgid; \
         su zed -c 'for p in suid sgid probe; do /$p {}; done'",
        &run["/probe ".len()..]
    );
    let mut spec = with_accounts(world, &script);
    probe(&mut spec, "ids");
    assert_eq!(
        said(&spec),
        "1000 7 7 1001 1001 1001\n1000 1000 1000 1001 8 8\n1000 1000 1000 1001 1001 1001"
    );
    // Who becomes somebody else for good cannot come back; who keeps an id can.
    let mut spec = with_accounts(world, run);
    probe(&mut spec, "become");
    assert_eq!(said(&spec), "42 then 0 then 1000, refused");
    let mut spec = with_accounts(world, run);
    probe(&mut spec, "keep");
    assert_eq!(said(&spec), "-1 0 6:12");
    // A listener of the step's own.
    let mut spec = world.spec(run);
    probe(&mut spec, "listen");
    let want = if world.mode == IdMode::Single { "busy" } else { "installed" };
    assert_eq!(said(&spec), want);
    // The limit in which identities are noted.
    let mut spec = with_accounts(world, run);
    probe(&mut spec, "limit");
    spec.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    assert_eq!(said(&spec), "1000");
    if cfg!(target_arch = "x86_64") {
        let mut spec = with_accounts(world, &format!("{run}; stat -c %u:%g /tmp/i386"));
        probe(&mut spec, "i386");
        let all = world.say(&spec);
        if all.contains("PROBE no i386") {
            eprintln!("SKIPPED: this kernel runs no programs for i386");
            return;
        }
        assert!(all.contains("PROBE i386: 21:22 mount refused, io_uring unknown\n"), "{all}");
        assert!(all.contains("\n21:22\n"), "{all}");
    }
}

// The supervisor is killed from outside: the step ends at once, and the builder hears of it.
fn lost(world: &World) {
    let spec = world.spec("echo started; sleep 60; echo over");
    let me = std::process::id();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if status.lines().any(|line| line == format!("PPid:\t{me}")) {
                let pid: i32 = entry.file_name().to_string_lossy().parse().unwrap();
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
    });
    let started = Instant::now();
    let error = world.run(&spec).unwrap_err().to_string();
    killer.join().unwrap();
    assert!(error.contains("was lost"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(world.out(), "started\n");
}

fn timing(world: &World) {
    let mut spec = world.spec("/probe --exact probe --nocapture --test-threads=1");
    probe(&mut spec, "time");
    for line in world.say(&spec).lines() {
        if let Some(line) = line.strip_prefix("PROBE ") {
            eprintln!("NOTE {line}");
        }
    }
}
