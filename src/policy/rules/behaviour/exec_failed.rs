//! `exec-failed`: a program that is not there, and nobody minds.

use std::collections::BTreeSet;

use crate::policy::{Acts, Found, Param, ParamKind, Rule, glob};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "exec-failed",
    title: "We would have seen the alert, had we looked at execve failures.",
    text: "Finds a program that a step asked for in vain, and went on: it is in no folder of the PATH, \
           may not be run, or has a form that the kernel does not know. What a shell says of it \
           counts as well (`curl: not found`). Looking for a program (`command -v`, `which`) is not \
           asking for it.\n\n\
           Install the program, or drop the command.",
    params: &[Param {
        name: "ignore",
        kind: ParamKind::Texts,
        default: "[]",
        help: "names or paths, as patterns, of programs that may be missing",
    }],
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    let mut told = BTreeSet::new();
    for (act, seen) in acts.watched(found) {
        for one in seen.failed.iter().flatten() {
            let name = one.path.rsplit('/').next().unwrap_or(&one.path);
            // A shell takes it for a script, and says so by its status where it is none.
            let script = one.error == "ENOEXEC" && !matches!(one.status, 126 | 127);
            if script || ignored(found, &one.path) || !told.insert((act.span, name.to_owned())) {
                continue;
            }
            let why = match one.error.as_str() {
                "ENOENT" | "ENOTDIR" => "is not there",
                "EACCES" | "EPERM" => "may not be run",
                "ENOEXEC" => "has a form that the kernel does not know",
                _ => "could not be run",
            };
            let message = format!("`{}` {why}, and the step went on", one.path);
            let finding = act
                .finding(found, seen, one.by, message)
                .evidence("missing", one.path.as_str())
                .evidence("error", one.error.as_str())
                .help("install it, or drop the command");
            found.add(finding);
        }
    }
    for act in &acts.steps {
        for path in &act.conduct.missing {
            let name = path.rsplit('/').next().unwrap_or(path);
            if ignored(found, path) || !told.insert((act.span, name.to_owned())) {
                continue;
            }
            let finding = found
                .finding(format!("`{path}` is not there, and the step went on"))
                .at(act.span, "its shell says so")
                .evidence("missing", path.as_str())
                .help("install it, or drop the command");
            found.add(act.placed(finding));
        }
    }
    for (act, seen) in acts.watched(found) {
        if seen.failed.is_none() {
            acts.unseen_of(act, "programs asked for in vain are not seen with a single id", found);
        }
    }
}

fn ignored(found: &Found<'_>, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let patterns = found.texts("ignore");
    patterns.iter().any(|one| glob::matches(one, path) || glob::matches(one, name))
}
