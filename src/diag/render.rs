//! One diagnostic as text, as rustc prints them.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity, Sources};

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
    let shown = diagnostic
        .span
        .map(|span| without_logins(&sources.get(span.source).text))
        .unwrap_or_default();
    if let Some(span) = diagnostic.span {
        let source = sources.get(span.source);
        let range = clamp(&source.text, span.range());
        let mut snippet = Snippet::source(shown.as_str())
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(range).label(diagnostic.label.as_str()));
        for label in diagnostic.labels.iter().filter(|label| label.span.source == span.source) {
            let range = clamp(&source.text, label.span.range());
            snippet =
                snippet.annotation(AnnotationKind::Context.span(range).label(label.text.as_str()));
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
    text.chars()
        .flat_map(|c| match c {
            '\n' | '\t' => vec![c],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
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
    use crate::base::Span;
    use crate::diag::Code;

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
