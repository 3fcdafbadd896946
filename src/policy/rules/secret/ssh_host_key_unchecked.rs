//! `ssh-host-key-unchecked`: code from whoever answers.

use std::cell::LazyCell;

use crate::facts::shell::RedirectKind;
use crate::instruction::Instruction;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "ssh-host-key-unchecked",
    title: "Without the host key anyone can serve the code.",
    text: "Finds `StrictHostKeyChecking=no` or `accept-new`, `UserKnownHostsFile=/dev/null` (also \
          in GIT_SSH_COMMAND), and `ssh-keyscan` whose output is kept in the same step without a \
          look at its fingerprint.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nENV GIT_SSH_COMMAND=\"ssh -o StrictHostKeyChecking=no\"\n",
        "FROM busybox\nRUN ssh -o StrictHostKeyChecking=no git.example\n",
    ],
    good: &[
        "FROM busybox\nRUN ssh-keyscan git.example > /k && ssh-keygen -lf /k | grep -q SHA256:abc\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let help = "COPY a known_hosts file with the host's key";
    for item in outline.items() {
        let pairs = match item.instruction {
            Instruction::Env(env) => env.pairs.as_slice(),
            _ => &[],
        };
        for pair in pairs {
            let value = item.expand(&pair.value.raw).unwrap_or_else(|| pair.value.raw.clone());
            if off(&value) {
                let span = pair.name.span.to(pair.value.span);
                let message = format!("`{}` turns the check of host keys off", pair.name.raw);
                found.tell(item.place, span, message, "anyone may answer", help);
            }
        }
        let script = item.script();
        // Asked once, and only where there is a scan.
        let looks = LazyCell::new(|| {
            script.commands.iter().any(|command| {
                let keygen = command.name() == Some("ssh-keygen")
                    && command.args().iter().any(|arg| {
                        arg.text.starts_with('-')
                            && (arg.text.contains('l') || arg.text.contains('F'))
                    });
                keygen || crate::policy::flow::verifies(command, script, "known_hosts")
            })
        });
        for command in &script.commands {
            let words = command.args().iter().chain(command.assignments.iter().map(|(_, v)| v));
            let printed = matches!(command.name(), Some("echo" | "printf"));
            let writes = command.redirects.iter().any(|redirect| {
                matches!(redirect.kind, RedirectKind::Write | RedirectKind::Append)
            });
            if words.into_iter().any(|arg| off(&arg.text)) && (!printed || writes) {
                let message = "the check of host keys is off";
                found.tell(item.place, command.span, message, "anyone may answer", help);
            } else if command.name() == Some("ssh-keyscan")
                && (writes || !command.feeds.is_empty())
                && !*looks
            {
                let message = "`ssh-keyscan` trusts whoever answers";
                found.tell(item.place, command.span, message, "the key is not checked", help);
            }
        }
    }
}

fn off(text: &str) -> bool {
    if text.len() < "stricthostkeychecking=no".len() {
        return false;
    }
    let lower: String = text.to_ascii_lowercase().split([' ', '\t']).collect::<Vec<_>>().join("=");
    ["stricthostkeychecking=no", "stricthostkeychecking=accept-new", "userknownhostsfile=/dev/null"]
        .iter()
        .any(|word| lower.contains(word))
}
