//! What a step promises, one function each; run in every mode of ids.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rbuild::base::{Masker, Secret};
use rbuild::event::Stream;
use rbuild::sandbox::{
    Cancel, Error, FileMount, Hardening, Isolation, Mount, MountKind, Network, Outcome, Source,
    User,
};

use crate::sleeping;
use crate::world::{Case, World, at, names, upper_of};

/// By name.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("status", status),
    ("identity", identity),
    ("owners", owners),
    ("devices", devices),
    ("namespaces", namespaces),
    ("powers", powers),
    ("calls", calls),
    ("network", network),
    ("mounts", mounts),
    ("stubs", stubs),
    ("secrets", secrets),
    ("output", output),
    ("exec_errors", exec_errors),
    ("symlinked_folders", symlinked_folders),
    ("daemons", daemons),
    ("keepers", keepers),
    ("first_process", first_process),
    ("launcher", launcher),
    ("cancelled", cancelled),
    ("overlay", overlay),
    ("hold", hold),
    ("timing", timing),
];

const NOTHING: [&str; 0] = [];

fn status(world: &World) {
    assert_eq!(world.run(&world.spec("exit 42")).unwrap(), Outcome::Exited(42));
    assert_eq!(world.run(&world.spec("kill -9 $$")).unwrap(), Outcome::Signaled(9));
    assert_eq!(world.script("umask; pwd; echo $0"), "0022\n/\n/bin/sh\n");
    // Landlock may forbid this.
    assert_eq!(
        world.script("mkdir /a /b; echo x > /a/f; ln /a/f /b/g && mv /a/f /b/h && cat /b/*"),
        "x\nx\n"
    );
    let mut spec = world.spec("");
    spec.argv = vec![b"env".to_vec()];
    assert_eq!(world.say(&spec), "PATH=/bin\nHOME=/root\n");
    let stdin =
        "for n in 0 1 2; do test -t $n && echo $n; done; if read x; then echo got; fi; echo eof";
    assert_eq!(world.script(stdin), "eof\n");
    let mut spec = world.spec("pwd; touch here");
    spec.cwd = at("w/deep");
    assert_eq!(world.say(&spec), "/w/deep\n");
    assert_eq!(names(&spec), ["w", "w/deep", "w/deep/here"]);
    // SIGPIPE kills again, though the runtime of this program ignores it.
    let mut spec = world.spec("");
    spec.argv = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"].map(Vec::from).to_vec();
    assert_eq!(world.say(&spec), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

fn identity(world: &World) {
    assert_eq!(world.script("id -u; id -g"), "0\n0\n");
    let user = User { uid: 1000, gid: 1500, groups: vec![1500, 50] };
    let mut spec = world.spec("id -u; id -g; echo x > /tmp/f; stat -c %u:%g /tmp/f");
    spec.user = user.clone();
    assert_eq!(world.say(&spec), "1000\n1500\n1000:1500\n");
    let owner = upper_of(&spec)["tmp/f"].clone();
    if !world.mode.has_many() {
        // The kernel knows one; what is recorded beside it is shown in `owned`.
        assert_eq!(owner, "100644 0:0");
        return;
    }
    assert_eq!(owner, "100644 1000:1500");
    let mut spec = world.spec(
        "id -G; echo x > /etc/f && echo wrote; grep CapEff /proc/self/status; echo y > /dev/stderr",
    );
    spec.user = user;
    let said = world.say(&spec);
    assert!(said.contains("1500 50\n") && !said.contains("wrote"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000\n") && said.contains("y\n"), "{said}");
}

fn owners(world: &World) {
    if !world.mode.has_many() {
        return;
    }
    let spec = world.spec("for i in 1 33 1000 65533; do touch /f$i; chown $i:$i /f$i; done");
    world.say(&spec);
    let upper = upper_of(&spec);
    for id in [1, 33, 1000, 65533] {
        assert_eq!(upper[&format!("f{id}")], format!("100644 {id}:{id}"));
    }
}

fn devices(world: &World) {
    let said = world.script(
        "exec 2>/dev/null; echo x > /dev/null && head -c 4 /dev/zero | wc -c; \
         head -c 8 /dev/urandom | wc -c; \
         for d in null zero full random urandom; do test -c /dev/$d || echo no $d; done; \
         test -L /dev/stdout && test -e /dev/fd/0 && test -c /dev/ptmx && echo links; \
         grep -c ' /dev/pts devpts' /proc/mounts; echo x > /dev/shm/f; cat /dev/shm/f; \
         dd if=/dev/zero of=/dev/shm/g bs=64k count=64 || echo full; \
         echo x > /proc/sys/kernel/hostname || echo refused; cat /proc/kcore | wc -c; \
         ls /sys/firmware | wc -l; hostname; cat /etc/hosts /etc/resolv.conf; \
         touch /sys/x || echo sys; ls -d /proc/[0-9]* | wc -l",
    );
    let said: Vec<&str> = said.lines().collect();
    // Also behind the fence, which a file of another root is not beneath.
    assert_eq!(world.script("cat /dev/stdin && echo ok; echo x | cat /dev/stdin"), "ok\nx\n");
    let want = [
        "4",
        "8",
        "links",
        "1",
        "x",
        "full",
        "refused",
        "0",
        "0",
        "step",
        "127.0.0.1 localhost",
        "nameserver 192.0.2.1",
        "sys",
        "4",
    ];
    assert_eq!(said, want);
}

fn namespaces(world: &World) {
    let said = world.script("for n in mnt pid ipc uts cgroup; do readlink /proc/self/ns/$n; done");
    for (name, inside) in ["mnt", "pid", "ipc", "uts", "cgroup"].iter().zip(said.lines()) {
        let here = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(here.to_str().unwrap(), inside);
    }
    // Nothing of the host's tree is left, only the tree and what the kernel makes up.
    let mounts = world.script("cat /proc/mounts");
    for line in mounts.lines() {
        let kind = line.split(' ').nth(2).unwrap();
        let at = line.split(' ').nth(1).unwrap();
        let known = ["overlay", "proc", "tmpfs", "devtmpfs", "devpts", "mqueue"].contains(&kind)
            || at.starts_with("/sys");
        assert!(known, "{line}");
    }
}

fn powers(world: &World) {
    let said = world.script("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status");
    let want = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
                CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n";
    assert_eq!(said, want);
    let mut spec = world.spec("grep CapEff /proc/self/status");
    spec.hardening = Hardening::Hardened;
    assert_eq!(world.say(&spec), "CapEff:\t00000000800405fb\n");
}

fn calls(world: &World) {
    let said = world.script(
        "exec 2>/dev/null; mount -t tmpfs x /tmp || echo mount; unshare -U true || echo userns; \
         unshare -m true || echo mountns; chroot / /bin/true && echo chroot; \
         hostname other || echo hostname",
    );
    assert_eq!(said, "mount\nuserns\nmountns\nchroot\nhostname\n");
}

fn network(world: &World) {
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    let mut spec =
        world.spec("cat /sys/class/net/lo/flags; ls /sys/class/net; readlink /proc/self/ns/net");
    spec.network = Network::None;
    let said = world.say(&spec);
    // IFF_UP and IFF_LOOPBACK.
    assert!(said.starts_with("0x9\n"), "{said}");
    assert!(!said.contains("eth") && !said.contains(here.to_str().unwrap()), "{said}");
    assert_eq!(world.script("readlink /proc/self/ns/net").trim(), here.to_str().unwrap());
}

fn mounts(world: &World) {
    let context = world.home.join("context");
    fs::create_dir_all(context.join("d")).unwrap();
    fs::write(context.join("f"), "from context\n").unwrap();
    let other = world.home.join("other");
    fs::create_dir_all(other.join("o")).unwrap();
    fs::write(other.join("o/x"), "stage\n").unwrap();
    symlink("/o", other.join("link")).unwrap();
    let cache = world.home.join("cache");
    fs::create_dir_all(&cache).unwrap();

    let bind = |source: Source, writable| MountKind::Bind { source, writable };
    let tree = |path: &str| Source::Tree {
        lowers: vec![world.base.clone(), other.clone()],
        path: at(path),
    };
    let mut spec = world.spec(
        "exec 2>/dev/null; cat /m/f /one; ls /m/d; cat /t/x /tx; echo no > /m/new || echo refused; \
         echo changed > /w/f && cat /w/f; echo more > /tw/x && cat /tw/x; echo kept > /c/f; \
         echo changed > /wf && cat /wf; ls /m/d | wc -l; \
         dd if=/dev/zero of=/m/d/f bs=64k count=64 || echo full",
    );
    let handle = Source::Handle(Arc::new(fs::File::open(&cache).unwrap().into()));
    let folder = || Source::Path(context.clone());
    let file = || Source::Path(context.join("f"));
    spec.mounts = vec![
        // Deeper first: it has to be visible all the same.
        Mount { target: at("m/d"), kind: MountKind::Tmpfs { size: Some(1 << 20) } },
        Mount { target: at("m"), kind: bind(folder(), false) },
        Mount { target: at("one"), kind: bind(file(), false) },
        Mount { target: at("t"), kind: bind(tree("link"), false) },
        Mount { target: at("tx"), kind: bind(tree("o/x"), false) },
        Mount { target: at("w"), kind: bind(folder(), true) },
        Mount { target: at("wf"), kind: bind(file(), true) },
        Mount { target: at("tw"), kind: bind(tree("o"), true) },
        Mount { target: at("c"), kind: MountKind::Cache { source: handle, readonly: false } },
    ];
    assert_eq!(
        world.say(&spec),
        "from context\nfrom context\nstage\nstage\nrefused\nchanged\nmore\nchanged\n0\nfull\n"
    );
    assert_eq!(fs::read_to_string(context.join("f")).unwrap(), "from context\n");
    assert_eq!(fs::read_to_string(other.join("o/x")).unwrap(), "stage\n");
    assert_eq!(fs::read_to_string(cache.join("f")).unwrap(), "kept\n");
    assert_eq!(names(&spec), NOTHING);

    let mut spec = world.spec("true");
    spec.mounts = vec![Mount { target: at("x"), kind: bind(tree("nope"), false) }];
    assert!(world.run(&spec).unwrap_err().to_string().contains("nope"));
    let mut spec = world.spec("true");
    spec.mounts = vec![Mount { target: at("/"), kind: bind(folder(), false) }];
    assert!(world.run(&spec).unwrap_err().to_string().contains("target of a mount"));
}

fn stubs(world: &World) {
    // Mount points vanish; what the step did around them stays.
    let mut spec = world.spec("echo x >> /etc/hosts; touch /deep/er/kept; test -e /run/secrets/s");
    let file = |mode| MountKind::File(FileMount { content: b"x".to_vec(), uid: 0, gid: 0, mode });
    spec.mounts = vec![
        Mount { target: at("deep/er/file"), kind: file(0o444) },
        Mount { target: at("deep/tmp"), kind: MountKind::Tmpfs { size: None } },
        Mount { target: at("run/secrets/s"), kind: file(0o400) },
    ];
    let before = fs::metadata(world.base.join("etc")).unwrap();
    world.say(&spec);
    assert_eq!(names(&spec), ["deep", "deep/er", "deep/er/kept"]);
    // A folder that came to the upper for other reasons is as it was.
    let spec = world.spec("echo x >> /etc/passwd");
    world.say(&spec);
    assert_eq!(names(&spec), ["etc", "etc/passwd"]);
    let after = fs::metadata(spec.upper.join("etc")).unwrap();
    assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
    assert_eq!(after.mode(), before.mode());
    // A step that changes the folder itself keeps its time.
    let spec = world.spec("touch /etc/own");
    world.say(&spec);
    let after = fs::metadata(spec.upper.join("etc")).unwrap();
    assert_ne!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
    assert_eq!(names(&spec), ["etc", "etc/own"]);
    // A symlink in the image leads to the place in the image.
    let link = world.home.join("link");
    fs::create_dir_all(link.join("etc")).unwrap();
    symlink("../run/deep/resolv.conf", link.join("etc/resolv.conf")).unwrap();
    symlink("/var/hosts", link.join("etc/hosts")).unwrap();
    let mut spec = world.spec("cat /etc/resolv.conf /run/deep/resolv.conf /etc/hosts");
    spec.lowers.push(link);
    let said = world.say(&spec);
    assert_eq!(said, "nameserver 192.0.2.1\nnameserver 192.0.2.1\n127.0.0.1 localhost\n");
    assert_eq!(names(&spec), NOTHING);
}

fn secrets(world: &World) {
    const VALUE: &str = "s3cr3t-VALUE-of-the-test";
    let secret = Arc::new(Secret::new(VALUE.as_bytes().to_vec()));
    let masker = Masker::new();
    masker.add(&secret);
    let mut spec = world.spec(
        "exec 2>/dev/null; stat -c '%a %u:%g' /run/secrets/tok; wc -c < /run/secrets/tok; \
         cat /run/secrets/tok; echo; echo ${#TOKEN}; printf %s s3cr3t-; sleep 0.2; \
         printf '%s\\n' VALUE-of-the-test; echo x > /run/secrets/tok || echo refused; \
         cat /proc/1/environ /proc/1/cmdline | grep -c VALUE; grep /run/secrets/tok /proc/mounts",
    );
    let (uid, gid) = (1000, 1500);
    let file = FileMount { content: secret.clone(), uid, gid, mode: 0o440 };
    spec.mounts = vec![Mount { target: at("run/secrets/tok"), kind: MountKind::Secret(file) }];
    spec.secret_env = vec![("TOKEN".into(), secret)];
    let ended = world.run_with(&spec, &masker, &Cancel::new()).unwrap();
    let said = world.out();
    assert_eq!(ended, Outcome::Exited(0), "{said}");
    let want = format!("440 {uid}:{gid}\n24\n***\n24\n***\nrefused\n0\n");
    assert!(said.starts_with(&want), "{said}");
    assert!(said.contains("ramfs ro,nosuid,nodev"), "{said}");
    assert_eq!(names(&spec), NOTHING);
    // No file of the store or of the step holds it.
    let found = Command::new("grep").args(["-rl", VALUE]).arg(&world.home).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

fn output(world: &World) {
    let spec = world.spec("echo out; echo err >&2; printf 'no newline'");
    assert_eq!(world.run(&spec).unwrap(), Outcome::Exited(0));
    let lines = world.lines.borrow().clone();
    assert!(lines.contains(&(Stream::Stdout, "out".into())));
    assert!(lines.contains(&(Stream::Stderr, "err".into())));
    assert!(lines.contains(&(Stream::Stdout, "no newline".into())));
    // More than a pipe holds, right before the end.
    let said = world.script("head -c 3000000 /dev/zero | tr '\\0' y; echo; echo end");
    assert_eq!(said.bytes().filter(|byte| *byte == b'y').count(), 3_000_000);
    assert!(said.ends_with("end\n"));
}

fn exec_errors(world: &World) {
    for (name, text, mode) in [
        ("s", "#!/nonesuch\n", 0o755),
        ("plain", "#!/bin/sh\n", 0o644),
        ("data", "just text\n", 0o755),
    ] {
        fs::write(world.base.join(name), text).unwrap();
        fs::set_permissions(world.base.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let error = |argv: &[&str], cwd: &str| {
        let mut spec = world.spec("");
        spec.argv = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        spec.cwd = at(cwd);
        world.run(&spec).unwrap_err().to_string()
    };
    assert_eq!(error(&["/nonesuch"], "/"), "cannot execute `/nonesuch`: no such file or directory");
    assert_eq!(
        error(&["nonesuch"], "/"),
        "cannot execute `nonesuch`: executable file not found in `$PATH`"
    );
    assert!(error(&["/s"], "/").contains("no such file or directory: the file is there"));
    assert_eq!(error(&["/plain"], "/"), "cannot execute `/plain`: permission denied");
    assert!(error(&["/data"], "/").contains("exec format error"));
    assert!(error(&["/bin/sh"], "/plain").contains("not a directory"));
}

fn symlinked_folders(world: &World) {
    for name in ["dev", "proc", "sys", "etc", "run"] {
        let layer = world.home.join(format!("bad-{name}"));
        fs::create_dir_all(&layer).unwrap();
        symlink("/tmp", layer.join(name)).unwrap();
        let mut spec = world.spec("true");
        spec.lowers.push(layer);
        let error = world.run(&spec).unwrap_err().to_string();
        assert!(error.contains("a symlink in the image"), "{error}");
    }
}

fn daemons(world: &World) {
    // Holds the output open, ignores signals, has left the session.
    let marker = format!("47{}", std::process::id());
    let started = Instant::now();
    let said = world.script(&format!(
        "setsid sh -c 'trap \"\" HUP TERM INT; sleep {marker}' & sleep 0.1; echo ok"
    ));
    assert_eq!(said, "ok\n");
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(sleeping(&marker), 0);
    // They are gone before the step's mounts, too.
    for round in 0..20 {
        let script = format!("for i in 1 2 3; do setsid sleep {marker} & done; exit {round}");
        let (outcome, _, leaving) = world.run_watched(&world.spec(&script)).unwrap();
        assert_eq!((outcome, sleeping(&marker)), (Outcome::Exited(round), 0));
        drop(leaving);
    }
    if world.isolation == Isolation::SharedPids {
        return; // the zombies of others are seen
    }
    // Orphans are reaped while the step runs.
    let orphans = "for i in 1 2 3 4 5; do (true & ); done; sleep 0.2; \
                   grep -l 'State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(world.script(orphans), "0\n");
}

// Without a pid namespace the processes above a step are seen, and those of others too.
fn keepers(world: &World) {
    let builder = std::process::id();
    // They end by themselves where this test fails.
    let marker = format!("30.{builder}");
    world.script(&format!(
        "(i=0; while [ $i -lt 200 ]; do i=$((i+1)); sh -c 'sleep {marker} & sleep {marker} &'; \
         sleep 0.01; done) & sleep 0.2"
    ));
    // Processes that multiply while the step ends end with it all the same.
    assert_eq!(sleeping(&marker), 0);
    // The last one only where it is harmless: it would be the end of this machine's processes.
    let said = world.script(&format!(
        "ls -d /proc/{builder} >/dev/null 2>&1 && echo seen; \
         cat /proc/{builder}/environ 2>/dev/null | wc -c; \
         kill -0 $PPID 2>/dev/null && echo keeper; \
         if kill -0 {builder} 2>/dev/null; then echo reached; else kill -9 -1 2>/dev/null; fi; echo alive"
    ));
    if world.isolation == Isolation::Namespaces {
        assert_eq!(said, "0\nalive\n");
        return;
    }
    // Signals stay inside where Landlock has scopes (Linux 6.12).
    match landlock_revision() {
        0..6 => eprintln!("SKIPPED: this kernel's Landlock has no scopes"),
        _ => assert_eq!(said, "seen\n0\nalive\n"),
    }
}

fn landlock_revision() -> i64 {
    // landlock_create_ruleset(2) of no attributes with the flag VERSION.
    // SAFETY: no memory is read with these arguments.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, 1u32) }
}

fn first_process(world: &World) {
    let said = world.script(
        "exec 2>/dev/null; tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/1/environ | wc -c; \
         for f in /proc/1/fd/*; do readlink $f; done | wc -l; readlink /proc/1/exe /proc/1/root; ls /proc/self/fd | wc -l",
    );
    assert_eq!(said, "rbuild __sandbox \n0\n0\n4\n");
}

// One process is forked for all steps; what becomes of it is no step's end but of those that run.
fn launcher(world: &World) {
    let run = || assert_eq!(world.run(&world.spec("exit 0")).unwrap(), Outcome::Exited(0));
    run();
    let first = launched();
    run();
    assert_eq!(launched(), first);
    signal(first, libc::SIGSTOP);
    run();
    assert_eq!(launched(), first);
    signal(first, libc::SIGKILL);
    while PathBuf::from(format!("/proc/{first}")).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    run();
    let second = launched();
    assert_ne!(second, first);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        signal(second, libc::SIGKILL);
    });
    let ended = world.run(&world.spec("sleep 1.5; exit 7"));
    killer.join().unwrap();
    match world.isolation {
        Isolation::Namespaces => assert!(matches!(ended, Err(Error::Lost(_))), "{ended:?}"),
        // Its processes are kept by themselves.
        _ => assert_eq!(ended.unwrap(), Outcome::Exited(7)),
    }
    run();
}

// The one process below this one that is forked.
fn launched() -> u32 {
    let lists = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let all = lists.collect::<String>();
    let ours = |pid: &&str| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"rbuild\0__sandbox\0")
    };
    let found: Vec<u32> =
        all.split_whitespace().filter(ours).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(found.len(), 1, "{all}");
    found[0]
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: numbers alone.
    unsafe { libc::kill(pid as i32, signal) };
}

fn cancelled(world: &World) {
    let cancel = Cancel::new();
    let later = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        later.cancel();
    });
    let spec = world.spec("trap 'echo asked; exit 3' TERM; while true; do sleep 0.05; done");
    let started = Instant::now();
    let ended = world.run_with(&spec, &Masker::new(), &cancel).unwrap();
    assert_eq!(ended, Outcome::Cancelled);
    assert!(world.out().contains("asked"), "{}", world.out());
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(world.run_with(&spec, &Masker::new(), &cancel).unwrap(), Outcome::Cancelled);
}

fn overlay(world: &World) {
    let top = world.home.join("top");
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::write(top.join("etc/passwd"), "top\n").unwrap();
    let tree = rbuild::sys::overlay_mount(&[world.base.clone(), top], None).unwrap();
    let path = |name: &str| PathBuf::from(format!("/proc/self/fd/{}/{name}", tree.as_raw_fd()));
    assert_eq!(fs::read_to_string(path("etc/passwd")).unwrap(), "top\n");
    assert!(path("bin/busybox").exists());
    assert!(fs::write(path("etc/x"), "").is_err());
    drop(tree);
    // FROM scratch: nothing below.
    let mut spec = world.spec("");
    spec.lowers.clear();
    spec.argv = vec![b"/m/bin/busybox".to_vec(), b"mkdir".to_vec(), b"/made".to_vec()];
    let source = Source::Path(world.base.clone());
    spec.mounts =
        vec![Mount { target: at("m"), kind: MountKind::Bind { source, writable: false } }];
    world.say(&spec);
    assert_eq!(names(&spec), ["made"]);
    // Many layers.
    let many: Vec<PathBuf> = (0..150)
        .map(|number| {
            let layer = world.home.join(format!("l{number}"));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join(format!("f{number}")), "").unwrap();
            layer
        })
        .collect();
    let mut spec = world.spec("ls / | grep -c ^f");
    spec.lowers.extend(many);
    assert_eq!(world.say(&spec), "150\n");
}

// Runs until somebody kills it.
fn hold(world: &World) {
    let marker = std::env::var("RBUILD_STEP_MARKER").unwrap();
    let _ = world.run(&world.spec(&format!("setsid sleep {marker} & sleep {marker}")));
}

fn timing(world: &World) {
    for network in [Network::Host, Network::None] {
        let specs: Vec<_> = (0..20)
            .map(|_| {
                let mut spec = world.spec("true");
                spec.network = network;
                spec
            })
            .collect();
        let started = Instant::now();
        for spec in &specs {
            world.say(spec);
        }
        eprintln!("NOTE a trivial step with network {network:?}: {:?}", started.elapsed() / 20);
    }
}
