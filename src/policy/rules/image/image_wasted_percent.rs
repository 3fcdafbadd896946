//! `image-wasted-percent`: what the build wastes of what it adds.

use crate::facts::Origin;
use crate::policy::budget;
use crate::policy::{Alias, Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "image-wasted-percent",
    title: "Waste relative to what this build added.",
    text: "Finds a build that wastes more than the share `max` of its own layers (or `[budget] \
          highest_user_wasted_percent`): the bytes of files that occur in more than one layer, \
          of which at least one is its own, divided by the bytes of its layers. With `compat = \
          \"dive\"` all such files count, and they are divided by all layers but the first.\n\n\
          Make and remove in one step, build in stages, or squash.",
    aliases: &[Alias::of("highestUserWastedPercent")],
    params: &[
        Param { name: "max", kind: ParamKind::Share, default: "0.1", help: "the largest share" },
        Param {
            name: "compat",
            kind: ParamKind::Word(&["base", "dive"]),
            default: r#""base""#,
            help: "what is divided by",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let most = budget::share(found, "highest_user_wasted_percent", "max");
    let dive = found.text("compat") == "dive";
    let ignored = budget::ignored(found, false);
    let waste = judged.facts.waste(&|path| ignored(path), !dive);
    let layers = judged.facts.layers.iter().enumerate();
    let counted = layers.filter(|(index, layer)| match dive {
        true => *index > 0,
        false => layer.origin != Origin::Base,
    });
    let all: u64 = counted.map(|(index, _)| judged.facts.layer_size(index)).sum();
    if all == 0 {
        return;
    }
    let share = waste.wasted as f64 / all as f64;
    if share > most {
        let message = format!(
            "{:.1} % of what the build adds is wasted, at most {:.1} % should be",
            share * 100.0,
            most * 100.0
        );
        let finding = found.finding(message).evidence("share", share);
        found.add(budget::worst(finding, &waste, judged));
    }
}
