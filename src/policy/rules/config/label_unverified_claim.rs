//! `label-unverified-claim`: a label that claims, and proves nothing.

use crate::instruction::Instruction;
use crate::policy::{Found, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-unverified-claim",
    title: "`security_scan=passed` is just a string.",
    text: "Finds a label whose key speaks of scans, verification, signatures, approval, \
          compliance, trust or hardening, and whose value says that all is well.",
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM scratch\nLABEL security_scan=passed\n"],
    good: &["FROM scratch\nLABEL security.contact=sec@example.org\n"],
    ..Rule::NEW
};

const CLAIMS: &[&str] = &[
    "scan",
    "verified",
    "signed",
    "approved",
    "compliant",
    "certified",
    "trusted",
    "hardened",
    "secure",
    "vulnerab",
];
const WELL: &[&str] = &[
    "passed", "pass", "true", "ok", "yes", "clean", "none", "0", "approved", "verified", "signed",
];

fn claims(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    CLAIMS.iter().any(|word| key.contains(word))
        && WELL.contains(&value.trim().to_ascii_lowercase().as_str())
}

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.shipped_of("LABEL") {
        let Instruction::Label(label) = item.instruction else { continue };
        for pair in &label.pairs {
            let key = item.expand(&pair.name.raw).unwrap_or_default();
            let value = item.expand(&pair.value.raw).unwrap_or_default();
            if claims(&key, &value) {
                let message = format!("`{key}={value}` is only a text");
                let help = "attest it with a key that your readers trust";
                let span = pair.name.span.to(pair.value.span);
                found.tell(item.place, span, message, "anyone can write it", help);
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (key, value) in &judged.facts.config.config.labels {
        if claims(key, value) {
            let finding = found
                .finding(format!("`{key}={value}` is only a text"))
                .in_image("labels", None)
                .evidence("name", key.as_str())
                .help("attest it with a key that your readers trust");
            found.add(finding);
        }
    }
}
