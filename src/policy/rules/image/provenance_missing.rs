//! `provenance-missing`: an image of which nobody says how it was made.

use crate::policy::rules::beside;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "provenance-missing",
    title: "Where, from what, and how was it built?",
    text: "Finds an image without a provenance (SLSA v1, in an in-toto statement about this \
          image), and one whose provenance names no builder, or a material without a digest. Who has \
          signed it is not looked at. `rbuild build` has nothing beside its image yet: the rule is \
          skipped there.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    let papers: Vec<_> =
        beside.attestations.iter().filter(|paper| paper.kind == "provenance").collect();
    // One that lacks nothing is enough.
    if papers.iter().any(|paper| paper.lacks.is_empty()) {
        return;
    }
    let finding = match papers.first() {
        None => found
            .finding("nothing beside the image says where, from what and how it was made")
            .help("attach a provenance to the image's digest"),
        Some(paper) => found
            .finding(format!("the provenance says too little: {}", paper.lacks.join("; ")))
            .evidence("lacks", paper.lacks.clone())
            .help("have the builder name itself and each material by digest"),
    };
    found.add(finding.in_image("image", None));
}
