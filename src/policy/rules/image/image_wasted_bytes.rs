//! `image-wasted-bytes`: bytes that nobody sees.

use crate::policy::budget;
use crate::policy::{Alias, Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "image-wasted-bytes",
    title: "Bytes pulled by every node and seen by none.",
    text: "Finds an image in which the files that occur in more than one layer (replaced, or \
          removed later) have more than `max` bytes together (or `[budget] \
          highest_wasted_bytes`).\n\n\
          Make and remove in one step, build in stages, or squash. `chown`, `chmod` and `touch` \
          of what a layer below has copy it: COPY --chown and --chmod do not.",
    aliases: &[Alias::of("highestWastedBytes")],
    params: &[
        Param {
            name: "max",
            kind: ParamKind::Size,
            default: r#""20MiB""#,
            help: "the most that may be wasted",
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
    let most = budget::size(found, "highest_wasted_bytes", "max");
    let ignored = budget::ignored(found, true);
    let waste = judged.facts.waste(&|path| ignored(path), false);
    if most.is_some_and(|most| waste.wasted > most) {
        let message = format!(
            "{} are in files that layers have twice or remove",
            budget::bytes(waste.wasted)
        );
        let finding = found.finding(message).evidence("wasted", waste.wasted);
        found.add(budget::worst(finding, &waste, judged));
    }
}
