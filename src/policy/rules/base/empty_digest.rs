//! `empty-digest`: the digest of nothing.

use crate::base::Span;
use crate::instruction::Instruction;
use crate::policy::rules::origin;
use crate::policy::{BaseName, Found, Judged, Outline, Place, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "empty-digest",
    title: "`e3b0c442…` is the hash of zero bytes: a placeholder or a lie, and the digest the \
           compromised image was listed under.",
    text: "Finds the SHA-256 or SHA-512 of zero bytes where a digest stands for content: in FROM, \
          --from and --checksum; and an image with a layer or document of that digest. What this digest \
          names is empty, or not what it says.",
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM debian:12@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
        "FROM scratch\nADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://example.org/a /a\n",
    ],
    good: &[
        "FROM debian:12@sha256:3333333333333333333333333333333333333333333333333333333333333333\n",
    ],
    ..Rule::NEW
};

const EMPTY: &[&str] = &[
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
     47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let mut words: Vec<(Place, Span, String)> = Vec::new();
    for stage in &outline.stages {
        let expanded = match &stage.base {
            BaseName::Image(image) => image.to_string(),
            _ => stage.from.base.raw.clone(),
        };
        words.push((stage.place, stage.from.base.span, expanded));
    }
    for item in outline.items() {
        let word = match item.instruction {
            Instruction::Copy(copy) => copy.from.as_ref(),
            Instruction::Add(add) => add.checksum.as_ref(),
            _ => None,
        };
        let mounts = item.mounts().iter().filter_map(|mount| mount.value("from"));
        for word in word.into_iter().chain(mounts) {
            let text = item.expand(&word.raw).unwrap_or_else(|| word.raw.clone());
            words.push((item.place, word.span, text));
        }
    }
    for (place, span, text) in words {
        if EMPTY.iter().any(|empty| text.to_ascii_lowercase().contains(empty)) {
            let message = "this is the digest of zero bytes";
            let help = "use the digest of what you mean; a registry or `sha256sum` tells it";
            found.tell(place, span, message, "names nothing at all", help);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (what, layer, digest) in &judged.facts.whole.digests {
        if !EMPTY.contains(&digest.as_str()) {
            continue;
        }
        let finding = found
            .finding(format!("the digest of the {what} is that of zero bytes"))
            .in_image(*what, *layer)
            .help("fetch or build the image anew: nothing can be in what this names");
        found.add(match layer {
            Some(layer) => origin(finding, judged, *layer),
            None => finding,
        });
    }
}
