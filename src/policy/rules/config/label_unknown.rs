//! `label-unknown`: a label that the schema does not have.

use crate::diag::nearest;
use crate::instruction::Instruction;
use crate::policy::{Alias, Around, Found, Outline, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-unknown",
    title: "Strict label sets catch typos.",
    text: "Finds a label that is not in `[labels] schema`, where `[labels] strict` is set.",
    aliases: &[Alias::of("DL3050")],
    text_check: Some(check),
    bad: &["FROM scratch\nLABEL surplus=1\n"],
    good: &["FROM scratch\nLABEL known=1\n"],
    around: Around {
        set: &["labels.strict=true", "labels.schema={known=\"text\"}"],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let strict = found.section("labels", "strict").and_then(Value::as_bool).unwrap_or(false);
    let Some(schema) = found.section("labels", "schema").and_then(Value::as_table).cloned() else {
        return;
    };
    if !strict {
        return;
    }
    for item in outline.items_of("LABEL") {
        let Instruction::Label(label) = item.instruction else { continue };
        for pair in &label.pairs {
            let key = item.expand(&pair.name.raw).unwrap_or_default();
            if !schema.contains_key(&key) {
                let near = nearest(&key, schema.keys().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to [labels] schema, or leave it out".to_owned(),
                };
                let message = format!("the label `{key}` is not in the schema");
                found.tell(item.place, pair.name.span, message, "not known", help);
            }
        }
    }
}
