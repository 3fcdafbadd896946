//! `kernel-module-attempted`: a step that would change the kernel.

use crate::policy::executed;
use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "kernel-module-attempted",
    title: "A container should never load kernel modules.",
    text: "Finds a step that calls init_module, finit_module or delete_module, or runs (or looks for) \
           insmod, modprobe, rmmod or `kmod insert` with a module to load.\n\n\
           Modules belong to the host; load them there.",
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn loads(name: &str, args: &[&str]) -> bool {
    let named = args.iter().any(|arg| !arg.starts_with('-'));
    let dry = args
        .iter()
        .any(|arg| matches!(*arg, "-n" | "--dry-run" | "--show" | "-D" | "--show-depends" | "-c"));
    match name {
        "insmod" | "rmmod" => named,
        "modprobe" => named && !dry,
        "kmod" => matches!(args.first(), Some(&("insert" | "remove" | "load" | "unload"))),
        _ => false,
    }
}

const HELP: &str = "take it out: modules belong to the host";

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let mut told = false;
        for (by, program) in (0..).zip(&seen.execs) {
            let args: Vec<&str> = program.argv.iter().skip(1).map(String::as_str).collect();
            let own = loads(program.called(), &args).then(|| program.called().to_owned());
            let inner = || {
                let script = executed::applets_of(program, act.span);
                script.iter().find_map(|command| {
                    let args: Vec<&str> =
                        command.args().iter().map(|arg| arg.text.as_str()).collect();
                    command.name().filter(|name| loads(name, &args)).map(str::to_owned)
                })
            };
            if let Some(name) = own.or_else(inner) {
                let message = format!("the step runs `{name}` to load a module");
                found.add(act.finding(found, seen, Some(by), message).help(HELP));
                told = true;
            }
        }
        for call in seen.denied.iter().flatten() {
            if matches!(call.syscall.as_str(), "init_module" | "finit_module" | "delete_module")
                && !told
            {
                let message = format!("the step calls {}, which was refused", call.syscall);
                let finding = act
                    .finding(found, seen, call.by, message)
                    .evidence("syscall", call.syscall.as_str())
                    .evidence("count", call.count);
                found.add(finding.help(HELP));
                told = true;
            }
        }
        let failed = seen.failed.iter().flatten().map(|one| (one.path.as_str(), one.by));
        let missing = act.conduct.missing.iter().map(|name| (name.as_str(), None));
        for (path, by) in failed.chain(missing) {
            let name = path.rsplit('/').next().unwrap_or(path);
            if matches!(name, "insmod" | "modprobe" | "rmmod") && !told {
                let message = format!("the step looks for `{name}`, which is not there");
                found.add(act.finding(found, seen, by, message).help(HELP));
                told = true;
            }
        }
        if seen.denied.is_none() {
            acts.unseen_of(act, crate::policy::rules::NO_CALLS, found);
        }
    }
}
