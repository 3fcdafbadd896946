//! `process-left-behind`: who is killed in mid-write.

use std::collections::BTreeMap;

use crate::policy::{Acts, Found, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "process-left-behind",
    title: "A daemon that is still running when the step ends is killed mid-write.",
    text: "Finds processes that are still there when the step's command has ended and `grace` is \
           over. They are killed then.\n\n\
           Stop the daemon in the same step, and wait for it.",
    params: &[Param {
        name: "grace",
        kind: ParamKind::Time,
        default: r#""200ms""#,
        help: "how long processes may outlive the command",
    }],
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let mut left: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        for by in &seen.left {
            *left.entry(*by).or_default() += 1;
        }
        for (by, count) in left {
            let program = by.and_then(|by| seen.execs.get(by));
            let what = match program {
                Some(program) => format!("`{}` is", crate::policy::acts::shown(program)),
                None => "a process is".to_owned(),
            };
            let finding = act
                .finding(found, seen, by, format!("{what} still running when the step ends"))
                .evidence("processes", count)
                .help("stop it in the same step, and `wait` for it");
            found.add(finding);
        }
    }
}
