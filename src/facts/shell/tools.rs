//! What is known of tools, as data: `tools.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::effective::{Code, code};
use super::{Arg, Command};

/// Descriptors by the names of their tools. Each rule asks of each command: a name is looked for
/// among those of its length and its first letter.
#[derive(Debug)]
struct Names<T>(BTreeMap<(usize, u8), Vec<(String, T)>>);

impl<T> Names<T> {
    fn of(all: impl Iterator<Item = (String, T)>) -> Self {
        let mut names: BTreeMap<_, Vec<(String, T)>> = BTreeMap::new();
        for (name, tool) in all {
            let alike = names.entry(alike(&name)).or_default();
            alike.retain(|(known, _)| *known != name);
            alike.push((name, tool));
        }
        Names(names)
    }

    fn get(&self, name: &str) -> Option<&T> {
        let mut alike = self.0.get(&alike(name))?.iter();
        alike.find(|(known, _)| known == name).map(|(_, tool)| tool)
    }
}

fn alike(name: &str) -> (usize, u8) {
    (name.len(), name.bytes().next().unwrap_or(0))
}

/// All descriptors.
#[derive(Debug)]
pub struct Tools {
    wrappers: Names<Wrapper>,
    interpreters: Names<Interpreter>,
    fetchers: Names<Fetcher>,
    managers: Names<Tool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    wrapper: Vec<Wrapper>,
    interpreter: Vec<Interpreter>,
    fetcher: Vec<Fetcher>,
    manager: Vec<Tool>,
}

/// A command that runs the rest of its arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wrapper {
    names: Vec<String>,
    /// Words that stand before the command: the time of `timeout`.
    #[serde(default)]
    pub(super) operands: usize,
    /// Whether `A=b` may stand before the command.
    #[serde(default)]
    pub(super) assigns: bool,
    #[serde(default)]
    pub(super) values: Vec<String>,
    /// Flags with which it runs nothing.
    #[serde(default)]
    pub(super) stop: Vec<String>,
}

/// A command that runs a program from an argument, a file or its input.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interpreter {
    names: Vec<String>,
    #[serde(default)]
    pub(super) shell: bool,
    /// Whether `-ec` is `-e -c`.
    #[serde(default)]
    pub(super) clusters: bool,
    pub(super) inline: Vec<String>,
    #[serde(default)]
    pub(super) values: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetcher {
    names: Vec<String>,
    #[serde(default)]
    subcommands: Vec<String>,
}

/// A package manager.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    names: Vec<String>,
    manager: String,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    install: Vec<String>,
    #[serde(default)]
    groups: Vec<Vec<String>>,
    #[serde(default)]
    install_flags: Vec<String>,
    #[serde(default)]
    not_flags: Vec<String>,
    #[serde(default)]
    root: Vec<String>,
    #[serde(default)]
    dry: Vec<String>,
    /// Whether it installs when called without a subcommand.
    #[serde(default)]
    bare: bool,
}

/// An installation of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install<'a> {
    /// The family: `apt` for apt-get, apt and aptitude.
    pub manager: &'static str,
    /// The name it was called by.
    pub name: &'a str,
    /// The subcommand or flag: `install`, `upgrade`, `-i`.
    pub verb: &'a str,
    /// The operands.
    pub packages: Vec<&'a Arg>,
    /// The folder it installs into, if it is not the system itself.
    pub root: Option<&'a Arg>,
}

static TOOLS: LazyLock<Tools> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("tools.toml")).expect("a test reads this file");
    fn by_name<T: Clone>(list: Vec<T>, names: impl Fn(&T) -> &[String]) -> Names<T> {
        Names::of(
            list.iter().flat_map(|one| names(one).iter().map(|name| (name.clone(), one.clone()))),
        )
    }
    Tools {
        wrappers: by_name(file.wrapper, |one| &one.names),
        interpreters: by_name(file.interpreter, |one| &one.names),
        fetchers: by_name(file.fetcher, |one| &one.names),
        managers: by_name(file.manager, |one| &one.names),
    }
});

/// Returns the descriptors.
pub fn tools() -> &'static Tools {
    &TOOLS
}

impl Tools {
    pub(super) fn wrapper(&self, name: &str) -> Option<&Wrapper> {
        self.wrappers.get(name)
    }

    pub(super) fn is_fetcher(&self, name: &str) -> bool {
        self.fetchers.get(name).is_some()
    }

    pub(super) fn interpreter(&self, name: &str) -> Option<&Interpreter> {
        self.interpreters.get(name).or_else(|| {
            let base = self.base_name(name);
            if base.len() < name.len() { self.interpreters.get(base) } else { None }
        })
    }

    /// Returns a name without its version: `python` for `python3.12`.
    pub(super) fn base_name<'a>(&self, name: &'a str) -> &'a str {
        name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-')
    }

    pub(super) fn manager(&self, name: &str) -> Option<&'static Tool> {
        let managers = &TOOLS.managers;
        managers.get(name).or_else(|| {
            let base = self.base_name(name);
            if base.len() < name.len() { managers.get(base) } else { None }
        })
    }

    /// Returns the names of all package managers.
    pub fn managers(&self) -> impl Iterator<Item = &str> {
        self.managers.0.values().flatten().map(|(name, _)| name.as_str())
    }
}

impl Command {
    /// Tells whether it runs a program that comes from outside the command (`sh`, `python3`), and
    /// how; `None` for other commands.
    pub fn program(&self) -> Option<Program<'_>> {
        let name = self.name()?;
        match name {
            "eval" => return Some(Program::Words(self.args())),
            "source" | "." => return self.args().first().map(Program::File),
            _ => {}
        }
        let tool = tools().interpreter(name)?;
        Some(match code(&self.argv, tool) {
            Code::Inline(arg) => Program::Words(std::slice::from_ref(arg)),
            Code::File(arg) => Program::File(arg),
            Code::Stdin => Program::Stdin,
            Code::None => return None,
        })
    }

    /// Tells whether it fetches over the network.
    pub fn fetches(&self) -> bool {
        let Some(fetcher) = self.name().and_then(|name| tools().fetchers.get(name)) else {
            return false;
        };
        fetcher.subcommands.is_empty()
            || self
                .args()
                .iter()
                .filter_map(Arg::known)
                .any(|arg| fetcher.subcommands.iter().any(|subcommand| subcommand == arg))
    }

    /// Returns what it installs, if it does.
    pub fn install(&self) -> Option<Install<'_>> {
        let name = self.name()?;
        let tool = self.known.manager?;
        let mut verb: Option<&str> = None;
        let mut group: Option<&str> = None;
        let (mut packages, mut root) = (Vec::new(), None);
        let mut unlike = false;
        let mut at = 1;
        while let Some(arg) = self.argv.get(at) {
            at += 1;
            let text = arg.text.as_str();
            if text.len() > 1 && text.starts_with('-') {
                let (flag, value) = match text.split_once('=') {
                    Some((flag, _)) => (flag, Some(arg)),
                    None => (text, None),
                };
                if has(&tool.dry, flag) {
                    return None;
                }
                unlike |= has(&tool.not_flags, flag) || cluster(&tool.not_flags, flag);
                if has(&tool.install_flags, flag) || cluster(&tool.install_flags, flag) {
                    verb = verb.or(Some(text));
                }
                let takes = value.is_none() && has(&tool.values, flag);
                if has(&tool.root, flag) {
                    root = value.or_else(|| self.argv.get(at));
                }
                at += usize::from(takes);
                continue;
            }
            if verb.is_none() && !tool.install.is_empty() || group.is_some() && verb.is_none() {
                match group {
                    None if has(&tool.install, text) => verb = arg.known(),
                    None if tool.groups.iter().any(|pair| pair[0] == text) => group = arg.known(),
                    Some(first)
                        if tool.groups.iter().any(|pair| pair[0] == first && pair[1] == text) =>
                    {
                        verb = arg.known();
                    }
                    _ => return None,
                }
                continue;
            }
            packages.push(arg);
        }
        if unlike {
            return None;
        }
        let verb = match verb {
            Some(verb) => verb,
            None if tool.bare && group.is_none() => name,
            None => return None,
        };
        // `rpm -i` and `pacman -S` without operands do nothing.
        if !tool.install_flags.is_empty() && packages.is_empty() && verb.starts_with('-') {
            return None;
        }
        let root = root.filter(|arg| arg.known() != Some("/"));
        Some(Install { manager: &tool.manager, name, verb, packages, root })
    }
}

/// A call of a package manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<'a> {
    /// The family: `apt` for apt-get, apt and aptitude.
    pub manager: &'static str,
    /// The name it was called by.
    pub name: &'a str,
    /// The first word that is no flag.
    pub verb: Option<&'a str>,
    /// The words after it that are no flags.
    pub operands: Vec<&'a Arg>,
    /// The flags as written: `-qy`, `--option=x`; values in the next word are left out.
    pub flags: Vec<&'a str>,
    /// The values of flags in the next word.
    pub values: Vec<(&'a str, &'a Arg)>,
}

impl Operation<'_> {
    /// Tells whether a flag is given: `-y`, alone or among other letters; `--yes`.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| {
            let name = given.split('=').next().unwrap_or(given);
            name == flag
                || (flag.len() == 2
                    && !given.starts_with("--")
                    && given.len() > 2
                    && given[1..].contains(&flag[1..]))
        })
    }
}

impl Command {
    /// Returns how it calls a package manager, if it does.
    pub fn operation(&self) -> Option<Operation<'_>> {
        let name = self.name()?;
        let tool = self.known.manager?;
        let mut out = Operation {
            manager: &tool.manager,
            name,
            verb: None,
            operands: Vec::new(),
            flags: Vec::new(),
            values: Vec::new(),
        };
        let mut at = 1;
        while let Some(arg) = self.argv.get(at) {
            at += 1;
            let text = arg.text.as_str();
            if text.len() > 1 && text.starts_with('-') {
                out.flags.push(text);
                if !text.contains('=') && has(&tool.values, text) {
                    out.values.extend(self.argv.get(at).map(|value| (text, value)));
                    at += 1;
                }
            } else if out.verb.is_none() {
                out.verb = Some(arg.prefix());
            } else {
                out.operands.push(arg);
            }
        }
        Some(out)
    }
}

/// Where an interpreter's program comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program<'a> {
    /// Its arguments.
    Words(&'a [Arg]),
    /// A file.
    File(&'a Arg),
    /// Its input.
    Stdin,
}

fn has(list: &[String], flag: &str) -> bool {
    list.iter().any(|one| one == flag)
}

// `-Uvh` holds `-U`.
fn cluster(list: &[String], flag: &str) -> bool {
    !flag.starts_with("--")
        && list
            .iter()
            .filter(|one| one.len() == 2 && !one.starts_with("--"))
            .any(|one| flag[1..].contains(&one[1..]))
}
