//! Text to lines: directives, continuations, comments, flags, heredocs, words.
//!
//! Knows the shape of a Dockerfile and nothing of what its words mean: which flags an instruction
//! has, or whether it exists, is for `instruction`. [`parse`] never fails; what is wrong comes back
//! beside the tree, all of it, in the order of the text. The grammar is that of BuildKit's
//! Dockerfile frontend, <https://docs.docker.com/reference/dockerfile/>.

mod describe;
mod expand;
mod heredoc;
mod parse;
mod print;
mod text;
mod words;

pub use expand::{ExpandError, Expander, Scope, constant};
pub use heredoc::{Heredoc, Marker, marker};
pub use parse::parse;
pub use text::Text;
pub use words::{ExecForm, blank_words, exec_form, quoted_words};

use crate::base::{SourceId, Span};

/// The longest file that is read, in bytes.
pub const FILE_LIMIT: usize = 16 << 20;
/// The longest line after joining, in bytes, heredocs not counted.
pub const LINE_LIMIT: usize = 1 << 20;
/// The longest result of one expansion, in bytes.
pub const EXPANSION_LIMIT: usize = 1 << 20;
/// The most instructions of one file. Real files have some dozens; what looks at each of them, and
/// keeps something for each, is bounded by this.
pub const INSTRUCTION_LIMIT: usize = 10_000;
/// The most words of one file, not counting those that are a shell's: sources, pairs, elements of
/// arrays, heredoc markers. Each is kept as several strings; 16 MiB of `a=b` would be a gigabyte.
pub const WORD_LIMIT: usize = 100_000;
/// How deep `${…}` may be nested.
pub const NESTING_LIMIT: usize = 64;

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// The text that all spans point into.
    pub source: SourceId,
    /// The parser directives at the top, known ones alone.
    pub directives: Vec<Directive>,
    /// The escape character: a backslash or a backtick.
    pub escape: char,
    /// All comments, also those inside continued lines, in the order of the text.
    pub comments: Vec<Comment>,
    /// The instructions, in the order of the text.
    pub lines: Vec<Line>,
}

/// `# name=value` at the top of the file: `syntax`, `escape` or `check`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive {
    /// The name, in small letters.
    pub name: String,
    /// The value as written, without blanks around it.
    pub value: String,
    /// The comment line without its line end.
    pub span: Span,
}

/// A comment line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comment {
    /// The text after `#`, as written.
    pub text: String,
    /// From `#` to the end of the line.
    pub span: Span,
}

/// The first word of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyword {
    /// As written.
    pub text: String,
    /// The word alone.
    pub span: Span,
}

impl Keyword {
    /// Returns the word in capitals, as instructions are named.
    pub fn upper(&self) -> String {
        self.text.to_ascii_uppercase()
    }
}

/// One instruction: a logical line and its heredocs.
#[derive(Clone, Debug)]
pub struct Line {
    /// The instruction's name.
    pub keyword: Keyword,
    /// The leading `--name=value` words.
    pub flags: Vec<Flag>,
    /// What follows keyword and flags: joined, trimmed, heredoc markers still in it.
    pub body: Text,
    /// The here-documents, in the order of their markers.
    pub heredocs: Vec<Heredoc>,
    /// The trigger of an `ONBUILD`. Its heredocs are with the trigger.
    pub nested: Option<Box<Line>>,
    /// The escape character of the file.
    pub escape: char,
    /// From the keyword to the last byte of the last physical line, heredocs included.
    pub span: Span,
}

/// `--name` or `--name=value` in front of an instruction's arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// The name without dashes.
    pub name: String,
    /// The value without quotes; `None` when there is no `=`.
    pub value: Option<Text>,
    /// The whole flag.
    pub span: Span,
}

/// A word before expansion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// The word with its quotes and variables; of a JSON string, its decoded value.
    pub raw: String,
    /// The word in the file, quotes included.
    pub span: Span,
}

#[cfg(test)]
mod tests;
