//! `base-tag-latest`: a base by a tag that moves.

use crate::policy::{Alias, BaseName, Found, Outline, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-tag-latest",
    title: "`latest` is a pointer to whatever was pushed five minutes ago.",
    text: "Finds a FROM whose tag is one of `tags` and that has no digest. Variables are expanded. \
           Stages, `scratch` and images given by --build-context are no tags.\n\n\
           Name a version, and pin it by digest.",
    aliases: &[Alias::of("DL3007"), Alias::of("DKL-DI-0006"), Alias::of("DS-0001")],
    params: &[Param {
        name: "tags",
        kind: ParamKind::Texts,
        default: r#"["latest", "stable", "edge", "nightly", "dev", "main", "master"]"#,
        help: "tags that move",
    }],
    text_check: Some(check),
    bad: &["FROM node:latest\n", "ARG TAG=latest\nFROM node:$TAG\n"],
    good: &[
        "FROM node:22.9.0-slim\n",
        "FROM scratch AS latest\nFROM latest\n",
        "FROM node:latest@sha256:1111111111111111111111111111111111111111111111111111111111111111\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let Some(tag) = image.tag().filter(|_| image.digest().is_none()) else { continue };
        if found.texts("tags").contains(&tag) {
            let finding = found
                .finding(format!("`{}` may be another image tomorrow", image.familiar()))
                .at(stage.from.base.span, format!("the tag `{tag}` moves"))
                .of(stage.place)
                .evidence("image", image.to_string())
                .help(format!("name a version and its digest: `{}:VERSION@sha256:…`", {
                    let name = image.familiar();
                    name.strip_suffix(&format!(":{tag}")).unwrap_or(&name).to_owned()
                }));
            found.add(finding);
        }
    }
}
