//! `ENTRYPOINT`: the program.

use super::{Form, flags};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::Line;

/// `ENTRYPOINT ["program", "argument"]` or `ENTRYPOINT text for the shell`.
#[derive(Clone, Debug)]
pub struct Entrypoint {
    /// The command; empty clears what the base had.
    pub form: Form,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Entrypoint {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let form = Form::parse(&line.body)?;
        Ok(Entrypoint { form, span: line.span, keyword: line.keyword.span })
    }
}
