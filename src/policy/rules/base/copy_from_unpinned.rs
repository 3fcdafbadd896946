//! `copy-from-unpinned`: files from an image without its digest.

use crate::base::ImageRef;
use crate::dockerfile::Word;
use crate::instruction::Instruction;
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-from-unpinned",
    title: "`COPY --from=IMAGE` is a base image too.",
    text: "Finds COPY --from and mounts with `from` of an image of a registry without `@sha256:…`. \
           Stages and named contexts have nothing to pin.\n\nAppend the digest.",
    text_check: Some(check),
    bad: &[
        "FROM scratch\nCOPY --from=busybox:1.36 /bin/busybox /busybox\n",
        "FROM a\nRUN --mount=from=busybox,target=/b true\n",
    ],
    good: &[
        "FROM scratch\nCOPY --from=busybox:1.36@sha256:2222222222222222222222222222222222222222222222222222222222222222 /bin/busybox /busybox\n",
        "FROM scratch AS a\nFROM scratch\nCOPY --from=a /x /x\nCOPY --from=0 /y /y\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        for item in &stage.items {
            let words: Vec<&Word> = match item.instruction {
                Instruction::Copy(copy) => copy.from.iter().collect(),
                Instruction::Run(run) => {
                    run.mounts.iter().filter_map(|mount| mount.value("from")).collect()
                }
                _ => Vec::new(),
            };
            for word in words {
                let Ok(image) = ImageRef::parse(&word.raw) else { continue };
                let known = outline.stage_named(&word.raw, stage.index).is_some()
                    || outline.input.request.named_contexts.contains_key(&word.raw)
                    || matches!(word.raw.as_str(), "scratch" | "context");
                if known || image.digest().is_some() {
                    continue;
                }
                let name = image.familiar();
                let finding = found
                    .finding(format!("`{name}` is not pinned by a digest"))
                    .at(word.span, "no `@sha256:…`")
                    .of(item.place)
                    .evidence("image", image.to_string())
                    .help(format!("write `{name}@sha256:…` with the digest that it has now"));
                found.add(finding);
            }
        }
    }
}
