//! `base-unsigned`: a base that no trusted key has signed.

use crate::policy::{Alias, Around, BaseName, Found, Outline, Rule};
use toml::Value;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-unsigned",
    title: "Unsigned code is untrusted code, wherever it comes from.",
    text: "Finds a FROM whose base, as looked up, has no signature that holds by a key of \
          `[signatures] trusted` (by any key, while none is listed). Bases whose signatures were \
          not looked up are skipped.",
    aliases: &[Alias::of("CIS-DI-0005")],
    standards: &["CIS 4.5", "CIS 4.12"],
    text_check: Some(check),
    bad: &["FROM base:1\n"],
    good: &["FROM good:1\n"],
    around: Around {
        bases: r#"{"base:1": {"signatures": []}, "good:1": {"signatures": [{"key": "release", "verified": true}]}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let keys: Vec<String> = found
        .section("signatures", "trusted")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("name").and_then(Value::as_str).or(entry.as_str()))
        .map(str::to_owned)
        .collect();
    let mut unknown = false;
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let Some(signatures) = stage.facts.and_then(|facts| facts.signatures.as_ref()) else {
            unknown = true;
            continue;
        };
        let good = signatures.iter().any(|signature| {
            signature.verified && (keys.is_empty() || keys.contains(&signature.key))
        });
        if !good {
            let message = format!("no trusted key has signed `{}`", image.familiar());
            let help = "use a base that is signed, and list its key in [signatures] trusted";
            found.tell(stage.place, stage.from.base.span, message, "not signed", help);
        }
    }
    if unknown {
        found.skip("signatures of bases not resolved");
    }
}
