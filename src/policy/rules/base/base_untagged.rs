//! `base-untagged`: a base without tag and digest.

use crate::policy::{Alias, BaseName, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-untagged",
    title: "No tag means `latest`.",
    text: "Finds a FROM of an image of a registry with neither tag nor digest. Variables are \
           expanded. Stages, `scratch` and named contexts are exempt.\n\n\
           Name a version, and pin it by digest.",
    aliases: &[Alias::of("DL3006"), Alias::of("DS-0001")],
    standards: &["CIS 4.2"],
    text_check: Some(check),
    bad: &["FROM debian\n"],
    good: &["FROM debian:bookworm-slim\n", "FROM scratch AS a\nFROM a\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        if image.tag().is_none() && image.digest().is_none() {
            let name = image.familiar();
            let finding = found
                .finding(format!("`{name}` has no tag: it means `{name}:latest`"))
                .at(stage.from.base.span, "neither tag nor digest")
                .of(stage.place)
                .evidence("image", image.to_string())
                .help(format!("name a version: `FROM {name}:VERSION@sha256:…`"));
            found.add(finding);
        }
    }
}
