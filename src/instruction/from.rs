//! `FROM`: begins a stage.

use super::flags::Flags;
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{Line, Word, blank_words};

/// `FROM [--platform=…] base [AS name]`.
#[derive(Clone, Debug)]
pub struct From {
    /// An image, a stage, a named context or `scratch`; expanded with global ARGs.
    pub base: Word,
    /// The stage's name as written; never expanded.
    pub name: Option<Word>,
    /// `--platform`, expanded with global ARGs.
    pub platform: Option<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl From {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        let mut flags = Flags::new(line, &["platform"], &[]);
        let platform = flags.word("platform");
        let mut words = blank_words(&line.body).into_iter();
        let (base, name) = match (words.next(), words.next(), words.next(), words.next()) {
            (Some(base), None, None, None) => (Some(base), None),
            (Some(base), Some(word), Some(name), None) if word.raw.eq_ignore_ascii_case("as") => {
                (Some(base), Some(name))
            }
            (base, _, _, _) => {
                let message = "FROM requires either one argument, or three: FROM base AS name";
                let span = base.map_or(line.keyword.span, |_| line.body.whole());
                flags.errors.push(Diagnostic::error(Code("from-arguments"), message).at(span));
                (None, None)
            }
        };
        if let Some(name) = name.as_ref().filter(|name| !valid_name(&name.raw)) {
            let shown: String = name.raw.chars().take(60).collect();
            flags.errors.push(
                Diagnostic::error(
                    Code("stage-name"),
                    format!("invalid name for a build stage: `{shown}`"),
                )
                .at(name.span)
                .note("a name begins with a letter; letters, digits, `-`, `_`, `.` follow"),
            );
        }
        flags.finish()?;
        // An error was pushed above when there is no base.
        let base = base.ok_or_else(Vec::new)?;
        Ok(From { base, name, platform, span: line.span, keyword: line.keyword.span })
    }
}

fn valid_name(name: &str) -> bool {
    name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
