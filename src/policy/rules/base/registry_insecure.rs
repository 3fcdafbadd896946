//! `registry-insecure`: a registry in plain HTTP.

use crate::policy::{Around, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "registry-insecure",
    title: "Plain HTTP lets anyone on the path swap a tag.",
    text: "Finds FROM and --from of an image whose registry is spoken to without TLS \
          (`[registries] insecure`, or the builder's own setting). This host itself is exempt.",
    standards: &["NIST 800-190 4.2.1"],
    text_check: Some(check),
    bad: &["FROM registry.corp.example/app:1\n"],
    good: &["FROM docker.io/library/debian:12\n"],
    around: Around {
        bases: r#"{"@registries": {"registry.corp.example": {"insecure": true}}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let own: Vec<String> =
        found.section_texts("registries", "insecure").into_iter().map(str::to_owned).collect();
    for (place, span, image) in outline.images() {
        let host = image.registry();
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let loopback = bare == "localhost" || bare.starts_with("127.") || bare == "[::1]";
        let plain = own.iter().any(|one| one == host) || outline.input.bases.is_insecure(host);
        if plain && !loopback {
            let message = format!("`{host}` is spoken to in plain HTTP");
            let help = "give the registry a certificate";
            found.tell(place, span, message, "anyone on the way may answer", help);
        }
    }
}
