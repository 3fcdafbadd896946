//! Makes this process root of a user namespace of its own, so that it may mount and own ids.
//!
//! `unshare` cuts the process off from the powers that are needed to write an id map. So a small
//! child is forked before, stays behind in the parent namespace, and writes the maps from there:
//! through the setuid programs newuidmap(1) and newgidmap(1), or directly as real root.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::child;
use super::subid;

/// Which ids the builder has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdMode {
    /// Real root: every id of the parent namespace, each mapped to itself.
    Root,
    /// A range of subordinate ids: 0 is the account, 1 and up are the range.
    Range,
    /// The account's own id alone, seen as 0; other owners are recorded in an attribute.
    Single,
    /// No user namespace, and no root: all is the account's. Other owners are recorded, and so are
    /// modes and capabilities that would be in the way.
    Bare,
}

impl IdMode {
    /// Tells whether files can be owned by ids other than 0.
    pub fn has_many(self) -> bool {
        match self {
            IdMode::Root | IdMode::Range => true,
            IdMode::Single | IdMode::Bare => false,
        }
    }
}

/// What [`enter_user_namespace`] came to.
#[derive(Debug)]
pub struct Entered {
    /// Which ids there are now.
    pub mode: IdMode,
    /// Why it is [`IdMode::Single`] although more was looked for: cause and cure, for people.
    pub why_single: Option<NamespaceError>,
    /// Why nothing can be mounted in it, where that is so.
    pub no_mounts: Option<NamespaceError>,
}

/// What stands in the way of a user namespace, to decide on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// AppArmor (`kernel.apparmor_restrict_unprivileged_userns`).
    AppArmor,
    /// The Debian switch `kernel.unprivileged_userns_clone`.
    Sysctl,
    /// `user.max_user_namespaces`, or too many levels of them.
    Limit,
    /// The seccomp filter of a container.
    Seccomp,
    /// The kernel has no user namespaces.
    Kernel,
    /// No subordinate ids, or no programs to map them.
    NoRange,
    /// newuidmap(1) or newgidmap(1) refused.
    MapRefused,
    /// There is a user namespace, but mounts are refused in it.
    Mounts,
    /// The program has more than one thread: a mistake of the caller.
    Threads,
    /// Something else.
    Other,
}

/// Why there is no user namespace, or no range of ids in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot make a user namespace: {cause}")]
pub struct NamespaceError {
    /// What stands in the way.
    pub obstacle: Obstacle,
    /// The same in words.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
}

impl NamespaceError {
    fn new(obstacle: Obstacle, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        NamespaceError { obstacle, cause: cause.into(), cure: cure.into() }
    }
}

// How the ids shall be mapped.
enum Maps {
    Identity { uids: String, gids: String },
    Range { uids: Vec<String>, gids: Vec<String> },
    Single,
}

/// Makes this process root of new user and mount namespaces.
///
/// Has to be called while the process has one thread. `want` asks for one mode and takes no
/// other; `None` tries in the order root, range, single.
pub fn enter_user_namespace(want: Option<IdMode>) -> Result<Entered, NamespaceError> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let (mode, maps, mut why_single) = choose(want, uid, gid)?;

    let helper = Helper::start(&maps).map_err(|error| {
        NamespaceError::new(Obstacle::Other, format!("fork: {error}"), "free some memory")
    })?;
    // SAFETY: what is unshared is the user and the mount namespace of the calling thread; no file
    // descriptor table or memory that other code relies on is taken apart.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) } {
        return Err(explain(error, &Host::look()));
    }
    let answer = helper.finish();
    let mode = match answer {
        Ok(()) if mode != IdMode::Single => mode,
        Ok(()) => {
            write_single(uid, gid)?;
            IdMode::Single
        }
        // Nothing is mapped yet, so the account's own id still can be.
        Err(refused) if mode == IdMode::Range && want.is_none() && !is_mapped() => {
            why_single = Some(refused);
            write_single(uid, gid)?;
            IdMode::Single
        }
        Err(refused) => return Err(refused),
    };
    // Mounts made here stay here; those made outside later are not wanted either.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let no_mounts = mount_change("/", private).err().map(|error| {
        NamespaceError::new(
            Obstacle::Mounts,
            format!("there is one, but nothing can be mounted in it ({error})"),
            "look for what forbids it around this process: AppArmor's profile for containers does \
             (`--security-opt apparmor=unconfined`), and so do some seccomp profiles \
             (`--security-opt seccomp=unconfined`)",
        )
    });
    Ok(Entered { mode, why_single, no_mounts })
}

/// What [`enter_user_namespace`] would come to, from what the accounts of this machine say. The kernel,
/// and `newuidmap`, may say otherwise when they are asked.
#[derive(Debug)]
pub struct Foreseen {
    /// Which ids there would be.
    pub mode: IdMode,
    /// What [`id_maps`] would return, but for its spaces.
    pub maps: String,
    /// Why there would be one id only.
    pub why_single: Option<NamespaceError>,
}

/// Foresees [`enter_user_namespace`]; `None` where it would fail.
pub fn foreseen_ids() -> Option<Foreseen> {
    foreseen(None)
}

fn foreseen(want: Option<IdMode>) -> Option<Foreseen> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let (mode, maps, why_single) = choose(want, uid, gid).ok()?;
    let maps = match maps {
        Maps::Identity { uids, gids } => format!("{uids}\n{gids}"),
        Maps::Range { uids, gids } => format!("{}\n{}", uids.join(" "), gids.join(" ")),
        Maps::Single => format!("0 {uid} 1\n0 {gid} 1"),
    };
    Some(Foreseen { mode, maps, why_single })
}

fn choose(
    want: Option<IdMode>,
    uid: u32,
    gid: u32,
) -> Result<(IdMode, Maps, Option<NamespaceError>), NamespaceError> {
    let identity = || {
        let (uids, ids) = subid::identity(&read("/proc/self/uid_map"));
        let (gids, _) = subid::identity(&read("/proc/self/gid_map"));
        (ids > 1).then_some(Maps::Identity { uids, gids })
    };
    match want {
        Some(IdMode::Single | IdMode::Bare) => Ok((IdMode::Single, Maps::Single, None)),
        Some(IdMode::Root) => match identity() {
            Some(maps) if uid == 0 => Ok((IdMode::Root, maps, None)),
            _ => Err(NamespaceError::new(
                Obstacle::NoRange,
                "this is not root with more than one id",
                "run it as root, or leave the choice of ids to rbuild",
            )),
        },
        Some(IdMode::Range) => Ok((IdMode::Range, range(uid, gid)?, None)),
        None if uid == 0
            && let Some(maps) = identity() =>
        {
            Ok((IdMode::Root, maps, None))
        }
        None => match range(uid, gid) {
            Ok(maps) => Ok((IdMode::Range, maps, None)),
            Err(why) => Ok((IdMode::Single, Maps::Single, Some(why))),
        },
    }
}

fn range(uid: u32, gid: u32) -> Result<Maps, NamespaceError> {
    let passwd = read("/etc/passwd");
    let name = subid::name_of(&passwd, uid);
    // The owner in /etc/subgid is the user as well, not the group.
    let uids = subid::ranges(&read("/etc/subuid"), uid, name);
    let gids = subid::ranges(&read("/etc/subgid"), uid, name);
    let who = name.map_or_else(|| uid.to_string(), str::to_owned);
    if uids.is_empty() || gids.is_empty() {
        let file = if uids.is_empty() { "/etc/subuid" } else { "/etc/subgid" };
        return Err(NamespaceError::new(
            Obstacle::NoRange,
            format!("user `{who}` has no subordinate ids in `{file}`"),
            advice(&who, uids.is_empty(), gids.is_empty()),
        ));
    }
    if ["newuidmap", "newgidmap"].iter().any(|tool| find(tool).is_none()) {
        return Err(NamespaceError::new(
            Obstacle::NoRange,
            "`newuidmap` and `newgidmap` are not installed",
            "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora)",
        ));
    }
    Ok(Maps::Range { uids: subid::arguments(uid, &uids), gids: subid::arguments(gid, &gids) })
}

// The command that gives an account a range that nobody has, in the file (or files) without one.
fn advice(who: &str, uids: bool, gids: bool) -> String {
    let names: Vec<&str> = [("/etc/subuid", uids), ("/etc/subgid", gids)]
        .iter()
        .filter_map(|(file, missing)| missing.then_some(*file))
        .collect();
    let texts: Vec<String> = names.iter().map(|file| read(file)).collect();
    let accounts = read("/etc/passwd");
    match subid::free(texts.iter().map(String::as_str), &accounts) {
        Some(first) => format!(
            "as root: echo '{who}:{first}:{}' | tee -a {} >/dev/null",
            subid::USUAL,
            names.join(" ")
        ),
        None => format!("as root: free a range of {} ids in {}", subid::USUAL, names.join(" ")),
    }
}

// The setuid programs are looked for where a system has them, never through `PATH`.
fn find(tool: &str) -> Option<String> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"]
        .iter()
        .map(|folder| format!("{folder}/{tool}"))
        .find(|path| Path::new(path).exists())
}

fn read(path: &str) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn is_mapped() -> bool {
    !read("/proc/self/uid_map").trim().is_empty() || !read("/proc/self/gid_map").trim().is_empty()
}

/// Tells whether this process is in a user namespace that has no ids: one that could not be finished.
pub fn has_no_ids() -> bool {
    !is_mapped()
}

/// Returns the ids of this process's namespace as those of the one above, as text: files that were
/// made under one map have other owners under another.
pub fn id_maps() -> String {
    ["/proc/self/uid_map", "/proc/self/gid_map"].map(read).join("\n")
}

fn write_single(uid: u32, gid: u32) -> Result<(), NamespaceError> {
    // Since Linux 3.19 an account may map its group only after it has given up setgroups.
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(|error| {
            explain(error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error), &Host::look())
        })
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

// The child that stays behind. Dropped without `finish` it sees its pipe close, and ends.
struct Helper {
    child: child::Child,
    go: std::io::PipeWriter,
    answer: std::io::PipeReader,
}

impl Helper {
    fn start(maps: &Maps) -> std::io::Result<Self> {
        let (mut told, go) = std::io::pipe()?;
        let (answer, mut say) = std::io::pipe()?;
        let parent = std::process::id();
        match child::fork()? {
            child::Fork::Parent(child) => Ok(Helper { child, go, answer }),
            child::Fork::Child => {
                drop((go, answer));
                let mut byte = [0];
                if told.read(&mut byte).is_ok_and(|read| read == 1)
                    && let Err(refused) = write_maps(maps, parent)
                {
                    // The reader sees an answer, or none: nothing else can be done here.
                    let _ = say.write_all(refused.as_bytes());
                }
                child::exit(0)
            }
        }
    }

    fn finish(self) -> Result<(), NamespaceError> {
        let Helper { child, mut go, mut answer } = self;
        let mut text = String::new();
        let done = go.write_all(b"x").and_then(|()| answer.read_to_string(&mut text));
        let _ = child.wait();
        if let Err(error) = done {
            text = error.to_string();
        }
        if text.is_empty() {
            return Ok(());
        }
        Err(NamespaceError::new(
            Obstacle::MapRefused,
            format!("the ids cannot be mapped: {text}"),
            "look at /etc/subuid and /etc/subgid, and whether `newuidmap` and `newgidmap` are \
             setuid root or have file capabilities (a container may need \
             `allowPrivilegeEscalation`)",
        ))
    }
}

fn write_maps(maps: &Maps, pid: u32) -> Result<(), String> {
    match maps {
        Maps::Single => Ok(()),
        Maps::Identity { uids, gids } => {
            for (file, text) in [("uid_map", uids), ("gid_map", gids)] {
                fs::write(format!("/proc/{pid}/{file}"), text)
                    .map_err(|error| format!("write {file}: {error}"))?;
            }
            Ok(())
        }
        Maps::Range { uids, gids } => {
            for (tool, arguments) in [("newuidmap", uids), ("newgidmap", gids)] {
                let path = find(tool).ok_or_else(|| format!("`{tool}` is gone"))?;
                let output = Command::new(path)
                    .arg(pid.to_string())
                    .args(arguments)
                    .env_clear()
                    .stdin(Stdio::null())
                    .output()
                    .map_err(|error| format!("{tool}: {error}"))?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let said = said.trim().chars().take(300).collect::<String>();
                    return Err(if said.is_empty() {
                        format!("{tool}: {}", output.status)
                    } else {
                        said
                    });
                }
            }
            Ok(())
        }
    }
}

// What the host says about itself, to explain a refusal by.
#[derive(Default)]
struct Host {
    apparmor: bool,
    sysctl: bool,
    no_namespaces: bool,
    seccomp: bool,
}

impl Host {
    fn look() -> Self {
        let is = |path: &str, value: &str| read(path).trim() == value;
        Host {
            apparmor: is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            sysctl: is("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            no_namespaces: is("/proc/sys/user/max_user_namespaces", "0"),
            seccomp: read("/proc/self/status").lines().any(|line| line == "Seccomp:\t2"),
        }
    }
}

fn explain(error: Errno, host: &Host) -> NamespaceError {
    let denied = error == Errno::PERM || error == Errno::ACCESS;
    let (obstacle, cause, cure) = if error == Errno::NOSPC || (denied && host.no_namespaces) {
        (
            Obstacle::Limit,
            "the limit on user namespaces is reached (`user.max_user_namespaces`)".to_owned(),
            "as root: sysctl -w user.max_user_namespaces=15000",
        )
    } else if error == Errno::USERS {
        (
            Obstacle::Limit,
            "user namespaces are nested too deeply (32 levels)".to_owned(),
            "run rbuild outside of some of the containers around it",
        )
    } else if denied && host.sysctl {
        (
            Obstacle::Sysctl,
            "it is switched off for ordinary accounts (`kernel.unprivileged_userns_clone` is 0)"
                .to_owned(),
            "as root: sysctl -w kernel.unprivileged_userns_clone=1",
        )
    } else if denied && host.apparmor {
        (
            Obstacle::AppArmor,
            "AppArmor does not allow it (`kernel.apparmor_restrict_unprivileged_userns` is 1)"
                .to_owned(),
            "as root: load the profile that comes with rbuild (`contrib/apparmor/rbuild` to \
             /etc/apparmor.d, then apparmor_parser -r /etc/apparmor.d/rbuild), or \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else if denied && host.seccomp {
        (
            Obstacle::Seccomp,
            "the seccomp filter of this container does not allow it".to_owned(),
            "start the container with a seccomp profile that allows user namespaces \
             (`--security-opt seccomp=unconfined`; for a pod `seccompProfile: {type: Unconfined}`)",
        )
    } else if denied {
        (
            Obstacle::Other,
            format!("the host does not allow it ({error})"),
            "look for a security module or a chroot around this process that forbids user \
             namespaces",
        )
    } else if error == Errno::NOSYS {
        (
            Obstacle::Kernel,
            "this kernel has none".to_owned(),
            "use a kernel built with CONFIG_USER_NS",
        )
    } else if error == Errno::INVAL {
        (
            Obstacle::Threads,
            "the process has more than one thread, or the kernel was built without CONFIG_USER_NS"
                .to_owned(),
            "enter the namespace before starting threads",
        )
    } else {
        (Obstacle::Other, error.to_string(), "free some resources of the host")
    };
    NamespaceError::new(obstacle, cause, cure)
}

/// The real user id of this process, as its namespace sees it.
pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    // In a forked process, which has one thread, and is spoilt by it. Its status is the verdict.
    fn as_foreseen(want: Option<IdMode>) -> i32 {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        match child::fork().unwrap() {
            child::Fork::Child => child::exit(match (foreseen(want), enter_user_namespace(want)) {
                (Some(told), Ok(there)) if told.mode != there.mode => 1,
                (Some(told), Ok(_)) if plain(&told.maps) != plain(&id_maps()) => 2,
                (Some(_), Ok(_)) => 0,
                _ => 77,
            }),
            child::Fork::Parent(child) => match child.wait().unwrap() {
                child::End::Exited(code) => code,
                child::End::Signaled(signal) => 128 + signal,
            },
        }
    }

    #[test]
    fn the_ids_are_those_that_were_foreseen() {
        for want in [None, Some(IdMode::Single)] {
            match as_foreseen(want) {
                77 => {
                    let why = "there is no user namespace here";
                    crate::base::skipped("the_ids_are_those_that_were_foreseen", why);
                }
                verdict => assert_eq!(verdict, 0, "{want:?}"),
            }
        }
    }

    #[test]
    fn each_obstacle_is_told_apart() {
        let host = Host::default;
        for (error, host, want) in [
            (Errno::NOSPC, host(), Obstacle::Limit),
            (Errno::PERM, Host { no_namespaces: true, ..host() }, Obstacle::Limit),
            (Errno::USERS, host(), Obstacle::Limit),
            (Errno::PERM, Host { sysctl: true, seccomp: true, ..host() }, Obstacle::Sysctl),
            (Errno::PERM, Host { apparmor: true, ..host() }, Obstacle::AppArmor),
            (Errno::ACCESS, Host { apparmor: true, ..host() }, Obstacle::AppArmor),
            (Errno::PERM, Host { seccomp: true, ..host() }, Obstacle::Seccomp),
            (Errno::PERM, host(), Obstacle::Other),
            (Errno::NOSYS, host(), Obstacle::Kernel),
            (Errno::INVAL, host(), Obstacle::Threads),
            (Errno::NOMEM, host(), Obstacle::Other),
        ] {
            let told = explain(error, &host);
            assert_eq!(told.obstacle, want, "{error:?}");
            assert!(!told.cause.is_empty() && !told.cure.is_empty());
        }
    }
}
