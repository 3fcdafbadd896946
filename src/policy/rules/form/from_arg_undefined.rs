//! `from-arg-undefined`: FROM with a variable that it does not see.

use crate::diag::nearest;
use crate::policy::{Alias, Found, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "from-arg-undefined",
    title: "FROM sees only ARGs declared before the first FROM.",
    text: "Finds `$NAME` in FROM, image or --platform, that is neither an ARG before the first \
          FROM nor an argument of the platform.",
    aliases: &[Alias::of("UndefinedArgInFrom")],
    text_check: Some(check),
    bad: &["FROM busybox:${TAG}\n"],
    good: &["ARG TAG=latest\nFROM busybox:${TAG}\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let globals = outline.globals();
    for stage in &outline.stages {
        let words = [Some(&stage.from.base), stage.from.platform.as_ref()];
        for word in words.into_iter().flatten() {
            for (name, range) in variables(&word.raw, outline.input.file.escape) {
                let given = word.raw[range.end..].starts_with([':', '-', '+', '?'])
                    && word.raw[..range.start].ends_with('{');
                if globals.contains_key(name) || given || is_platform(name) {
                    continue;
                }
                let near = nearest(name, globals.keys().copied());
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("`ARG {name}=…` before the first FROM"),
                };
                let message = format!("FROM does not see `{name}`");
                found.tell(stage.place, word.span, message, "no ARG before the first FROM", help);
            }
        }
    }
}

pub(in crate::policy) fn is_platform(name: &str) -> bool {
    let rest = name.strip_prefix("TARGET").or_else(|| name.strip_prefix("BUILD"));
    matches!(rest, Some("PLATFORM" | "OS" | "ARCH" | "VARIANT"))
}
