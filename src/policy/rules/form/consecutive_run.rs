//! `consecutive-run`: RUN after RUN.

use crate::instruction::{Instruction, Network};
use crate::policy::{Alias, Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "consecutive-run",
    title: "Each RUN is a layer.",
    text: "Finds a RUN without flags directly after another, in the stages that become the image, \
          with no comment between them. Off: splitting is right in build stages, and for \
          caching.",
    aliases: &[Alias::of("DL3059")],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN true\nRUN true\n"],
    good: &["FROM busybox\nRUN true\n# another matter\nRUN true\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in outline.chain() {
        for pair in stage.items.windows(2) {
            let plain = |item: &Item<'_>| match item.instruction {
                Instruction::Run(run) => run.mounts.is_empty() && run.network == Network::Default,
                _ => false,
            };
            let [first, second] = pair else { continue };
            // One of the base's cannot be joined with another.
            let own = |item: &Item<'_>| item.place.index > stage.place.index;
            if !plain(first) || !plain(second) || !own(first) {
                continue;
            }
            let (from, to) = (first.place.span.end, second.place.span.start);
            if outline.comments_between(from, to).is_empty() {
                let message = "a second layer for what one could hold";
                let span = second.instruction.keyword();
                found.tell(second.place, span, message, "follows a RUN", "join them with `&&`");
            }
        }
    }
}
