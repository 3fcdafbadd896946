//! `env-self-reference`: ENV that names itself too early.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "env-self-reference",
    title: "Within one ENV every expansion sees the values from before the instruction.",
    text: "Finds an ENV one of whose values names a variable that the same instruction sets and \
          that had no value before.",
    aliases: &[Alias::of("DL3044")],
    text_check: Some(check),
    bad: &["FROM scratch\nENV APP_HOME=/srv APP_BIN=$APP_HOME/bin\n"],
    good: &["FROM scratch\nENV APP_HOME=/srv\nENV APP_BIN=$APP_HOME/bin\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for (at, pair) in env.pairs.iter().enumerate() {
            let names = variables(&pair.value.raw, outline.input.file.escape);
            let early = names.iter().find(|(name, _)| {
                let natural = ["PATH", "HOME"].contains(name);
                !natural
                    && !item.declares(name)
                    && env
                        .pairs
                        .iter()
                        .enumerate()
                        .any(|(other, set)| set.name.raw == *name && other != at)
            });
            if let Some((name, _)) = early {
                let message = format!("`{name}` has no value yet: it is set by the same ENV");
                let span = pair.name.span.to(pair.value.span);
                let help = "write two ENV, one after the other";
                found.tell(item.place, span, message, "sees what was set before", help);
            }
        }
    }
}
