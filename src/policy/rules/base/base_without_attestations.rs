//! `base-without-attestations`: a base of which nobody says what is in it.

use crate::policy::{Around, BaseName, Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-without-attestations",
    title: "No SBOM, no idea what you ship.",
    text: "Finds a FROM whose base, as looked up, lacks one of the attestations in `require`. \
          Bases whose attestations were not looked up are skipped.",
    params: &[Param {
        name: "require",
        kind: ParamKind::Texts,
        default: r#"["sbom", "provenance"]"#,
        help: "kinds of attestations",
    }],
    text_check: Some(check),
    bad: &["FROM base:1\n"],
    good: &["FROM good:1\n"],
    around: Around {
        bases: r#"{"base:1": {"attestations": ["sbom"]}, "good:1": {"attestations": ["sbom", "provenance"]}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let required: Vec<String> = found.texts("require").into_iter().map(str::to_owned).collect();
    let mut unknown = false;
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let Some(have) = stage.facts.and_then(|facts| facts.attestations.as_ref()) else {
            unknown = true;
            continue;
        };
        let missing: Vec<&str> =
            required.iter().filter(|kind| !have.contains(kind)).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!("`{}` comes without {}", image.familiar(), missing.join(" and "));
            let help = "use a base whose makers say what is in it";
            found.tell(stage.place, stage.from.base.span, message, "no attestation", help);
        }
    }
    if unknown {
        found.skip("attestations of bases not resolved");
    }
}
