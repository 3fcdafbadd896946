//! What a step may ask of the kernel, the terminal, the network, the image's programs (76 to 79).

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{hostile, lines, wrote};
use crate::ground::{Mode, every_mode};
use crate::harness::have;

/// Calls that the kernel has an answer to, and those that are as good as unknown.
const NOT_PERMITTED: &[&str] = &[
    "bpf",
    "keyctl",
    "add_key",
    "request_key",
    "unshare",
    "unshare_mnt",
    "unshare_net",
    "clone_user",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "open_tree",
    "move_mount",
    "fsopen",
    "mount_setattr",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "syslog",
    "settimeofday",
    "clock_settime",
    "sethostname",
    "open_by_handle_at",
    "fanotify_init",
    "perf_event_open",
    "userfaultfd",
    "pidfd_getfd",
    "personality",
    "socket_alg",
    "socket_vsock",
    "tiocsti",
    "tioclinux",
];
const UNKNOWN: &[&str] = &[
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "clone3",
    "x32_getpid",
    "x32_io_uring",
    "unborn",
];

#[test]
fn attack_76_calls_and_powers() {
    every_mode(|ground| {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").expect("a /proc");
        let binfmt = fs::read_dir("/proc/sys/fs/binfmt_misc").map_or(0, Iterator::count);
        let step = hostile::step(ground, "", "calls");
        let powers = hostile::step(ground, "", "powers");
        let text = format!(
            "FROM busybox\n{step}{powers}\
             RUN grep Cap /proc/self/status; echo x 2>/dev/null > /proc/sys/kernel/hostname || echo sysctl refused; \
                 echo x 2>/dev/null > /proc/sys/vm/drop_caches || echo drop refused; mknod /sda b 8 0 2>/dev/null; test -n \"$(head -c 1 /sda 2>/dev/null)\" && echo disk; \
                 mount -t tmpfs x /tmp 2>/dev/null || echo mount refused; \
                 for file in /sys/fs/cgroup/cgroup.procs /sys/kernel/uevent_helper /sys/power/state; do echo 0 2>/dev/null > $file && echo wrote $file; done; \
                 mkdir /sys/fs/cgroup/x 2>/dev/null && echo made a cgroup; \
                 cat /proc/self/cgroup; echo all\n"
        );
        let outcome = ground.build(&text).run();
        let err = outcome.err();
        let said = lines(&err);
        let story = outcome.story();
        for (names, want) in [(NOT_PERMITTED, "EPERM"), (UNKNOWN, "ENOSYS")] {
            for name in names {
                assert!(said.contains(&format!("{name} {want}").as_str()), "{name}\n{story}");
            }
        }
        // The numbers of i386: the harmless are answered, or the process would have been killed.
        for line in said.iter().filter_map(|line| line.strip_prefix("i386_")) {
            let (name, answer) = line.split_once(' ').expect("name and answer");
            let fine = if name == "getpid" {
                answer == "done"
            } else {
                ["EPERM", "ENOSYS"].contains(&answer)
            };
            assert!(fine, "i386 {line}\n{story}");
        }
        if cfg!(target_arch = "x86_64") {
            assert!(said.contains(&"i386_clone3 ENOSYS"), "{story}");
        }
        assert!(
            !said.iter().any(|line| line.starts_with("wrote")
                || line.starts_with("made")
                || *line == "disk"),
            "{story}"
        );
        // Debuggers work on one's own.
        let mut want = vec![
            "traceme exit 0",
            "sysctl refused",
            "drop refused",
            "mount refused",
            "all",
            "CapInh 0000000000000000",
        ];
        want.extend(match ground.mode() {
            // There is no /proc/self; KILL, NET_RAW, SYS_CHROOT, MKNOD are missing, and no program gives
            // any back.
            Mode::Chroot => {
                ["CapEff 00000000a00005db", "CapBnd 00000000a00005db", "no_new_privs 1"].as_slice()
            }
            _ => &[
                "CapEff 00000000a80425fb",
                "CapBnd 00000000a80425fb",
                "CapAmb:\t0000000000000000",
                "CapEff:\t00000000a80425fb",
                "0::/",
            ],
        });
        wrote(&outcome, &want);
        assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("a /proc"), hostname);
        assert_eq!(fs::read_dir("/proc/sys/fs/binfmt_misc").map_or(0, Iterator::count), binfmt);
    });
}

#[test]
fn attack_76_more_than_docker_gives_needs_a_grant() {
    every_mode(|ground| {
        for (flag, said) in [
            ("--security=insecure", "security.insecure"),
            ("--network=host", "network.host"),
            ("--device=vendor.com/device", "device"),
        ] {
            let text = format!("FROM busybox\nRUN {flag} true\n");
            ground.build(&text).run().refused(&[said]);
        }
    });
}

#[test]
fn attack_77_what_a_step_prints() {
    every_mode(|ground| {
        // 24 MiB in one line; then all that a terminal obeys, and bytes that are no text.
        let text = "FROM busybox\n\
             RUN dd if=/dev/zero bs=1M count=24 2>/dev/null | tr '\\0' 'x'; echo; \
                 printf '\\033]0;title\\007\\033[2J\\033[Hred \\033]52;c;ZXZpbA==\\007\\033P1$r\\033\\\\ a\\rb \\200\\377\\376 \\302\\233 \\342\\200\\256x\\n' ; \
                 printf 'hidden\\n\\0\\001\\002end\\n'\n";
        let outcome = ground.build(text).bounds(120, 128 << 20).run();
        let err = outcome.err();
        for (number, line) in err.lines().enumerate() {
            assert!(line.len() <= 70_000 * 3, "line {number} has {} bytes", line.len());
            let plain = line.replace('\t', "");
            let mut rest = plain.as_str();
            // A colour may stay, nothing else that steers.
            while let Some((before, after)) = rest.split_once('\x1b') {
                assert!(!before.contains(char::is_control), "{line:?}");
                let end = after.find('m').expect("a colour has an end");
                assert!(
                    after.starts_with('[')
                        && after[1..end].bytes().all(|b| b.is_ascii_digit() || b == b';'),
                    "{line:?}"
                );
                rest = &after[end..];
            }
            assert!(!rest.contains(char::is_control), "{line:?}");
        }
        outcome.built();
    });
}

#[test]
fn attack_77_the_terminal_of_the_builder() {
    if !have(&["script"]) {
        return;
    }
    every_mode(|ground| {
        let step = hostile::step(ground, "", "terminal");
        let attempt = ground.build(&format!("FROM busybox\n{step}RUN ls -l /dev/tty /dev/console 2>&1 | wc -l; (: < /dev/tty) 2>/dev/null && echo a terminal; tty 2>/dev/null; echo looked\n"));
        // On a terminal: `script` makes one, and the program is its foreground job.
        let command = attempt.command();
        let mut words = vec![command.get_program().to_owned()];
        words.extend(command.get_args().map(ToOwned::to_owned));
        let quoted: Vec<String> =
            words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &quoted.join(" "), "/dev/null"]);
        script.current_dir(ground.place().path()).env_clear();
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = crate::harness::run(&mut script, Duration::from_secs(60));
        let said = done.out();
        for line in
            ["type 0 EPERM", "type 1 EPERM", "type 2 EPERM", "tty none", "session own", "looked"]
        {
            assert!(said.contains(&format!("| {line}")), "{line}\n{said}");
        }
        assert!(!said.contains("| a terminal"), "{said}");
        let _ = fs::remove_dir_all(ground.place().at("image.oci"));
    });
}

#[test]
fn attack_78_no_network_is_no_network() {
    every_mode(|ground| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
        server.set_nonblocking(true).expect("a socket");
        let address = server.local_addr().expect("an address");
        let asked = hostile::step(ground, "--network=none", &format!("tcp {address}"));
        let plain = hostile::step(ground, "", &format!("tcp {address}"));
        let text = format!(
            "FROM busybox\n{asked}\
             RUN --network=none test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo && echo only lo\n\
             RUN --network=none test -z \"$(ip route)\" && ! ping -c 1 -W 1 192.0.2.1 2>/dev/null && echo no way out\n\
             RUN --network=none ! nc -w 20 no-such-host.example.com 80 </dev/null 2>/dev/null; echo asked\n"
        );
        let started = Instant::now();
        // Exception: without namespaces there is no loopback device either, and no word of devices;
        // such sockets are refused.
        let chroot = ground.mode() == Mode::Chroot;
        let (text, refused, more) = match chroot {
            true => {
                let known = text.lines().filter(|line| !line.contains("/proc/net/dev"));
                (known.collect::<Vec<_>>().join("\n"), "tcp refused: PermissionDenied", None)
            }
            false => (text, "tcp refused: ConnectionRefused", Some("only lo")),
        };
        let want: Vec<&str> = [refused, "no way out", "asked"].into_iter().chain(more).collect();
        wrote(&ground.build(&text).run(), &want);
        assert!(started.elapsed() < Duration::from_secs(15), "names fail at once");
        assert!(server.accept().is_err(), "somebody came");
        // The same for a whole build; and the way to tell is a good one.
        let outcome = ground
            .build(&format!("FROM busybox\n{plain}"))
            .arg("--network=none")
            .arg("--no-cache")
            .run();
        wrote(&outcome, &[refused]);
        wrote(&ground.build(&format!("FROM busybox\n{plain}")).run(), &["tcp reached"]);
        assert!(server.accept().is_ok());
    });
}

#[test]
fn attack_79_nothing_of_the_image_runs_outside() {
    every_mode(|ground| {
        let place = ground.place();
        let canary = ground.canary().path().display().to_string();
        // Whatever the builder might call by name or path, or load: each would leave a mark on the
        // host, if it ran there.
        let evil = format!(
            "#!/bin/busybox sh\necho owned > {canary}/owned; echo owned > {canary}/open; echo owned by $0\nexec /bin/busybox sh \"$@\"\n"
        );
        place.file("ctx/evil", &evil);
        place.file("ctx/file", "x");
        let names = "/bin/git /usr/bin/git /usr/bin/newuidmap /usr/bin/newgidmap /usr/bin/tar /usr/bin/gzip /bin/chown /sbin/ldconfig \
             /usr/bin/getent /usr/bin/docker-credential-desktop /lib/libnss_evil.so.2 /lib64/ld-linux-x86-64.so.2 /usr/bin/qemu-aarch64-static /usr/bin/rbuild";
        let text = format!(
            "FROM busybox\n\
             COPY --chmod=0755 evil /evil\n\
             RUN mkdir -p /usr/bin /sbin /lib /lib64; for name in {names}; do cp /evil $name; done; \
                 echo 'passwd: evil files' > /etc/nsswitch.conf; echo /lib/libnss_evil.so.2 > /etc/ld.so.preload; echo 'hosts: evil' >> /etc/nsswitch.conf; \
                 echo 'app:x:1234:1234::/home/app:/evil' >> /etc/passwd; echo 'app:x:1234:' >> /etc/group; \
                 rm /bin/sh && cp /evil /bin/sh\n\
             ENV LD_PRELOAD=/lib/libnss_evil.so.2 PATH=/usr/bin:/bin LD_LIBRARY_PATH=/lib GIT_EXEC_PATH=/usr/bin\n\
             COPY --chown=app:app file /owned-by-app\n\
             WORKDIR /home/app\n\
             RUN echo still a shell\n"
        );
        let outcome = ground.build(&text).run();
        outcome.says(&["owned by /bin/sh", "| still a shell"]);
        let image = outcome.built();
        assert_eq!(image.tree["owned-by-app"].owner, (1234, 1234));
        assert!(!place.at("canary/owned").exists());
    });
}
