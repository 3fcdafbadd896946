//! `sbom-missing`: an image of which nobody says what is in it.

use crate::policy::rules::beside;
use crate::policy::{Alias, Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "sbom-missing",
    title: "Every image without a verifiable SBOM gets deleted.",
    text: "Finds an image without an SBOM (SPDX or CycloneDX) beside it that is about this image: \
          as BuildKit puts it into the index, as cosign attaches it, or as whatever names the \
          image as its subject. `[attestations] sbom_format` is not looked at.",
    aliases: &[Alias::of("build has nothing beside its image yet: the rule is skipped there.")],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    if !beside.attestations.iter().any(|paper| paper.kind == "sbom") {
        let finding = found
            .finding("nothing beside the image says what is in it")
            .in_image("image", None)
            .help("attach an SBOM to the image's digest, for example with `cosign attest`");
        found.add(finding);
    }
}
