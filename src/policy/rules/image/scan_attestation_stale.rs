//! `scan-attestation-stale`: an image that nobody has looked over of late.

use crate::policy::rules::beside;
use crate::policy::units;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "scan-attestation-stale",
    title: "Scan and rebuild.",
    text: "Finds an image without the result of a scan for vulnerabilities, or a VEX document, \
          beside it that is not older than `max_age`. Who has signed the statement is not looked \
          at.",
    standards: &["CIS 4.4", "NIST 800-190 4.1.1"],
    params: &[Param {
        name: "max_age",
        kind: ParamKind::Time,
        default: r#""7d""#,
        help: "the oldest that counts",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    let most = found.seconds("max_age");
    let today = judged.facts.whole.today.as_deref().and_then(units::days);
    let scans = || beside.attestations.iter().filter(|paper| paper.kind == "scan");
    let fresh = scans().any(|paper| match (paper.time.as_deref().and_then(units::days), today) {
        (Some(day), Some(today)) => {
            u64::try_from(today - day).unwrap_or(0).saturating_mul(86_400) <= most
        }
        _ => true,
    });
    if !fresh {
        let message = match scans().filter_map(|paper| paper.time.as_deref()).max() {
            Some(last) => format!("the last scan is of {}", last.get(..10).unwrap_or(last)),
            None => "nothing beside the image says that it was scanned".to_owned(),
        };
        let finding = found
            .finding(message)
            .in_image("image", None)
            .help("scan the image, attach the result to its digest, and rebuild what it names");
        found.add(finding);
    }
}
