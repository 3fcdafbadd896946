//! `stage-name-case`: a stage's name with capitals.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "stage-name-case",
    title: "Stage names are matched without case; lower case avoids two spellings of one stage.",
    text: "Finds an AS name with a capital letter.",
    aliases: &[Alias::of("StageNameCasing")],
    text_check: Some(check),
    bad: &["FROM scratch AS BuildBase\nFROM scratch\n"],
    good: &["FROM scratch AS build-base\nFROM scratch\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let Some(name) = &stage.from.name else { continue };
        if name.raw.chars().any(char::is_uppercase) {
            let lower = name.raw.to_lowercase();
            let finding = found
                .finding(format!("the stage `{}` has capitals in its name", name.raw))
                .at(name.span, "names are compared without regard to them")
                .of(stage.place)
                .help(format!("write `{lower}`"))
                .fix(name.span, lower);
            found.add(finding);
        }
    }
}
