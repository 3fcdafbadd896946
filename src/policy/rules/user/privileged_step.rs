//! `privileged-step`: a step that asks for the host's privileges.

use crate::instruction::{Instruction, Network, Security};
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "privileged-step",
    title: "A step that asks for the host's privileges is not isolated.",
    text: "Finds RUN with --security=insecure, --network=host or --device.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN --security=insecure true\n",
        "FROM busybox\nRUN --network=host true\n",
    ],
    good: &["FROM busybox\nRUN --security=sandbox true\nRUN --network=none true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("RUN") {
        let Instruction::Run(run) = item.instruction else { continue };
        let mut asks = Vec::new();
        if run.security == Security::Insecure {
            asks.push("--security=insecure");
        }
        if run.network == Network::Host {
            asks.push("--network=host");
        }
        if !run.devices.is_empty() {
            asks.push("--device");
        }
        for flag in asks {
            let finding = found
                .finding(format!("`{flag}` takes the step out of its isolation"))
                .at(run.keyword, format!("asks for `{flag}`"))
                .of(item.place)
                .evidence("flag", flag)
                .help("leave the flag out");
            found.add(finding);
        }
    }
}
