//! `legacy-key-value`: `ENV name value`.

use crate::base::Span;
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "legacy-key-value",
    title: "`ENV k v` swallows the whole rest of the line, including a second pair.",
    text: "Finds ENV and LABEL with a blank instead of `=`: the rest of the line is the value, \
          whatever it looks like.",
    aliases: &[Alias::of("LegacyKeyValueFormat")],
    text_check: Some(check),
    bad: &["FROM scratch\nENV A b\n"],
    good: &["FROM scratch\nENV A=b\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items() {
        let pairs = match item.instruction {
            Instruction::Env(env) => &env.pairs,
            Instruction::Label(label) => &label.pairs,
            _ => continue,
        };
        let [pair] = pairs.as_slice() else { continue };
        let (start, end) = (pair.name.span.end, pair.value.span.start);
        let between = outline.written(Span { source: pair.name.span.source, start, end });
        if between.contains('=') || pair.value.span.start <= start {
            continue;
        }
        let span = pair.name.span.to(pair.value.span);
        let (name, value) = (&pair.name.raw, &pair.value.raw);
        let mut finding = found
            .finding(format!("`{} {name} …` takes the rest of the line", item.instruction.name()))
            .at(span, "no `=`")
            .of(item.place)
            .help("write NAME=\"VALUE\"");
        let plain = |c: char| c.is_alphanumeric() || " ._-/:$@+,{}".contains(c);
        if value.chars().all(plain) && !outline.written(span).contains('\n') {
            finding = finding.fix(span, format!("{name}=\"{value}\""));
        }
        found.add(finding);
    }
}
