//! `sbom-missing`: an image of which nobody says what is in it.

use crate::policy::rules::beside;
use crate::policy::{Found, Judged, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "sbom-missing",
    title: "Every image without a verifiable SBOM gets deleted.",
    text: "Finds an image without an SBOM (SPDX or CycloneDX) beside it that is about this image: \
          as BuildKit puts it into the index, as cosign attaches it, or as whatever names the \
          image as its subject. Where `[attestations] sbom_format` names forms, one of these. \
          Who has signed it is not looked at. `rbuild build` has nothing beside its image yet: the \
          rule is skipped there.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    let wanted: Vec<String> = found
        .section("attestations", "sbom_format")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|form| form.as_str().map(str::to_owned))
        .collect();
    let mut boms = beside.attestations.iter().filter(|paper| paper.kind == "sbom").peekable();
    let first =
        boms.peek().map(|paper| paper.format.as_deref().unwrap_or("a form that is not known"));
    let counts = |form: &Option<String>| {
        wanted.is_empty() || form.as_ref().is_some_and(|form| wanted.contains(form))
    };
    if boms.any(|paper| counts(&paper.format)) {
        return;
    }
    let message = match first {
        None => "nothing beside the image says what is in it".to_owned(),
        Some(form) => format!(
            "what is in the image is said as {}, and the policy counts {} alone",
            form.escape_default(),
            wanted.join(", ")
        ),
    };
    let finding = found
        .finding(message)
        .in_image("image", None)
        .help("attach an SBOM to the image's digest, for example with `cosign attest`");
    found.add(finding);
}
