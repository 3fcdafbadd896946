//! Limits for all processes of a step together: a control group of its own (cgroup v2), where this
//! account may make one.
//!
//! A group can be made where the host has given a folder of the hierarchy away (systemd: `Delegate=yes`,
//! the session's `app.slice`; a container with a writable `/sys/fs/cgroup`). It has to have the
//! controllers switched on for its children, which a folder that holds processes itself refuses: then
//! the builder, if it is alone in there, moves into a child first.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::terms::Resources;

/// The period of a processor's quota, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// The control group of one step. When dropped, all in it is killed, and it is removed.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Makes a group with these limits; an error says in words why that is not possible.
    pub(super) fn make(resources: &Resources) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = own_folder(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))?;
        Self::make_near(&own, resources)
    }

    fn make_near(own: &Path, resources: &Resources) -> Result<Self, String> {
        let wanted = controllers(resources);
        let has = |folder: &Path, file: &str| {
            let list = fs::read_to_string(folder.join(file)).unwrap_or_default();
            wanted.iter().all(|name| list.split_whitespace().any(|other| other == *name))
        };
        let mut why = None;
        for folder in [Some(own), own.parent()].into_iter().flatten() {
            if !has(folder, "cgroup.subtree_control")
                && folder == own
                && has(own, "cgroup.controllers")
            {
                // Best effort: what comes of it is seen right below.
                let _ = give_to_children(own, &wanted);
            }
            if !has(folder, "cgroup.subtree_control") {
                let names = wanted.join("`, `");
                why.get_or_insert(format!("`{}` does not hand on `{names}`", folder.display()));
                continue;
            }
            match Self::make_in(folder, resources) {
                Ok(group) => return Ok(group),
                Err(error) => {
                    why.get_or_insert(format!("`{}`: {error}", folder.display()));
                }
            }
        }
        Err(why.unwrap_or_else(|| format!("`{}` is not delegated to this account", own.display())))
    }

    fn make_in(folder: &Path, resources: &Resources) -> io::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        remove_left_behind(folder);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = Group(folder.join(format!("rbuild-{}-{number}", process::id())));
        fs::create_dir(&group.0)?;
        if let Some(bytes) = resources.memory {
            group.write("memory.max", &bytes.to_string())?;
            // Swap is no way around the limit; kernels without swap accounting have no such file.
            let _ = group.write("memory.swap.max", "0");
            // What is out of memory ends as a whole: half a compiler is of no use.
            let _ = group.write("memory.oom.group", "1");
        }
        if let Some(count) = resources.pids {
            group.write("pids.max", &count.to_string())?;
        }
        if let Some(cpus) = resources.cpus {
            let quota = (cpus * PERIOD / 1000).max(1000);
            group.write("cpu.max", &format!("{quota} {PERIOD}"))?;
        }
        Ok(group)
    }

    /// Moves a process in; all that it starts from now on is in as well.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Returns how many processes of it were killed for want of memory.
    pub(super) fn killed_for_memory(&self) -> u64 {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        number_of(&events, "oom_kill")
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.0.join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Linux 5.14; the step's first process has ended by now, and its namespace with it.
        let _ = self.write("cgroup.kill", "1");
        for _ in 0..50 {
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

/// Tells whether steps can be limited by a group; if not, why, in words.
pub fn can_limit(resources: &Resources) -> Result<(), String> {
    Group::make(resources).map(drop)
}

/// How many processes of this machine were killed for want of memory since it started, the kernel's
/// own count; 0 where it is not told.
pub(super) fn killed_for_memory_anywhere() -> u64 {
    number_of(&fs::read_to_string("/proc/vmstat").unwrap_or_default(), "oom_kill")
}

fn number_of(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(word, _)| *word == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

fn controllers(resources: &Resources) -> Vec<&'static str> {
    let Resources { memory, pids, cpus } = resources;
    [("memory", memory), ("pids", pids), ("cpu", cpus)]
        .into_iter()
        .filter_map(|(name, limit)| limit.map(|_| name))
        .collect()
}

// Removes the groups of builders that were killed before they could do so themselves. Only an empty one
// can be removed; one that somebody else makes meanwhile has the number of a process that lives.
fn remove_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let builder = name.to_str().and_then(builder_of);
        if builder.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Best effort: it is in nobody's way.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn builder_of(group: &str) -> Option<u32> {
    let (pid, number) = group.strip_prefix("rbuild-")?.split_once('-')?;
    number.parse::<usize>().ok()?;
    pid.parse().ok()
}

// A folder hands controllers on only while it holds no process. The builder, if it is alone there,
// steps aside into a child; that one stays as long as the builder lives in it.
fn give_to_children(own: &Path, wanted: &[&str]) -> io::Result<()> {
    let inside = fs::read_to_string(own.join("cgroup.procs"))?;
    let pid = process::id().to_string();
    if inside.split_whitespace().any(|other| other != pid) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let aside = own.join("rbuild");
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(aside.join("cgroup.procs"), &pid)?;
    let words: Vec<String> = wanted.iter().map(|name| format!("+{name}")).collect();
    fs::write(own.join("cgroup.subtree_control"), words.join(" "))
}

/// Returns the folder of this process's group in the hierarchy of version 2.
fn own_folder(mounts: &str, groups: &str) -> Result<PathBuf, String> {
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this kernel has no cgroup v2")?;
    // Fields of mountinfo (proc(5)): id, parent, device, root, mount point, …, `-`, type.
    let mounted = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        (after.split(' ').next() == Some("cgroup2")).then_some(())?;
        Some((fields.next()?, fields.next()?))
    });
    for (root, at) in mounted {
        let below = match root {
            "/" => Some(path),
            root => path.strip_prefix(root),
        };
        if let Some(below) = below {
            return Ok(Path::new(at).join(below.trim_start_matches('/')));
        }
    }
    Err("cgroup v2 is not mounted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found() {
        let unified = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let part = "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let old = "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        for (mounts, group, want) in [
            (unified, "0::/user.slice/a.scope", Ok("/sys/fs/cgroup/user.slice/a.scope")),
            (part, "0::/docker/abc", Ok("/sys/fs/cgroup/")),
            (part, "0::/other", Err("cgroup v2 is not mounted")),
            (old, "4:memory:/x\n0::/", Err("cgroup v2 is not mounted")),
            (old, "4:memory:/x", Err("this kernel has no cgroup v2")),
        ] {
            let got = own_folder(mounts, group);
            assert_eq!(got, want.map(PathBuf::from).map_err(str::to_owned), "{group}");
        }
    }

    // Ordinary folders stand for the kernel's: what would be written where, and what is asked first.
    fn folder(controllers: &str, handed_on: &str) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("cgroup.controllers"), controllers).unwrap();
        fs::write(own.join("cgroup.subtree_control"), handed_on).unwrap();
        fs::write(own.join("cgroup.procs"), "1\n").unwrap();
        top
    }

    #[test]
    fn a_group_needs_all_controllers() {
        let memory = Resources { memory: Some(1 << 20), ..Resources::default() };
        let both = Resources { pids: Some(5), ..memory };
        let check = |handed_on: &str, resources: &Resources, want: &str| {
            let top = folder("cpu memory pids", handed_on);
            let why = Group::make_near(&top.path().join("own"), resources).unwrap_err();
            assert!(why.contains(want), "{why}");
        };
        check("cpu", &memory, "does not hand on `memory`");
        check("memory cpu", &both, "does not hand on `memory`, `pids`");
        // An ordinary folder has no file `memory.max`: it is asked for, and the group is not made.
        check("cpu memory", &memory, "No such file");
    }

    #[test]
    fn groups_of_builders_that_are_gone_are_removed() {
        let top = tempfile::tempdir().unwrap();
        let own = format!("rbuild-{}-0", process::id());
        // Numbers of processes end at 4 194 304 (proc(5), pid_max).
        let kept = [own.as_str(), "rbuild", "rbuild-x-0", "rbuild-4999999", "app-4999999-0"];
        for name in kept.into_iter().chain(["rbuild-4999999-0"]) {
            fs::create_dir(top.path().join(name)).unwrap();
        }
        remove_left_behind(top.path());
        assert!(kept.iter().all(|name| top.path().join(name).exists()));
        assert!(!top.path().join("rbuild-4999999-0").exists());
    }

    #[test]
    fn kills_are_counted() {
        assert_eq!(number_of("low 0\nmax 7\noom 2\noom_kill 3\n", "oom_kill"), 3);
        assert_eq!(number_of("pgfault 9\n", "oom_kill"), 0);
    }
}
