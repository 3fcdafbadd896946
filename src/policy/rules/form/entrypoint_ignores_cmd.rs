//! `entrypoint-ignores-cmd`: a CMD that the ENTRYPOINT drops.

use crate::instruction::{Form, Instruction};
use crate::policy::{Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "entrypoint-ignores-cmd",
    title: "With a shell-form ENTRYPOINT, CMD and `docker run` arguments are dropped.",
    text: "Finds an ENTRYPOINT in shell form that is in force in the image together with a CMD of \
          the same stages.",
    text_check: Some(check),
    bad: &["FROM busybox\nENTRYPOINT httpd -f\nCMD [\"-p\", \"80\"]\n"],
    good: &["FROM busybox\nENTRYPOINT [\"httpd\", \"-f\"]\nCMD [\"-p\", \"80\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let items: Vec<&Item<'_>> = outline.shipped().collect();
    let last = items.iter().rev().find_map(|item| match item.instruction {
        Instruction::Entrypoint(entrypoint) => Some((item, entrypoint)),
        _ => None,
    });
    let Some((item, entrypoint)) = last else { return };
    let Form::Shell(text) = &entrypoint.form else { return };
    let cmd = items.iter().rev().find(|item| matches!(item.instruction, Instruction::Cmd(_)));
    if let Some(cmd) = cmd.filter(|_| !text.is_empty()) {
        let finding = found
            .finding("CMD and the arguments of `docker run` are dropped")
            .at(text.whole(), "an ENTRYPOINT in shell form takes no arguments")
            .of(item.place)
            .also(cmd.instruction.keyword(), "never seen")
            .help("write ENTRYPOINT as a JSON list");
        found.add(finding);
    }
}
