//! `ENV`: environment variables of later steps and of the container.

use super::{Pair, pairs};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::Line;

/// `ENV name=value …` or `ENV name value`.
#[derive(Clone, Debug)]
pub struct Env {
    /// The variables, in order.
    pub pairs: Vec<Pair>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Env {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(Env { pairs: pairs::parse(line)?, span: line.span, keyword: line.keyword.span })
    }
}
