//! `suppression-unjustified`: a comment that gives no reason.

use crate::policy::{Alias, Covering, Found, Inline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "suppression-unjustified",
    title: "Who allowed this, and why?",
    text: "Finds a comment that covers findings and gives no reason: `-- reason` for rbuild, ` # \
          reason` for the others. In `paranoid`, where comments cover nothing, any.",
    aliases: &[Alias::of("DL1001")],
    inline: false,
    cover_check: Some(check_cover),
    bad: &["FROM busybox\n# rbuild: allow privilege-tool-used\nRUN sudo true\n"],
    good: &[
        "FROM busybox\n# rbuild: allow privilege-tool-used -- image tests sudo itself\nRUN sudo true\n",
    ],
    ..Rule::NEW
};

fn check_cover(covering: &Covering<'_>, found: &mut Found<'_>) {
    let denied = found.policy().inline == Inline::Deny;
    for comment in &covering.comments.list {
        let Some(span) = comment.span else { continue };
        let (message, help) = if denied {
            (
                "the policy lets no comment cover findings",
                "an entry under [[exceptions]] in a policy file",
            )
        } else if comment.explains && comment.reason.is_empty() {
            ("this comment does not say why", "add `-- REASON`")
        } else {
            continue;
        };
        let finding = found.finding(message).at(span, "covers findings").help(help);
        found.add(finding);
    }
}
