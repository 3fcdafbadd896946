//! `VOLUME`: directories that a container keeps apart from its image.

use super::{flags, missing, not_strings};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{ExecForm, Line, Word, blank_words, exec_form};

/// `VOLUME /data /log` or `VOLUME ["/data"]`.
#[derive(Clone, Debug)]
pub struct Volume {
    /// The paths; expanded in both forms.
    pub paths: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Volume {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let paths = match exec_form(&line.body) {
            ExecForm::Array(words) => words,
            ExecForm::NotStrings(span) => return Err(vec![not_strings(span)]),
            ExecForm::No => blank_words(&line.body),
        };
        if paths.is_empty() {
            return Err(vec![missing(line, "requires at least one argument")]);
        }
        if let Some(empty) = paths.iter().find(|path| path.raw.trim().is_empty()) {
            let message = "a path of VOLUME is an empty string";
            return Err(vec![Diagnostic::error(Code("empty-volume"), message).at(empty.span)]);
        }
        Ok(Volume { paths, span: line.span, keyword: line.keyword.span })
    }
}
