//! `output-tag-mutable`: names that will mean something else tomorrow.

use crate::base::ImageRef;
use crate::policy::{Alias, Around, Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "output-tag-mutable",
    title: "Never rely solely on `latest`.",
    text: "Finds a build whose image gets no name, or only names with a tag such as `latest` (the \
          `tags` of `base-tag-latest`) or one that does not look like a version, a commit or a \
          build number (`immutable`).",
    aliases: &[Alias::of("DKL-DI-0006")],
    params: &[Param {
        name: "immutable",
        kind: ParamKind::Texts,
        default: r#"["version", "commit", "build"]"#,
        help: "what a lasting tag may look like: `version` (1.4, v2.0-rc1), `commit` (7 to 40 hex digits, git-…, sha-…), `build` (…-build.7), or a pattern",
    }],
    text_check: Some(check),
    bad: &["FROM scratch\n"],
    around: Around { tags: &["app:latest"], ..Around::NONE },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    // Where no names can be given, there is nothing to say.
    let Some(names) = outline.input.tags else { return };
    let kinds: Vec<String> = found.texts("immutable").into_iter().map(str::to_owned).collect();
    let lasting = names.iter().any(|name| {
        let tag = ImageRef::parse(name).ok().and_then(|image| image.tag().map(str::to_owned));
        tag.is_some_and(|tag| kinds.iter().any(|kind| lasts(kind, &tag)))
    });
    let Some(target) = outline.chain().last().copied().filter(|_| !lasting) else { return };
    let message = match names {
        [] => "the image gets no name".to_owned(),
        names => format!("`{}` will name another image tomorrow", names.join("`, `")),
    };
    let help = "add a name that lasts: -t NAME:VERSION, or the commit";
    found.tell(target.place, target.from.span, message, "no lasting name", help);
}

fn lasts(kind: &str, tag: &str) -> bool {
    match kind {
        "version" => {
            let rest = tag.strip_prefix('v').unwrap_or(tag);
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let after = rest[end..].strip_prefix('.').unwrap_or("");
            end > 0 && after.starts_with(|c: char| c.is_ascii_digit())
        }
        "commit" => {
            let rest = tag.strip_prefix("git-").or_else(|| tag.strip_prefix("sha-")).unwrap_or(tag);
            (7..=40).contains(&rest.len())
                && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        }
        "build" => tag.contains("-build"),
        pattern => crate::policy::glob::matches(pattern, tag),
    }
}
