//! The program of some steps: system calls that no shell makes. Each line that begins with `PROBE` is an
//! answer.

#![allow(clippy::print_stdout)] // that is what it is for

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

pub(crate) fn run(what: &str) {
    // The harness has begun a line of its own.
    println!();
    match what {
        "ids" => println!("PROBE {}", ids()),
        "become" => println!("PROBE {}", becoming()),
        "keep" => println!("PROBE {}", keep()),
        "listen" => println!("PROBE {}", listen()),
        "limit" => println!("PROBE {}", limit()),
        "make" => println!("PROBE made, {} descriptors close on exec", make()),
        "time" => time(),
        #[cfg(target_arch = "x86_64")]
        "i386" => println!("PROBE {}", i386()),
        other => panic!("{other}"),
    }
}

fn ids() -> String {
    let (mut user, mut group) = ([0u32; 3], [0u32; 3]);
    // SAFETY: each call writes three numbers that live.
    unsafe {
        let [a, b, c] = &mut user;
        assert_eq!(libc::getresuid(a, b, c), 0);
        let [a, b, c] = &mut group;
        assert_eq!(libc::getresgid(a, b, c), 0);
    }
    let all: Vec<_> = user.iter().chain(&group).map(u32::to_string).collect();
    all.join(" ")
}

fn becoming() -> String {
    const SAME: u32 = u32::MAX;
    // SAFETY: numbers alone, and one list that lives.
    unsafe {
        assert_eq!(libc::setresuid(SAME, 42, SAME), 0);
        let first = libc::geteuid();
        assert_eq!(libc::setgroups(0, std::ptr::null()), -1, "no longer root");
        assert_eq!(libc::setresuid(SAME, 0, SAME), 0);
        let second = libc::geteuid();
        assert_eq!(libc::setgroups(2, [50, 60].as_ptr()), 0);
        let mut groups = [0; 8];
        assert_eq!(libc::getgroups(0, groups.as_mut_ptr()), 2);
        assert_eq!(libc::getgroups(1, groups.as_mut_ptr()), -1);
        assert_eq!(libc::getgroups(8, groups.as_mut_ptr()), 2);
        assert_eq!(groups[..2], [50, 60]);
        assert_eq!(libc::setgid(1000), 0);
        assert_eq!(libc::setuid(1000), 0);
        let third = libc::getuid();
        let refused = libc::setuid(0) == -1 && libc::seteuid(0) == -1 && libc::setgid(0) == -1;
        format!(
            "{first} then {second} then {third}, {}",
            if refused { "refused" } else { "allowed" }
        )
    }
}

/// As setpriv(1) does: another user first, then the groups, by powers that were kept. Of one thread.
fn keep() -> String {
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    // SAFETY: numbers, and structs that live.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
        assert_eq!(libc::syscall(libc::SYS_setresuid, 6, 6, 6), 0);
        let before = libc::syscall(libc::SYS_setresgid, 12, 12, 12);
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()), 0);
        // Effective is what is permitted.
        sets[0] = sets[1];
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()), 0);
        let after = libc::syscall(libc::SYS_setresgid, 12, 12, 12);
        assert_eq!(libc::syscall(libc::SYS_setgroups, 1, [12u32].as_ptr()), 0);
        format!("{before} {after} {}:{}", libc::geteuid(), libc::getegid())
    }
}

fn listen() -> &'static str {
    // BPF_RET | BPF_K, SECCOMP_RET_ALLOW.
    let code = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0x7fff_0000 }];
    let program = libc::sock_fprog { len: 1, filter: code.as_ptr().cast_mut() };
    // SAFETY: the program lives until the call is over. Flag 8: a listener.
    let done = unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 8, &raw const program)
    };
    match (done, io::Error::last_os_error().raw_os_error()) {
        (-1, Some(libc::EBUSY)) => "busy",
        (-1, _) => "failed",
        _ => "installed",
    }
}

fn limit() -> u32 {
    let new = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: structs that live.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_LOCKS, &raw const new), 0);
        let mut old = new;
        libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_LOCKS, &raw const new, &raw mut old);
        libc::getuid()
    }
}

fn make() -> usize {
    let open = |path: &CStr, flags: i32| {
        // SAFETY: the path ends with a NUL.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_RDWR, 0o640) };
        assert!(fd >= 0, "{path:?}: {}", io::Error::last_os_error());
        fd
    };
    std::env::set_current_dir("/tmp").unwrap();
    let create = libc::O_CREAT;
    // SAFETY: paths that end with a NUL, structs that live.
    let (creat, openat2) = unsafe {
        // flags, mode, resolve
        let how = [(create | libc::O_WRONLY | libc::O_CLOEXEC) as u64, 0o640, 0];
        let path = c"/tmp/openat2".as_ptr();
        let openat2 = libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path, how.as_ptr(), 24);
        (libc::creat(c"/tmp/creat".as_ptr(), 0o640), openat2 as i32)
    };
    let unnamed = open(c"/tmp", libc::O_TMPFILE);
    let name = std::ffi::CString::new(format!("/proc/self/fd/{unnamed}")).unwrap();
    // SAFETY: paths that end with a NUL.
    let linked = unsafe {
        let to = c"/tmp/unnamed".as_ptr();
        libc::linkat(libc::AT_FDCWD, name.as_ptr(), libc::AT_FDCWD, to, libc::AT_SYMLINK_FOLLOW)
    };
    assert_eq!(linked, 0, "{}", io::Error::last_os_error());
    let stdlib = OpenOptions::new().create(true).append(true).mode(0o640).open("stdlib").unwrap();
    let all = [
        creat,
        openat2,
        unnamed,
        open(c"/tmp/openat", create | libc::O_CLOEXEC),
        open(c"/tmp/excl", create | libc::O_EXCL | libc::O_CLOEXEC),
        open(c"relative", create),
        stdlib.as_raw_fd(),
    ];
    // SAFETY: numbers alone.
    let has = |fd: i32| unsafe { libc::fcntl(fd, libc::F_GETFD) };
    assert!(all.iter().all(|fd| has(*fd) >= 0), "{all:?}");
    // It is there now.
    // SAFETY: a path that ends with a NUL.
    assert_eq!(unsafe { libc::open(c"/tmp/excl".as_ptr(), create | libc::O_EXCL, 0o640) }, -1);
    open(c"/tmp/excl", create);
    all.iter().filter(|fd| has(**fd) == libc::FD_CLOEXEC).count()
}

fn time() {
    let rounds = 3000;
    let measure = |name: &str, mut what: Box<dyn FnMut()>| {
        let started = Instant::now();
        (0..rounds).for_each(|_| what());
        println!("PROBE {name}: {} ns", started.elapsed().as_nanos() / rounds);
    };
    std::fs::write("/plain", "").unwrap();
    std::fs::write("/owned", "").unwrap();
    std::os::unix::fs::chown("/owned", Some(0), Some(0)).unwrap();
    let _ = std::os::unix::fs::chown("/owned", Some(5), Some(6));
    measure(
        "getppid, not trapped",
        Box::new(|| {
            let _ = std::os::unix::process::parent_id();
        }),
    );
    // SAFETY: no arguments.
    measure(
        "getuid",
        Box::new(|| unsafe {
            libc::getuid();
        }),
    );
    measure("stat, no record", Box::new(|| assert!(std::fs::metadata("/plain").is_ok())));
    measure("stat, a record", Box::new(|| assert!(std::fs::metadata("/owned").is_ok())));
    measure("chown", Box::new(|| std::os::unix::fs::chown("/owned", Some(5), Some(6)).unwrap()));
    measure(
        "open for writing, there",
        Box::new(|| {
            drop(OpenOptions::new().create(true).append(true).open("/plain").unwrap());
        }),
    );
}

/// Calls by the numbers of i386, which are made by `int 0x80` from a 64-bit program too.
#[cfg(target_arch = "x86_64")]
fn i386() -> String {
    // SAFETY: a fork of this process that calls and exits.
    let status = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            call32(20, [0; 3]);
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(pid, &raw mut status, 0);
        status
    };
    if status == libc::SIGSEGV {
        return "no i386".into();
    }
    assert_eq!(status, 0, "SIGSYS is 31");
    // Addresses have 32 bits there.
    // SAFETY: new memory, of which nobody else knows.
    let page = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let page = libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(page.cast::<u8>(), 4096)
    };
    page[..10].copy_from_slice(b"/tmp/i386\0");
    let path = page.as_ptr() as u32;
    let buffer = path + 256;
    let fd = call32(5, [path, (libc::O_CREAT | libc::O_WRONLY) as u32, 0o644]);
    assert!(fd > 2, "open: {fd}");
    let owned = call32(207, [fd as u32, 21, 22]);
    assert_eq!((owned, call32(197, [fd as u32, buffer, 0])), (0, 0));
    let word = |at: usize| u32::from_le_bytes(page[256 + at..260 + at].try_into().unwrap());
    assert_eq!(word(16) & 0o7777, 0o644, "the mode is where `struct stat64` has it");
    let (uid, gid) = (word(24), word(28));
    let refused = if call32(21, [path; 3]) == -libc::EPERM { "refused" } else { "not refused" };
    let unknown = if call32(425, [1, buffer, 0]) == -libc::ENOSYS { "unknown" } else { "known" };
    format!("i386: {uid}:{gid} mount {refused}, io_uring {unknown}")
}

#[cfg(target_arch = "x86_64")]
fn call32(number: i32, [a, b, c]: [u32; 3]) -> i32 {
    let result: i64;
    // SAFETY: what the calls do with memory is the callers' business: all addresses are of a page that
    // lives. The compiler keeps rbx for itself, so it is put back.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, {a:e}", "xor esi, esi", "xor edi, edi", "int 0x80", "pop rbx",
            a = in(reg) a,
            inlateout("rax") i64::from(number) => result,
            in("ecx") b, in("edx") c, out("esi") _, out("edi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result as i32
}
