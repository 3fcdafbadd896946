//! `onbuild-forbidden-trigger`: ONBUILD of what cannot be a trigger.

use crate::policy::{Alias, Found, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "onbuild-forbidden-trigger",
    title: "ONBUILD cannot trigger FROM, MAINTAINER or ONBUILD.",
    text: "Finds FROM, MAINTAINER and ONBUILD after ONBUILD.",
    aliases: &[Alias::of("DL3043")],
    text_check: Some(check),
    bad: &["FROM busybox\nONBUILD ONBUILD RUN true\n"],
    good: &["FROM busybox\nONBUILD RUN true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (index, line) in outline.input.file.lines.iter().enumerate() {
        let Some(nested) = &line.nested else { continue };
        let name = nested.keyword.upper();
        if matches!(name.as_str(), "FROM" | "MAINTAINER" | "ONBUILD") {
            let place = Place { index, span: line.span, stage: None };
            let message = format!("ONBUILD cannot trigger {name}");
            found.tell(place, nested.keyword.span, message, "not allowed here", "leave it out");
        }
    }
}
