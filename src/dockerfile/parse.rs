//! Physical lines to logical ones.

use super::{
    Comment, Directive, Dockerfile, ExecForm, FILE_LIMIT, Flag, Heredoc, INSTRUCTION_LIMIT,
    Keyword, LINE_LIMIT, Line, Text, WORD_LIMIT, exec_form, heredoc, words,
};
use crate::base::{SourceId, Span};
use crate::diag::{Code, Diagnostic};

/// Parses a file. Never fails: the tree holds all that could be understood, and the diagnostics all
/// that is wrong, in the order of the text. Takes time linear in the text.
pub fn parse(source: SourceId, text: &str) -> (Dockerfile, Vec<Diagnostic>) {
    let mut parser = Parser {
        source,
        text,
        at: 0,
        file: Dockerfile {
            source,
            directives: Vec::new(),
            escape: '\\',
            comments: Vec::new(),
            lines: Vec::new(),
        },
        errors: Vec::new(),
        words: 0,
    };
    if text.len() > FILE_LIMIT {
        let message = format!("the file is longer than {} MiB", FILE_LIMIT >> 20);
        parser.error("file-too-long", message, 0..0);
        return (parser.file, parser.errors);
    }
    if let Some(at) = text.find('\0') {
        let message = "the file holds a NUL byte: it is not plain UTF-8 text";
        parser.error("nul-byte", message, at..at + 1);
    }
    if text.starts_with('\u{feff}') {
        parser.at = '\u{feff}'.len_utf8();
    }
    parser.directives();
    while let Some(line) = parser.physical() {
        if parser.file.lines.len() >= INSTRUCTION_LIMIT && !parser.is_blank(line) {
            let message = format!("the file has more than {INSTRUCTION_LIMIT} instructions");
            parser.error("too-many-instructions", message, line.start..line.end);
            break;
        }
        parser.logical(line);
    }
    if parser.file.lines.is_empty() && parser.errors.is_empty() {
        parser.error("empty-file", "the file is empty: no instruction in it", 0..0);
    }
    (parser.file, parser.errors)
}

struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    at: usize,
    file: Dockerfile,
    errors: Vec<Diagnostic>,
    words: usize,
}

// A physical line: `start..end` without its line end; the next one begins at `next`.
#[derive(Clone, Copy)]
struct Physical {
    start: usize,
    end: usize,
    next: usize,
}

impl<'a> Parser<'a> {
    fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        at: std::ops::Range<usize>,
    ) {
        let span = Span::new(self.source, at.start, at.end);
        self.errors.push(Diagnostic::error(Code(code), message).at(span));
    }

    fn peek(&self) -> Option<Physical> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let next = rest.find('\n').map_or(self.text.len(), |newline| self.at + newline + 1);
        let line = &self.text[self.at..next];
        let end = self.at + line.trim_end_matches(['\r', '\n']).len();
        Some(Physical { start: self.at, end, next })
    }

    fn physical(&mut self) -> Option<Physical> {
        let line = self.peek()?;
        self.at = line.next;
        Some(line)
    }

    fn content(&self, line: Physical) -> &'a str {
        &self.text[line.start..line.end]
    }

    // The directives at the top. The first line that is none ends them: an empty line, another
    // comment, an unknown name.
    fn directives(&mut self) {
        while let Some(line) = self.peek() {
            let Some((name, value)) = directive(self.content(line)) else { return };
            let name = name.to_ascii_lowercase();
            if !["syntax", "escape", "check"].contains(&name.as_str()) {
                return;
            }
            let span = Span::new(self.source, line.start, line.end);
            if let Some(before) = self.file.directives.iter().find(|old| old.name == name) {
                let message = format!("only one `{name}` directive can be used");
                self.errors.push(
                    Diagnostic::error(Code("duplicate-directive"), message)
                        .at(span)
                        .also(before.span, "already here"),
                );
            } else if name == "escape" {
                match value {
                    "\\" | "`" => self.file.escape = if value == "`" { '`' } else { '\\' },
                    _ => {
                        let message = "invalid escape character: must be ` or \\";
                        self.error("bad-escape", message, line.start..line.end);
                    }
                }
            }
            self.file.directives.push(Directive { name, value: value.to_owned(), span });
            self.at = line.next;
        }
    }

    fn is_blank(&self, line: Physical) -> bool {
        let content = self.content(line).trim_start();
        content.is_empty() || content.starts_with('#')
    }

    fn comment(&mut self, line: Physical) -> bool {
        let content = self.content(line);
        let Some(text) = content.trim_start().strip_prefix('#') else { return false };
        let span = Span::new(self.source, line.end - text.len() - 1, line.end);
        self.file.comments.push(Comment { text: text.to_owned(), span });
        true
    }

    // One instruction, beginning at `first`: joins continued lines, then takes its heredocs.
    fn logical(&mut self, first: Physical) {
        if self.comment(first) {
            return;
        }
        let content = self.content(first).trim_start();
        let start = first.end - content.len();
        let mut joined = Text::empty(self.source, start);
        let (piece, mut more) = continuation(content, self.file.escape);
        if piece.is_empty() && !more {
            return;
        }
        joined.push(piece, start);
        let mut end = first.end;
        let mut too_long = joined.as_str().len() > LINE_LIMIT;
        while more {
            let Some(line) = self.physical() else { break };
            if self.comment(line) {
                continue;
            }
            let content = self.content(line);
            // Empty lines inside a continued one are skipped; BuildKit warns.
            if content.trim_start().is_empty() {
                continue;
            }
            let (piece, goes_on) = continuation(content, self.file.escape);
            more = goes_on;
            end = line.end;
            if joined.as_str().len() + piece.len() > LINE_LIMIT {
                too_long = true;
            } else {
                joined.push(piece, line.start);
            }
        }
        if too_long {
            let message = format!("the line is longer than {} MiB", LINE_LIMIT >> 20);
            self.error("line-too-long", message, start..start + 1);
            return;
        }
        let Some(mut line) = instruction(&joined, self.file.escape, 0) else { return };
        self.words += words::pieces(&line);
        if self.words > WORD_LIMIT {
            let message = format!("the file has more than {WORD_LIMIT} words");
            self.error("too-many-words", message, start..start + 1);
            self.at = self.text.len();
            return;
        }
        line.span = Span::new(self.source, line.keyword.span.start as usize, end);
        self.heredocs(&mut line);
        self.file.lines.push(line);
    }

    fn heredocs(&mut self, line: &mut Line) {
        // The heredocs of a trigger belong to the trigger.
        if let Some(nested) = line.nested.as_deref_mut() {
            nested.span = Span { end: line.span.end, ..nested.span };
            self.heredocs(nested);
            line.span.end = nested.span.end;
            return;
        }
        if !["ADD", "COPY", "RUN"].contains(&line.keyword.upper().as_str())
            || !line.body.as_str().contains("<<")
            || matches!(exec_form(&line.body), ExecForm::Array(_))
        {
            return;
        }
        for (marker, range) in heredoc::markers(line.body.as_str()) {
            let place = line.body.span(range);
            let start = self.at;
            let mut content_end = start;
            let mut closed = false;
            while let Some(physical) = self.physical() {
                let mut content = self.content(physical);
                if marker.strip_tabs {
                    content = content.trim_start_matches('\t');
                }
                line.span.end = physical.end as u32;
                if content == marker.name {
                    closed = true;
                    break;
                }
                content_end = physical.next;
            }
            if !closed {
                let shown: String = marker.name.chars().take(60).collect();
                let message = format!("unterminated heredoc: no line `{shown}` after it");
                self.errors
                    .push(Diagnostic::error(Code("unterminated-heredoc"), message).at(place));
            }
            line.heredocs.push(Heredoc {
                name: marker.name,
                expand: marker.expand,
                strip_tabs: marker.strip_tabs,
                fd: marker.fd,
                content: self.text[start..content_end].into(),
                span: Span::new(self.source, start, content_end),
                marker: place,
            });
            if !closed {
                return;
            }
        }
    }
}

// `# name = value`, as BuildKit's pattern `^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$` has it.
fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let valid = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (valid && !value.is_empty()).then_some((name, value))
}

// Takes a trailing escape character off: it continues the line if it stands alone or after another
// character, not if it is itself escaped. Blanks may follow it.
fn continuation(content: &str, escape: char) -> (&str, bool) {
    let trimmed = content.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (content, false),
    }
}

// Keyword, flags and body of a joined line; `None` for blanks.
fn instruction(joined: &Text, escape: char, depth: usize) -> Option<Line> {
    let joined = joined.trim();
    let text = joined.as_str();
    if text.is_empty() {
        return None;
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let keyword = Keyword { text: text[..end].to_owned(), span: joined.span(0..end) };
    let arguments = joined.slice(end..text.len());
    let (flags, body) = flags(&arguments);
    let body = body.trim();
    // BuildKit refuses ONBUILD ONBUILD, so one level shows all there is to see.
    let nested = (depth == 0 && keyword.text.eq_ignore_ascii_case("ONBUILD"))
        .then(|| instruction(&body, escape, depth + 1).map(Box::new))
        .flatten();
    let span = joined.whole();
    Some(Line { keyword, flags, body, heredocs: Vec::new(), nested, escape, span })
}

// Takes the leading `--…` words off. In them quotes are removed and a backslash (always a
// backslash, whatever the escape character) takes the next character as it is.
fn flags(arguments: &Text) -> (Vec<Flag>, Text) {
    let text = arguments.as_str();
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (found, arguments.slice(at..text.len()));
        }
        let start = at;
        let mut word = Text::empty(arguments.source(), arguments.span(at..at).start as usize);
        let mut take = |c: char, at: usize| {
            let place = arguments.span(at..at + c.len_utf8());
            word.push(c.encode_utf8(&mut [0; 4]), place.start as usize);
        };
        let mut quote = None;
        let mut chars = text[start..].char_indices();
        let mut end = text.len();
        while let Some((offset, c)) = chars.next() {
            match quote {
                None if c.is_whitespace() => {
                    end = start + offset;
                    break;
                }
                None if c == '"' || c == '\'' => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ if c == '\\' => {
                    if let Some((offset, c)) = chars.next() {
                        take(c, start + offset);
                    }
                }
                _ => take(c, start + offset),
            }
        }
        at = end;
        // A lone `--` ends the flags.
        if word.as_str() == "--" {
            return (found, arguments.slice(at..text.len()));
        }
        let span = arguments.span(start..end);
        let flag = match word.as_str().find('=') {
            Some(equals) => Flag {
                name: word.as_str()[2..equals].to_owned(),
                value: Some(word.slice(equals + 1..word.as_str().len())),
                span,
            },
            None => Flag { name: word.as_str()[2..].to_owned(), value: None, span },
        };
        found.push(flag);
    }
}
