//! `build-secret-printed`: a secret in a step's output.

use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "build-secret-printed",
    title: "CI logs are kept and shared.",
    text: "Finds a step whose output had the value of a secret in it, as it is or in base64, hex or \
           URL form. It is masked (`***`) whatever the policy says. A step whose result was in the \
           store has printed nothing in this build.\n\n\
           Have the program read the secret from its file, and print nothing of it.",
    behaviour_check: Some(check),
    watched: false,
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for act in &acts.steps {
        let printed = act.conduct.printed;
        if printed > 0 {
            let finding = found
                .finding("the step printed a secret, which was masked")
                .at(act.span, format!("in {printed} line{}", if printed == 1 { "" } else { "s" }))
                .evidence("lines", printed)
                .help("have the program read the secret from its file, and print nothing of it");
            found.add(act.placed(finding));
        }
    }
}
