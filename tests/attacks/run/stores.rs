//! One store for many: at once, killed, full, read-only (83).

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ground::{Ground, every_mode};
use crate::harness::{is_root, run, skip};

const TEXT: &str = "FROM busybox\n\
    RUN head -c 300000 /dev/urandom > /random; echo a > /a\n\
    RUN echo b > /b; sleep 0.2\n\
    RUN --mount=type=cache,target=/c,sharing=locked echo c > /c/c; cat /c/c > /c2\n";

#[test]
fn attack_83_many_builds_on_one_store() {
    every_mode(|ground| {
        ground.build("FROM busybox\nRUN true\n").run().built();
        let outputs: Vec<_> =
            (0..5).map(|number| ground.place().at(format!("out{number}"))).collect();
        let place = ground.place();
        place.file("Dockerfile", TEXT);
        let mut builds: Vec<_> = outputs
            .iter()
            .enumerate()
            .map(|(number, out)| {
                let mut attempt = ground
                    .command(&["build", "--policy=none", "--root"])
                    .arg(place.at("store"))
                    .arg("--file")
                    .arg(place.at("Dockerfile"))
                    .layout("busybox", &place.at("busybox"))
                    .last(place.at("ctx"))
                    .arg(format!("--output=type=oci,dest={},tar=false", out.display()));
                if number % 2 == 1 {
                    attempt = attempt.arg("--no-cache");
                }
                let mut command = attempt.command();
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .process_group(0);
                command.spawn().expect("the program")
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150));
        builds[4].kill().expect("it runs, or has ended");
        for (number, (child, out)) in builds.iter_mut().zip(&outputs).enumerate() {
            let status = child.wait().expect("a child");
            if number != 4 {
                assert_eq!(status.code(), Some(0), "build {number}");
            }
            if status.success() {
                crate::harness::Image::read(out);
                fs::remove_dir_all(out).expect("ours");
            }
        }
        // The judge looks at each blob and at what is left.
        let outcome = ground.build(TEXT).run();
        outcome.says(&["CACHED"]);
        outcome.built();
    });
}

/// Runs a build whose store lies on a filesystem of its own, in memory, of this size.
fn on_small_disk(ground: &Ground, text: &str, options: &str, then: &str) -> (i32, String) {
    let attempt = ground.build(text);
    let command = attempt.command();
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c"]);
    unshare.arg(format!("mount -t tmpfs -o {options},mode=0777 tmpfs \"$0\" || exit 99; {then} \"$@\"; code=$?; ls -A \"$0/tmp\" >&2; exit $code"));
    unshare.arg(ground.place().at("store")).arg(command.get_program()).args(command.get_args());
    unshare.current_dir(ground.place().path()).env_clear();
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = run(&mut unshare, Duration::from_secs(60));
    (done.code(), done.err())
}

#[test]
fn attack_83_a_full_disk() {
    if !is_root() {
        skip("only root can make a small disk");
        return;
    }
    every_mode(|ground| {
        // In the step, which has its own words for it; in the layer's blob; in the base.
        for (size, text, said) in [
            ("12m", "FROM busybox\nRUN head -c 20000000 /dev/urandom > /big\n", "did not complete"),
            ("12m", "FROM busybox\nRUN head -c 6500000 /dev/urandom > /big\n", "no space left"),
            ("1m", "FROM busybox\nRUN true\n", "no space left"),
        ] {
            let (code, err) = on_small_disk(ground, text, &format!("size={size}"), "");
            assert!(matches!(code, 4 | 70), "exit {code}\n{err}");
            assert!(err.to_lowercase().contains(said), "{err}");
            assert!(!err.contains("panicked"), "{err}");
            assert!(!ground.place().at("image.oci").exists());
        }
    });
}

#[test]
fn attack_83_a_store_that_cannot_be_written() {
    if !is_root() {
        skip("only root can make a small disk");
        return;
    }
    // Permissions are nothing to who is root of a namespace: the whole disk is read-only.
    every_mode(|ground| {
        let then = "mount -o remount,ro \"$0\";";
        let (code, err) = on_small_disk(ground, "FROM busybox\nRUN true\n", "size=8m", then);
        assert!(matches!(code, 2 | 70), "exit {code}\n{err}");
        assert!(err.contains("Read-only file system") && !err.contains("panicked"), "{err}");
    });
}
