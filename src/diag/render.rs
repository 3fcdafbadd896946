//! One diagnostic as text, as rustc prints them.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity, Sources};
use crate::base::Span;

/// Renders `diagnostic` in up to a dozen lines, without a trailing newline. Control characters
/// that come from the texts are shown escaped by the renderer.
pub fn render(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let message = printable(&diagnostic.message);
    let title = level.primary_title(message.as_str()).id(diagnostic.code.0);
    let mut group = Group::with_title(title);
    let spans = || {
        let labels = diagnostic.labels.iter().map(|label| label.span);
        let own = diagnostic.span.into_iter();
        own.clone()
            .chain(labels.filter(move |label| own.clone().any(|span| span.source == label.source)))
    };
    let (shown, from) = match diagnostic.span {
        Some(span) => {
            let text = &sources.get(span.source).text;
            let (text, from) = window(text, spans().map(|span| span.range()));
            (without_logins(text), from)
        }
        None => Default::default(),
    };
    if let Some(span) = diagnostic.span {
        let source = sources.get(span.source);
        let range = |span: Span| {
            let range = clamp(&source.text, span.range());
            range.start - from..range.end - from
        };
        let mut snippet = Snippet::source(shown.as_str())
            .line_start(newlines(&source.text[..from]) + 1)
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(range(span)).label(diagnostic.label.as_str()));
        for label in diagnostic.labels.iter().filter(|label| label.span.source == span.source) {
            let context = AnnotationKind::Context.span(range(label.span));
            snippet = snippet.annotation(context.label(label.text.as_str()));
        }
        group = group.element(snippet);
    }
    let notes: Vec<String> = diagnostic.notes.iter().map(|note| printable(note)).collect();
    for note in &notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    let help = diagnostic.help.as_deref().map(printable);
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

// Terminal escapes in a message (a file name, an answer of a registry) must not reach a terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| match c {
            '\n' | '\t' => vec![c],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

// Texts up to this size are handed over whole.
const SMALL: usize = 512;

// The lines of a large text that ranges stand in, and where they begin: for each line that it is
// given, shown or not, the renderer keeps more than the line.
fn window(text: &str, ranges: impl Iterator<Item = std::ops::Range<usize>>) -> (&str, usize) {
    let all = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let Some(all) = all.filter(|_| text.len() > SMALL) else { return (text, 0) };
    let all = clamp(text, all);
    // With the line before: a place at the very end may have no line of its own.
    let before = text[..all.start].rfind('\n').unwrap_or(0);
    let start = text[..before].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[all.end..].find('\n').map_or(text.len(), |newline| all.end + newline + 1);
    (&text[start..end], start)
}

fn clamp(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// The text with stars for the logins of addresses (`scheme://LOGIN@host`), byte for byte: a line that
/// is quoted goes into logs.
fn without_logins(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '\\');
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let login = authority.rfind('@').unwrap_or(0);
        out.extend(std::iter::repeat_n('*', login));
        rest = &after[login..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    #[test]
    fn a_place_in_a_large_text_is_shown_as_in_a_small_one() {
        let check = |before: &str, shown: &str, after: &str, range: std::ops::Range<usize>| {
            let text = format!("{before}{shown}{after}");
            let mut sources = Sources::new();
            let id = sources.add("Dockerfile", &text);
            let at = before.len();
            let diagnostic = Diagnostic::error(Code("x"), "wrong")
                .at(Span::new(id, at + range.start, at + range.end))
                .also(Span::new(id, at, at + 1), "and here");
            render(&diagnostic, &sources, false)
        };
        let many = "RUN a\r\n".repeat(40_000);
        for range in [0..3, 4..10, 3..9, 10..11, 12..12] {
            for after in ["", "USER ä\n", "USER ä\nx"] {
                let small = check("", "COPY ä b\nX\n", after, range.clone());
                let large = check(&many, "COPY ä b\nX\n", after, range.clone());
                // What stands right of the numbers is the same.
                let shown = |text: &str| -> Vec<String> {
                    let right =
                        |line: &str| line.split_once('|').map(|(_, right)| right.to_owned());
                    text.lines().filter_map(right).collect()
                };
                assert_eq!(shown(&large), shown(&small), "{range:?} {after:?}");
            }
        }
        let large = check(&many, "COPY a b\n", "", 0..4);
        assert!(
            large.contains("Dockerfile:40001:1") && large.contains("40001 | COPY a b"),
            "{large}"
        );
    }

    #[test]
    fn looks_like_rustc() {
        let mut sources = Sources::new();
        let id = sources.add("Dockerfile", "FROM scratch\nCOPPY a /a\n");
        let diagnostic =
            Diagnostic::error(Code("unknown-instruction"), "unknown instruction `COPPY`")
                .at(Span::new(id, 13, 18))
                .help("did you mean `COPY`?");
        expect_test::expect![[r#"
            error[unknown-instruction]: unknown instruction `COPPY`
             --> Dockerfile:2:1
              |
            2 | COPPY a /a
              | ^^^^^
              |
              = help: did you mean `COPY`?"#]]
        .assert_eq(&render(&diagnostic, &sources, false));
    }

    #[test]
    fn spans_outside_the_text_do_not_panic() {
        let mut sources = Sources::new();
        let id = sources.add("Dockerfile", "é");
        for (start, end) in [(0, 1), (1, 1), (5, 9), (1, 9)] {
            let diagnostic = Diagnostic::error(Code("x"), "\x1b[2J").at(Span::new(id, start, end));
            assert!(!render(&diagnostic, &sources, false).contains('\x1b'));
        }
    }

    #[test]
    fn logins_of_addresses_are_stars() {
        for (text, want) in [
            ("ADD https://u:pw@h/x@y /", "ADD https://****@h/x@y /"),
            ("a http://é@h b https://h/@ ://@", "a http://**@h b https://h/@ ://@"),
            ("git@h:x https://u@v@h", "git@h:x https://***@h"),
            ("https://", "https://"),
        ] {
            assert_eq!(without_logins(text), want);
        }
    }
}
