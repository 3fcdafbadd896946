//! `stage-name-duplicate`: two stages with one name.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "stage-name-duplicate",
    title: "A reference to a duplicated name silently picks one of the stages.",
    text: "Finds an AS name that an earlier stage has, letters large or small.",
    aliases: &[Alias::of("DL3024"), Alias::of("DuplicateStageName"), Alias::of("DS-0012")],
    text_check: Some(check),
    bad: &["FROM scratch AS b\nFROM scratch AS b\n"],
    good: &["FROM scratch AS b\nFROM scratch AS c\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (index, stage) in outline.stages.iter().enumerate() {
        let Some(name) = &stage.from.name else { continue };
        let first = outline.stages[..index].iter().filter_map(|other| other.from.name.as_ref());
        if let Some(first) = first.into_iter().find(|n| n.raw.eq_ignore_ascii_case(&name.raw)) {
            let finding = found
                .finding(format!("the stage name `{}` is taken", name.raw))
                .at(name.span, "a second stage of this name")
                .of(stage.place)
                .also(first.span, "the first one")
                .help("name it otherwise");
            found.add(finding);
        }
    }
}
