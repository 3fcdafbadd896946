//! Questions that rules ask of programs that ran: what they fetched, whose output they read, who made
//! them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::acts::Act;
use super::flow::{self, Download};
use crate::base::Span;
use crate::facts::shell::{Command, Dialect, Script, analyse_exec};
use crate::facts::{Behaviour, Executed};

/// Returns the command that a program was, if it is known: a script that the kernel gave to an
/// interpreter is the script's name with its arguments.
pub(super) fn script_of(program: &Executed, span: Span) -> Script {
    let from = match program.script() {
        Some(script) => program.argv.iter().position(|word| word == script).unwrap_or(0),
        None => 0,
    };
    let words: Vec<(String, Span)> =
        program.argv.iter().skip(from).map(|word| (word.clone(), span)).collect();
    analyse_exec(&words, &Default::default(), Dialect::Bash)
}

/// Returns the command itself. What is run through `sudo`, `env` or `sh -c` is a program of its own,
/// and no command of this one.
pub(super) fn command_of(script: &Script) -> Option<&Command> {
    let first = script.commands.first()?;
    let own = first.wrapped_by.iter().all(|name| name.starts_with("python") || name == "busybox");
    (own && first.depth == 0).then_some(first)
}

/// Returns the commands of a text that a busybox shell was given: it may be built to do them itself,
/// and then no program begins.
pub(super) fn applets_of(program: &Executed, span: Span) -> Vec<Command> {
    if !program.path.ends_with("/busybox") || !super::scripts::is_shell(program.name()) {
        return Vec::new();
    }
    let mut script = script_of(program, span);
    script.commands.drain(..script.commands.len().min(1));
    script.commands
}

/// Reads an address of the internet; `None` for any other.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// Tells whether an address is outside the step.
pub(super) fn leaves(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    !(ip.is_loopback() || ip.is_unspecified())
}

/// Returns the programs that asked for a connection to the internet.
pub(super) fn networked(seen: &Behaviour) -> BTreeSet<usize> {
    let connects = seen.connects.iter().filter(|one| address(&one.addr).is_some());
    connects.filter_map(|one| one.by).collect()
}

/// Returns the program with a connection whose output comes, perhaps through others, to a stream.
pub(super) fn source(seen: &Behaviour, stream: &str, networked: &BTreeSet<usize>) -> Option<usize> {
    let mut open = vec![stream];
    let mut known: BTreeSet<&str> = BTreeSet::new();
    while let Some(stream) = open.pop() {
        if !stream.starts_with("pipe:") || !known.insert(stream) {
            continue;
        }
        let writers = (0..).zip(&seen.execs);
        for (index, writer) in
            writers.filter(|(_, one)| one.streams.get(&1).is_some_and(|out| out == stream))
        {
            if networked.contains(&index) {
                return Some(index);
            }
            open.extend(writer.streams.get(&0).map(String::as_str));
        }
    }
    None
}

/// A file that a program fetched.
pub(super) struct Fetched {
    pub(super) by: usize,
    pub(super) url: String,
    pub(super) file: String,
}

/// Returns the files that programs fetched, as far as their arguments and streams tell.
pub(super) fn fetched(act: &Act<'_, '_>, seen: &Behaviour) -> Vec<Fetched> {
    let Some(item) = act.item else { return Vec::new() };
    let mut out = Vec::new();
    for (by, program) in (0..).zip(&seen.execs) {
        let script = script_of(program, act.span);
        let Some(command) = command_of(&script) else { continue };
        if !command.fetches() {
            continue;
        }
        let cwd = program.folder.as_deref().map(Into::into);
        let step = flow::Step { item, command, head: command.into(), cwd: &cwd };
        let mut downloads: Vec<Download> = flow::downloads(&step);
        // Where its shell sent the output.
        if let Some(to) = program.streams.get(&1)
            && to.starts_with('/')
            && !to.starts_with("/dev/")
            && let Some(url) = command.args().iter().find(|arg| flow::is_url(&arg.text))
        {
            downloads.push(Download {
                file: Some(to.clone()),
                url: url.text.clone(),
                span: act.span,
            });
        }
        for download in downloads {
            if let Some(file) = download.file {
                out.push(Fetched { by, url: download.url, file });
            }
        }
    }
    out
}

/// What became of a fetched file.
pub(super) struct Ran {
    /// The program that ran it.
    pub(super) by: usize,
    /// It was installed as a package.
    pub(super) installed: bool,
}

/// Returns who ran a fetched file without a check of it.
pub(super) fn ran_unchecked(act: &Act<'_, '_>, seen: &Behaviour, fetched: &Fetched) -> Option<Ran> {
    let item = act.item?;
    // A shell may have checked it without a program of its own.
    if item.script().commands.iter().any(|command| {
        flow::verifies(command, item.script(), &fetched.file) || compares(command, &fetched.file)
    }) {
        return None;
    }
    for (by, program) in (0..).zip(&seen.execs).skip(fetched.by + 1) {
        let script = script_of(program, act.span);
        let Some(command) = command_of(&script) else { continue };
        if flow::verifies(command, &script, &fetched.file)
            || sums(command, true)
            || compares(command, &fetched.file)
        {
            return None;
        }
        let cwd = program.folder.as_deref().map(Into::into);
        let step = flow::Step { item, command, head: command.into(), cwd: &cwd };
        let asked = program.asked.as_deref().and_then(|asked| program.absolute(asked));
        if program.path == fetched.file
            || asked.as_deref() == Some(&fetched.file)
            || program
                .streams
                .get(&0)
                .is_some_and(|input| *input == fetched.file && command.program().is_some())
            || flow::executes(&step, &fetched.file)
        {
            return Some(Ran { by, installed: command.install().is_some() });
        }
    }
    None
}

// `sha256sum -c`, whose list may come from a pipe.
fn sums(command: &Command, check: bool) -> bool {
    let name = command.name().unwrap_or("");
    let is_sum = (name.ends_with("sum") && name != "sum") || name == "b3sum";
    let checks = command.args().iter().any(|arg| {
        arg.text == "--check"
            || (arg.text.starts_with('-') && !arg.text.starts_with("--") && arg.text.contains('c'))
    });
    is_sum && checks == check
}

// The sum of the file alone: somebody compares it.
fn compares(command: &Command, file: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file);
    sums(command, false) && command.args().iter().any(|arg| arg.text.ends_with(base))
}

/// Programs that make programs: compilers, linkers, what unpacks archives and packages, and what
/// calls them.
const MAKERS: &[&str] = &[
    "cc",
    "gcc",
    "g++",
    "c++",
    "clang",
    "clang++",
    "cc1",
    "collect2",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "mold",
    "as",
    "tcc",
    "go",
    "rustc",
    "cargo",
    "ghc",
    "javac",
    "zig",
    "nvcc",
    "gfortran",
    "make",
    "gmake",
    "cmake",
    "ninja",
    "meson",
    "configure",
    "libtool",
    "tar",
    "bsdtar",
    "unzip",
    "cpio",
    "pip",
    "pip3",
    "uv",
    "poetry",
    "conda",
    "mamba",
    "npm",
    "npx",
    "pnpm",
    "yarn",
    "node-gyp",
    "gem",
    "bundle",
    "dpkg",
    "dpkg-deb",
    "dpkg-preconfigure",
    "apt-get",
    "apt",
    "apk",
    "rpm",
    "dnf",
    "yum",
    "microdnf",
    "zypper",
    "pacman",
    "git",
    "perl",
    "mvn",
    "gradle",
];

/// Tells whether a program comes from a compiler or an archive, as far as can be told: one of those
/// stands above it, or one that ran before names it.
pub(super) fn is_made(seen: &Behaviour, index: usize, file: &str) -> bool {
    let makes = |program: &Executed| {
        let versioned = program.name().trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let plain = versioned.trim_end_matches('-');
        let last = plain.rsplit('-').next().unwrap_or(plain);
        let script = program.script().and_then(|script| script.rsplit('/').next());
        MAKERS.contains(&program.name())
            || MAKERS.contains(&plain)
            || (MAKERS.contains(&last) && matches!(last, "gcc" | "g++" | "cc" | "ld" | "clang"))
            || script.is_some_and(|name| MAKERS.contains(&name))
    };
    if seen.chain(index).into_iter().any(makes) {
        return true;
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    seen.execs[..index].iter().filter(|program| makes(program)).any(|program| {
        // Where it works is where it unpacks, unless it is told.
        let below = |folder: &str| {
            let folder = folder.trim_end_matches('/');
            folder.matches('/').count() > 1
                && file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        program.folder.as_deref().is_some_and(below)
            || program.argv.iter().skip(1).any(|word| {
                let word = word.trim_start_matches("-C").trim_start_matches("-o");
                word == name
                    || program.absolute(word).is_some_and(|path| path == file || below(&path))
            })
    })
}
