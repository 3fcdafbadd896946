//! `signature-missing`: an image that no trusted key has signed.

use crate::policy::rules::beside;
use crate::policy::{Alias, Found, Judged, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "signature-missing",
    title: "If it isn't signed by a trusted key it doesn't run. Period.",
    text: "Finds an image without a signature beside it, over its digest, that holds under a key \
          of `[signatures] trusted` (a `key` there is a file with a public key in PEM: ECDSA on \
          P-256, or Ed25519). Forms other than cosign's are told as signatures that nobody could \
          check.\n\n\
          Sign what was pushed: `cosign sign --key KEY IMAGE@DIGEST`.",
    aliases: &[Alias::of("CIS-DI-0005")],
    standards: &["CIS 4.5", "CIS 4.12"],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    let trusted: Vec<String> = found
        .section("signatures", "trusted")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("name").and_then(Value::as_str).or(entry.as_str()))
        .map(str::to_owned)
        .collect();
    let good = beside.signatures.iter().any(|signature| {
        signature.verified && (trusted.is_empty() || trusted.contains(&signature.key))
    });
    if !good {
        let message = match beside.signatures.len() {
            0 => "nobody has signed the image".to_owned(),
            count => {
                format!("the image has {count} signatures, and none holds under a trusted key")
            }
        };
        let finding = found
            .finding(message)
            .in_image("image", None)
            .help("sign its digest with a key that [signatures] trusted names");
        found.add(finding);
    }
}
