//! `from-platform-constant`: --platform without a variable.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "from-platform-constant",
    title: "A constant platform makes a multi-platform build silently single-platform.",
    text: "Finds a constant --platform of a stage that is part of the image, unless the stage is \
          one of several that are chosen by a variable (`FROM build-$TARGETARCH`).",
    aliases: &[Alias::of("DL3029"), Alias::of("FromPlatformFlagConstDisallowed")],
    text_check: Some(check),
    bad: &["FROM --platform=linux/amd64 busybox\n"],
    good: &[
        "FROM --platform=$BUILDPLATFORM busybox\n",
        "FROM --platform=linux/amd64 busybox AS build-amd64\nFROM build-${TARGETARCH}\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let live = outline.live();
    for stage in &outline.stages {
        let Some(platform) = &stage.from.platform else { continue };
        if platform.raw.contains('$') || !live.contains(&stage.index) {
            continue;
        }
        let chosen = stage.from.name.as_ref().is_some_and(|name| {
            outline.stages.iter().any(|other| {
                let raw = &other.from.base.raw;
                let end = raw.find('$').unwrap_or(raw.len());
                end < raw.len() && end > 0 && name.raw.starts_with(&raw[..end])
            })
        });
        if chosen {
            continue;
        }
        let message = format!("the stage is always for `{}`", platform.raw);
        let help = "leave --platform out, or write $BUILDPLATFORM";
        found.tell(stage.place, platform.span, message, "whatever platform is asked for", help);
    }
}
