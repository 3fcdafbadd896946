//! `user-uid-low`: a user that the host may have too.

use crate::policy::{Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-uid-low",
    title: "Low uids collide with host accounts.",
    text: "Finds a target whose user is a number from 1 to below `min`.",
    params: &[Param {
        name: "min",
        kind: ParamKind::Number,
        default: "10000",
        help: "the lowest id that is fine",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nUSER 100\n"],
    good: &["FROM busybox\nUSER 10001\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some((item, span, who)) = outline.user() else { return };
    let id = who.split(':').next().unwrap_or("").trim().parse::<u64>();
    if let Some(id) = id.ok().filter(|id| (1..found.number("min")).contains(id)) {
        let message = format!("the host may have a user {id} of its own");
        let help = "take an id from 10000 on";
        found.tell(item.place, span, message, "a low id", help);
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let user = &judged.facts.config.config.user;
    let id = user.split(':').next().unwrap_or("").trim().parse::<u64>();
    if let Some(id) = id.ok().filter(|id| (1..found.number("min")).contains(id)) {
        let finding = found
            .finding(format!("the host may have a user {id} of its own"))
            .in_image("config", None)
            .evidence("user", user.as_str())
            .help("take an id from 10000 on");
        found.add(finding);
    }
}
