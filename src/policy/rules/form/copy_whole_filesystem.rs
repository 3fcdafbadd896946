//! `copy-whole-filesystem`: COPY of all that a stage has.

use crate::policy::{Alias, BaseName, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-whole-filesystem",
    title: "Copying `/` brings every tool of the build stage along.",
    text: "Finds `COPY --from=… / /`, unless the stage began with nothing and holds what was \
          copied into it.",
    aliases: &[Alias::of("DL3067")],
    text_check: Some(check),
    bad: &["FROM busybox AS build\nFROM scratch\nCOPY --from=build / /\n"],
    good: &[
        "FROM busybox AS build\nFROM scratch\nCOPY --from=build /bin/busybox /bin/busybox\n",
        "FROM scratch AS root\nCOPY a /a\nFROM scratch\nCOPY --from=root / /\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items() {
        let Some(transfer) = item.transfer() else { continue };
        let Some(from) = &transfer.from else { continue };
        let root =
            |path: &str| path.starts_with('/') && crate::policy::context::clean(path).is_empty();
        let Some((span, _)) = transfer.sources.iter().find(|(_, source)| root(source)) else {
            continue;
        };
        if !root(&transfer.destination) && transfer.destination != "." {
            continue;
        }
        let before = item.place.stage.unwrap_or(0);
        let filled = outline.stage_named(from, before).is_some_and(|index| {
            let line = outline.line_of(index);
            line.first().is_some_and(|stage| matches!(stage.base, BaseName::Scratch))
                && line.iter().flat_map(|stage| &stage.items).all(|item| !item.is_run())
        });
        if filled {
            continue;
        }
        let message = format!("all files of `{from}` are copied");
        let help = "name what the image needs";
        found.tell(item.place, *span, message, "tools of the build stage too", help);
    }
}
