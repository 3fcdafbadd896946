//! What steps get only when it is allowed by name; and that wrong flags are told before anything.

use crate::harness::{Build, Place, Who};

const INSECURE: &str = "FROM busybox\nRUN --security=insecure <<END\n\
    set -eu\n\
    grep CapEff: /proc/self/status; grep Seccomp: /proc/self/status\n\
    mkdir /tmp/m && mount -t tmpfs x /tmp/m && echo mounted && umount /tmp/m && rmdir /tmp/m\n\
    grep -q . /proc/interrupts && echo unmasked\n\
    END\n\
    RUN grep CapEff: /proc/self/status && ! grep -q . /proc/interrupts && ! mount -t tmpfs x /mnt 2>/dev/null && echo confined\n";

#[test]
fn an_insecure_step_has_all_powers_of_its_namespace() {
    for who in Who::every() {
        let place = Place::new(who);
        let build = || Build::text(&place, INSECURE);
        let said =
            ["`security.insecure`, which is not allowed", "build with --allow security.insecure"];
        let text = build().run().fails(2, &said);
        assert!(!text.contains("busybox 1/"), "refused before the first step: {text}");
        let (outcome, _) = build().arg("--allow=security.insecure").image();
        let said = outcome.says(&["] | mounted", "] | unmasked", "] | confined"]);
        let sets: Vec<u64> = said
            .lines()
            .filter_map(|line| line.split("] | CapEff:").nth(1))
            .map(|set| u64::from_str_radix(set.trim(), 16).expect("a set"))
            .collect();
        let [insecure, plain] = sets[..] else { panic!("{said}") };
        assert!(insecure & plain == plain && insecure >> 21 & 1 == 1, "{insecure:x} {plain:x}");
        // With a single id the supervisor listens there too: that is a filter, which refuses nothing.
        let filter = if matches!(who, Who::Single) { 2 } else { 0 };
        assert!(said.contains(&format!("Seccomp:\t{filter}")), "as {who:?}: {said}");
        // The profile's rule has its say all the same.
        let refused = build().arg("--allow=security.insecure").policy(Some("hardened")).run();
        refused.says(&["error[privileged-step]"]);
    }
}

#[test]
fn a_device_is_bound_when_it_is_allowed() {
    for who in Who::every() {
        let place = Place::new(who);
        // A node that every host has, and no step: `/dev/ptmx` of a step is another one.
        let text = "FROM busybox\nRUN test ! -e /dev/fuse\nRUN --device=/dev/fuse,required \\\n\
            test -c /dev/fuse && echo there\n";
        let build = |text: &str| Build::text(&place, text);
        build(text).run().fails(2, &["`device=/dev/fuse`", "--allow device=/dev/fuse"]);
        if std::path::Path::new("/dev/fuse").exists() {
            let outcome = build(text).arg("--allow=device=/dev/fuse").run();
            match outcome.done.code() {
                0 => outcome.says(&["] | there"]),
                _ => outcome.fails(4, &["the device `/dev/fuse` cannot be opened"]),
            };
        } else {
            build(text).arg("--allow=device").run().fails(4, &["cannot look at the device"]);
        }
        let text = "FROM busybox\nRUN --device=vendor.com/gpu=0 echo without\n";
        let (outcome, _) = build(text).arg("--allow=device").image();
        outcome.says(&[
            "left out: required device \"vendor.com/gpu=0\" is not registered",
            "] | without",
        ]);
        let text = text.replace("gpu=0", "gpu=0,required");
        let outcome = build(&text).arg("--allow=device").run();
        assert_eq!(outcome.done.code(), 4, "{}", outcome.story());
        outcome.says(&["is not registered", "Dockerfile:2"]);
        let text = "FROM busybox\nRUN --device=/dev/zero head -c 4 /dev/zero | wc -c\n";
        build(text).arg("--allow=device=/dev/zero").image().0.says(&["] | 4"]);
    }
}

#[test]
fn wrong_flags_are_told_before_a_base_is_looked_up() {
    let place = Place::new(Who::usual());
    // Nothing could be resolved there: 192.0.2.0/24 is nobody's (RFC 5737).
    place.file("Dockerfile", "FROM 192.0.2.1:5000/x AS only\nRUN true\n");
    for (flag, said) in [
        ("--target=onyl", "did you mean `only`?"),
        ("--no-cache-filter=onyl", "did you mean `only`?"),
        ("--allow=network.hots", "did you mean `network.host`?"),
        ("--network=hosts", "unknown network"),
        ("--ulimit=nofiles=1", "no limit `nofiles`"),
        ("--shm-size=much", "--shm-size"),
        ("--add-host=nowhere", "--add-host"),
        ("--build-arg-file=/nowhere", "/nowhere"),
        ("--timestamp=noon", "--timestamp"),
        ("--compression=rar", "unknown compression"),
    ] {
        let outcome = Build::of(&place).arg(flag).limit(5).run();
        outcome.fails(2, &[said]);
    }
}
