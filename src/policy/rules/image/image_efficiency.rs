//! `image-efficiency`: how many of the shipped bytes are seen.

use crate::policy::budget;
use crate::policy::{Alias, Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "image-efficiency",
    title: "Dive's score: how many of the shipped bytes are the final ones.",
    text: "Finds an image whose efficiency is below `min` (or `[budget] lowest_efficiency`): for \
          each path the smallest of its sizes in all layers, added up, divided by all its sizes. \
          A file that a later layer removes has the size 0 there. That is the arithmetic of \
          dive, except that who removes a folder removes each file in it.\n\n\
          Make and remove in one step, build in stages, or squash.",
    aliases: &[Alias::of("lowestEfficiency")],
    params: &[
        Param { name: "min", kind: ParamKind::Share, default: "0.9", help: "the least efficiency" },
        Param {
            name: "scope",
            kind: ParamKind::Word(&["all", "build"]),
            default: r#""all""#,
            help: "`build`: only paths count that a layer of the build has",
        },
        Param {
            name: "ignore",
            kind: ParamKind::Texts,
            default: "[]",
            help: "patterns of paths that do not count",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let least = budget::share(found, "lowest_efficiency", "min");
    let ignored = budget::ignored(found, true);
    let own = found.text("scope") == "build";
    let waste = judged.facts.waste(&|path| ignored(path), own);
    if waste.efficiency < least {
        let message = format!(
            "{:.1} % of the bytes are seen, at least {:.1} % should be",
            waste.efficiency * 100.0,
            least * 100.0
        );
        let finding = found.finding(message).evidence("efficiency", waste.efficiency);
        found.add(budget::worst(finding, &waste, judged));
    }
}
