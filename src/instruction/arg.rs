//! `ARG`: build arguments.

use super::{flags, missing, pairs};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word, quoted_words};

/// `ARG name[=default] …`.
#[derive(Clone, Debug)]
pub struct Arg {
    /// The arguments, in order.
    pub args: Vec<Declared>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

/// One argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// The name, verbatim.
    pub name: Word,
    /// The default, still with quotes and variables.
    pub default: Option<Word>,
}

impl Arg {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let (mut args, mut errors) = (Vec::new(), Vec::new());
        for (word, range) in quoted_words(&line.body, line.escape) {
            match word.raw.find('=') {
                Some(0) => errors.push(pairs::blank_name(line, &word)),
                Some(equals) => {
                    let pair = pairs::split(&line.body, &word, range, equals);
                    args.push(Declared { name: pair.name, default: Some(pair.value) });
                }
                None => args.push(Declared { name: word, default: None }),
            }
        }
        if args.is_empty() && errors.is_empty() {
            errors.push(missing(line, "requires at least one argument"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Arg { args, span: line.span, keyword: line.keyword.span })
    }
}
