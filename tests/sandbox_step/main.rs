//! Steps run for real: as root, as an account with subordinate ids, as one without.
//!
//! Entering a user namespace takes a process with one thread, which a test harness is not. So each
//! test starts this binary again, as the account in question, on the test [`inside`], which forks and
//! runs one of the functions of [`CASES`] in the fork. What a host cannot do is skipped with a line
//! on stderr; `RBUILD_TEST_NO_SKIP=1` turns that into a failure.

#![allow(unsafe_code)] // fork, once
#![allow(clippy::print_stderr)] // a test that is skipped says so

mod cases;
mod copies;
mod owned;
mod probe;
mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cases::CASES;

const RBUILD: &str = env!("CARGO_BIN_EXE_rbuild");
const BUSYBOX: &str = "/bin/busybox";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Root,
    Range,
    Single,
}

fn skip(why: &str) {
    assert!(std::env::var_os("RBUILD_TEST_NO_SKIP").is_none(), "skipping is an error here: {why}");
    eprintln!("SKIPPED: {why}");
}

// A folder that every account can go into, with the two binaries.
fn stage() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rbuild-step").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (from, name) in
        [(PathBuf::from(RBUILD), "rbuild"), (std::env::current_exe().unwrap(), "test")]
    {
        // A copy may still be open for writing in a child that another test forks: "text file busy".
        let to = folder.path().join(name);
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).unwrap();
        }
    }
    fs::create_dir(folder.path().join("home")).unwrap();
    folder
}

// Makes the accounts of these tests, and returns the uid.
fn account(who: Who) -> Option<u32> {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (name, uid) = match who {
        Who::Root => return Some(0),
        Who::Range => ("rbuild-step-range", 2_000_016),
        // No passwd entry on purpose.
        Who::Single => return Some(2_000_017),
    };
    if !fs::read_to_string("/etc/passwd").unwrap_or_default().contains(name) {
        // newuidmap wants the group of the process to be the account's own.
        let number = uid.to_string();
        let _ = Command::new("groupadd").args(["-g", &number, name]).status();
        let made =
            Command::new("useradd").args(["-M", "-u", &number, "-g", &number, name]).status();
        if !made.is_ok_and(|made| made.success()) {
            skip("useradd does not work here");
            return None;
        }
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !text.contains(name) {
            fs::write(file, format!("{text}{name}:3000000:65536\n")).ok()?;
        }
    }
    Some(uid)
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid())
}

fn command(case: &str, who: Who, shared: bool, stage: &Path) -> Option<Command> {
    if !Path::new(BUSYBOX).exists() {
        skip("there is no /bin/busybox");
        return None;
    }
    let test = stage.join("test");
    let mut command = if own_uid() == 0 && who != Who::Root {
        let uid = account(who)?;
        std::os::unix::fs::chown(stage.join("home"), Some(uid), Some(uid)).unwrap();
        let uid = uid.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]).arg(&test);
        command
    } else if own_uid() == 0 || who == Who::Single {
        Command::new(&test)
    } else {
        skip(&format!("{who:?} needs root to change accounts"));
        return None;
    };
    command
        .args(["--exact", "inside", "--nocapture", "--test-threads=1"])
        .env("RBUILD_STEP_CASE", case)
        .env("RBUILD_STEP_MODE", format!("{who:?}"))
        .env("RBUILD_STEP_STAGE", stage);
    if shared {
        command.env("RBUILD_STEP_SHARED_PIDS", "1");
    }
    Some(command)
}

fn check(case: &str, shared: bool) {
    for who in [Who::Root, Who::Range, Who::Single] {
        check_as(who, case, shared);
    }
}

fn check_as(who: Who, case: &str, shared: bool) {
    let stage = stage();
    let Some(mut command) = command(case, who, shared, stage.path()) else { return };
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if let Some(line) = text.lines().find(|line| line.contains("SKIPPED")) {
        skip(&format!("{case} as {who:?}: {line}"));
        return;
    }
    for line in text.lines().filter(|line| line.starts_with("NOTE")) {
        eprintln!("{who:?}: {line}");
    }
    assert!(output.status.success(), "{case} as {who:?}:\n{text}");
}

macro_rules! steps {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            let name = stringify!($name);
            match name.strip_prefix("shared_") {
                Some(case) => check(case, true),
                None => check(name.strip_prefix("step_").unwrap_or_default(), false),
            }
        }
    )* };
}

steps! {
    step_status step_identity step_owners step_devices step_namespaces step_powers step_calls
    step_network step_mounts step_stubs step_secrets step_output step_exec_errors
    step_symlinked_folders step_daemons step_keepers step_first_process step_launcher step_cancelled step_overlay
    step_timing
    step_owned_files step_owned_users step_owned_new_files step_owned_folders step_owned_nodes
    step_owned_chroot step_owned_probes step_owned_lost step_owned_timing
}

// The same in a step that sees the processes outside, as in a container whose `/proc` is masked.
steps! {
    shared_status shared_identity shared_owners shared_powers shared_calls shared_network
    shared_mounts shared_stubs shared_secrets shared_output shared_exec_errors shared_daemons
    shared_keepers shared_launcher shared_cancelled shared_timing shared_owned_files shared_owned_users
}

// A change of the root takes the powers of root of this host.
#[test]
fn steps_in_copies() {
    for (case, _) in copies::CASES {
        check_as(Who::Root, case, false);
    }
}

#[test]
fn killing_the_builder_kills_the_step() {
    for (number, (who, shared)) in [Who::Root, Who::Range, Who::Single]
        .into_iter()
        .flat_map(|who| [(who, false), (who, true)])
        .enumerate()
    {
        let stage = stage();
        let Some(mut command) = command("hold", who, shared, stage.path()) else { continue };
        let marker = format!("{}{}", 70 + number, std::process::id());
        // It fails, as its builder is killed: no test of ours does.
        command.env("RBUILD_STEP_MARKER", &marker).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let pid_file = stage.path().join("home/builder");
        let started = Instant::now();
        while sleeping(&marker) < 2 || !pid_file.exists() {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the step did not start ({who:?})"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        if sleeping(&marker) < 2 {
            skip(&format!("no step as {who:?}"));
            continue;
        }
        let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let killed = Instant::now();
        while sleeping(&marker) > 0 {
            assert!(killed.elapsed() < Duration::from_secs(5), "the step outlived its builder");
            std::thread::sleep(Duration::from_millis(5));
        }
        while running(&stage.path().join("rbuild")) > 0 {
            assert!(killed.elapsed() < Duration::from_secs(5), "a process of rbuild's was left");
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("NOTE {who:?}, shared pids: {shared}: all dead after {:?}", killed.elapsed());
        let _ = child.wait();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(stage.path().to_str().unwrap()));
    }
}

/// Counts the processes of the whole host that are `sleep <marker>`.
fn sleeping(marker: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| {
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|word| word.ends_with(b"sleep"))
                && words.next() == Some(marker.as_bytes())
        })
        .count()
}

/// Counts the processes of the whole host that run this very file.
fn running(program: &Path) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path().join("exe")).ok())
        .filter(|exe| exe == program)
        .count()
}

/// Not a test of its own: the entry of the processes that [`check`] starts.
#[test]
fn inside() {
    let Ok(name) = std::env::var("RBUILD_STEP_CASE") else { return };
    let mut all = CASES.iter().chain(owned::CASES).chain(copies::CASES);
    let (_, case) = all.find(|(other, _)| *other == name).expect("a known case");
    // SAFETY: the harness's other threads hold nothing that the child uses: it runs and exits.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let done = std::panic::catch_unwind(|| world::enter(*case));
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "{name} failed");
}

/// Not a test of its own either: the entry of the programs that steps run, for calls that no shell makes.
#[test]
fn probe() {
    if let Ok(what) = std::env::var("RBUILD_STEP_PROBE") {
        probe::run(&what);
    }
}
