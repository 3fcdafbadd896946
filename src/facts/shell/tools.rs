//! What is known of tools: the descriptors of `table`, by name, and what they tell of a command.

use std::sync::LazyLock;

use super::effective::{Code, code};
use super::{Arg, Command, table};

/// A command that runs the rest of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrapper {
    pub(super) names: &'static [&'static str],
    /// Words that stand before the command: the time of `timeout`.
    pub(super) operands: usize,
    /// Whether `A=b` may stand before the command.
    pub(super) assigns: bool,
    pub(super) values: &'static [&'static str],
    /// Flags with which it runs nothing.
    pub(super) stop: &'static [&'static str],
}

impl Wrapper {
    pub(super) const NONE: Self =
        Wrapper { names: &[], operands: 0, assigns: false, values: &[], stop: &[] };
}

/// A command that runs a program from an argument, a file or its input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) names: &'static [&'static str],
    pub(super) shell: bool,
    /// Whether `-ec` is `-e -c`.
    pub(super) clusters: bool,
    pub(super) inline: &'static [&'static str],
    pub(super) values: &'static [&'static str],
}

impl Interpreter {
    pub(super) const NONE: Self =
        Interpreter { names: &[], shell: false, clusters: false, inline: &[], values: &[] };
}

/// A command that fetches over the network.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetcher {
    pub(super) names: &'static [&'static str],
    /// Those of its subcommands that do; where there are none, all it does is fetching.
    pub(super) subcommands: &'static [&'static str],
}

impl Fetcher {
    pub(super) const NONE: Self = Fetcher { names: &[], subcommands: &[] };
}

/// A package manager.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) names: &'static [&'static str],
    pub(super) manager: &'static str,
    pub(super) values: &'static [&'static str],
    pub(super) install: &'static [&'static str],
    pub(super) groups: &'static [(&'static str, &'static str)],
    pub(super) install_flags: &'static [&'static str],
    pub(super) not_flags: &'static [&'static str],
    pub(super) root: &'static [&'static str],
    pub(super) dry: &'static [&'static str],
    /// Whether it installs when called without a subcommand.
    pub(super) bare: bool,
}

impl Tool {
    pub(super) const NONE: Self = Tool {
        names: &[],
        manager: "",
        values: &[],
        install: &[],
        groups: &[],
        install_flags: &[],
        not_flags: &[],
        root: &[],
        dry: &[],
        bare: false,
    };
}

/// What is known of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Known {
    /// The name; empty if nothing is known of it.
    pub(super) name: &'static str,
    wrapper: Option<&'static Wrapper>,
    pub(super) interpreter: Option<&'static Interpreter>,
    pub(super) fetcher: Option<&'static Fetcher>,
    pub(super) manager: Option<&'static Tool>,
}

/// All descriptors, by the names of their tools.
#[derive(Debug)]
pub struct Tools(Vec<Known>);

static TOOLS: LazyLock<Tools> = LazyLock::new(Tools::new);

/// Returns the descriptors.
pub fn tools() -> &'static Tools {
    &TOOLS
}

// Short names are told apart by their length, mostly.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Tools {
    fn new() -> Self {
        let blank =
            |name| Known { name, wrapper: None, interpreter: None, fetcher: None, manager: None };
        let mut all: Vec<Known> = table::COMMON.split(' ').map(blank).collect();
        for tool in table::WRAPPERS {
            all.extend(tool.names.iter().map(|name| Known { wrapper: Some(tool), ..blank(name) }));
        }
        for tool in table::INTERPRETERS {
            all.extend(
                tool.names.iter().map(|name| Known { interpreter: Some(tool), ..blank(name) }),
            );
        }
        for tool in table::FETCHERS {
            all.extend(tool.names.iter().map(|name| Known { fetcher: Some(tool), ..blank(name) }));
        }
        for tool in table::MANAGERS {
            all.extend(tool.names.iter().map(|name| Known { manager: Some(tool), ..blank(name) }));
        }
        // A name may be that of several things.
        all.sort_by_key(|known| order(known.name));
        all.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                kept.wrapper = later.wrapper.or(kept.wrapper);
                kept.interpreter = later.interpreter.or(kept.interpreter);
                kept.fetcher = later.fetcher.or(kept.fetcher);
                kept.manager = later.manager.or(kept.manager);
            }
            same
        });
        Tools(all)
    }

    fn get(&self, name: &str) -> Option<&Known> {
        let at = self.0.binary_search_by_key(&order(name), |known| order(known.name)).ok()?;
        Some(&self.0[at])
    }

    /// Returns what is known of a name, or of that without its version: a name to keep, only if it is
    /// that.
    pub(super) fn known(&self, name: &str) -> Known {
        let own = self.get(name).copied().unwrap_or_default();
        let base = self.base_name(name);
        if base.len() == name.len() {
            return own;
        }
        let base = self.get(base).copied().unwrap_or_default();
        Known {
            interpreter: own.interpreter.or(base.interpreter),
            manager: own.manager.or(base.manager),
            ..own
        }
    }

    pub(super) fn wrapper(&self, name: &str) -> Option<&'static Wrapper> {
        self.get(name)?.wrapper
    }

    pub(super) fn is_fetcher(&self, name: &str) -> bool {
        self.get(name).is_some_and(|known| known.fetcher.is_some())
    }

    pub(super) fn interpreter(&self, name: &str) -> Option<&'static Interpreter> {
        self.known(name).interpreter
    }

    /// Returns a name without its version: `python` for `python3.12`.
    pub(super) fn base_name<'a>(&self, name: &'a str) -> &'a str {
        name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-')
    }
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
        let tool = self.known.interpreter?;
        Some(match code(&self.argv, tool) {
            Code::Inline(arg) => Program::Words(std::slice::from_ref(arg)),
            Code::File(arg) => Program::File(arg),
            Code::Stdin => Program::Stdin,
            Code::None => return None,
        })
    }

    /// Tells whether it fetches over the network.
    pub fn fetches(&self) -> bool {
        let Some(fetcher) = self.known.fetcher else { return false };
        fetcher.subcommands.is_empty()
            || self
                .args()
                .iter()
                .filter_map(Arg::known)
                .any(|arg| fetcher.subcommands.contains(&arg))
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
                if has(tool.dry, flag) {
                    return None;
                }
                unlike |= has(tool.not_flags, flag) || cluster(tool.not_flags, flag);
                if has(tool.install_flags, flag) || cluster(tool.install_flags, flag) {
                    verb = verb.or(Some(text));
                }
                let takes = value.is_none() && has(tool.values, flag);
                if has(tool.root, flag) {
                    root = value.or_else(|| self.argv.get(at));
                }
                at += usize::from(takes);
                continue;
            }
            if verb.is_none() && !tool.install.is_empty() || group.is_some() && verb.is_none() {
                match group {
                    None if has(tool.install, text) => verb = arg.known(),
                    None if tool.groups.iter().any(|pair| pair.0 == text) => group = arg.known(),
                    Some(first) if tool.groups.contains(&(first, text)) => {
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
        Some(Install { manager: tool.manager, name, verb, packages, root })
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
    /// Returns the family of the package manager that it calls: `apt` for apt-get, apt and aptitude.
    pub fn manager(&self) -> Option<&'static str> {
        self.known.manager.map(|tool| tool.manager)
    }

    /// Returns what it asks of a package manager, if it calls one: the first word that is no flag.
    pub fn verb(&self) -> Option<&str> {
        let tool = self.known.manager?;
        let mut words = self.words(tool);
        words.find_map(|word| match word {
            Word::Plain(arg) => Some(arg.prefix()),
            _ => None,
        })
    }

    /// Returns how it calls a package manager, if it does.
    pub fn operation(&self) -> Option<Operation<'_>> {
        let name = self.name()?;
        let tool = self.known.manager?;
        let mut out = Operation {
            manager: tool.manager,
            name,
            verb: None,
            operands: Vec::new(),
            flags: Vec::new(),
            values: Vec::new(),
        };
        for word in self.words(tool) {
            match word {
                Word::Flag(flag, value) => {
                    out.flags.push(flag);
                    out.values.extend(value.map(|value| (flag, value)));
                }
                Word::Plain(arg) if out.verb.is_none() => out.verb = Some(arg.prefix()),
                Word::Plain(arg) => out.operands.push(arg),
            }
        }
        Some(out)
    }

    // The words after the name: flags with their values, and the rest.
    fn words<'a>(&'a self, tool: &'static Tool) -> impl Iterator<Item = Word<'a>> {
        let mut args = self.args().iter();
        std::iter::from_fn(move || {
            let arg = args.next()?;
            let text = arg.text.as_str();
            if text.len() <= 1 || !text.starts_with('-') {
                return Some(Word::Plain(arg));
            }
            let takes = !text.contains('=') && has(tool.values, text);
            Some(Word::Flag(text, if takes { args.next() } else { None }))
        })
    }
}

// A word of a call of a package manager.
enum Word<'a> {
    Flag(&'a str, Option<&'a Arg>),
    Plain(&'a Arg),
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

fn has(list: &[&str], flag: &str) -> bool {
    list.contains(&flag)
}

// `-Uvh` holds `-U`.
fn cluster(list: &[&str], flag: &str) -> bool {
    !flag.starts_with("--")
        && list
            .iter()
            .filter(|one| one.len() == 2 && !one.starts_with("--"))
            .any(|one| flag[1..].contains(&one[1..]))
}
