//! `MAINTAINER`: the author; superseded by a label, still understood.

use super::rest;
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `MAINTAINER name`, not expanded.
#[derive(Clone, Debug)]
pub struct Maintainer {
    /// The rest of the line.
    pub name: Word,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Maintainer {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(Maintainer { name: rest(line)?, span: line.span, keyword: line.keyword.span })
    }
}
