//! Words to values: quotes taken off, known variables put in, the rest a hole.

use brush_parser::word::{
    Parameter, ParameterExpr, ParameterTestType, WordPiece, WordPieceWithSource,
};

use super::body::{Body, Map, Segment};
use super::lower::{Walk, word_too_deep};
use super::{Arg, HOLE, HOLE_STARTS, NoteKind, Pipe};
use crate::base::Span;

// A value that grows by repetition (`X=$X$X`) stops here.
const LONGEST: usize = 64 * 1024;

/// A field under construction.
struct Fold<'o> {
    fields: &'o mut Vec<Arg>,
    text: String,
    map: Vec<Segment>,
    from: Vec<Pipe>,
    quoted: bool,
    span: Span,
}

/// Adds the fields of a word at `start` (a byte of `body`). Unquoted variables are split at
/// blanks where `split` says so, as the shell does for arguments but not for assignments.
pub(super) fn fold(
    walk: &mut Walk<'_>,
    body: &Body,
    raw: &str,
    start: usize,
    split: bool,
    out: &mut Vec<Arg>,
) {
    let span = body.span(start..start + raw.len());
    if plain(raw) {
        let map = body.segments(start..start + raw.len(), 0);
        out.push(Arg { text: raw.to_owned(), span, from: Vec::new(), map });
        return;
    }
    let mut fold = Fold {
        fields: out,
        text: String::new(),
        map: Vec::new(),
        from: Vec::new(),
        quoted: false,
        span,
    };
    if word_too_deep(raw) {
        fold.hole(span);
    } else {
        match brush_parser::word::parse(raw, &walk.options()) {
            Ok(pieces) => fold.pieces(walk, body, &pieces, start, false, split),
            Err(_) => fold.literal(body, raw, start),
        }
    }
    if fold.quoted || !fold.text.is_empty() || !fold.from.is_empty() {
        fold.close();
    }
}

/// Folds a word that stays one field.
pub(super) fn fold_one(walk: &mut Walk<'_>, body: &Body, raw: &str, start: usize) -> Arg {
    let mut fields = Vec::with_capacity(1);
    fold(walk, body, raw, start, false, &mut fields);
    fields.pop().unwrap_or_else(|| Arg {
        text: String::new(),
        span: body.span(start..start + raw.len()),
        from: Vec::new(),
        map: Map::default(),
    })
}

/// Folds the text of a here-document whose marker is not quoted.
pub(super) fn fold_heredoc(walk: &mut Walk<'_>, body: &Body, raw: &str, start: usize) -> Arg {
    let span = body.span(start..start + raw.len());
    let mut fields = Vec::new();
    let mut fold = Fold {
        fields: &mut fields,
        text: String::new(),
        map: Vec::new(),
        from: Vec::new(),
        quoted: true,
        span,
    };
    match (!word_too_deep(raw)).then(|| brush_parser::word::parse_heredoc(raw, &walk.options())) {
        Some(Ok(pieces)) => fold.pieces(walk, body, &pieces, start, true, false),
        _ => fold.literal(body, raw, start),
    }
    fold.close();
    fields.pop().expect("closing makes a field")
}

/// A word as it is.
pub(super) fn literal(body: &Body, range: std::ops::Range<usize>) -> Arg {
    Arg {
        text: body.text().get(range.clone()).unwrap_or("").to_owned(),
        span: body.span(range.clone()),
        from: Vec::new(),
        map: body.segments(range, 0),
    }
}

fn plain(raw: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'\\' | b'\'' | b'"' | b'$' | b'`' | b'~');
    let may = |byte: u8| byte == HOLE_STARTS;
    if raw.is_empty() || raw.bytes().any(odd) {
        return false;
    }
    !raw.bytes().any(may) || !raw.contains(HOLE)
}

impl Fold<'_> {
    fn close(&mut self) {
        self.fields.push(Arg {
            text: std::mem::take(&mut self.text),
            span: self.span,
            from: std::mem::take(&mut self.from),
            map: std::mem::take(&mut self.map).into(),
        });
        self.quoted = false;
    }

    fn literal(&mut self, body: &Body, text: &str, start: usize) {
        if self.text.len() < LONGEST {
            let range = start..start + text.len().max(1);
            self.map.extend_from_slice(&body.segments(range, self.text.len()));
            self.text.push_str(text);
        }
    }

    fn decoded(&mut self, text: &str, span: Span) {
        if self.text.len() + text.len() <= LONGEST {
            self.map.push(Segment { at: self.text.len() as u32, span, linear: false });
            self.text.push_str(text);
        }
    }

    fn hole(&mut self, span: Span) {
        self.decoded(HOLE.encode_utf8(&mut [0; 4]), span);
    }

    fn pieces(
        &mut self,
        walk: &mut Walk<'_>,
        body: &Body,
        pieces: &[WordPieceWithSource],
        start: usize,
        quoted: bool,
        split: bool,
    ) {
        for piece in pieces {
            let (from, to) = (start + piece.start_index, start + piece.end_index);
            let span = body.span(from..to.max(from + 1));
            match &piece.piece {
                WordPiece::Text(text) => self.literal(body, text, from),
                WordPiece::SingleQuotedText(text) => {
                    self.quoted = true;
                    self.literal(body, text, from + 1);
                }
                WordPiece::AnsiCQuotedText(text) => {
                    self.quoted = true;
                    walk.note(NoteKind::Bash("$'…'"), span);
                    self.decoded(&ansi_c(text), span);
                }
                WordPiece::DoubleQuotedSequence(inner)
                | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    self.quoted = true;
                    self.pieces(walk, body, inner, start, true, split);
                }
                WordPiece::TildeExpansion(_) => self.decoded("~", span),
                WordPiece::EscapeSequence(text) => {
                    self.quoted = true;
                    let text = text.strip_prefix('\\').unwrap_or(text);
                    if text != "\n" {
                        self.decoded(text, span);
                    }
                }
                WordPiece::ParameterExpansion(expr) => {
                    self.parameter(walk, expr, span, split && !quoted);
                }
                WordPiece::CommandSubstitution(text) => {
                    if split && !quoted {
                        walk.unquoted("$( … )", span);
                    }
                    let pipe = walk.substitution(&Body::with_map(
                        text,
                        &body.segments(from + 2..from + 2 + text.len().max(1), 0),
                    ));
                    self.from.push(pipe);
                    self.hole(span);
                }
                WordPiece::BackquotedCommandSubstitution(text) => {
                    if split && !quoted {
                        walk.unquoted("` … `", span);
                    }
                    let pipe = walk.substitution(&Body::with_map(
                        text,
                        &body.segments(from + 1..from + 1 + text.len().max(1), 0),
                    ));
                    self.from.push(pipe);
                    self.hole(span);
                }
                WordPiece::ArithmeticExpression(_) => self.hole(span),
            }
        }
    }

    fn parameter(&mut self, walk: &mut Walk<'_>, expr: &ParameterExpr, span: Span, split: bool) {
        if let Some(what) = only_bash(expr) {
            walk.note(NoteKind::Bash(what), span);
        }
        if split && let ParameterExpr::Parameter { parameter: Parameter::Named(name), .. } = expr {
            let plain = walk.variable(name).is_some_and(|(text, _)| {
                let odd = [' ', '\t', '\n', '*', '?', '[', HOLE];
                !text.is_empty() && !text.contains(odd)
            });
            if !plain {
                walk.unquoted(name, span);
            }
        }
        let walk = &*walk;
        let named = |parameter: &Parameter, indirect: bool| match parameter {
            Parameter::Named(name) if !indirect => walk.variable(name),
            _ => None,
        };
        let (text, from) = match expr {
            ParameterExpr::Parameter { parameter, indirect } => match named(parameter, *indirect) {
                Some((text, from)) => (text.to_owned(), from.to_vec()),
                None => (HOLE.to_string(), Vec::new()),
            },
            // Where nothing is known of the variable, its default is the best guess.
            ParameterExpr::UseDefaultValues { parameter, indirect, test_type, default_value }
            | ParameterExpr::AssignDefaultValues {
                parameter,
                indirect,
                test_type,
                default_value,
            } => match named(parameter, *indirect) {
                Some((text, from))
                    if !text.is_empty() || matches!(test_type, ParameterTestType::Unset) =>
                {
                    (text.to_owned(), from.to_vec())
                }
                _ => match default_value.as_deref() {
                    None => (String::new(), Vec::new()),
                    Some(text) if plain(text) || text.is_empty() => (text.to_owned(), Vec::new()),
                    Some(_) => (HOLE.to_string(), Vec::new()),
                },
            },
            _ => (HOLE.to_string(), Vec::new()),
        };
        if !split {
            self.from.extend(from);
            self.decoded(&text, span);
            return;
        }
        // Field splitting: blanks in the value end the field.
        let mut words = text.split([' ', '\t', '\n']).peekable();
        while let Some(word) = words.next() {
            if !word.is_empty() {
                self.from.extend(from.iter().copied());
                self.decoded(word, span);
            }
            if words.peek().is_some() && !self.text.is_empty() {
                self.close();
            }
        }
    }
}

// Expansions that a plain shell does not have.
fn only_bash(expr: &ParameterExpr) -> Option<&'static str> {
    match expr {
        ParameterExpr::Parameter { indirect: true, .. } => Some("${!NAME}"),
        ParameterExpr::Parameter {
            parameter: Parameter::NamedWithIndex { .. } | Parameter::NamedWithAllIndices { .. },
            ..
        } => Some("${NAME[…]}"),
        ParameterExpr::Substring { .. } => Some("${NAME:0:1}"),
        ParameterExpr::ReplaceSubstring { .. } => Some("${NAME/a/b}"),
        ParameterExpr::UppercaseFirstChar { .. }
        | ParameterExpr::UppercasePattern { .. }
        | ParameterExpr::LowercaseFirstChar { .. }
        | ParameterExpr::LowercasePattern { .. } => Some("${NAME^^}"),
        ParameterExpr::Transform { .. } => Some("${NAME@Q}"),
        _ => None,
    }
}

// The escapes of `$'…'` (bash manual, "ANSI-C Quoting").
fn ansi_c(text: &str) -> String {
    let mut out: Vec<u8> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' || at + 1 == bytes.len() {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let letter = bytes[at + 1];
        at += 2;
        let digits = |at: usize, most: usize, radix: u32| {
            let count =
                bytes[at..].iter().take(most).take_while(|b| (**b as char).is_digit(radix)).count();
            (std::str::from_utf8(&bytes[at..at + count]).unwrap_or(""), count)
        };
        match letter {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'e' | b'E' => out.push(27),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'x' => {
                let (hex, count) = digits(at, 2, 16);
                out.push(u8::from_str_radix(hex, 16).unwrap_or(b'x'));
                at += count;
            }
            b'u' | b'U' => {
                let (hex, count) = digits(at, if letter == b'u' { 4 } else { 8 }, 16);
                let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                out.extend(code.unwrap_or('\u{FFFD}').to_string().bytes());
                at += count;
            }
            b'0'..=b'7' => {
                let (octal, count) = digits(at - 1, 3, 8);
                out.push(u16::from_str_radix(octal, 8).unwrap_or(0) as u8);
                at += count - 1;
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
