//! Steps of another architecture, with Debian's static emulators and without anything of the host's.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Build, Place, Who, have, is_root, run, skip};

/// A program for arm64 that writes a line into `/made`, and the same on standard output; but for the
/// first five letters, which it takes from the name by which it was called.
fn arm64_program() -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Executable, AArch64, version 1.
    for number in [2u16, 183, 1, 0] {
        program.extend(number.to_le_bytes());
    }
    let long = |program: &mut Vec<u8>, number: u64| program.extend(number.to_le_bytes());
    // Entry, program headers, section headers.
    for number in [0x40_0078, 64, 0] {
        long(&mut program, number);
    }
    // No flags; sizes and counts of headers.
    for number in [0u16, 0, 64, 56, 1, 0, 0, 0] {
        program.extend(number.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for number in [0, 0x40_0000, 0x40_0000, 0x1000, 0x1000, 0x1_0000] {
        long(&mut program, number);
    }
    for word in [
        0x9280_0c60_u32, // mov x0, -100       AT_FDCWD
        0x1000_0281,     // adr x1, "/made"
        0xd280_0822,     // mov x2, 0x41       O_WRONLY | O_CREAT
        0xd280_3483,     // mov x3, 0644
        0xd280_0708,     // mov x8, 56         openat
        0xd400_0001,     // svc 0
        0x1000_0221,     // adr x1, "hello …"
        0xd280_0222,     // mov x2, 17
        0xd280_0808,     // mov x8, 64         write
        0xd400_0001,     // svc 0
        0xd280_0020,     // mov x0, 1
        0xf940_07e1,     // ldr x1, [sp, 8]    argv[0]
        0xd280_00a2,     // mov x2, 5
        0xd400_0001,     // svc 0
        0xd280_0020,     // mov x0, 1
        0x3000_0121,     // adr x1, " from …"
        0xd280_0182,     // mov x2, 12
        0xd400_0001,     // svc 0
        0xd280_0000,     // mov x0, 0
        0xd280_0ba8,     // mov x8, 93         exit
        0xd400_0001,     // svc 0
    ] {
        program.extend(word.to_le_bytes());
    }
    program.extend(b"/made\0\0\0hello from arm64\n");
    program.resize(0x1000, 0);
    program
}

/// The handlers of the whole host, whether they are mounted or not.
fn handlers() -> String {
    let list = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null; \
                ls /proc/sys/fs/binfmt_misc; cat /proc/sys/fs/binfmt_misc/* 2>/dev/null";
    let mut command = Command::new(if is_root() { "unshare" } else { "sh" });
    if is_root() {
        command.args(["--mount", "sh"]);
    }
    run(command.args(["-c", list]), Duration::from_secs(10)).out()
}

fn possible() -> bool {
    if cfg!(target_arch = "aarch64") {
        skip("this machine runs arm64 by itself");
        return false;
    }
    have(&["qemu-aarch64-static"])
}

const TEXT: &str = "FROM --platform=linux/arm64 scratch\nCOPY --chmod=755 hello /hello\n";

#[test]
fn an_arm64_program_runs_in_a_step() {
    if !possible() {
        return;
    }
    let before = handlers();
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/hello", arm64_program());
        for user in ["", "USER 1000:1000\n"] {
            let text = format!("{TEXT}WORKDIR /\n{user}ENV PATH=/\nRUN [\"hello\"]\n");
            // The user 1000 may not write to `/`, but where there is one id it is that one.
            let text = match user {
                "" => text,
                _ => text.replace("WORKDIR /\n", "COPY --chown=1000 --chmod=666 empty /made\n"),
            };
            place.file("ctx/empty", "");
            let build = Build::text(&place, &text).arg("--platform=linux/arm64");
            let (outcome, image) = build.image();
            outcome.says(&[
                "emulated: linux/arm64 on linux/",
                "/qemu-aarch64-static",
                "| hello from arm64",
                "emulated: 1 of these steps",
                "$BUILDPLATFORM",
            ]);
            assert_eq!(image.text("made"), "hello from arm64\n");
            assert_eq!(image.config["architecture"], "arm64");
            // What is cached needs no emulator.
            let again = Build::of(&place).arg("--platform=linux/arm64").arg("--qemu=/absent").run();
            assert_eq!(again.digest(), image.digest);
            assert!(!again.err().contains("emulated"), "{}", again.story());
        }
        assert_eq!(handlers(), before, "the host's handlers as {who:?}");
    }
}

#[test]
fn without_an_emulator_the_remedy_is_told() {
    if !possible() {
        return;
    }
    let place = Place::new(Who::usual());
    place.file("ctx/hello", arm64_program());
    place.folder("empty");
    let text = format!("{TEXT}RUN [\"/hello\"]\n");
    for (qemu, said) in [
        (place.at("empty"), "no emulator `qemu-aarch64-static` was found"),
        (place.at("absent"), "cannot use the emulator"),
        ("/usr/bin/qemu-s390x-static".into(), "a program of linux/arm64 does not run by it"),
        (place.program(), "cannot use the emulator"),
    ] {
        let build = Build::text(&place, &text).arg(format!("--qemu={}", qemu.display()));
        build.run().fails(7, &[said, "--qemu PATH", "RUN [\"/hello\"]"]);
    }
}

#[test]
fn every_emulator_runs_the_smallest_program_of_its_machine() {
    if !possible() {
        return;
    }
    // `--call` does not run steps; a step whose program is not there tells that its machine is.
    let place = Place::new(Who::usual());
    for platform in ["arm/v7", "riscv64", "ppc64le", "s390x", "mips64le", "mipsle", "loong64"] {
        let text = format!("FROM --platform=linux/{platform} scratch\nRUN [\"/absent\"]\n");
        let outcome = Build::text(&place, &text).run();
        outcome.fails(4, &["emulated: linux/", "/absent", "this step was emulated"]);
    }
}

/// A 32-bit program for x86: this code, with this data behind it.
fn i386_program(code: &[u8], data: &[u8]) -> Vec<u8> {
    let mut program = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Executable, 386; version; entry, program headers, no section headers, no flags.
    program.extend([2, 0, 3, 0]);
    for word in [1u32, 0x40_0054, 52, 0, 0] {
        program.extend(word.to_le_bytes());
    }
    for number in [52u16, 32, 1, 0, 0, 0] {
        program.extend(number.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    for word in [1u32, 0, 0x40_0000, 0x40_0000, 0x1000, 0x1000, 5, 0x1000] {
        program.extend(word.to_le_bytes());
    }
    program.extend(code);
    program.extend(data);
    program.resize(0x1000, 0);
    program
}

/// A program that makes this call with nothing, and ends with its error number.
fn i386_call(number: u32) -> Vec<u8> {
    // mov eax, number; xor ebx, ebx; xor ecx, ecx; xor edx, edx; int 0x80;
    // neg eax; mov ebx, eax; mov eax, 1; int 0x80
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    code.extend([0x31, 0xdb, 0x31, 0xc9, 0x31, 0xd2, 0xcd, 0x80]);
    code.extend([0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    i386_program(&code, b"")
}

#[test]
fn the_32_bit_sibling_is_not_emulated_and_has_a_filter_of_its_own() {
    if std::env::consts::ARCH != "x86_64" {
        return skip("this machine has no 32-bit x86 programs");
    }
    let place = Place::new(Who::usual());
    // mov eax, 4; mov ebx, 1; mov ecx, 0x400073; mov edx, 15; int 0x80; exit(0)
    let hello = [
        0xb8, 4, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9, 0x73, 0, 0x40, 0, 0xba, 15, 0, 0, 0, 0xcd, 0x80,
        0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80,
    ];
    place.file("ctx/hello", i386_program(&hello, b"hello from 386\n"));
    place.file("ctx/mount", i386_call(21));
    place.file("ctx/clone3", i386_call(435));
    let base = "FROM --platform=linux/386 scratch\nCOPY --chmod=755 . /\n";
    let outcome = Build::text(&place, &format!("{base}RUN [\"/hello\"]\n")).run();
    outcome.says(&["| hello from 386"]);
    if outcome.err().contains("emulated: ") {
        return skip("this kernel has no 32-bit programs (CONFIG_IA32_EMULATION)");
    }
    outcome.image();
    // EPERM, and ENOSYS.
    for (program, status) in [("mount", "exit code: 1"), ("clone3", "exit code: 38")] {
        let text = format!("{base}RUN [\"/{program}\"]\n");
        let _ = std::fs::remove_dir_all(place.at("image.oci"));
        Build::text(&place, &text).run().fails(4, &[status]);
    }
}
