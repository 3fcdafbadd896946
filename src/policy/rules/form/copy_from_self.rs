//! `copy-from-self`: --from of the stage itself, or of a later one.

use crate::policy::rules::form::copy_from_unknown::from_words;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-from-self",
    title: "A stage cannot copy from itself or from a later one.",
    text: "Finds COPY --from and mounts with `from` that name the stage they stand in or one \
          below it.",
    aliases: &[Alias::of("DL3023"), Alias::of("DS-0006")],
    text_check: Some(check),
    bad: &["FROM busybox AS build\nCOPY --from=build /etc/passwd /p\n"],
    good: &["FROM busybox AS base\nFROM busybox\nCOPY --from=base /etc/passwd /p\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        for item in &stage.items {
            for (name, span) in from_words(item) {
                if outline.stage_named(&name, stage.index).is_some() {
                    continue;
                }
                let own = outline.stages.iter().skip(stage.index).find(|other| {
                    let named = other.from.name.as_ref();
                    named.is_some_and(|n| n.raw.eq_ignore_ascii_case(&name))
                });
                let number = name.parse::<usize>().ok();
                let message = match (own, number) {
                    (Some(other), _) if other.index == stage.index => {
                        format!("`{name}` is this stage itself")
                    }
                    (Some(_), _) => format!("the stage `{name}` comes later"),
                    (None, Some(index)) if index >= stage.index => {
                        format!("there is no stage {index} before this one")
                    }
                    _ => continue,
                };
                let help = "name an earlier stage";
                found.tell(item.place, span, message, "has no files yet", help);
            }
        }
    }
}
