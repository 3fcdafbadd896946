//! `LABEL`: labels of the image.

use super::{Pair, pairs};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::Line;

/// `LABEL name=value …` or `LABEL name value`.
#[derive(Clone, Debug)]
pub struct Label {
    /// The labels, in order.
    pub pairs: Vec<Pair>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Label {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(Label { pairs: pairs::parse(line)?, span: line.span, keyword: line.keyword.span })
    }
}
