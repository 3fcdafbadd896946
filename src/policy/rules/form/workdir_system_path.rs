//! `workdir-system-path`: WORKDIR in the kernel's file systems.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "workdir-system-path",
    title: "A working directory on a kernel filesystem invites host access.",
    text: "Finds WORKDIR at or below /proc, /sys, /dev, /boot, /run/host and /lost+found.",
    aliases: &[Alias::of("DS-0030")],
    text_check: Some(check),
    bad: &["FROM busybox\nWORKDIR /proc/self\n"],
    good: &["FROM busybox\nWORKDIR /processor\n"],
    ..Rule::NEW
};

const PATHS: &[&str] = &["proc", "sys", "dev", "boot", "run/host", "lost+found"];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("WORKDIR") {
        let Instruction::Workdir(workdir) = item.instruction else { continue };
        let Some(path) = item.expand(&workdir.path.raw) else { continue };
        let clean = crate::policy::context::clean(&path);
        let system = PATHS.iter().any(|top| crate::policy::context::under(&clean, top));
        if path.starts_with('/') && system {
            let message = format!("`{path}` belongs to the kernel");
            let help = "choose a folder of your own, such as /srv";
            found.tell(item.place, workdir.path.span, message, "not a place to work in", help);
        }
    }
}
