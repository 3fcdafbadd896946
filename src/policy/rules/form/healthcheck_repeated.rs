//! `healthcheck-repeated`: a HEALTHCHECK that a later one replaces.

use crate::instruction::Instruction;
use crate::policy::rules::repeated;
use crate::policy::{Alias, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "healthcheck-repeated",
    title: "Only the last HEALTHCHECK of a stage counts; an earlier one misleads the reader.",
    text: "Finds each HEALTHCHECK of a stage but the last. Delete it.",
    aliases: &[
        Alias::of("DL3012"),
        Alias::of("MultipleInstructionsDisallowed"),
        Alias::of("DS-0023"),
    ],
    text_check: Some(check),
    bad: &["FROM busybox\nHEALTHCHECK CMD [\"true\"]\nHEALTHCHECK CMD [\"true\"]\n"],
    good: &["FROM busybox AS a\nHEALTHCHECK CMD [\"true\"]\nFROM a\nHEALTHCHECK CMD [\"true\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    repeated(outline, found, |instruction| matches!(instruction, Instruction::Healthcheck(_)));
}
