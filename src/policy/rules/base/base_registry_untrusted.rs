//! `base-registry-untrusted`: an image from a registry that nobody chose.

use crate::policy::{Alias, Around, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-registry-untrusted",
    title: "Only registries you chose.",
    text: "Finds FROM and --from of an image whose registry, or name, is not in `[registries] \
          trusted`. While that list is empty, nothing is found.",
    aliases: &[Alias::of("DL3026")],
    standards: &["CIS 4.2"],
    text_check: Some(check),
    bad: &["FROM quay.example/app:1\n", "FROM scratch\nCOPY --from=quay.example/app:1 /a /a\n"],
    good: &["FROM registry.corp.example/app:1\nFROM scratch\n"],
    around: Around { set: &["registries.trusted=[\"registry.corp.example\"]"], ..Around::NONE },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let trusted: Vec<String> =
        found.section_texts("registries", "trusted").into_iter().map(str::to_owned).collect();
    if trusted.is_empty() {
        return;
    }
    for (place, span, image) in outline.images() {
        let name = image.name();
        let known = trusted.iter().any(|one| {
            let one = one.trim_end_matches('/');
            image.registry() == one
                || crate::policy::glob::matches(one, &name)
                || name.strip_prefix(one).is_some_and(|rest| rest.starts_with('/'))
        });
        if !known {
            let message = format!("`{}` is not among the trusted registries", image.registry());
            let help = "take it from a registry of [registries] trusted";
            found.tell(place, span, message, "not trusted", help);
        }
    }
}
