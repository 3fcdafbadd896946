//! Kernels and stores of other kinds, without a container: what is asked for by a hook of the tests goes
//! the same way as where the host leaves no other.

#![allow(unsafe_code, reason = "a filter of system calls around the program")]

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use crate::harness::{Build, Kind, Place, Who, is_root, run, skip};

/// A file for each layer; one that a late layer hides.
fn dockerfile(layers: usize) -> String {
    let mut text = String::from("FROM busybox\nCOPY f /many/gone\n");
    for number in 0..layers {
        let _ = writeln!(text, "COPY f /many/{number}");
    }
    text + "RUN rm /many/gone /many/1 && ls /many | wc -l > /count && echo more >> /many/2\n\
            RUN ls /many | wc -l >> /count; cat /many/2 >> /count; test ! -e /many/1\n"
}

fn check(layers: usize, more: &[(&'static str, &str)]) -> String {
    let place = Place::new(Who::usual());
    place.file("ctx/f", "f\n");
    let mut build = Build::text(&place, &dockerfile(layers)).limit(600);
    for (name, value) in more {
        build = build.env(name, value);
    }
    let (outcome, image) = build.image();
    let want = format!("{}\n{}\nf\nmore\n", layers - 1, layers - 1);
    assert_eq!(
        image.tree["count"].kind,
        Kind::File(Some(want.into_bytes())),
        "{}",
        outcome.story()
    );
    image.digest
}

#[test]
fn mounts_are_made_the_way_of_older_kernels_too() {
    // Mounted by options, an overlay takes 100 layers here: so there are more.
    let old = check(180, &[("RBUILD_TEST_MOUNT", "options")]);
    assert_eq!(old, check(180, &[]));
}

#[test]
fn more_layers_than_an_overlay_takes() {
    check(510, &[]);
}

/// Has the kernel answer all that asks for Landlock with this error, in the program and its children.
fn without_landlock(command: &mut std::process::Command, error: i32) {
    let word = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let program = [
        // The number is the first word of `struct seccomp_data`.
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        word(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_landlock_create_ruleset as u32,
        ),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program =
            libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        // SAFETY: pointer and length describe an array that lives until the call is over, and that the
        // kernel copies.
        let done = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: one system call between fork and exec, which allocates nothing.
    unsafe { command.pre_exec(install) };
}

#[test]
fn a_kernel_without_landlock_is_told_once() {
    if !is_root() {
        skip("only root can put a filter around a program that gains powers");
        return;
    }
    let absent = "steps run without the second fence";
    for (error, why) in [(libc::ENOSYS, "has no Landlock"), (libc::EOPNOTSUPP, "not switched on")] {
        for who in [Who::Root, Who::usual()] {
            let place = Place::new(who);
            let text = "FROM busybox\nRUN echo one > /f\nRUN cat /f\n";
            let chroot = if who == Who::Root { "chroot" } else { "auto" };
            let build = Build::text(&place, text).arg(format!("--isolation={chroot}"));
            let mut command = build.command();
            without_landlock(&mut command, error);
            let done = run(&mut command, Duration::from_secs(60));
            let err = done.err();
            assert_eq!(done.code(), 0, "{err}");
            assert_eq!(err.matches(absent).count(), 1, "{err}");
            assert!(err.contains(why), "{err}");
            let mut doctor = who.command(place.program(), &place.at("home"));
            doctor.args(["doctor", "--json", "--root"]).arg(place.at("store"));
            without_landlock(doctor.current_dir(place.path()), error);
            let done = run(&mut doctor, Duration::from_secs(60));
            let found: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
            let list = found["abilities"].as_array().expect("a list");
            let landlock =
                list.iter().find(|one| one["id"] == "landlock").expect("it is asked for");
            assert_eq!(landlock["works"], false, "{landlock}");
            assert!(
                landlock["cause"].as_str().is_some_and(|cause| cause.contains(why)),
                "{landlock}"
            );
        }
    }
    // Where it is there, and where no step is run, nothing is said.
    let place = Place::new(Who::usual());
    let (outcome, _) = Build::text(&place, "FROM busybox\nRUN true\n").image();
    assert!(!outcome.err().contains(absent), "{}", outcome.story());
    let build = Build::text(&place, "FROM busybox\nLABEL a=b\n");
    let mut command = build.command();
    without_landlock(&mut command, libc::ENOSYS);
    let done = run(&mut command, Duration::from_secs(60));
    assert!(done.code() == 0 && !done.err().contains(absent), "{}", done.err());
}
