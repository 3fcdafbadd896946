//! `kernel-surface-attempted`: what nobody needs but who wants out.

use crate::facts::Denied;
use crate::policy::{Acts, Found, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "kernel-surface-attempted",
    title: "mount, bpf, kexec, keyctl … are escape tools.",
    text: "Finds a step that asked for one of the system calls in `syscalls`. Each was refused.\n\n\
           An entry may name flags, of which one is enough: `unshare(NEWUSER|NEWNS)`, which counts \
           for clone as well.",
    params: &[Param {
        name: "syscalls",
        kind: ParamKind::Texts,
        default: r#"["mount", "umount2", "pivot_root", "setns", "unshare(NEWUSER|NEWNS)", "bpf", "kexec_load", "kexec_file_load", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "io_uring_setup", "open_by_handle_at", "reboot", "swapon", "settimeofday", "iopl", "ioperm", "quotactl", "acct"]"#,
        help: "the calls that count",
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
            if found.texts("syscalls").iter().any(|entry| names(entry, call)) {
                let detail = call.detail.as_ref().map(|detail| format!("({detail})"));
                let shown = format!("{}{}", call.syscall, detail.unwrap_or_default());
                let message = format!("the step calls {shown}, which was refused");
                let finding = act
                    .finding(found, seen, call.by, message)
                    .evidence("syscall", shown)
                    .evidence("count", call.count)
                    .help("take it out: a build has no business with the kernel's insides");
                found.add(finding);
            }
        }
    }
}

fn names(entry: &str, call: &Denied) -> bool {
    let (name, flags) = match entry.strip_suffix(')').and_then(|entry| entry.split_once('(')) {
        Some((name, flags)) => (name, Some(flags)),
        None => (entry, None),
    };
    let same = name == call.syscall || (name == "unshare" && call.syscall == "clone");
    same && flags.is_none_or(|flags| {
        let wanted: Vec<&str> = flags.split('|').collect();
        let detail = call.detail.as_deref().unwrap_or("");
        detail.split('|').any(|flag| wanted.contains(&flag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_calls_and_flags() {
        let call = |syscall: &str, detail: Option<&str>| Denied {
            syscall: syscall.into(),
            detail: detail.map(str::to_owned),
            by: None,
            count: 1,
        };
        let spaces = "unshare(NEWUSER|NEWNS)";
        assert!(names("mount", &call("mount", None)) && !names("mount", &call("bpf", None)));
        assert!(names(spaces, &call("unshare", Some("NEWPID|NEWUSER"))));
        assert!(names(spaces, &call("clone", Some("NEWNS"))));
        assert!(!names(spaces, &call("unshare", Some("NEWNET"))));
        assert!(!names(spaces, &call("unshare", None)));
    }
}
