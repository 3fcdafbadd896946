//! `USER`: who runs the steps that follow and the container.

use super::rest;
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `USER name[:group]` or `USER uid[:gid]`.
#[derive(Clone, Debug)]
pub struct User {
    /// User and group.
    pub who: Word,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl User {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(User { who: rest(line)?, span: line.span, keyword: line.keyword.span })
    }
}
