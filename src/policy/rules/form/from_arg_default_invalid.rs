//! `from-arg-default-invalid`: FROM that names nothing without a build argument.

use crate::base::ImageRef;
use crate::policy::{Alias, Found, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "from-arg-default-invalid",
    title: "A build without the argument names an empty or malformed image.",
    text: "Expands each FROM with the defaults of the ARGs alone, and finds those that are then \
          empty, end in `:` or `@`, or are no name of an image.",
    aliases: &[Alias::of("InvalidDefaultArgInFrom")],
    text_check: Some(check),
    bad: &["ARG TAG\nFROM busybox:${TAG}\n"],
    good: &["ARG TAG=latest\nFROM busybox:${TAG}\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let globals = outline.globals();
    for stage in &outline.stages {
        let word = &stage.from.base;
        let names = variables(&word.raw, outline.input.file.escape);
        let known =
            |name: &str| globals.contains_key(name) || super::from_arg_undefined::is_platform(name);
        // What is not declared is another rule's.
        if names.is_empty() || !names.iter().all(|(name, _)| known(name)) {
            continue;
        }
        let Some(text) = outline.with_defaults(&word.raw) else { continue };
        let stage_name = outline.stage_named(&text, stage.index).is_some();
        let good = !text.is_empty() && (stage_name || ImageRef::parse(&text).is_ok());
        if !good {
            let message = match text.as_str() {
                "" => "without build arguments, FROM names nothing".to_owned(),
                text => format!("without build arguments, FROM names `{text}`"),
            };
            let help = "give the ARG a default";
            found.tell(stage.place, word.span, message, "not the name of an image", help);
        }
    }
}
