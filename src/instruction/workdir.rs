//! `WORKDIR`: the directory of the steps that follow and of the container.

use super::rest;
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `WORKDIR path`; blanks belong to the path.
#[derive(Clone, Debug)]
pub struct Workdir {
    /// The path; a relative one starts at the directory before.
    pub path: Word,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Workdir {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(Workdir { path: rest(line)?, span: line.span, keyword: line.keyword.span })
    }
}
