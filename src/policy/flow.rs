//! What the steps of a stage do with files, one after the other.

use std::rc::Rc;

use super::calls::Head;
use super::look::absolute;
use super::outline::{Item, Outline, Stage};
use crate::base::Span;
use crate::facts::shell::{Arg, Command, HOLE, Program, RedirectKind, Script};
use crate::instruction::Instruction;

/// A command of a step, with the folder that it runs in, if that can be told.
pub(super) struct Step<'o, 'a> {
    pub(super) item: &'o Item<'a>,
    pub(super) command: &'o Command,
    pub(super) head: Head<'o>,
    pub(super) cwd: &'o Option<Rc<str>>,
}

impl Step<'_, '_> {
    /// Returns a path from the root.
    pub(super) fn path(&self, arg: &Arg) -> Option<String> {
        absolute(arg.known()?, self.cwd.as_deref())
    }
}

/// Returns the commands of a stage's RUNs in order.
pub(super) fn steps<'o, 'a>(stage: &'o Stage<'a>) -> Vec<Step<'o, 'a>> {
    // Several rules ask.
    let folders = stage.folders.get_or_init(|| folders(stage));
    let steps = stage.heads().zip(folders);
    let step = |((call, head), cwd)| {
        let (item, command) = stage.called(call);
        Step { item, command, head, cwd }
    };
    steps.map(step).collect()
}

// The folder of each command.
fn folders(stage: &Stage<'_>) -> Vec<Option<Rc<str>>> {
    let mut out = Vec::new();
    for item in stage.runs() {
        let mut cwd = item.workdir.clone();
        let mut outer: Option<Option<Rc<str>>> = None;
        for command in &item.script().commands {
            if !command.status.subshell
                && let Some(saved) = outer.take()
            {
                cwd = saved;
            }
            if command.name() == Some("cd") {
                if command.status.subshell && outer.is_none() {
                    outer = Some(cwd.clone());
                }
                let to = command.args().iter().find(|arg| !arg.text.starts_with('-'));
                cwd = match to {
                    Some(arg) => {
                        arg.known().and_then(|path| absolute(path, cwd.as_deref())).map(Rc::from)
                    }
                    None => None,
                };
            }
            out.push(cwd.clone());
        }
    }
    out
}

/// A file that comes over the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Download {
    /// Where it lands, from the root; `None` if that cannot be told.
    pub(super) file: Option<String>,
    /// What is fetched.
    pub(super) url: String,
    /// The command or the word.
    pub(super) span: Span,
}

const URL: [&str; 4] = ["http://", "https://", "ftp://", "ftps://"];

/// Tells whether a word is a URL.
pub(super) fn is_url(text: &str) -> bool {
    URL.iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
}

/// The last part of a URL's path.
fn base(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or("")
}

/// Returns the flags of curl and wget with their values: `-fsSLo x` gives f, s, S, L, and o with x.
pub(super) fn flags(command: &Command) -> Vec<(String, Option<&Arg>)> {
    // Letters and words that take a value.
    let (letters, words): (&str, &[&str]) = match command.name() {
        Some("curl") => (
            "AbcCdDeEFhHKmoPQrtTuUwxXyYz",
            &[
                "--output",
                "--header",
                "--user",
                "--data",
                "--request",
                "--retry",
                "--retry-delay",
                "--connect-timeout",
                "--max-time",
                "--user-agent",
                "--proto",
                "--cacert",
                "--cert",
                "--key",
                "--write-out",
                "--output-dir",
                "--proxy",
                "--data-binary",
                "--data-raw",
                "--data-urlencode",
                "--form",
                "--resolve",
                "--retry-max-time",
                "--referer",
                "--cookie",
                "--ciphers",
                "--limit-rate",
            ],
        ),
        Some("wget" | "wget2") => (
            "oaeiBtOTwQPUIlADRXGnY",
            &[
                "--output-document",
                "--output-file",
                "--directory-prefix",
                "--header",
                "--user",
                "--password",
                "--tries",
                "--timeout",
                "--user-agent",
                "--post-data",
                "--wait",
                "--progress",
            ],
        ),
        Some("aria2c") => ("odxsjk", &["--out", "--dir", "--checksum"]),
        _ => ("", &[]),
    };
    let mut out = Vec::new();
    let args = command.args();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        let text = arg.text.as_str();
        if let Some(long) = text.strip_prefix("--").filter(|long| !long.is_empty()) {
            let name = long.split('=').next().unwrap_or(long);
            let full = format!("--{name}");
            if long.contains('=') {
                out.push((full, Some(arg)));
            } else if words.contains(&full.as_str()) {
                out.push((full, args.get(at)));
                at += 1;
            } else {
                out.push((full, None));
            }
        } else if let Some(cluster) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let wget = command.name() != Some("curl");
            // wget's `-nv`, `-nc`, `-nd` are words of two letters.
            if wget && cluster.len() == 2 && cluster.starts_with('n') {
                out.push((text.to_owned(), None));
                continue;
            }
            for (index, letter) in cluster.char_indices() {
                if letters.contains(letter) {
                    let rest = &cluster[index + letter.len_utf8()..];
                    let value = if rest.is_empty() { args.get(at) } else { Some(arg) };
                    at += usize::from(rest.is_empty());
                    out.push((format!("-{letter}"), value));
                    break;
                }
                out.push((format!("-{letter}"), None));
            }
        } else {
            out.push((String::new(), Some(arg)));
        }
    }
    out
}

/// Returns the value of a flag that may stick to it: `-ofile`, `--output=file`.
fn value(flag: &str, arg: &Arg) -> Option<String> {
    let text = arg.known()?;
    let text = match text.strip_prefix(flag) {
        Some(rest) => rest.trim_start_matches('='),
        // In a cluster: `-fsSLofile`.
        None if text.starts_with('-') && flag.len() == 2 && text.len() > 2 => {
            text.split_once(&flag[1..]).map_or(text, |(_, rest)| rest)
        }
        None => text,
    };
    Some(text.to_owned())
}

/// Returns what a command fetches into files, and `-` for what it writes to its output.
pub(super) fn downloads(step: &Step<'_, '_>) -> Vec<Download> {
    let command = step.command;
    let Some(name @ ("curl" | "wget" | "wget2" | "aria2c")) = step.head.name else {
        return Vec::new();
    };
    let flags = flags(command);
    let has = |names: &[&str]| flags.iter().any(|(flag, _)| names.contains(&flag.as_str()));
    // What asks for headers or for a status fetches nothing.
    if has(&["-I", "--head", "--spider", "--version", "-V", "--help"]) {
        return Vec::new();
    }
    let urls: Vec<&Arg> = flags
        .iter()
        .filter(|(flag, _)| flag.is_empty())
        .filter_map(|(_, arg)| *arg)
        .filter(|arg| is_url(&arg.text) || arg.text.starts_with(HOLE) || arg.text.contains('.'))
        .collect();
    let given: Vec<String> = flags
        .iter()
        .filter_map(|(flag, arg)| match (name, flag.as_str()) {
            ("curl", "-o" | "--output") => value(flag, (*arg)?),
            ("wget" | "wget2", "-O" | "--output-document") => value(flag, (*arg)?),
            ("aria2c", "-o" | "--out") => value(flag, (*arg)?),
            _ => None,
        })
        .collect();
    let folder = flags.iter().find_map(|(flag, arg)| match (name, flag.as_str()) {
        ("curl", "--output-dir") => value(flag, (*arg)?),
        ("wget" | "wget2", "-P" | "--directory-prefix") => value(flag, (*arg)?),
        ("aria2c", "-d" | "--dir") => value(flag, (*arg)?),
        _ => None,
    });
    let own_name = match name {
        "curl" => has(&["-O", "--remote-name", "-J", "--remote-name-all"]),
        _ => true,
    };
    let redirect = command
        .redirects
        .iter()
        .find(|redirect| {
            matches!(redirect.kind, RedirectKind::Write | RedirectKind::Append)
                && matches!(redirect.fd, None | Some(1))
        })
        .map(|redirect| &redirect.target);
    let cwd = match &folder {
        Some(folder) => absolute(folder, step.cwd.as_deref()).map(Rc::from),
        None => step.cwd.clone(),
    };
    let mut out = Vec::new();
    for (at, url) in urls.iter().enumerate() {
        let unknown_output = has(&["-o", "--output", "--output-document", "--out"])
            || (name != "curl" && has(&["-O"]));
        let file = match given.get(at).or(given.last()) {
            Some(file) if file == "-" => match redirect {
                Some(target) => step.path(target),
                None => continue,
            },
            Some(file) => absolute(file, cwd.as_deref()),
            None if unknown_output => None,
            None => match redirect {
                Some(target) if !own_name => step.path(target),
                _ if own_name && !base(&url.text).is_empty() && !base(&url.text).contains(HOLE) => {
                    absolute(base(&url.text), cwd.as_deref())
                }
                _ if own_name => None,
                _ => continue,
            },
        };
        if file.as_deref().is_some_and(|file| file == "/dev/null" || file.starts_with("/dev/std")) {
            continue;
        }
        out.push(Download { file, url: url.text.clone(), span: command.span });
    }
    out
}

/// Tells whether a command checks what was fetched, of the file; `script` is what it stands in.
pub(super) fn verifies(command: &Command, script: &Script, file: &str) -> bool {
    let args = || command.args().iter().map(|arg| arg.text.as_str());
    let name = command.name().unwrap_or("");
    let checks = match name {
        "sha1sum" | "sha224sum" | "sha256sum" | "sha384sum" | "sha512sum" | "b2sum" | "shasum"
        | "md5sum" => args().any(|arg| {
            arg == "--check"
                || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('c'))
        }),
        "gpg" | "gpg2" => args().any(|arg| arg.starts_with("--verify")),
        "gpgv" | "gpgv2" => true,
        "cosign" | "slsa-verifier" => args().any(|arg| arg.starts_with("verify")),
        "minisign" => args().any(|arg| arg.starts_with('-') && arg.contains('V')),
        "signify" => args().any(|arg| matches!(arg, "-V" | "-C")),
        "openssl" => matches!(args().next(), Some("dgst" | "sha256" | "sha512")),
        "[" | "test" => return compares(command, script, file),
        _ => return false,
    };
    if !checks {
        return false;
    }
    let base = file.rsplit('/').next().unwrap_or(file);
    let tells = |text: &str| text.contains(base) || text.contains(HOLE);
    let lists = command.args().iter().filter(|arg| !arg.text.starts_with('-'));
    if lists.clone().any(|arg| tells(&arg.text)) {
        return true;
    }
    // A list of sums: what is in it is not known here.
    if matches!(name, "gpg" | "gpg2" | "gpgv" | "gpgv2") || lists.clone().next().is_some() {
        return true;
    }
    let here = command.redirects.iter().any(|redirect| match redirect.kind {
        RedirectKind::Here => tells(&redirect.target.text),
        RedirectKind::Read => true,
        _ => false,
    });
    here || command.reads.iter().any(|pipe| {
        let mut feeders = script.commands.iter().filter(|other| other.feeds.contains(pipe));
        feeders.any(|feeder| {
            // `grep file sums | sha256sum -c` takes the line from a list.
            !matches!(feeder.name(), Some("echo" | "printf"))
                || feeder.args().iter().any(|arg| tells(&arg.text))
        })
    })
}

// `[ "$(sha256sum f | cut …)" = "…" ]`.
fn compares(command: &Command, script: &Script, file: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file);
    command.args().iter().flat_map(|arg| &arg.from).any(|pipe| {
        let mut open = vec![*pipe];
        let mut seen = Vec::new();
        while let Some(pipe) = open.pop() {
            if seen.contains(&pipe) {
                continue;
            }
            seen.push(pipe);
            for feeder in script.commands.iter().filter(|other| other.feeds.contains(&pipe)) {
                let sums =
                    feeder.name().is_some_and(|name| name.ends_with("sum") || name == "openssl");
                if sums
                    && feeder.args().iter().any(|a| a.text.contains(base) || a.text.contains(HOLE))
                {
                    return true;
                }
                open.extend(&feeder.reads);
            }
        }
        false
    })
}

/// Tells whether a command runs a file, or installs it as a package.
pub(super) fn executes(step: &Step<'_, '_>, file: &str) -> bool {
    let command = step.command;
    let is = |arg: &Arg| step.path(arg).is_some_and(|path| path == file);
    if command.argv.first().is_some_and(|arg| arg.text.contains('/') && is(arg)) {
        return true;
    }
    if let Some(Program::File(program)) = command.program()
        && is(program)
    {
        return true;
    }
    match command.install() {
        Some(install) => {
            matches!(install.manager, "dpkg" | "rpm" | "apt" | "dnf" | "apk" | "zypper" | "pip")
                && install.packages.iter().any(|arg| is(arg))
        }
        None => command.name() == Some("java") && command.args().iter().any(is),
    }
}

/// Returns what an ADD of the stage fetches without a checksum.
pub(super) fn added(outline: &Outline<'_>, item: &Item<'_>) -> Vec<Download> {
    let Instruction::Add(add) = item.instruction else { return Vec::new() };
    let Some(transfer) = item.transfer().filter(|_| add.checksum.is_none()) else {
        return Vec::new();
    };
    let cwd = outline.workdir(item);
    let mut out = Vec::new();
    for (span, source) in &transfer.sources {
        if is_url(source) {
            let place = absolute(&transfer.destination, cwd.as_deref()).map(|to| {
                let folder = transfer.destination.ends_with('/');
                if folder { format!("{}/{}", to.trim_end_matches('/'), base(source)) } else { to }
            });
            out.push(Download { file: place, url: source.clone(), span: *span });
        }
    }
    out
}
