//! A program for steps that makes the kernel calls which no shell makes: this test program itself,
//! which a step runs from a bind mount of its context.

#![allow(unsafe_code, reason = "raw system calls are what this file is about")]

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::ground::Ground;

/// What a step does; the name of a test here with its arguments in a variable.
const WHAT: &str = "HOSTILE";

/// A line of a Dockerfile in which a step does `what`. The context gets the program.
pub(super) fn step(ground: &Ground, flags: &str, what: &str) -> String {
    let place = ground.place();
    let program = place.at("ctx/hostile");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
    }
    format!(
        "RUN {flags} --mount=source=hostile,target=/hostile {WHAT}='{what}' /hostile --exact run::hostile::inside --nocapture --test-threads=1 | grep -v '^running\\|^test \\|^$'\n"
    )
}

/// Not a test of its own: what a step runs.
#[test]
fn inside() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let (what, arguments) = what.split_once(' ').unwrap_or((&what, ""));
    let say = match what {
        "calls" => calls(),
        "abstract" => connect_abstract(arguments),
        "outside" => outside(arguments),
        "agent" => agent(arguments),
        "tcp" => tcp(arguments),
        "terminal" => terminal(),
        "hold" => hold(),
        "powers" => powers(),
        "descriptors" => descriptors(),
        other => format!("unknown: {other}\n"),
    };
    // Not `print!`: the test runner would put its own words in front.
    let _ = std::io::stdout().write_all(format!("\n{say}").as_bytes());
}

fn errno(got: i64) -> String {
    if got >= 0 {
        return "done".to_owned();
    }
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    match error {
        libc::EPERM => "EPERM".to_owned(),
        libc::ENOSYS => "ENOSYS".to_owned(),
        libc::EACCES => "EACCES".to_owned(),
        libc::ESRCH => "ESRCH".to_owned(),
        libc::ENOENT => "ENOENT".to_owned(),
        libc::EINVAL => "EINVAL".to_owned(),
        libc::ECONNREFUSED => "ECONNREFUSED".to_owned(),
        libc::ENXIO => "ENXIO".to_owned(),
        libc::ENOTTY => "ENOTTY".to_owned(),
        other => format!("errno {other}"),
    }
}

fn call(number: i64, arguments: [i64; 5]) -> String {
    let [a, b, c, d, e] = arguments;
    // SAFETY: every call made here is refused before it looks at its arguments, or takes numbers.
    errno(unsafe { libc::syscall(number, a, b, c, d, e) })
}

/// Calls that a build has no business with, and the answer to each.
fn calls() -> String {
    const NEW_USER: i64 = 0x1000_0000;
    let x32 = 1 << 30;
    let list: &[(&str, i64, [i64; 5])] = &[
        ("bpf", libc::SYS_bpf, [0; 5]),
        ("keyctl", libc::SYS_keyctl, [0, -3, 1, 0, 0]),
        ("add_key", libc::SYS_add_key, [0; 5]),
        ("request_key", libc::SYS_request_key, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("io_uring_enter", libc::SYS_io_uring_enter, [0; 5]),
        ("io_uring_register", libc::SYS_io_uring_register, [0; 5]),
        ("unshare", libc::SYS_unshare, [NEW_USER, 0, 0, 0, 0]),
        ("unshare_mnt", libc::SYS_unshare, [0x0002_0000, 0, 0, 0, 0]),
        ("unshare_net", libc::SYS_unshare, [0x4000_0000, 0, 0, 0, 0]),
        ("clone_user", libc::SYS_clone, [NEW_USER | 17, 0, 0, 0, 0]),
        ("clone3", 435, [0; 5]),
        ("setns", libc::SYS_setns, [0; 5]),
        ("mount", libc::SYS_mount, [0; 5]),
        ("umount2", libc::SYS_umount2, [0; 5]),
        ("pivot_root", libc::SYS_pivot_root, [0; 5]),
        ("open_tree", 428, [0; 5]),
        ("move_mount", 429, [0; 5]),
        ("fsopen", 430, [0; 5]),
        ("mount_setattr", 442, [0; 5]),
        ("init_module", libc::SYS_init_module, [0; 5]),
        ("finit_module", libc::SYS_finit_module, [0; 5]),
        ("delete_module", libc::SYS_delete_module, [0; 5]),
        ("kexec_load", libc::SYS_kexec_load, [0; 5]),
        ("reboot", libc::SYS_reboot, [0; 5]),
        ("swapon", libc::SYS_swapon, [0; 5]),
        ("swapoff", libc::SYS_swapoff, [0; 5]),
        ("acct", libc::SYS_acct, [0; 5]),
        ("quotactl", libc::SYS_quotactl, [0; 5]),
        ("syslog", libc::SYS_syslog, [2, 0, 0, 0, 0]),
        ("settimeofday", libc::SYS_settimeofday, [0; 5]),
        ("clock_settime", libc::SYS_clock_settime, [0; 5]),
        ("sethostname", libc::SYS_sethostname, [0; 5]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5]),
        ("fanotify_init", libc::SYS_fanotify_init, [0; 5]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("pidfd_getfd", 438, [0; 5]),
        ("personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
        ("socket_alg", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("socket_vsock", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("tiocsti", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]),
        ("tioclinux", libc::SYS_ioctl, [0, 0x541c, 0, 0, 0]),
        ("x32_getpid", x32 + 39, [0; 5]),
        ("x32_io_uring", x32 + libc::SYS_io_uring_setup, [0; 5]),
        ("unborn", 1000, [0; 5]),
    ];
    let mut out = String::new();
    for (name, number, arguments) in list {
        out += &format!("{name} {}\n", call(*number, *arguments));
    }
    out + &format!("traceme {}\n", traced()) + &other_numbers()
}

// What debuggers need is allowed: a child asks to be traced.
fn traced() -> String {
    // SAFETY: the child makes one call that takes no pointer, and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above.
        unsafe {
            let got = libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::_exit(i32::from(got != 0));
        }
    }
    ended(pid)
}

fn ended(pid: i32) -> String {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if libc::WIFSIGNALED(status) {
        format!("signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit {}", libc::WEXITSTATUS(status))
    }
}

/// The same by the numbers of i386, which a 64-bit process may use as well.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> String {
    const NEW_USER: u32 = 0x1000_0000;
    let mut out = String::new();
    for (name, number, first, second) in [
        ("getpid", 20, 0, 0),
        ("mount", 21, 0, 0),
        ("umount2", 52, 0, 0),
        ("tiocsti", 54, 0, 0x5412),
        ("swapon", 87, 0, 0),
        ("reboot", 88, 0, 0),
        ("clone", 120, NEW_USER | 17, 0),
        ("init_module", 128, 0, 0),
        ("personality", 136, 0x0040_0000, 0),
        ("pivot_root", 217, 0, 0),
        ("add_key", 286, 0, 0),
        ("keyctl", 288, 0, 0),
        ("unshare", 310, NEW_USER, 0),
        ("setns", 346, 0, 0),
        ("bpf", 357, 0, 0),
        ("socket", 359, 38, 5),
        ("io_uring_setup", 425, 1, 0),
        ("clone3", 435, 0, 0),
    ] {
        let got: i32;
        // SAFETY: `int 0x80` keeps all but eax and r8 to r11, rbx is put back; the calls take
        // numbers or null pointers, and are refused, but for `getpid`.
        unsafe {
            std::arch::asm!(
                "mov {save}, rbx", "mov ebx, {first:e}", "int 0x80", "mov rbx, {save}",
                save = out(reg) _, first = in(reg) first, inlateout("eax") number => got,
                in("ecx") second, in("edx") 0, in("esi") 0, in("edi") 0,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        let told = match -got {
            libc::EPERM => "EPERM".to_owned(),
            libc::ENOSYS => "ENOSYS".to_owned(),
            other if other < 0 => "done".to_owned(),
            other => format!("errno {other}"),
        };
        out += &format!("i386_{name} {told}\n");
    }
    out
}

#[cfg(not(target_arch = "x86_64"))]
fn other_numbers() -> String {
    String::new()
}

fn connect_abstract(name: &str) -> String {
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    match UnixStream::connect_addr(&address) {
        Ok(mut stream) => {
            let _ = stream.write_all(b"from a step\n");
            "abstract reached\n".to_owned()
        }
        Err(error) => format!("abstract refused: {:?}\n", error.kind()),
    }
}

/// Everything that one process can do to another, tried on a process outside: `PID,KEY`.
fn outside(arguments: &str) -> String {
    let (pid, key) = arguments.split_once(',').expect("two numbers");
    let (pid, key): (i32, i32) = (pid.parse().expect("a pid"), key.parse().expect("a key"));
    let mut out = String::new();
    let mut say = |name: &str, got: i64| out += &format!("{name} {}\n", errno(got));
    let mut bytes = [0u8; 8];
    let part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 };
    // SAFETY: the calls take numbers, or one iovec that points to an array of its size.
    unsafe {
        say("kill", libc::kill(pid, 0).into());
        say("tgkill", libc::syscall(libc::SYS_tgkill, pid, pid, 0));
        say(
            "sigqueue",
            libc::sigqueue(pid, 0, libc::sigval { sival_ptr: std::ptr::null_mut() }).into(),
        );
        say("pidfd_open", libc::syscall(libc::SYS_pidfd_open, pid, 0));
        say("ptrace", libc::ptrace(libc::PTRACE_ATTACH, pid, 0, 0));
        say("read_memory", libc::process_vm_readv(pid, &part, 1, &part, 1, 0) as i64);
        say("shm", libc::shmget(key, 0, 0).into());
        say("msg", libc::msgget(key, 0).into());
        say("sem", libc::semget(key, 0, 0).into());
        say("priority", libc::setpriority(libc::PRIO_PROCESS, pid as u32, 10).into());
    }
    for file in ["mem", "environ", "cwd", "root", "maps", "fd"] {
        let path = format!("/proc/{pid}/{file}");
        let found = std::fs::symlink_metadata(&path).is_ok();
        out += &format!("{file} {}\n", if found { "there" } else { "ENOENT" });
    }
    out
}

/// Asks an ssh agent for all that the protocol has: list, sign, add, remove, lock, extend.
fn agent(path: &str) -> String {
    let mut out = String::new();
    for (name, message) in [
        ("list", vec![11]),
        ("sign", vec![13, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'd', 0, 0, 0, 0]),
        ("add", vec![17, 0, 0, 0, 1, b'x']),
        ("remove", vec![18, 0, 0, 0, 1, b'x']),
        ("remove-all", vec![19]),
        ("add-card", vec![20, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("lock", vec![22, 0, 0, 0, 1, b'p']),
        ("unlock", vec![23, 0, 0, 0, 1, b'p']),
        ("extension", vec![27, 0, 0, 0, 1, b'e']),
        ("unknown", vec![200]),
        ("empty", vec![]),
    ] {
        let answer = UnixStream::connect(path).and_then(|mut stream| {
            stream.write_all(&(message.len() as u32).to_be_bytes())?;
            stream.write_all(&message)?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(answer[4])
        });
        out += &format!(
            "{name} {}\n",
            answer.map_or_else(|_| "closed".into(), |kind| kind.to_string())
        );
    }
    // A length that no message has.
    let huge = UnixStream::connect(path).and_then(|mut stream| {
        stream.write_all(&u32::MAX.to_be_bytes())?;
        stream.read(&mut [0; 5])
    });
    out + &format!("huge {}\n", huge.map_or("closed".into(), |size| size.to_string()))
}

fn tcp(address: &str) -> String {
    match std::net::TcpStream::connect(address) {
        Ok(_) => "tcp reached\n".to_owned(),
        Err(error) => format!("tcp refused: {:?}\n", error.kind()),
    }
}

fn terminal() -> String {
    let mut out = String::new();
    for fd in 0..3 {
        let letter = b'x';
        // SAFETY: TIOCSTI reads one byte.
        let got = unsafe { libc::ioctl(fd, libc::TIOCSTI, &raw const letter) };
        out += &format!("type {fd} {}\n", errno(got.into()));
    }
    let opened = std::fs::File::open("/dev/tty");
    out += &format!("tty {}\n", if opened.is_ok() { "opened" } else { "none" });
    // SAFETY: takes and gives a number.
    let session = unsafe { libc::getsid(0) };
    out + &format!("session {}\n", if session > 0 { "own" } else { "of outside" })
}

/// The capabilities of this process, as `/proc/self/status` has them where there is one.
fn powers() -> String {
    let mut header = [0x2008_0522u32, 0];
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: version 3 of capget(2) writes two structs of three words.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    let [effective, _, inherited] =
        [0, 1, 2].map(|set| u64::from(sets[1][set]) << 32 | u64::from(sets[0][set]));
    let bound = (0..64u64)
        // SAFETY: takes numbers.
        .filter(|number| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number, 0, 0, 0) == 1 })
        .fold(0u64, |all, number| all | 1 << number);
    // SAFETY: takes numbers.
    let fixed = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
    format!(
        "capget {}\nCapInh {inherited:016x}\nCapEff {effective:016x}\nCapBnd {bound:016x}\nno_new_privs {fixed}\n",
        errno(got)
    )
}

/// What is open in this process.
fn descriptors() -> String {
    // SAFETY: takes numbers.
    let open = (0..4096).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0);
    let open: Vec<String> = open.map(|fd| fd.to_string()).collect();
    format!("open: {}\n", open.join(" "))
}

/// Opens what it can, until there is no more.
fn hold() -> String {
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
        if held.len() > 1_000_000 {
            return "no limit\n".to_owned();
        }
    }
    let last = held.last().map_or(0, |file| file.as_raw_fd());
    drop(held);
    format!("held {last}\n")
}
