//! What this machine can do, and the users that the program is run as.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::process::{ok, run};

/// Says why (a part of) a test is not run. It is an error where `RBUILD_TEST_NO_SKIP=1`.
pub(crate) fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(
        std::env::var_os("RBUILD_TEST_NO_SKIP").is_none_or(|value| value != "1"),
        "skipping is an error in this run: {why}"
    );
    // Not `eprintln!`: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "SKIP {name}: {why}");
}

/// Shows a figure that is measured and not judged: it depends on the machine and its other work.
pub(crate) fn measured(what: &str) {
    let _ = writeln!(std::io::stderr(), "MEASURED {what}");
}

/// Whether all these programs are here; says which is not.
pub(crate) fn have(programs: &[&str]) -> bool {
    for program in programs {
        let here = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists());
        if !here {
            skip(&format!("`{program}` is not installed (tests/run installs it)"));
            return false;
        }
    }
    true
}

/// Whether the tests are run by root.
pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Whom the program runs as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// Root.
    Root,
    /// An ordinary user with a range of subordinate ids.
    Range,
    /// An ordinary user with no ids but its own.
    Single,
}

impl Who {
    /// All that this host offers; a missing one is told.
    pub(crate) fn every() -> Vec<Who> {
        [Who::Root, Who::Range, Who::Single].into_iter().filter(|who| who.here()).collect()
    }

    /// Whether the program can be run as this one here; says so when not.
    pub(crate) fn here(self) -> bool {
        let here =
            if is_root() { self == Who::Root || users().is_some() } else { self == Who::me() };
        // Told once, not by each test.
        static TOLD: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
        if !here && !TOLD[self as usize].swap(true, Ordering::Relaxed) {
            skip(&format!("no user of kind {self:?}: the tests make users when root runs them"));
        }
        here
    }

    /// The least powerful kind with all of the main road: [`Who::Range`] when root can make one,
    /// else whoever runs the tests.
    pub(crate) fn usual() -> Who {
        if is_root() && users().is_some() { Who::Range } else { Who::me() }
    }

    fn me() -> Who {
        if is_root() {
            return Who::Root;
        }
        let uid = rustix::process::getuid().as_raw().to_string();
        let name = ok(Command::new("id").arg("-un"));
        match has_range(name.trim()) || has_range(&uid) {
            true => Who::Range,
            false => Who::Single,
        }
    }

    /// The user and group to change to, when it is not the one that runs the tests.
    pub(crate) fn ids(self) -> Option<(u32, u32)> {
        match (is_root(), self) {
            (true, Who::Range) => users().map(|users| users.range),
            (true, Who::Single) => users().map(|users| users.single),
            _ => None,
        }
    }

    /// A command that runs `program` as this user, in an environment of nothing but HOME and PATH.
    pub(crate) fn command(self, program: impl AsRef<OsStr>, home: &Path) -> Command {
        let mut command = match self.ids() {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
                command.args(["--clear-groups", "--inh-caps=-all", "--"]).arg(program);
                command
            }
        };
        command.env_clear().env("HOME", home);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

/// Ids of the two users of these tests.
struct Users {
    range: (u32, u32),
    single: (u32, u32),
}

fn users() -> Option<&'static Users> {
    static USERS: OnceLock<Option<Users>> = OnceLock::new();
    USERS
        .get_or_init(|| {
            if !have(&["useradd", "usermod", "setpriv", "newuidmap"]) {
                return None;
            }
            let users = Users {
                range: user("rbuild-range", &[])?,
                single: user("rbuild-single", &["--system"])?,
            };
            // Debian's `useradd` gives an ordinary user a range where /etc/subuid is kept, and a
            // system user none.
            if !has_range("rbuild-range") {
                let first = free_id();
                let range = format!("{first}-{}", first + 65535);
                let mut usermod = Command::new("usermod");
                usermod.args(["--add-subuids", &range, "--add-subgids", &range, "rbuild-range"]);
                ok(&mut usermod);
            }
            assert!(!has_range("rbuild-single"), "user `rbuild-single` has subordinate ids");
            Some(users)
        })
        .as_ref()
}

fn user(name: &str, flags: &[&str]) -> Option<(u32, u32)> {
    let ids = |kind: &str| {
        let done = run(Command::new("id").args([kind, name]), Duration::from_secs(10));
        done.out().trim().parse::<u32>().ok()
    };
    if ids("-u").is_none() {
        let mut useradd = Command::new("useradd");
        useradd.args(flags).args([
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
        ]);
        let done = run(useradd.args(["--shell", "/bin/sh", name]), Duration::from_secs(30));
        if !done.status.success() {
            skip(&format!("cannot make user `{name}`: {}", done.err().trim()));
            return None;
        }
    }
    Some((ids("-u")?, ids("-g")?))
}

fn has_range(name: &str) -> bool {
    ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|line| line.split(':').next() == Some(name))
    })
}

// The first id above all ranges that were given away.
fn free_id() -> u32 {
    let mut free = 100_000;
    for file in ["/etc/subuid", "/etc/subgid"] {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let mut fields = line.split(':').skip(1).filter_map(|field| field.parse::<u32>().ok());
            if let (Some(start), Some(count)) = (fields.next(), fields.next()) {
                free = free.max(start.saturating_add(count));
            }
        }
    }
    free
}
