//! What lies around the kernel: disk, memory, programs.

use std::fs;

use super::kernel::{present, words};
use super::{Ability, No, Question};
use crate::sys::trial;

/// A store with less than this is too small for a build, in bytes.
const LITTLE: u64 = 1 << 30;

/// Looks at what is around.
pub(super) fn abilities(question: &Question) -> Vec<Ability> {
    let program = |name: &str, cure: &str| match trial::program(name, &question.folders) {
        Some(path) => Ok(Some(path.display().to_string())),
        None => Err(No::new(format!("there is no program `{name}`"), cure)),
    };
    vec![
        Ability::new("store", "room for the store", store(question)).needed(),
        Ability::new("memory", "memory and processors for steps", memory()),
        Ability::new("tun", "the device of a network made by a program", tun()),
        Ability::new("pasta", "a network of a step's own, by pasta or slirp4netns", {
            program("pasta", "")
                .or_else(|_| program("slirp4netns", "install the package `passt` or `slirp4netns`"))
        }),
        Ability::new("git", "ADD of git repositories", program("git", "install the package `git`")),
        Ability::new(
            "ssh",
            "git repositories over ssh",
            program("ssh", "install the package `openssh-client`"),
        ),
    ]
}

fn store(question: &Question) -> Result<Option<String>, No> {
    let place = present(&question.store);
    let other = "choose another store with --root DIR";
    let disk = trial::disk(&place)
        .map_err(|error| No::new(format!("`{}`: {}", place.display(), words(&error)), other))?;
    let free = disk.free / 1_000_000;
    if disk.readonly {
        return Err(No::new(format!("`{}` is read-only", place.display()), other));
    }
    if disk.noexec {
        let cause =
            format!("`{}` is mounted noexec: no program of a step can run", place.display());
        return Err(No::new(cause, other));
    }
    if disk.free < LITTLE {
        let cause = format!("`{}` has {free} MB left", place.display());
        return Err(No::new(cause, "make room, or choose another store with --root DIR"));
    }
    Ok(Some(format!("{} on {}, {free} MB free", place.display(), disk.kind)))
}

fn memory() -> Result<Option<String>, No> {
    let mut said = Vec::new();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kilobytes = |name: &str| -> Option<u64> {
        let text = read("/proc/meminfo");
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    if let Some(free) = kilobytes("MemAvailable:") {
        said.push(format!("{} MB of memory", free / 1000));
    }
    // In a container of its own these are its limits; elsewhere the root group has none.
    for (path, what) in [
        ("/sys/fs/cgroup/memory.max", "bytes of memory at most"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "bytes of memory at most"),
        ("/sys/fs/cgroup/pids.max", "processes at most"),
        ("/sys/fs/cgroup/cpu.max", "(CPU quota, period)"),
    ] {
        let value = read(path);
        let value = value.trim();
        let open = value.is_empty() || value.starts_with("max") || value.len() > 17;
        if !open {
            said.push(format!("{value} {what}"));
        }
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    said.push(format!("{cpus} CPUs"));
    said.extend(trial::process_limits());
    Ok(Some(said.join(", ")))
}

fn tun() -> Result<Option<String>, No> {
    trial::tun().map(|()| None).map_err(|error| {
        No::new(
            format!("/dev/net/tun: {}", words(&error)),
            "give the container the device (`--device /dev/net/tun`); only a network of a step's own \
             needs it",
        )
    })
}
