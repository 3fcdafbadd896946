//! `ptrace-attempted`: a look into another process.

use crate::policy::{Acts, Found, Param, ParamKind, Rule, glob};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "ptrace-attempted",
    title: "If it needs ptrace it is not an application; it is a rootkit.",
    text: "Finds a call of ptrace, process_vm_readv or process_vm_writev in a step. Under an audit \
           each is refused (EPERM); a look of a process into itself passes.\n\n\
           Test suites of debuggers ask to be traced (PTRACE_TRACEME): name their programs in \
           `allow_exe`.",
    params: &[Param {
        name: "allow_exe",
        kind: ParamKind::Texts,
        default: "[]",
        help: "programs, as patterns of paths, that may ask to be traced",
    }],
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let Some(denied) = &seen.denied else {
            acts.unseen_of(act, crate::policy::rules::NO_CALLS, found);
            continue;
        };
        for call in denied {
            if !matches!(call.syscall.as_str(), "ptrace" | "process_vm_readv" | "process_vm_writev")
            {
                continue;
            }
            let by = call.by.and_then(|by| seen.execs.get(by));
            let allowed = call.detail.as_deref() == Some("TRACEME")
                && by.is_some_and(|program| {
                    found.texts("allow_exe").iter().any(|one| glob::matches(one, &program.path))
                });
            if !allowed {
                let message = format!("the step calls {}, which was refused", call.syscall);
                let finding = act
                    .finding(found, seen, call.by, message)
                    .evidence("syscall", call.syscall.as_str())
                    .evidence("count", call.count)
                    .help("take it out: a build has nothing to look for in other processes");
                found.add(finding);
            }
        }
    }
}
