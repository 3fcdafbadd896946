//! `base-platform-mismatch`: a base for another platform.

use crate::policy::{Alias, Around, BaseName, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-platform-mismatch",
    title: "A base for another platform runs under emulation or not at all.",
    text: "Finds a FROM whose base, as looked up, is for another operating system or processor \
          than the stage is asked for. Bases that were not looked up are skipped.",
    aliases: &[Alias::of("InvalidBaseImagePlatform")],
    text_check: Some(check),
    bad: &["FROM base:1\n"],
    good: &["FROM scratch\n"],
    around: Around {
        bases: r#"{"base:1": {"os": "plan9", "architecture": "amd64"}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let mut unknown = false;
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let Some(facts) = stage.facts else {
            unknown = true;
            continue;
        };
        let (Some(os), Some(architecture)) = (&facts.os, &facts.architecture) else { continue };
        let request = &outline.input.request;
        let wanted = match stage.from.platform.as_ref().map(|word| word.raw.as_str()) {
            None | Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => &request.platform,
            Some("$BUILDPLATFORM" | "${BUILDPLATFORM}") => &request.build_platform,
            // A platform of its own was resolved as such.
            Some(_) => continue,
        };
        if *os == wanted.os && *architecture == wanted.architecture {
            continue;
        }
        let message =
            format!("`{}` is for {os}/{architecture}, not for {wanted}", image.familiar());
        let help = "choose a base for that platform, or another --platform";
        found.tell(stage.place, stage.from.base.span, message, "another platform", help);
    }
    if unknown {
        found.skip("bases not resolved");
    }
}
