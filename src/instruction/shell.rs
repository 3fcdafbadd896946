//! `SHELL`: what runs shell forms.

use super::{flags, missing, not_strings};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{ExecForm, Line, Word, exec_form};

/// `SHELL ["/bin/bash", "-c"]`.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Program and arguments; never empty.
    pub words: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Shell {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        match exec_form(&line.body) {
            ExecForm::Array(words) if words.is_empty() => {
                Err(vec![missing(line, "requires at least one argument")])
            }
            ExecForm::Array(words) => {
                Ok(Shell { words, span: line.span, keyword: line.keyword.span })
            }
            ExecForm::NotStrings(span) => Err(vec![not_strings(span)]),
            ExecForm::No if line.body.is_empty() => {
                Err(vec![missing(line, "requires at least one argument")])
            }
            ExecForm::No => {
                let error = "SHELL requires the arguments to be in JSON form";
                Err(vec![
                    Diagnostic::error(Code("shell-not-json"), error)
                        .at(line.body.whole())
                        .help("write `SHELL [\"/bin/sh\", \"-c\"]`"),
                ])
            }
        }
    }
}
