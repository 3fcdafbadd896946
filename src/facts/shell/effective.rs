//! The command behind the command: `sudo`, `env`, `timeout 60` taken off, texts that are run found.

use super::tools::{Interpreter, tools};
use super::{Arg, Redirect, RedirectKind};

/// A text or words that a command runs.
pub(super) struct Run {
    /// The command's name.
    pub(super) by: String,
    pub(super) what: What,
}

pub(super) enum What {
    /// A shell text; `in_place` if it runs in the same shell (`eval`).
    Text { text: Arg, in_place: bool },
    /// A command as words.
    Words(Vec<Arg>),
}

// `sudo sudo sudo …`: nobody needs more.
const MOST_WRAPPERS: usize = 32;

/// Takes wrappers off the front and returns their names.
pub(super) fn unwrap(mut argv: Vec<Arg>) -> (Vec<Arg>, Vec<String>) {
    let mut names = Vec::new();
    while names.len() < MOST_WRAPPERS {
        let Some(name) = argv.first().and_then(Arg::name) else { break };
        let Some(wrapper) = tools().wrapper(name) else { break };
        let mut at = 1;
        let mut operands = wrapper.operands;
        while let Some(arg) = argv.get(at) {
            let Some(text) = arg.known() else {
                if operands == 0 {
                    break;
                }
                operands -= 1;
                at += 1;
                continue;
            };
            if wrapper.stop.contains(&text) {
                return (argv, names);
            }
            if text == "--" {
                at += 1;
                break;
            }
            if text.len() > 1 && text.starts_with('-') {
                at += 1 + usize::from(wrapper.values.contains(&text));
            } else if wrapper.assigns && assigns(text) {
                at += 1;
            } else if operands > 0 {
                operands -= 1;
                at += 1;
            } else {
                break;
            }
        }
        if at >= argv.len() {
            break;
        }
        names.push(name.to_owned());
        argv.drain(..at);
    }
    // `python -m pip install x` is `pip install x`.
    if argv.len() > 2
        && argv[0].name().is_some_and(|name| tools().base_name(name) == "python")
        && argv[1].known() == Some("-m")
        && matches!(argv[2].known(), Some("pip" | "uv" | "pipx" | "easy_install"))
    {
        names.push(argv[0].name().unwrap_or_default().to_owned());
        argv.drain(..2);
    }
    (argv, names)
}

fn assigns(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Returns what a command runs in turn.
pub(super) fn runs(argv: &[Arg], redirects: &[Redirect]) -> Vec<Run> {
    let Some(name) = argv.first().and_then(Arg::name) else { return Vec::new() };
    let run = |what| vec![Run { by: name.to_owned(), what }];
    match name {
        "eval" => {
            let Some(first) = argv.get(1) else { return Vec::new() };
            let mut text = first.clone();
            for arg in &argv[2..] {
                text.text.push(' ');
                let at = text.text.len();
                text.map.extend(&super::body::slice(&arg.map, 0..arg.text.len(), at));
                text.text.push_str(&arg.text);
            }
            return run(What::Text { text, in_place: true });
        }
        "find" => {
            return argv
                .iter()
                .enumerate()
                .filter(|(_, arg)| {
                    matches!(arg.known(), Some("-exec" | "-execdir" | "-ok" | "-okdir"))
                })
                .map(|(at, _)| {
                    let words = argv[at + 1..]
                        .iter()
                        .take_while(|arg| !matches!(arg.known(), Some(";" | "+")))
                        .cloned()
                        .collect();
                    Run { by: name.to_owned(), what: What::Words(words) }
                })
                .collect();
        }
        "su" | "runuser" => {
            let flag = argv.iter().position(|arg| matches!(arg.known(), Some("-c" | "--command")));
            return match flag.and_then(|at| argv.get(at + 1)) {
                Some(text) => run(What::Text { text: text.clone(), in_place: false }),
                None => Vec::new(),
            };
        }
        _ => {}
    }
    let Some(tool) = tools().interpreter(name) else { return Vec::new() };
    if !tool.shell {
        return Vec::new();
    }
    match code(argv, tool) {
        Code::Inline(text) => run(What::Text { text: text.clone(), in_place: false }),
        Code::Stdin => redirects
            .iter()
            .filter(|redirect| {
                redirect.kind == RedirectKind::Here && matches!(redirect.fd, None | Some(0))
            })
            .flat_map(|redirect| run(What::Text { text: redirect.target.clone(), in_place: false }))
            .collect(),
        Code::File(_) | Code::None => Vec::new(),
    }
}

/// Where an interpreter has its program from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Code<'a> {
    /// An argument.
    Inline(&'a Arg),
    /// A file.
    File(&'a Arg),
    /// Standard input.
    Stdin,
    /// It runs none: `--version`.
    None,
}

/// Returns where `argv` of an interpreter has its program from.
pub(super) fn code<'a>(argv: &'a [Arg], tool: &Interpreter) -> Code<'a> {
    let mut stdin = false;
    let mut inline = false;
    let mut at = 1;
    while let Some(arg) = argv.get(at) {
        at += 1;
        // `+x` switches an option of a shell off.
        let Some(text) = arg.known() else { return found(arg, inline, stdin) };
        if text == "--" {
            return argv.get(at).map_or(Code::Stdin, |arg| found(arg, inline, stdin));
        }
        if text == "-" || text == "/dev/stdin" || text == "/dev/fd/0" {
            return if inline { Code::Inline(arg) } else { Code::Stdin };
        }
        if matches!(text, "--version" | "--help" | "-V") {
            return Code::None;
        }
        let Some(flags) = text
            .strip_prefix('-')
            .or_else(|| (tool.shell).then(|| text.strip_prefix('+')).flatten())
        else {
            return found(arg, inline, stdin);
        };
        let long = flags.starts_with('-');
        let whole = tool.inline.contains(&text);
        let in_cluster = !long
            && tool.clusters
            && tool.inline.iter().any(|flag| flag.len() == 2 && flags.contains(&flag[1..]));
        if whole || in_cluster {
            inline = true;
            if !tool.shell {
                return argv.get(at).map_or(Code::None, Code::Inline);
            }
        }
        // `-euo pipefail`: the last letter of a cluster takes the value.
        let takes =
            tool.values.contains(&text) || (tool.shell && !long && flags.ends_with(['o', 'O']));
        if takes {
            at += 1;
        } else if tool.shell && !long && flags.contains('s') {
            stdin = true;
        }
    }
    if inline { Code::None } else { Code::Stdin }
}

fn found(arg: &Arg, inline: bool, stdin: bool) -> Code<'_> {
    if inline {
        Code::Inline(arg)
    } else if stdin {
        Code::Stdin
    } else {
        Code::File(arg)
    }
}
