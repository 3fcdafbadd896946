//! `cmd-repeated`: a CMD that a later one replaces.

use crate::instruction::Instruction;
use crate::policy::rules::repeated;
use crate::policy::{Alias, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "cmd-repeated",
    title: "Only the last CMD of a stage counts; an earlier one misleads the reader.",
    text: "Finds each CMD of a stage but the last. Delete it.",
    aliases: &[
        Alias::of("DL4003"),
        Alias::of("MultipleInstructionsDisallowed"),
        Alias::of("DS-0016"),
    ],
    text_check: Some(check),
    bad: &["FROM busybox\nCMD [\"true\"]\nCMD [\"true\"]\n"],
    good: &["FROM busybox AS a\nCMD [\"true\"]\nFROM a\nCMD [\"true\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    repeated(outline, found, |instruction| matches!(instruction, Instruction::Cmd(_)));
}
