//! `secret-mount-optional`: a secret that may be missing.

use crate::instruction::Mount;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-mount-optional",
    title: "`required` is false by default: without the secret the step runs on and builds \
           something else.",
    text: "Finds `--mount=type=secret` and `type=ssh` without `required=true`: a build without \
          the secret goes on, and makes something else. A step that looks whether it is there \
          (`[ -f …`, `[ -n …`, `${NAME:-…}`) means it so.",
    text_check: Some(check),
    bad: &["FROM busybox\nRUN --mount=type=secret,id=t cat /run/secrets/t\n"],
    good: &[
        "FROM busybox\nRUN --mount=type=secret,id=t,required=true cat /run/secrets/t\n",
        "FROM busybox\nRUN --mount=type=secret,id=t if [ -f /run/secrets/t ]; then cat /run/secrets/t; fi\n",
    ],
    ..Rule::NEW
};

fn is_secret(mount: &Mount) -> bool {
    matches!(mount.kind(), "secret" | "ssh")
}

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs().filter(|item| item.mounts().iter().any(is_secret)) {
        let asks = item.script().commands.iter().any(|command| {
            let test = matches!(command.name(), Some("[" | "test" | "[["));
            let args = || command.args().iter().map(|arg| arg.text.as_str());
            test && args().any(|arg| matches!(arg, "-f" | "-e" | "-s" | "-r" | "-n" | "-z"))
        });
        let text = outline.written(item.place.span);
        if asks || text.contains(":-") || text.contains(":+") {
            continue;
        }
        for mount in item.mounts().iter().filter(|mount| is_secret(mount)) {
            let required = mount.fields.iter().any(|field| {
                field.key == "required" && field.value.as_ref().is_none_or(|v| v.raw != "false")
            });
            if required {
                continue;
            }
            let written = outline.written(mount.span);
            let mut finding = found
                .finding("without the secret, the step goes on and makes something else")
                .at(mount.span, "not required")
                .of(item.place)
                .help("add `required=true`");
            if !written.ends_with('"') {
                finding = finding.fix(mount.span, format!("{written},required=true"));
            }
            found.add(finding);
        }
    }
}
