//! What a shell body runs: a flat list of commands with their words folded as far as constants
//! go, what each reads from and feeds, and where it stands in the Dockerfile.
//!
//! `brush-parser` reads the text, or `lower::plain` where there is nothing to it; the tree does not leave
//! this module, so that the parser can be replaced.
//! Hostile text costs bounded time: bodies over [`LIMIT`] bytes, or with more nesting than any
//! script has, are split at unquoted operators instead (`confidence` low).

mod body;
mod effective;
mod fallback;
mod lower;
mod rename;
mod table;
mod tools;
mod word;

pub use body::Body;
pub use rename::{Renames, may_rename};
pub use tools::{Install, Operation, Program, Tools, tools};

use std::collections::BTreeMap;

use self::tools::{Fetcher, Interpreter, Tool};
use crate::base::Span;

/// The longest body that is parsed, in bytes; also what all texts nested in one body may add up to.
pub const LIMIT: usize = 256 * 1024;

/// Stands in a folded word for each part whose value only running would tell (U+E000, a private
/// use character).
pub const HOLE: char = '\u{E000}';

/// The first byte of [`HOLE`] in UTF-8.
const HOLE_STARTS: u8 = 0xEE;

/// How a body is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// What every shell takes.
    Posix,
    /// With bash's additions.
    Bash,
}

/// A stream between commands: what `|`, `$(…)` and `<(…)` make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pipe(pub u32);

/// A word after folding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arg {
    /// The value, with a [`HOLE`] for each part that is not known.
    pub text: String,
    /// Where it is written.
    pub span: Span,
    /// Streams whose content becomes part of the word, or that the word is a file name of.
    pub from: Vec<Pipe>,
    map: body::Map,
}

impl Arg {
    /// Returns the value if all of it is known.
    pub fn known(&self) -> Option<&str> {
        // Every rule asks: one byte tells of nearly all words that there is no hole.
        let may = self.text.as_bytes().contains(&HOLE_STARTS);
        (!may || !self.text.contains(HOLE)).then_some(self.text.as_str())
    }

    /// Returns the value up to the first part that is not known.
    pub fn prefix(&self) -> &str {
        self.text.split(HOLE).next().unwrap_or("")
    }

    /// Returns what comes after the last slash, if known: a command's name.
    pub fn name(&self) -> Option<&str> {
        self.known().map(|text| {
            let slash = text.bytes().rposition(|byte| byte == b'/');
            slash.map_or(text, |slash| &text[slash + 1..])
        })
    }

    /// Returns the value for people: parts that are not known as `…`.
    pub fn shown(&self) -> String {
        self.text.replace(HOLE, "…")
    }
}

/// What stands before a command in its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Join {
    /// Nothing: it is the first.
    First,
    /// `;` or a newline.
    Then,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
    /// It starts when the command before it is still running (`&`).
    Background,
}

/// What a redirection does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RedirectKind {
    /// `<`.
    Read,
    /// `>`, `>|`, `<>`, `&>`.
    Write,
    /// `>>`, `&>>`.
    Append,
    /// `<<` and `<<<`: the target is the text itself.
    Here,
    /// `>&`, `<&`.
    Duplicate,
}

/// A redirection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// The descriptor, if written.
    pub fd: Option<i32>,
    /// What it does.
    pub kind: RedirectKind,
    /// The file, descriptor or text.
    pub target: Arg,
}

/// A simple command, after `sudo`, `env` and the like have been taken off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// Name and arguments; empty if the command only assigns.
    pub argv: Vec<Arg>,
    /// What was taken off, from the outside: `sudo`, `env`, `sh` (of `sh -c`).
    pub wrapped_by: Vec<String>,
    /// Assignments in front of it.
    pub assignments: Vec<(String, Arg)>,
    /// Its redirections.
    pub redirects: Vec<Redirect>,
    /// The streams that its input may come from.
    pub reads: Vec<Pipe>,
    /// The streams that its output goes to.
    pub feeds: Vec<Pipe>,
    /// What stands before it.
    pub join: Join,
    /// All of it.
    pub span: Span,
    /// What becomes of its status.
    pub status: Status,
    /// The number of the list of `&&` and `||` that it stands in.
    pub list: u32,
    /// The dialect of the text that it stands in.
    pub dialect: Dialect,
    /// How many texts it stands in (`sh -c '…'`, functions, substitutions): 0 in the body itself.
    pub depth: u8,
    /// The name of the program, where it is run by that of a copy of it.
    pub renamed: Option<String>,
    // What follows from the name: every rule asks.
    known: Known,
}

/// What follows from a command's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Known {
    /// The name, where it is one that many have: it is told without a look at the word.
    name: Option<&'static str>,
    /// Else where it begins in the first word, if that is known.
    start: Option<u32>,
    /// What the interpreter, the package manager, the fetcher of that name is called with.
    interpreter: Option<&'static Interpreter>,
    manager: Option<&'static Tool>,
    fetcher: Option<&'static Fetcher>,
}

/// What becomes of a command's failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// `set -e` is in force.
    pub errexit: bool,
    /// `set -o pipefail` is in force.
    pub pipefail: bool,
    /// It is asked for: by `if`, `while`, `!`, or a `||` behind it.
    pub asked: bool,
    /// Another list follows, after `;`, a newline or `&`: without `set -e`, it is lost.
    pub lost: bool,
    /// It runs in `( … )`.
    pub subshell: bool,
    /// It runs in `$( … )`: what it says becomes part of a word.
    pub substituted: bool,
}

/// A pipeline of two commands or more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pipeline {
    /// All of it.
    pub span: Span,
    /// What stands in it, but the last.
    pub left: Vec<Side>,
    /// The last one: a number in [`Script::commands`]; `None` for a compound.
    pub right: Option<usize>,
    /// What becomes of its status.
    pub status: Status,
    /// Whether the shell is one of Bash's kind, or of the plain one.
    pub dialect: Dialect,
}

/// What feeds a pipe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// A command: its number in [`Script::commands`].
    Command(usize),
    /// A compound: the numbers of what it runs.
    Compound(std::ops::Range<usize>),
}

/// Something about the text that commands do not show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// What it is.
    pub kind: NoteKind,
    /// Where.
    pub span: Span,
    /// The dialect of the text that it stands in.
    pub dialect: Dialect,
}

/// What a note tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoteKind {
    /// What a plain shell does not have, as it is written: `[[`, `<(…)`.
    Bash(&'static str),
    /// An expansion outside quotes, of a value that is not known: the variable, or `$(…)`.
    Unquoted(String),
}

impl Command {
    /// Returns the name without its folder, if known; of a copy, that of the program.
    pub fn name(&self) -> Option<&str> {
        self.known.name.or_else(|| match &self.renamed {
            Some(name) => Some(name),
            None => self.argv.first()?.text.get(self.known.start? as usize..),
        })
    }

    /// Returns the name where it is one that many commands have.
    pub fn common_name(&self) -> Option<&'static str> {
        self.known.name
    }

    /// Tells whether it has the name of a package manager.
    pub fn manages(&self) -> bool {
        self.known.manager.is_some()
    }

    /// Looks up what follows from the name: to be called when it is made and when it is renamed.
    fn look_up(&mut self) {
        let start = |first: &Arg| u32::try_from(first.text.len() - first.name()?.len()).ok();
        self.known = Known { start: self.argv.first().and_then(start), ..Known::default() };
        if let Some(name) = self.name() {
            let known = tools().known(name);
            self.known = Known {
                name: Some(known.name).filter(|name| !name.is_empty()),
                interpreter: known.interpreter,
                manager: known.manager,
                fetcher: known.fetcher,
                ..self.known
            };
        }
    }

    /// Returns the arguments after the name.
    pub fn args(&self) -> &[Arg] {
        self.argv.get(1..).unwrap_or(&[])
    }

    /// Returns the command on one line for people.
    pub fn shown(&self) -> String {
        let words: Vec<String> = self.argv.iter().map(Arg::shown).collect();
        words.join(" ")
    }
}

/// All that a body runs, in order of the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script {
    /// The commands. One that runs a text (`sh -c '…'`, `eval`) stands before those of the text.
    pub commands: Vec<Command>,
    /// Whether all of it was parsed; if not, words were split at operators.
    pub parsed: bool,
    /// The parser's message, where it gave one.
    pub error: Option<String>,
    /// Pipelines.
    pub pipelines: Vec<Pipeline>,
    /// What the commands do not show.
    pub notes: Vec<Note>,
}

/// How a shell is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// What it takes.
    pub dialect: Dialect,
    /// `-e`.
    pub errexit: bool,
    /// `-o pipefail`.
    pub pipefail: bool,
}

impl Start {
    /// A shell without flags.
    pub fn plain(dialect: Dialect) -> Self {
        Start { dialect, errexit: false, pipefail: false }
    }

    /// A shell with the flags of these words: `-euo pipefail -c`.
    pub fn with_flags<'a>(dialect: Dialect, flags: impl IntoIterator<Item = &'a str>) -> Self {
        let mut start = Start::plain(dialect);
        start.flags(flags);
        start
    }

    pub(self) fn flags<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        let mut long = None;
        for word in flags {
            if let Some(on) = long.take() {
                match word {
                    "errexit" => self.errexit = on,
                    "pipefail" => self.pipefail = on,
                    _ => {}
                }
                continue;
            }
            let (on, letters) = match (word.strip_prefix('-'), word.strip_prefix('+')) {
                (Some(letters), _) if !letters.starts_with('-') => (true, letters),
                (_, Some(letters)) => (false, letters),
                _ => break,
            };
            if letters.contains('e') {
                self.errexit = on;
            }
            if letters.ends_with('o') {
                long = Some(on);
            }
        }
    }
}

#[cfg(test)]
thread_local! {
    /// How many bodies this thread has read: each is to be read once, however many rules ask.
    pub(crate) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads a body.
///
/// `values` are the variables known before it starts (ARG and ENV of the stage).
pub fn analyse(body: &Body, values: &BTreeMap<String, String>, start: Start) -> Script {
    #[cfg(test)]
    READ.set(READ.get() + 1);
    lower::analyse(body, values, start)
}

/// Reads a command in exec form: its words are as they are.
pub fn analyse_exec(
    words: &[(String, Span)],
    values: &BTreeMap<String, String>,
    dialect: Dialect,
) -> Script {
    lower::analyse_exec(words, values, dialect)
}

#[cfg(test)]
mod tests;
