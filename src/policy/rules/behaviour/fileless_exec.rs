//! `fileless-exec`: a program that is in no file.

use crate::facts::Whence;
use crate::policy::executed::is_made;
use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "fileless-exec",
    title: "Code that never touches the disk leaves nothing in the layer to scan.",
    text: "Finds a program that ran from memory (memfd_create), from a file that was deleted, by its \
           descriptor (`/proc/self/fd/N`), or from a file system in memory (`/dev/shm`, \
           `--mount=type=tmpfs`).\n\n\
           Not found: what a compiler or an archive put on such a file system.",
    behaviour_check: Some(check),
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for (index, program) in seen.execs.iter().enumerate() {
            let asked = program.asked.as_deref().unwrap_or("");
            let by_number = asked.starts_with("/dev/fd/")
                || (asked.starts_with("/proc/") && asked.contains("/fd/"));
            let how = if program.path.starts_with("/memfd:") {
                "from memory"
            } else if program.path.ends_with(" (deleted)") {
                "from a deleted file"
            } else if by_number && program.script().is_none() {
                "by a descriptor"
            } else if program.whence == Whence::Memory {
                let file = program.script().unwrap_or(&program.path);
                if is_made(seen, index, file) {
                    continue;
                }
                "from a file system in memory"
            } else {
                continue;
            };
            let message = format!("the step runs a program {how}");
            let finding = act
                .finding(found, seen, Some(index), message)
                .help("run programs from files that are in the image, or brought with a checksum");
            found.add(finding);
        }
    }
}
