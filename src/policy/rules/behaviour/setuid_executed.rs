//! `setuid-executed`: a program with somebody else's powers.

use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "setuid-executed",
    title: "A step that needs a setuid helper works only for root.",
    text: "Finds a step that runs a file with a set-user-id or set-group-id bit. That it ran is what \
           is told, whether or not it got other powers.\n\n\
           Set USER for the steps that need it.",
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for (index, program) in seen.execs.iter().enumerate() {
            if program.setid && program.script().is_none() {
                let message = format!("the step runs `{}`, which is set-id", program.path);
                let finding = act
                    .finding(found, seen, Some(index), message)
                    .help("set USER for what needs other powers, and drop the bit");
                found.add(finding);
            }
        }
    }
}
