//! `base-unpinned`: a base without its digest.

use crate::policy::{BaseName, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-unpinned",
    title: "A tag can be moved in a moment; a digest cannot.",
    text: "Finds a FROM of an image of a registry without `@sha256:…`, in every stage. Variables \
           are expanded. Stages, `scratch` and what is given by --build-context have nothing to \
           pin.\n\n\
           Append the digest that the tag stands for now: the tag may stay, for people.",
    standards: &["CIS 4.2"],
    text_check: Some(check),
    bad: &["FROM debian:bookworm-slim\n", "FROM scratch\nCOPY a /a\nFROM debian\n"],
    good: &[
        "FROM debian:bookworm-slim@sha256:1111111111111111111111111111111111111111111111111111111111111111\n",
        "FROM scratch AS a\nFROM a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        if image.digest().is_none() {
            let name = image.familiar();
            let finding = found
                .finding(format!("`{name}` is not pinned by a digest"))
                .at(stage.from.base.span, "no `@sha256:…`")
                .of(stage.place)
                .evidence("image", image.to_string())
                .help(format!("write `FROM {name}@sha256:…` with the digest that it has now"));
            found.add(finding);
        }
    }
}
