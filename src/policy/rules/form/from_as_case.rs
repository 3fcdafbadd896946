//! `from-as-case`: `FROM … as …`.

use crate::base::Span;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "from-as-case",
    title: "`FROM … as` reads as two languages.",
    text: "Finds an AS whose letters are large where those of FROM are small, or the other way \
          round.",
    aliases: &[Alias::of("FromAsCasing")],
    text_check: Some(check),
    bad: &["FROM scratch as build\nFROM build\n"],
    good: &["FROM scratch AS build\nFROM build\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let Some(name) = &stage.from.name else { continue };
        let (start, end) = (stage.from.base.span.end, name.span.start);
        let source = name.span.source;
        let between = Span { source, start, end };
        let text = outline.written(between);
        let Some(at) = text.to_ascii_lowercase().find("as") else { continue };
        let word = &text[at..at + 2];
        let keyword = outline.written(stage.from.keyword);
        let want = if keyword.chars().all(|c| c.is_ascii_lowercase()) { "as" } else { "AS" };
        if word != want {
            let span = Span::new(source, start as usize + at, start as usize + at + 2);
            let finding = found
                .finding(format!("`{word}` beside `{keyword}`"))
                .at(span, "other letters than FROM")
                .of(stage.place)
                .help(format!("write `{want}`"))
                .fix(span, want);
            found.add(finding);
        }
    }
}
