//! `entrypoint-repeated`: a ENTRYPOINT that a later one replaces.

use crate::instruction::Instruction;
use crate::policy::rules::repeated;
use crate::policy::{Alias, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "entrypoint-repeated",
    title: "Only the last ENTRYPOINT of a stage counts; an earlier one misleads the reader.",
    text: "Finds each ENTRYPOINT of a stage but the last. Delete it.",
    aliases: &[
        Alias::of("DL4004"),
        Alias::of("MultipleInstructionsDisallowed"),
        Alias::of("DS-0007"),
    ],
    text_check: Some(check),
    bad: &["FROM busybox\nENTRYPOINT [\"true\"]\nENTRYPOINT [\"true\"]\n"],
    good: &["FROM busybox AS a\nENTRYPOINT [\"true\"]\nFROM a\nENTRYPOINT [\"true\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    repeated(outline, found, |instruction| matches!(instruction, Instruction::Entrypoint(_)));
}
