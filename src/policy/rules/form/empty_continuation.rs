//! `empty-continuation`: a blank line in the middle of an instruction.

use crate::base::Span;
use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "empty-continuation",
    title: "An empty line inside a continuation is accepted today and promised to become an \
           error.",
    text: "Finds a blank line after a line that ends in the escape character, told at the line \
          that ends the instruction. Comments are no blank lines.",
    aliases: &[Alias::of("NoEmptyContinuation")],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN true \\\n\n  && true\n"],
    good: &["FROM busybox\nRUN true \\\n  # a comment\n  && true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (index, line) in outline.input.file.lines.iter().enumerate() {
        // Heredocs are text, and come after the last continued line.
        let mut span = line.span;
        if let Some(first) = line.heredocs.first() {
            span.end = first.span.start.max(span.start);
        }
        let text = outline.written(span);
        let mut open = false;
        let mut blank = false;
        for one in text.lines() {
            let trimmed = one.trim();
            if trimmed.starts_with('#') && open {
                continue;
            }
            if trimmed.is_empty() && open {
                blank = true;
                continue;
            }
            open = trimmed.ends_with(line.escape);
        }
        if blank {
            let last = text.rfind('\n').map_or(0, |at| at + 1);
            let start = span.start as usize + last;
            let place = Place { index, span: line.span, stage: None };
            let at = Span::new(span.source, start, span.end as usize);
            let message = "the instruction goes on after a blank line";
            let help = "delete the blank line";
            found.tell(place, at, message, "still the same instruction", help);
        }
    }
}
