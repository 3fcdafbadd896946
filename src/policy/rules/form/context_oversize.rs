//! `context-oversize`: a context that is too large.

use crate::base::Span;
use crate::policy::{Around, Found, Item, Outline, Param, ParamKind, Rule, Transfer};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "context-oversize",
    title: "Context bytes are hashed on every build.",
    text: "Finds COPY and ADD whose sources in the context are, all together, larger than `max`; \
          told at the one that adds most.",
    params: &[Param {
        name: "max",
        kind: ParamKind::Size,
        default: r#""100MiB""#,
        help: "the most, in bytes",
    }],
    text_check: Some(check),
    bad: &["FROM scratch\nCOPY data /data/\n"],
    good: &["FROM scratch\nCOPY small /small\n"],
    around: Around {
        files: &[("data/blob", "0123456789"), ("small", "x")],
        set: &["rules.context-oversize.max=\"5B\""],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some(files) = outline.input.context.and_then(|context| context.files()) else { return };
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut worst: Option<(u64, Span, &Item<'_>)> = None;
    for item in outline.items() {
        let Some(transfer) = item.transfer().filter(Transfer::from_context) else { continue };
        for (span, source) in &transfer.sources {
            let mut bytes = 0;
            let taken = crate::policy::context::sources(files, source);
            for file in taken.filter(|file| !file.ignored && !file.folder) {
                bytes += file.size;
                seen.insert(&file.path, file.size);
            }
            if worst.as_ref().is_none_or(|(most, ..)| bytes > *most) {
                worst = Some((bytes, *span, item));
            }
        }
    }
    let total: u64 = seen.values().sum();
    let max = found.size("max");
    let Some((_, span, item)) = worst.filter(|_| total > max) else { return };
    let mut largest: Vec<(&str, u64)> = seen.into_iter().collect();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let names: Vec<String> =
        largest.iter().take(10).map(|(path, size)| format!("{path} ({size} B)")).collect();
    let finding = found
        .finding(format!("{total} bytes of the context are copied; at most {max} should be"))
        .at(span, "adds most")
        .of(item.place)
        .evidence("largest", names)
        .help("leave out what the image does not need: .dockerignore");
    found.add(finding);
}
