//! `stage-name-reserved`: a stage called `scratch` or `context`.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "stage-name-reserved",
    title: "`scratch` and `context` mean something else to the builder.",
    text: "Finds the AS names `scratch` and `context`.",
    aliases: &[Alias::of("DL3063"), Alias::of("ReservedStageName")],
    text_check: Some(check),
    bad: &["FROM busybox AS scratch\nFROM busybox\n"],
    good: &["FROM busybox AS scratchpad\nFROM busybox\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.raw.to_ascii_lowercase();
        if matches!(lower.as_str(), "scratch" | "context") {
            let message = format!("`{}` means something else to the builder", name.raw);
            found.tell(stage.place, name.span, message, "a reserved name", "name it otherwise");
        }
    }
}
