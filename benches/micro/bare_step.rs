//! The least that a step can cost: `bare-step N LOWER PLACE PROGRAM…` makes one user namespace, and then N
//! times, one after the other, what every step has: namespaces of its own, an overlay of LOWER and an
//! empty folder in PLACE as its root, a `/proc`, and PROGRAM, which it waits for. Nothing is checked,
//! written down or packed.

use std::ffi::CString;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [count, lower, place, program @ ..] = args.as_slice() else {
        eprintln!("bare-step N LOWER PLACE PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let count: usize = count.parse().expect("a number");
    let program: Vec<CString> = program.iter().map(|word| text(word)).collect();
    // SAFETY: these calls take no pointers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    // SAFETY: one thread, no pointers.
    ok(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, "unshare");
    std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
    for number in 0..count {
        let step = Step::new(Path::new(lower), &Path::new(place).join(number.to_string()));
        let apart = libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        // SAFETY: as fork(2): without CLONE_VM the child has memory of its own, and the only thread.
        let child = unsafe { libc::syscall(libc::SYS_clone, apart | libc::SIGCHLD, 0, 0, 0, 0) };
        match child {
            0 => step.run(&program),
            child => {
                let mut status = 0;
                // SAFETY: `status` is ours.
                ok(unsafe { libc::waitpid(child as i32, &raw mut status, 0) }, "clone and wait");
                assert_eq!(status, 0, "the step failed");
            }
        }
    }
    ExitCode::SUCCESS
}

struct Step {
    merged: CString,
    options: CString,
}

impl Step {
    fn new(lower: &Path, place: &Path) -> Self {
        let folder = |name: &str| -> PathBuf {
            let path = place.join(name);
            std::fs::create_dir_all(&path).expect("a folder");
            path
        };
        let (upper, work, merged) = (folder("upper"), folder("work"), folder("merged"));
        std::fs::create_dir(upper.join("proc")).expect("a folder");
        let options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr,volatile",
            lower.display(),
            upper.display(),
            work.display()
        );
        Step { merged: text(&merged.display().to_string()), options: text(&options) }
    }

    fn run(&self, program: &[CString]) -> ! {
        let mount = |what: &str, at: &CString, flags, options: Option<&CString>| {
            let kind = text(what);
            let options = options.map_or(std::ptr::null(), |options| options.as_ptr());
            // SAFETY: all strings end with a zero byte and live on.
            let done = unsafe {
                libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.cast())
            };
            ok(done, what);
        };
        mount("none", &text("/"), libc::MS_REC | libc::MS_PRIVATE, None);
        mount("overlay", &self.merged, 0, Some(&self.options));
        let here = text(".");
        let mut argv: Vec<_> = program.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        // SAFETY: all strings end with a zero byte and live on, and the lists end with a null.
        unsafe {
            ok(libc::chdir(self.merged.as_ptr()), "chdir");
            // While a whole one is in sight: else the kernel gives none.
            mount("proc", &text("proc"), 0, None);
            ok(
                libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr()) as i32,
                "pivot_root",
            );
            ok(libc::umount2(here.as_ptr(), libc::MNT_DETACH), "umount");
            libc::execv(argv[0], argv.as_ptr());
        }
        panic!("exec: {}", Error::last_os_error());
    }
}

fn ok(result: i32, what: &str) {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
}

fn text(text: &str) -> CString {
    CString::new(text).expect("no zero byte")
}
