//! `network-in-final`: the stage that ships, on the network.

use std::collections::BTreeSet;

use crate::instruction::{Instruction, Network};
use crate::policy::executed;
use crate::policy::{Acts, Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "network-in-final",
    title: "The stage that ships has no business on the network.",
    text: "Finds, in the stages that become the image, a step without `--network=none` that \
          fetches, clones or calls a package manager that does; under an audit, one that asks for \
          a connection to elsewhere, whatever its text says.",
    params: &[Param {
        name: "enforce",
        kind: ParamKind::Word(&["observe", "deny"]),
        default: r#""observe""#,
        help: "`deny`: such steps have no network, and what they ask for is told; also [network] final",
    }],
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &["FROM busybox\nRUN wget -q https://example.org/a\n"],
    good: &[
        "FROM busybox\nRUN --network=none make\n",
        "FROM busybox AS build\nRUN wget -q https://example.org\nFROM scratch\nCOPY --from=build /a /a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.shipped_of("RUN") {
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

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let mut told = BTreeSet::new();
        for one in seen.connects.iter().filter(|_| act.ships) {
            let Some(to) = executed::address(&one.addr).filter(|to| executed::leaves(*to)) else {
                continue;
            };
            if told.insert(one.by) {
                let message = format!("the stage that ships goes on the network: `{to}`");
                let finding = act
                    .finding(found, seen, one.by, message)
                    .evidence("address", to.to_string())
                    .help("fetch in a build stage, and write RUN --network=none here");
                found.add(finding);
            }
        }
    }
}
