//! `exec-from-scratch-dir`: a program that a step has put aside and run.

use crate::facts::{Behaviour, Executed, Whence};
use crate::policy::executed::is_made;
use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "exec-from-scratch-dir",
    title: "Payloads are dropped in /tmp.",
    text: "Finds a program or script below /tmp, /var/tmp, /dev/shm or /run that the step itself made \
           and ran.\n\n\
           Not found: what stands below a compiler, a linker, a package manager or an archiver, or \
           what one of those made before: a configure test, `go run`, a wheel's build folder.",
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for (index, program) in seen.execs.iter().enumerate() {
            let made = matches!(program.whence, Whence::Step | Whence::Memory);
            let file = match program.script() {
                Some(script) => program.absolute(script),
                None if made => Some(program.path.clone()),
                None => None,
            };
            let file = file.filter(|_| made).or_else(|| by_own_shell(program));
            let Some(file) = file.filter(|file| is_scratch(file)) else { continue };
            if !is_made(seen, index, &file) {
                tell(act, seen, Some(index), &file, found);
            }
        }
        // What is no program for the kernel is a script for most shells.
        for one in seen.failed.iter().flatten().filter(|one| one.error == "ENOEXEC") {
            let by = one.by.and_then(|by| seen.execs.get(by));
            let file = by.and_then(|program| program.absolute(&one.path));
            let Some(file) = file.filter(|file| is_scratch(file)) else { continue };
            if !is_made(seen, one.by.unwrap_or(0), &file) {
                tell(act, seen, one.by, &file, found);
            }
        }
    }
}

fn tell(
    act: &crate::policy::Act<'_, '_>,
    seen: &Behaviour,
    by: Option<usize>,
    file: &str,
    found: &mut Found<'_>,
) {
    let finding = act
        .finding(found, seen, by, format!("the step runs `{file}`, which it made itself"))
        .evidence("file", file)
        .help("COPY what is to be run, or build it in a stage of its own");
    found.add(finding);
}

// Busybox starts itself again for a script without `#!`.
fn by_own_shell(program: &Executed) -> Option<String> {
    let own = program.asked.as_deref() == Some("/proc/self/exe")
        && matches!(program.name(), "ash" | "sh");
    program.argv.get(1).filter(|_| own).and_then(|file| program.absolute(file))
}

fn is_scratch(file: &str) -> bool {
    ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/"].iter().any(|folder| file.starts_with(folder))
}
