//! `digest-mismatch`: bytes that are not what names them.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "digest-mismatch",
    title: "A mismatch means tampering or corruption; refuse.",
    text: "Finds a layer, config or manifest whose bytes or size are not those of its digest, a \
          layer whose content is not the diff id of the config, documents that tell of different \
          numbers of layers, and an attestation beside the image that is about another one. No \
          policy switches it off but by name, no exception covers it, and the exit code of such an \
          image is 6.\n\n\
          Fetch the image anew from where it was first pushed. If the bytes stay what they are, \
          somebody changed them: do not run it.",
    inline: false,
    image_check: Some(check_image),
    files: false,
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for mismatch in &judged.facts.whole.mismatches {
        let what = match mismatch.layer {
            Some(layer) => format!("layer {layer}"),
            None => format!("`{}`", mismatch.place),
        };
        let mut finding = found
            .finding(format!("{what} is not what names it: {}", mismatch.why))
            .in_image(mismatch.place.as_str(), mismatch.layer)
            .help("fetch the image anew; if it stays so, find out who changed it");
        finding.firm = true;
        found.add(finding);
    }
}
