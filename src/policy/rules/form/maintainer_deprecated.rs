//! `maintainer-deprecated`: MAINTAINER.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "maintainer-deprecated",
    title: "MAINTAINER is deprecated; the OCI label is machine-readable.",
    text: "Finds MAINTAINER.",
    aliases: &[Alias::of("DL4000"), Alias::of("MaintainerDeprecated"), Alias::of("DS-0022")],
    text_check: Some(check),
    bad: &["FROM scratch\nMAINTAINER ops@example.org\n"],
    good: &["FROM scratch\nLABEL org.opencontainers.image.authors=ops@example.org\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("MAINTAINER") {
        let Instruction::Maintainer(maintainer) = item.instruction else { continue };
        let name = maintainer.name.raw.trim_matches('"');
        let mut finding = found
            .finding("MAINTAINER is deprecated")
            .at(maintainer.keyword, "a label says it to machines too")
            .of(item.place)
            .help("LABEL org.opencontainers.image.authors=\"…\"");
        if !name.contains(['"', '\\', '$', '\n']) {
            let text = format!("LABEL org.opencontainers.image.authors=\"{name}\"");
            finding = finding.fix(maintainer.span, text);
        }
        found.add(finding);
    }
}
