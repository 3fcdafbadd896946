//! `copy-multiple-no-slash`: several sources, and no folder.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-multiple-no-slash",
    title: "Several sources need a directory.",
    text: "Finds COPY and ADD with two sources or more (patterns are looked up in the context) \
          whose destination does not end in `/` and is no WORKDIR of the stage.",
    aliases: &[Alias::of("DL3021"), Alias::of("DS-0011")],
    text_check: Some(check),
    bad: &["FROM scratch\nCOPY a b /dst\n"],
    good: &[
        "FROM scratch\nCOPY a b /dst/\n",
        "FROM scratch\nWORKDIR /app\nCOPY a b /app\nCOPY a b .\n",
        "# escape=`\nFROM scratch\nCOPY a b C:\\app\\\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items() {
        let Some(transfer) = item.transfer() else { continue };
        let (count, span) = match item.instruction {
            Instruction::Copy(copy) => (copy.sources.len(), &copy.destination),
            Instruction::Add(add) => (add.sources.len(), &add.destination),
            _ => continue,
        };
        let to = transfer.destination.trim_matches('"');
        // Where a backslash does not escape, it is Windows' slash.
        let windows = outline.input.file.escape == '`' && to.ends_with('\\');
        let folder =
            windows || to.ends_with('/') || to.is_empty() || to == "." || to.ends_with("/.");
        let workdir = item.below_workdir.0 && item.workdir.as_deref() == Some(to);
        if count < 2 || folder || workdir || span.raw.ends_with('}') {
            continue;
        }
        let finding = found
            .finding(format!("{count} sources go to `{to}`, which is no folder"))
            .at(transfer.destination_span, "no `/` at the end")
            .of(item.place)
            .help(format!("write `{to}/`"))
            .fix(transfer.destination_span, format!("{}/", span.raw));
        found.add(finding);
    }
}
