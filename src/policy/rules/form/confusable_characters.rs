//! `confusable-characters`: characters that look like others.

use crate::base::Span;
use crate::dockerfile::Line;
use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "confusable-characters",
    title: "An en dash in `–no-cache-dir` is an argument, not a flag; bidi controls make the \
           reader and the parser see different programs.",
    text: "Finds, in the text and at their column: dashes, quotes and blanks of other scripts in \
          instructions; and characters that are not seen, or turn the order of writing, \
          anywhere, comments too.\n\nDashes and quotes in a quoted value of LABEL or ENV, in a \
          heredoc that is copied, and in comments are text.",
    aliases: &[Alias::of("SC1018"), Alias::of("SC1077")],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN pip install –no-cache-dir -r requirements.txt\n",
        "FROM busybox\nRUN true # \u{202E}\n",
    ],
    good: &[
        "FROM busybox\nLABEL description=\"layers – explained\"\nRUN pip install --no-cache-dir -r requirements.txt\n",
        "FROM busybox\n# a dash – in a comment\n",
        "FROM busybox\nRUN echo \"– it’s text\"\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let file = &outline.input.file;
    let text = &outline.input.sources.get(file.source).text;
    if text.is_ascii() {
        return;
    }
    let odd = text.char_indices().filter_map(|(at, c)| Some((at, c, kind(c)?)));
    // Each looks at its whole instruction.
    for (at, c, (what, plain)) in odd.take(MOST) {
        let line = outline.line_at(at as u32);
        if plain.is_some() {
            let Some((_, line)) = line else { continue };
            let comments = outline.comments_between(line.span.start, at as u32 + 1);
            let comment = comments.last().is_some_and(|comment| at < comment.span.end as usize);
            let copied = line.keyword.upper() != "RUN"
                && line.heredocs.iter().any(|heredoc| {
                    (heredoc.span.start as usize) <= at && at < heredoc.span.end as usize
                });
            let heads = "MAINTAINER";
            if comment || copied || line.keyword.upper() == heads || quoted(text, line, at) {
                continue;
            }
        }
        let span = Span::new(file.source, at, at + c.len_utf8());
        let mut finding = found
            .finding(format!("U+{:04X}, {what}", c as u32))
            .at(span, "not what it looks like")
            .evidence("character", format!("U+{:04X}", c as u32))
            .help("write the plain character, or none");
        if let Some((index, line)) = line {
            finding = finding.of(Place { index, span: line.span, stage: None });
        }
        if let Some(plain) = plain {
            finding = finding.fix(span, plain);
        }
        found.add(finding);
    }
}

const MOST: usize = 1_000;

// What a character is, and the plain one that it may be taken for; `None` for what is not seen.
fn kind(c: char) -> Option<(&'static str, Option<&'static str>)> {
    Some(match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => ("a dash that is no `-`", Some("-")),
        '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}' => ("a quote that is no `'`", Some("'")),
        '\u{201C}'..='\u{201F}' => ("a quote that is no `\"`", Some("\"")),
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => {
            ("a blank that is no space", Some(" "))
        }
        '\u{200B}'..='\u{200D}' | '\u{2060}' => ("a character without width", None),
        // At the very start it marks the encoding, and the parser takes it.
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' => {
            ("a character that turns the order of writing", None)
        }
        _ => return None,
    })
}

// Whether a byte of an instruction stands between plain quotes.
fn quoted(text: &str, line: &Line, at: usize) -> bool {
    let mut quote = None;
    for c in text.get(line.span.start as usize..at).unwrap_or("").chars() {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}
