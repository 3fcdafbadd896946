//! `base-unqualified-name`: a name without a registry.

use crate::policy::{Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-unqualified-name",
    title: "A short name depends on the puller's search list.",
    text: "Finds FROM and --from of an image without the host of its registry. With \
          `allow_library`, official images are exempt.",
    params: &[Param {
        name: "allow_library",
        kind: ParamKind::Flag,
        default: "false",
        help: "whether `debian` may stay `debian`",
    }],
    text_check: Some(check),
    bad: &["FROM debian:12\n"],
    good: &["FROM docker.io/library/debian:12\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let library = found.flag("allow_library");
    for (place, span, image) in outline.images() {
        let written = outline.written(span);
        if written.contains('$') || written.starts_with(image.registry()) {
            continue;
        }
        if image.registry() != "docker.io"
            || (library && image.repository().starts_with("library/"))
        {
            continue;
        }
        let full = image.to_string();
        let finding = found
            .finding(format!("`{written}` does not say which registry"))
            .at(span, "depends on who asks")
            .of(place)
            .help(format!("write `{full}`"))
            .fix(span, full);
        found.add(finding);
    }
}
