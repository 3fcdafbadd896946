//! `label-missing`: an image that says not where it comes from.

use crate::instruction::Instruction;
use crate::policy::{Alias, Around, Found, Judged, Outline, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-missing",
    title: "Without source and revision an image cannot be traced.",
    text: "Finds a target without a label of `[labels] required`; those given with --label and \
          those of the base count.",
    aliases: &[Alias::of("DL3049")],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM scratch\nLABEL a=b\n"],
    good: &["FROM scratch\nLABEL org.opencontainers.image.source=https://example.org/r\n"],
    around: Around {
        set: &["labels.required=[\"org.opencontainers.image.source\"]"],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let required: Vec<String> =
        found.section_texts("labels", "required").into_iter().map(str::to_owned).collect();
    let chain = outline.chain();
    let (Some(target), Some(bottom)) = (chain.last(), chain.first()) else { return };
    let mut have: BTreeSet<String> = outline.input.request.labels.keys().cloned().collect();
    have.extend(bottom.config.into_iter().flat_map(|config| config.labels.keys().cloned()));
    for item in outline.shipped() {
        if let Instruction::Label(label) = item.instruction {
            have.extend(label.pairs.iter().filter_map(|pair| item.expand(&pair.name.raw)));
        }
    }
    let missing: Vec<&str> =
        required.iter().filter(|name| !have.contains(*name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let finding = found
            .finding(format!("the image has no label {}", missing.join(", ")))
            .at(target.from.span, "cannot be traced")
            .of(target.place)
            .evidence("labels", missing)
            .help("LABEL, or --label when building");
        found.add(finding);
    }
}

// Of an image alone; in a build the text has told.
fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    if judged.outline.is_some() {
        return;
    }
    let have = &judged.facts.config.config.labels;
    let missing: Vec<String> = found
        .section_texts("labels", "required")
        .into_iter()
        .filter(|name| !have.contains_key(*name))
        .map(str::to_owned)
        .collect();
    if !missing.is_empty() {
        let finding = found
            .finding(format!("the image has no label {}", missing.join(", ")))
            .in_image("config", None)
            .evidence("labels", missing)
            .help("LABEL, or --label when building");
        found.add(finding);
    }
}
