//! `network-in-final`: the stage that ships, on the network.

use crate::instruction::{Instruction, Network};
use crate::policy::{Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "network-in-final",
    title: "The stage that ships has no business on the network.",
    text: "Finds, in the stages that become the image, a step without `--network=none` that \
          fetches, clones or calls a package manager that does.",
    params: &[Param {
        name: "enforce",
        kind: ParamKind::Word(&["observe", "deny"]),
        default: r#""observe""#,
        help: "whether such steps have a network at all",
    }],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN wget -q https://example.org/a\n"],
    good: &[
        "FROM busybox\nRUN --network=none make\n",
        "FROM busybox AS build\nRUN wget -q https://example.org\nFROM scratch\nCOPY --from=build /a /a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.shipped() {
        let Instruction::Run(run) = item.instruction else { continue };
        if run.network == Network::None {
            continue;
        }
        for command in &item.script().commands {
            let git = command.name() == Some("git")
                && command
                    .args()
                    .iter()
                    .any(|arg| matches!(arg.prefix(), "clone" | "fetch" | "pull"));
            let update = command.operation().is_some_and(|operation| {
                matches!(operation.verb, Some("update" | "refresh" | "makecache"))
                    && matches!(operation.manager, "apt" | "apk" | "dnf" | "zypper")
            });
            if command.fetches() || git || update || command.install().is_some() {
                let message = "the stage that ships goes on the network";
                let help = "fetch in a build stage, and write RUN --network=none here";
                found.tell(item.place, command.span, message, "needs the network", help);
                break;
            }
        }
    }
}
