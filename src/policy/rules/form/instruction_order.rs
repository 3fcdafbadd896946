//! `instruction-order`: something before the first FROM.

use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "instruction-order",
    title: "Only ARG, comments and parser directives may stand before the first FROM.",
    text: "Finds the first instruction that is neither ARG nor FROM while no stage is open. Move \
          it below a FROM.",
    aliases: &[Alias::of("DL3061")],
    text_check: Some(check),
    bad: &["LABEL a=b\nFROM scratch\n"],
    good: &["ARG V=1\nFROM scratch\nLABEL a=b\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let lines = &outline.input.file.lines;
    let first = lines.iter().enumerate().take_while(|(_, line)| line.keyword.upper() != "FROM");
    for (index, line) in first {
        let name = line.keyword.upper();
        if name != "ARG" {
            let place = Place { index, span: line.span, stage: None };
            let message = format!("{name} stands before the first FROM");
            found.tell(
                place,
                line.keyword.span,
                message,
                "no stage is open",
                "move it below a FROM",
            );
            return;
        }
    }
}
