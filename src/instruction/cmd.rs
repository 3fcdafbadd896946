//! `CMD`: the default command, or the default arguments of the entrypoint.

use super::{Form, flags};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::Line;

/// `CMD ["program", "argument"]` or `CMD text for the shell`.
#[derive(Clone, Debug)]
pub struct Cmd {
    /// The command; empty clears what the base had.
    pub form: Form,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Cmd {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let form = Form::parse(&line.body)?;
        Ok(Cmd { form, span: line.span, keyword: line.keyword.span })
    }
}
