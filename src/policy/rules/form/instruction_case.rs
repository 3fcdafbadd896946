//! `instruction-case`: keywords in capitals and in small letters.

use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "instruction-case",
    title: "Mixed keyword casing hides instructions from a reader.",
    text: "Finds keywords that are written otherwise than most of the file (where both are as \
          many: than in capitals), and those in mixed letters.",
    aliases: &[Alias::of("ConsistentInstructionCasing")],
    text_check: Some(check),
    bad: &["FROM scratch\nCOPY a /a\nlabel a=b\n", "FROM scratch\nLabel a=b\n"],
    good: &["from scratch\ncopy a /a\nlabel a=b\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let lines = &outline.input.file.lines;
    let count = |is: fn(&char) -> bool| {
        lines.iter().filter(|line| line.keyword.text.chars().all(|c| is(&c))).count()
    };
    let (upper, lower) = (count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
    for (index, line) in lines.iter().enumerate() {
        let text = &line.keyword.text;
        let want = if lower > upper { text.to_ascii_lowercase() } else { line.keyword.upper() };
        if *text != want {
            let finding = found
                .finding(format!("`{text}` is written otherwise than the other instructions"))
                .at(line.keyword.span, format!("`{want}` would fit"))
                .of(Place { index, span: line.span, stage: None })
                .help(format!("write `{want}`"))
                .fix(line.keyword.span, want);
            found.add(finding);
        }
    }
}
