//! `base-tag-moved`: a tag that names another image by now.

use crate::policy::{Around, BaseName, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-tag-moved",
    title: "The pinned digest is no longer what the tag names: an update waits, or the tag was \
           hijacked.",
    text: "Finds a FROM with tag and digest whose tag, as looked up, names another digest: an \
          update waits, or somebody else has moved it.",
    text_check: Some(check),
    bad: &["FROM base:1@sha256:4444444444444444444444444444444444444444444444444444444444444444\n"],
    good: &[
        "FROM base:1@sha256:5555555555555555555555555555555555555555555555555555555555555555\n",
    ],
    around: Around {
        bases: r#"{"base:1": {"tag_digest": "sha256:5555555555555555555555555555555555555555555555555555555555555555"}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let mut unknown = false;
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let (Some(tag), Some(digest)) = (image.tag(), image.digest()) else { continue };
        let Some(now) = stage.facts.and_then(|facts| facts.tag_digest.as_deref()) else {
            unknown = true;
            continue;
        };
        if now != digest.to_string() {
            let finding = found
                .finding(format!("the tag `{tag}` names another image by now"))
                .at(stage.from.base.span, "pinned to an older one, or the tag was taken over")
                .of(stage.place)
                .evidence("now", now)
                .help("look at what has changed, then pin the new digest");
            found.add(finding);
        }
    }
    if unknown {
        found.skip("tags of bases not resolved");
    }
}
