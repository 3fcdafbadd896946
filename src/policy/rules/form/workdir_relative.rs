//! `workdir-relative`: a WORKDIR that depends on the base.

use crate::instruction::Instruction;
use crate::policy::{Alias, BaseName, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "workdir-relative",
    title: "A relative WORKDIR depends on the base image.",
    text: "Finds a relative WORKDIR before any absolute one in the stage and those below it.",
    aliases: &[Alias::of("DL3000"), Alias::of("WorkdirRelativePath"), Alias::of("DS-0009")],
    text_check: Some(check),
    bad: &["FROM busybox\nWORKDIR app\n"],
    good: &["FROM busybox\nWORKDIR /srv\nWORKDIR app\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("WORKDIR") {
        let Instruction::Workdir(workdir) = item.instruction else { continue };
        let Some(path) = item.expand(&workdir.path.raw) else { continue };
        let path = path.trim_matches('"');
        if path.starts_with('/') || path.is_empty() || path.get(1..2) == Some(":") {
            continue;
        }
        let root = item.place.stage.and_then(|stage| {
            let bottom = outline.line_of(stage);
            let bottom = bottom.first()?;
            match bottom.base {
                BaseName::Scratch => Some(true),
                _ => bottom.config.map(|c| matches!(c.working_dir.as_str(), "" | "/")),
            }
        });
        if item.below_workdir.1 {
            continue;
        }
        let mut finding = found
            .finding(format!("`{path}` depends on the working directory of the base"))
            .at(workdir.path.span, "relative, and nothing absolute before it")
            .of(item.place)
            .help("write an absolute path");
        if root == Some(true) {
            finding = finding.fix(workdir.path.span, format!("/{path}"));
        }
        found.add(finding);
    }
}
