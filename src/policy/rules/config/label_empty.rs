//! `label-empty`: a label that says nothing.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-empty",
    title: "An empty label claims to answer and does not.",
    text: "Finds an empty value of a label of the schema, or of `org.opencontainers.image.…`.",
    aliases: &[Alias::of("DL3051")],
    text_check: Some(check),
    bad: &["FROM scratch\nLABEL org.opencontainers.image.source=\n"],
    good: &["FROM scratch\nLABEL org.opencontainers.image.source=https://example.org/r\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let schema = found.section("labels", "schema").and_then(Value::as_table).cloned();
    let schema = schema.unwrap_or_default();
    for item in outline.shipped_of("LABEL") {
        let Instruction::Label(label) = item.instruction else { continue };
        for pair in &label.pairs {
            let key = item.expand(&pair.name.raw).unwrap_or_default();
            let ours = key.starts_with("org.opencontainers.image.") || schema.contains_key(&key);
            // A variable that is not given is given by whoever builds for real.
            let variable = pair.value.raw.contains('$');
            if ours
                && !variable
                && item.expand(&pair.value.raw).is_some_and(|value| value.is_empty())
            {
                let message = format!("the label `{key}` is empty");
                let span = pair.name.span.to(pair.value.span);
                found.tell(
                    item.place,
                    span,
                    message,
                    "says nothing",
                    "give it a value, or leave it out",
                );
            }
        }
    }
}
