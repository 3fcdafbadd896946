//! What a shell body runs: a flat list of commands with their words folded as far as constants
//! go, what each reads from and feeds, and where it stands in the Dockerfile.
//!
//! `brush-parser` reads the text; its tree does not leave this module, so that it can be replaced.
//! Hostile text costs bounded time: bodies over [`LIMIT`] bytes, or with more nesting than any
//! script has, are split at unquoted operators instead (`confidence` low).

mod body;
mod effective;
mod fallback;
mod lower;
mod tools;
mod word;

pub use body::Body;
pub use tools::{Install, Program, Tools, tools};

use std::collections::BTreeMap;

use crate::base::Span;

/// The longest body that is parsed, in bytes; also what all texts nested in one body may add up to.
pub const LIMIT: usize = 256 * 1024;

/// Stands in a folded word for each part whose value only running would tell (U+E000, a private
/// use character).
pub const HOLE: char = '\u{E000}';

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
    map: Vec<body::Segment>,
}

impl Arg {
    /// Returns the value if all of it is known.
    pub fn known(&self) -> Option<&str> {
        (!self.text.contains(HOLE)).then_some(self.text.as_str())
    }

    /// Returns the value up to the first part that is not known.
    pub fn prefix(&self) -> &str {
        self.text.split(HOLE).next().unwrap_or("")
    }

    /// Returns what comes after the last slash, if known: a command's name.
    pub fn name(&self) -> Option<&str> {
        self.known().map(|text| text.rsplit('/').next().unwrap_or(text))
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
}

impl Command {
    /// Returns the name without its folder, if known.
    pub fn name(&self) -> Option<&str> {
        self.argv.first().and_then(Arg::name)
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
}

/// Reads a body.
///
/// `values` are the variables known before it starts (ARG and ENV of the stage).
pub fn analyse(body: &Body, values: &BTreeMap<String, String>, dialect: Dialect) -> Script {
    lower::analyse(body, values, dialect)
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
