//! `healthcheck-missing`: nobody notices that it has died.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Inline, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "healthcheck-missing",
    title: "Nobody notices a dead process.",
    text: "Finds a target with a CMD or ENTRYPOINT and no HEALTHCHECK, in the stages that become \
          the image and in the config of its base. `HEALTHCHECK NONE` is a decision (not in \
          `paranoid`).",
    aliases: &[Alias::of("DL3057"), Alias::of("CIS-DI-0006"), Alias::of("DS-0026")],
    standards: &["CIS 4.6"],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nCMD [\"httpd\", \"-f\"]\n"],
    good: &[
        "FROM busybox\nHEALTHCHECK CMD [\"/probe\"]\nCMD [\"httpd\", \"-f\"]\n",
        "FROM busybox\nRUN true\n",
        "FROM busybox\nHEALTHCHECK NONE\nCMD [\"true\"]\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let paranoid = found.policy().inline == Inline::Deny;
    let chain = outline.chain();
    let (Some(target), Some(bottom)) = (chain.last(), chain.first()) else { return };
    let runs = outline
        .shipped()
        .any(|item| matches!(item.instruction, Instruction::Cmd(_) | Instruction::Entrypoint(_)));
    let check = outline.shipped().filter_map(|item| match item.instruction {
        Instruction::Healthcheck(health) => Some(health.check.is_some()),
        _ => None,
    });
    let of_base = bottom.config.is_some_and(|config| config.healthcheck.is_some());
    let has = match check.last() {
        Some(real) => real || !paranoid,
        None => of_base,
    };
    if runs && !has {
        let message = "nothing tells whether the container still works";
        let help = "HEALTHCHECK CMD [\"/app\", \"--health\"], or HEALTHCHECK NONE";
        found.tell(target.place, target.from.span, message, "no HEALTHCHECK", help);
    }
}

// Of an image alone; in a build the text has told.
fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let config = &judged.facts.config.config;
    let starts = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|all| !all.is_empty());
    if judged.outline.is_some() || !(starts(&config.entrypoint) || starts(&config.cmd)) {
        return;
    }
    let paranoid = found.policy().inline == Inline::Deny;
    let has = config.healthcheck.as_ref().is_some_and(|check| {
        let none = check.test.first().is_none_or(|word| word == "NONE");
        !none || (!paranoid && !check.test.is_empty())
    });
    if !has {
        let finding = found
            .finding("nothing tells whether the container still works")
            .in_image("config", None)
            .help(
                "HEALTHCHECK CMD [\"/app\", \"--health\"]; the OCI form of some builders loses it",
            );
        found.add(finding);
    }
}
