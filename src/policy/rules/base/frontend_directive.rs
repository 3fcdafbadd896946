//! `frontend-directive`: a program that rewrites the build.

use crate::policy::{Found, Inline, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "frontend-directive",
    title: "`# syntax=` names a program that rewrites your build.",
    text: "Finds `# syntax=` with another dialect than the one built in (docker/dockerfile:1…). \
          It is never run; `paranoid` wants it pinned by digest.",
    text_check: Some(check),
    bad: &["# syntax=example.org/my/frontend:1\nFROM scratch\n"],
    good: &["# syntax=docker/dockerfile:1\nFROM scratch\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let paranoid = found.policy().inline == Inline::Deny;
    for directive in &outline.input.file.directives {
        if directive.name != "syntax" {
            continue;
        }
        let name = directive.value.as_str();
        let plain = name.strip_prefix("docker.io/").unwrap_or(name);
        let tag = plain.strip_prefix("docker/dockerfile").map(|rest| rest.trim_start_matches('-'));
        let own = tag.is_some_and(|tag| {
            let tag = tag.strip_prefix("upstream").unwrap_or(tag);
            tag.is_empty()
                || tag.starts_with(":1")
                || tag.starts_with(":latest")
                || tag.starts_with(":labs")
                || tag.starts_with('@')
        });
        let (message, label) = if !own {
            (format!("`{name}` is no dialect that is built in"), "not run, and not understood")
        } else if paranoid && !name.contains("@sha256:") {
            (format!("`{name}` is not pinned by a digest"), "no `@sha256:…`")
        } else {
            continue;
        };
        let finding = found
            .finding(message)
            .at(directive.span, label)
            .help("write docker/dockerfile:1, or leave the line out");
        found.add(finding);
    }
}
