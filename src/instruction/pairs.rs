//! `name=value` lists of ENV and LABEL.

use super::{flags, missing};
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{Line, Text, Word, quoted_words};

/// A name with its value, both still with quotes and variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Word,
}

pub(super) fn parse(line: &Line) -> Result<Vec<Pair>, Vec<Diagnostic>> {
    flags::none(line)?;
    let body = &line.body;
    let words = quoted_words(body, line.escape);
    let Some((first, _)) = words.first() else {
        return Err(vec![missing(line, "requires at least one argument")]);
    };
    if !first.raw.contains('=') {
        return Ok(vec![blank_form(line)?]);
    }
    let (mut pairs, mut errors) = (Vec::new(), Vec::new());
    for (word, range) in &words {
        let Some(equals) = word.raw.find('=') else {
            let shown: String = word.raw.chars().take(60).collect();
            let message = format!("no `=` in `{shown}`: the form is name=value");
            errors.push(Diagnostic::error(Code("no-equals"), message).at(word.span));
            continue;
        };
        if equals == 0 {
            errors.push(blank_name(line, word));
            continue;
        }
        pairs.push(split(body, word, range.clone(), equals));
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

// `name=value` at the first `=`.
pub(super) fn split(
    body: &Text,
    word: &Word,
    range: std::ops::Range<usize>,
    equals: usize,
) -> Pair {
    // A word is a slice of the joined text (quotes and escapes are still in it), except that an
    // escape at the very end of the line is dropped.
    let name = Word {
        raw: word.raw[..equals].to_owned(),
        span: body.span(range.start..range.start + equals),
    };
    let value = Word {
        raw: word.raw[equals + 1..].to_owned(),
        span: body.span(range.start + equals + 1..range.end),
    };
    Pair { name, value }
}

// `ENV name value with blanks`: the old form, one pair to the end of the line.
fn blank_form(line: &Line) -> Result<Pair, Vec<Diagnostic>> {
    let text = line.body.as_str();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let start = text.len() - text[end..].trim_start().len();
    if start >= text.len() {
        return Err(vec![missing(line, "must have two arguments, or the form name=value")]);
    }
    let word = |range: std::ops::Range<usize>| Word {
        raw: text[range.clone()].to_owned(),
        span: line.body.span(range),
    };
    Ok(Pair { name: word(0..end), value: word(start..text.len()) })
}

pub(super) fn blank_name(line: &Line, word: &Word) -> Diagnostic {
    let message = format!("names of {} cannot be blank", line.keyword.upper());
    Diagnostic::error(Code("blank-name"), message).at(word.span)
}
