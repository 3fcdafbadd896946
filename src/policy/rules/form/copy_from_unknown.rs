//! `copy-from-unknown`: --from of something that is nowhere.

use crate::base::Span;
use crate::diag::nearest;
use crate::dockerfile::Word;
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-from-unknown",
    title: "A typo in `--from` pulls an image of that name from the default registry.",
    text: "Finds COPY --from and mounts with `from` of what is no earlier stage, no number of \
          one, no named context, and no image with a registry, a tag or a digest.",
    aliases: &[Alias::of("DL3022")],
    text_check: Some(check),
    bad: &["FROM busybox AS build\nFROM scratch\nCOPY --from=biuld /etc/passwd /etc/passwd\n"],
    good: &["FROM busybox AS build\nFROM scratch\nCOPY --from=build /etc/passwd /etc/passwd\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        for item in &stage.items {
            for (name, span) in from_words(item) {
                let later = outline.stages.iter().skip(stage.index).any(|other| {
                    let is = |n: &Word| n.raw.eq_ignore_ascii_case(&name);
                    other.from.name.as_ref().is_some_and(is)
                });
                // A number or the stage itself is `copy-from-self`.
                let known = outline.stage_named(&name, stage.index).is_some()
                    || later
                    || name.parse::<usize>().is_ok()
                    || name.contains(['/', ':', '@', '$'])
                    || name.is_empty()
                    || name == "scratch"
                    || name == "context"
                    || outline.input.request.named_contexts.contains_key(&name);
                if known {
                    continue;
                }
                let earlier = outline.stages.iter().take(stage.index);
                let names = earlier.filter_map(|other| other.from.name.as_ref());
                let near = nearest(&name, names.map(|name| name.raw.as_str()));
                let mut finding = found
                    .finding(format!("`{name}` is no stage, and an image of that name is a guess"))
                    .at(span, "not known here")
                    .of(item.place);
                finding = match near {
                    Some(near) => {
                        finding.help(format!("did you mean `{near}`?")).unsafe_fix(span, near)
                    }
                    None => finding.help("name a stage, or an image with its tag and digest"),
                };
                found.add(finding);
            }
        }
    }
}

/// Returns the `--from` of a COPY and the `from` of mounts.
pub(in crate::policy) fn from_words(item: &Item<'_>) -> Vec<(String, Span)> {
    let words: Vec<&Word> = match item.instruction {
        Instruction::Copy(copy) => copy.from.iter().collect(),
        Instruction::Run(run) => {
            run.mounts.iter().filter_map(|mount| mount.value("from")).collect()
        }
        _ => Vec::new(),
    };
    words.into_iter().map(|word| (word.raw.clone(), word.span)).collect()
}
