//! `copy-relative-destination`: a destination that depends on the base.

use crate::policy::{Alias, Found, Inline, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-relative-destination",
    title: "The destination depends on the base's working directory.",
    text: "Finds COPY and ADD to a relative destination with no WORKDIR in the stage and those \
          below it. Where the base was looked up and names a working directory, only `paranoid` \
          asks for one here.",
    aliases: &[Alias::of("DL3045")],
    text_check: Some(check),
    bad: &["FROM busybox\nCOPY a app/\n"],
    good: &["FROM busybox\nWORKDIR /srv\nCOPY a app/\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let paranoid = found.policy().inline == Inline::Deny;
    for item in outline.items() {
        let Some(transfer) = item.transfer() else { continue };
        let to = &transfer.destination;
        if to.starts_with('/') || to.is_empty() || to.get(1..2) == Some(":") {
            continue;
        }
        let set = item.below_workdir.0;
        let bottom = item.place.stage.and_then(|stage| outline.line_of(stage).first().copied());
        let of_base = bottom
            .and_then(|stage| stage.config)
            .is_some_and(|config| !matches!(config.working_dir.as_str(), "" | "/"));
        if set || (of_base && !paranoid) {
            continue;
        }
        let message = format!("`{to}` depends on the working directory of the base");
        let help = "write an absolute path, or a WORKDIR before it";
        found.tell(
            item.place,
            transfer.destination_span,
            message,
            "relative, without WORKDIR",
            help,
        );
    }
}
