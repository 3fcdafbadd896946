//! `suppression-expired`: a comment or a waiver that has ended.

use crate::policy::{Covering, Found, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "suppression-expired",
    title: "Temporary exceptions end.",
    text: "Finds a comment whose `until` has passed, and a waiver of the policy whose `expires` \
          has. What they covered is told too.",
    inline: false,
    cover_check: Some(check_cover),
    bad: &[
        "FROM busybox\n# rbuild: allow privilege-tool-used until=2020-01-01 -- migration\nRUN sudo true\n",
    ],
    good: &[
        "FROM busybox\n# rbuild: allow privilege-tool-used until=2099-01-01 -- migration\nRUN sudo true\n",
    ],
    ..Rule::NEW
};

fn check_cover(covering: &Covering<'_>, found: &mut Found<'_>) {
    let today = covering.outline.input.today;
    for comment in &covering.comments.list {
        let (Some(span), true) = (comment.span, comment.expired(today)) else { continue };
        let until = comment.until.as_deref().unwrap_or("");
        let message = match until {
            "0000-00-00" => "the date of this comment cannot be read".to_owned(),
            until => format!("this comment ended on {until}"),
        };
        let finding = found
            .finding(message)
            .at(span, "covers nothing any more")
            .help("mend what it covered, or agree on a new date: until=YYYY-MM-DD");
        found.add(finding);
    }
    let ended: Vec<(String, String)> = found
        .policy()
        .exceptions
        .iter()
        .filter(|exception| exception.over(today))
        .map(|exception| (exception.reason.clone(), exception.expires.clone()))
        .collect();
    for (reason, expires) in ended {
        let finding = found
            .finding(format!("the waiver `{reason}` ended on {expires}"))
            .help("mend what it covered, or agree on a new date");
        found.add(finding);
    }
}
