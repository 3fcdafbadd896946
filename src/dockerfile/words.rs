//! Splitting a line's body into words.

use std::ops::Range;

use super::{Line, Text, Word};
use crate::base::Span;

/// Counts what a line will be split into, or a little more, without splitting it.
pub(super) fn pieces(line: &Line) -> usize {
    let values = line.flags.iter().filter_map(|flag| flag.value.as_ref());
    let flags = values.map(|value| value.as_str().matches(',').count()).sum::<usize>();
    let line = line.nested.as_deref().unwrap_or(line);
    let body = line.body.as_str();
    let own = match line.keyword.upper().as_str() {
        _ if body.trim_start().starts_with('[') => body.matches(',').count(),
        "RUN" => body.matches("<<").count(),
        "CMD" | "ENTRYPOINT" => 0,
        "HEALTHCHECK" => body.matches(',').count(),
        _ => body.split_whitespace().count(),
    };
    line.flags.len() + flags + own + 1
}

/// Splits at white space alone: quotes mean nothing here.
pub fn blank_words(text: &Text) -> Vec<Word> {
    let mut words = Vec::new();
    let (joined, mut at) = (text.as_str(), 0);
    for piece in joined.split(char::is_whitespace) {
        if !piece.is_empty() {
            let span = text.span(at..at + piece.len());
            words.push(Word { raw: piece.to_owned(), span });
        }
        at += piece.len();
        at += joined[at..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// Splits at white space outside of quotes; quotes and escapes stay in the words. Each word comes
/// with its range in the joined text. An open quote goes to the end; expansion will say so.
pub fn quoted_words(text: &Text, escape: char) -> Vec<(Word, Range<usize>)> {
    let joined = text.as_str();
    let mut words = Vec::new();
    let mut chars = joined.char_indices();
    let mut start: Option<usize> = None;
    let mut quote = None;
    let mut end = joined.len();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            if let Some(start) = start.take() {
                words.push(word(text, start..at));
            }
            continue;
        }
        start.get_or_insert(at);
        if c == escape && quote != Some('\'') {
            // An escape at the very end escapes nothing and is dropped.
            if chars.next().is_none() {
                end = at;
            }
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
    }
    if let Some(start) = start.filter(|start| *start < end) {
        words.push(word(text, start..end));
    }
    words
}

fn word(text: &Text, range: Range<usize>) -> (Word, Range<usize>) {
    let raw = text.as_str()[range.clone()].to_owned();
    (Word { raw, span: text.span(range.clone()) }, range)
}

/// What a body is as a JSON array.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecForm {
    /// An array of strings, decoded.
    Array(Vec<Word>),
    /// A well-formed array with something else in it: an error in every instruction.
    NotStrings(Span),
    /// Anything else: shell form.
    No,
}

/// Reads a body as a JSON array of strings.
pub fn exec_form(text: &Text) -> ExecForm {
    let joined = text.as_str();
    if !joined.trim_start().starts_with('[') {
        return ExecForm::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(joined) else {
        return ExecForm::No;
    };
    let mut literals = literals(joined).into_iter();
    let mut words = Vec::with_capacity(values.len());
    for value in values {
        let serde_json::Value::String(raw) = value else {
            return ExecForm::NotStrings(text.whole());
        };
        let span = literals.next().map_or_else(|| text.whole(), |range| text.span(range));
        words.push(Word { raw, span });
    }
    ExecForm::Array(words)
}

// The string literals of valid JSON, quotes included.
fn literals(json: &str) -> Vec<Range<usize>> {
    let (mut out, mut start) = (Vec::new(), None);
    let mut bytes = json.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (byte, start) {
            (b'"', None) => start = Some(at),
            (b'"', Some(from)) => {
                out.push(from..at + 1);
                start = None;
            }
            (b'\\', Some(_)) => {
                bytes.next();
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SourceId;

    fn text(text: &str) -> Text {
        Text::contiguous(SourceId(0), text, 0)
    }

    #[test]
    fn words_keep_their_quotes() {
        let words: Vec<String> = quoted_words(&text(r#"a="1 2"  b=c\ d 'e f'=g h\"#), '\\')
            .into_iter()
            .map(|(word, _)| word.raw)
            .collect();
        assert_eq!(words, [r#"a="1 2""#, r"b=c\ d", "'e f'=g", "h"]);
        let words = blank_words(&text("  a\t\"b c\"é "));
        let raw: Vec<&str> = words.iter().map(|word| word.raw.as_str()).collect();
        assert_eq!(raw, ["a", "\"b", "c\"é"]);
        assert_eq!(words[1].span.range(), 4..6);
    }

    #[test]
    fn arrays_of_strings_only() {
        let ExecForm::Array(words) = exec_form(&text(r#"[ "a\"]", "\u00e9" ]"#)) else {
            panic!("an array");
        };
        assert_eq!((words[0].raw.as_str(), words[0].span.range()), ("a\"]", 2..8));
        assert_eq!(words[1].raw, "é");
        assert!(matches!(exec_form(&text("[\"a\", 1]")), ExecForm::NotStrings(_)));
        for no in ["a", "['a']", "[\"a\"] b", "[\"a\"", "[ -f x ]", ""] {
            assert_eq!(exec_form(&text(no)), ExecForm::No, "{no}");
        }
        assert_eq!(exec_form(&text(&"[".repeat(1 << 20))), ExecForm::No);
    }
}
