//! `from-platform-redundant`: --platform=$TARGETPLATFORM.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "from-platform-redundant",
    title: "`$TARGETPLATFORM` is the default.",
    text: "Finds `--platform=$TARGETPLATFORM`: it is the default.",
    aliases: &[Alias::of("DL3065"), Alias::of("RedundantTargetPlatform")],
    text_check: Some(check),
    bad: &["FROM --platform=$TARGETPLATFORM busybox\n"],
    good: &["FROM busybox\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let Some(platform) = &stage.from.platform else { continue };
        if matches!(platform.raw.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
            let message = "the target's platform is the default";
            found.tell(stage.place, platform.span, message, "says nothing", "leave --platform out");
        }
    }
}
