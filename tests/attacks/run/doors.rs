//! Doors to the builder and to others: `/proc`, descriptors, processes, sockets (71, 72).

#![allow(unsafe_code, reason = "System V memory, which std does not know")]

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{below, hostile, lines, processes, wrote};
use crate::ground::{Ground, Mode, every_mode};
use crate::harness::{is_root, skip};

#[test]
fn attack_71_nothing_of_the_builder_through_proc() {
    every_mode(|ground| {
        if ground.mode() == Mode::Chroot {
            return nothing_in_proc(ground);
        }
        let token = ground.canary().token().to_owned();
        let text = "FROM busybox\n\
             RUN cat /proc/*/environ /proc/*/cmdline /proc/*/task/*/environ 2>/dev/null | tr '\\0' '\\n'; echo looked\n\
             RUN echo fds; ls /proc/$$/fd; echo all\n\
             RUN for door in root cwd exe; do ls -ld /proc/1/$door/ 2>/dev/null && readlink /proc/1/$door; done; \
                 for file in environ maps mem auxv stack; do head -c 1 /proc/1/$file >/dev/null 2>&1 && test -s /proc/1/$file && echo open $file; done; \
                 for fd in /proc/1/fd/* /proc/1/map_files/*; do readlink $fd && echo open $fd; ls $fd/ 2>/dev/null && echo open $fd; done; echo shut\n\
             RUN set -- /proc/[0-9]*; echo processes $#\n\
             RUN test \"$(tr '\\0' ' ' < /proc/1/cmdline)\" = 'rbuild __sandbox ' && echo plain name\n\
             RUN ! echo x 2>/dev/null > /proc/sysrq-trigger && ! echo x 2>/dev/null > /proc/sys/kernel/core_pattern && echo fixed\n";
        let outcome = ground.build(text).env("CANARY_OF_THE_BUILDER", &token).run();
        let err = outcome.err();
        let lines = lines(&err);
        assert!(!lines.iter().any(|line| line.starts_with("open")), "{}", outcome.story());
        assert!(!err.contains("CANARY_OF_THE"), "{}", outcome.story());
        let fds = lines.iter().position(|line| *line == "fds").expect("the step ran");
        assert_eq!(lines[fds..fds + 5], ["fds", "0", "1", "2", "all"], "{}", outcome.story());
        wrote(&outcome, &["looked", "shut", "processes 2", "plain name", "fixed"]);
    });
}

// Without namespaces there is no `/proc` of processes at all: copies of what is no secret of anybody's.
fn nothing_in_proc(ground: &Ground) {
    let step = hostile::step(ground, "", "descriptors");
    let text = format!(
        "FROM busybox\nRUN cat /proc/*/environ /proc/*/cmdline /proc/self/maps 2>/dev/null | tr '\\0' '\\n'; echo looked\n\
         RUN for file in /proc/* /proc/.*; do echo proc $file; done\n{step}\
         RUN ! echo x 2>/dev/null > /proc/sysrq-trigger/x && ! ls /proc/sys 2>/dev/null && echo fixed\n"
    );
    let token = ground.canary().token().to_owned();
    let outcome = ground.build(&text).env("CANARY_OF_THE_BUILDER", &token).run();
    assert!(!outcome.err().contains("CANARY_OF_THE"), "{}", outcome.story());
    let err = outcome.err();
    for file in lines(&err).iter().filter_map(|line| line.strip_prefix("proc /proc/")) {
        let known = ["cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"];
        let fine = known.contains(&file) || matches!(file, "." | ".." | ".*");
        assert!(fine, "{file}\n{}", outcome.story());
    }
    wrote(&outcome, &["looked", "proc /proc/stat", "open: 0 1 2", "fixed"]);
}

#[test]
fn attack_71_a_working_folder_that_is_a_descriptor() {
    every_mode(|ground| {
        let canary = ground.canary().path().display();
        for number in [3, 8] {
            for folder in ["/proc/self/fd", "/proc/1/fd", "/dev/fd"] {
                let text = format!(
                    "FROM busybox\nWORKDIR {folder}/{number}\nRUN ls ../../../../.. ; cat ../../../../../../..{canary}/secret; pwd\n"
                );
                ground.build(&text).run().survived();
            }
        }
    });
}

#[test]
fn attack_71_the_program_of_the_builder_is_read_only() {
    // A program whose interpreter is `/proc/self/exe` is the builder's own, run in the step; what it
    // starts finds, through `/proc`, the file of the host. There it is read-only, whoever owns it.
    if !is_root() {
        skip("only root can look through the doors of processes that hide");
        return;
    }
    every_mode(|ground| {
        let seconds = format!("71{:05}", std::process::id() % 100_000);
        let attempt = ground.build(&format!("FROM busybox\nRUN sleep {seconds}\n"));
        let mut command = attempt.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program");
        let start = Instant::now();
        while processes(&format!("sleep\0{seconds}")) == 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "the step did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = fs::metadata(ground.place().program()).expect("the program").mode();
        let mut tried = 0;
        for pid in below(child.id()) {
            let door = format!("/proc/{pid}/exe");
            let change = fs::set_permissions(&door, fs::Permissions::from_mode(0o4777));
            let write = fs::File::options().append(true).open(&door);
            let (change, write) = (change.expect_err("it was changed"), write.err());
            assert_eq!(change.kind(), ErrorKind::ReadOnlyFilesystem, "{change}");
            // While it runs; some kernels (6.11, 6.12) do not mind that.
            let refused = [ErrorKind::ReadOnlyFilesystem, ErrorKind::ExecutableFileBusy];
            assert!(write.is_some_and(|error| refused.contains(&error.kind())), "it was written");
            tried += 1;
        }
        child.kill().expect("it runs");
        let _ = child.wait();
        assert_eq!(tried, 3, "what is forked, and the first two processes of the step");
        assert_eq!(fs::metadata(ground.place().program()).expect("the program").mode(), before);
    });
}

/// A process of the user who builds, outside of the build; ends with the test.
struct Victim(Child);

impl Victim {
    fn new(ground: &Ground) -> Victim {
        let place = ground.place();
        let mut command = match ground.mode() {
            Mode::Root | Mode::Chroot => Command::new("sleep"),
            _ => place.who().command("sleep", &place.at("home")),
        };
        Victim(command.arg("7301").spawn().expect("a process"))
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Shared memory of System V that everybody may use; removed with the test.
struct Shared(i32);

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: takes numbers alone.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

#[test]
fn attack_72_processes_outside_are_out_of_reach() {
    every_mode(|ground| {
        let mut victim = Victim::new(ground);
        let key = 0x7262_0000 + (std::process::id() & 0xffff) as i32;
        // SAFETY: takes numbers alone.
        let shared = Shared(unsafe { libc::shmget(key, 64, libc::IPC_CREAT | 0o666) });
        assert!(shared.0 >= 0, "shared memory");
        let step = hostile::step(ground, "", &format!("outside {},{key}", victim.0.id()));
        let outcome = ground.build(&format!("FROM busybox\n{step}")).run();
        if ground.mode() == Mode::Chroot {
            // Exception: they have numbers there, and the container's System V memory is the step's too.
            let want = [
                "kill EPERM",
                "tgkill EPERM",
                "sigqueue EPERM",
                "pidfd_open done",
                "ptrace EPERM",
                "read_memory EPERM",
                "shm done",
                "priority EPERM",
                "mem ENOENT",
                "environ ENOENT",
                "cwd ENOENT",
                "root ENOENT",
                "maps ENOENT",
                "fd ENOENT",
            ];
            wrote(&outcome, &want);
            assert!(victim.alive(), "it was killed");
            return;
        }
        let want = [
            "kill ESRCH",
            "tgkill ESRCH",
            "sigqueue ESRCH",
            "pidfd_open ESRCH",
            "ptrace ESRCH",
            "read_memory ESRCH",
            "shm ENOENT",
            "msg ENOENT",
            "sem ENOENT",
            "priority ESRCH",
            "mem ENOENT",
            "environ ENOENT",
            "cwd ENOENT",
            "root ENOENT",
            "maps ENOENT",
            "fd ENOENT",
        ];
        wrote(&outcome, &want);
        assert!(victim.alive(), "it was killed");
    });
}

#[test]
fn attack_72_abstract_sockets_outside() {
    every_mode(|ground| {
        let name = format!("rbuild-attack-{}-{:?}", std::process::id(), ground.mode());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a socket");
        let text = |flags: &str| {
            let step = hostile::step(ground, flags, &format!("abstract {name}"));
            format!("FROM busybox\n{step}")
        };
        let outcome = ground.build(&text("--network=none")).run();
        // Without namespaces it is there all the same, and Landlock's to close.
        let refused = match ground.mode() {
            Mode::Chroot => "abstract refused: PermissionDenied",
            _ => "abstract refused: ConnectionRefused",
        };
        wrote(&outcome, &[refused]);
        listener.set_nonblocking(true).expect("a socket");
        assert!(listener.accept().is_err(), "somebody came");
        // With the host's network they are there, and Landlock's scope closes them (Linux 6.12).
        wrote(&ground.build(&text("")).run(), &["abstract refused: PermissionDenied"]);
        assert!(listener.accept().is_err(), "somebody came");
    });
}
