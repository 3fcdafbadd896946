//! `ONBUILD`: a trigger that runs in images built on this one.

use super::{Instruction, flags, missing, parse};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::Line;

/// `ONBUILD INSTRUCTION …`.
#[derive(Clone, Debug)]
pub struct Onbuild {
    /// The trigger as the config keeps it: joined, its heredocs after it.
    pub text: String,
    /// The trigger, understood.
    pub trigger: Box<Instruction>,
    /// The trigger's line.
    pub line: Line,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Onbuild {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let Some(nested) = line.nested.as_deref() else {
            return Err(vec![missing(line, "requires an instruction")]);
        };
        let word = nested.keyword.upper();
        let error = match word.as_str() {
            "ONBUILD" => Some("chaining ONBUILD by `ONBUILD ONBUILD` is not allowed".to_owned()),
            "FROM" | "MAINTAINER" => Some(format!("{word} is not allowed as an ONBUILD trigger")),
            _ => None,
        };
        if let Some(message) = error {
            let error = Diagnostic::error(Code("onbuild-trigger"), message);
            return Err(vec![error.at(nested.keyword.span)]);
        }
        let mut text = line.body.as_str().to_owned();
        for heredoc in &nested.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        Ok(Onbuild {
            text,
            trigger: Box::new(parse(nested)?),
            line: nested.clone(),
            span: line.span,
            keyword: line.keyword.span,
        })
    }
}
