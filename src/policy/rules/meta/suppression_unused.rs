//! `suppression-unused`: a comment that covers nothing.

use crate::policy::comments::Names;
use crate::policy::{Covering, Finding, Found, Rule};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "suppression-unused",
    title: "A suppression that suppresses nothing hides the next finding.",
    text: "Finds a comment that covers no finding, whatever the policy makes of the rules that it \
          names. Of rules that look at the image, and of ShellCheck's codes, nothing can be said \
          here.",
    inline: false,
    cover_check: Some(check_cover),
    bad: &["FROM busybox\n# hadolint ignore=DL3004\nRUN true\n"],
    good: &["FROM busybox\n# hadolint ignore=DL3004\nRUN sudo true\n"],
    ..Rule::NEW
};

fn check_cover(covering: &Covering<'_>, found: &mut Found<'_>) {
    // A rule judges once, however many comments name it.
    let mut judged: BTreeMap<&str, Vec<Finding>> = BTreeMap::new();
    for (comment, used) in covering.comments.list.iter().zip(covering.used) {
        let (Names::These(names), Some(span)) = (&comment.rules, comment.span) else { continue };
        if *used || names.is_empty() || comment.foreign {
            continue;
        }
        let rules = names.iter().filter_map(|name| crate::policy::rule(name.rule));
        let covers = rules.into_iter().any(|rule| {
            let policy = found.policy();
            let known = judged.entry(rule.id).or_insert_with(|| covering.findings_of(rule, policy));
            rule.image_check.is_some()
                || rule.text_check.is_none()
                || known.iter().any(|finding| comment.covers(finding, covering.outline))
        });
        if !covers {
            let finding = found
                .finding("this comment covers nothing")
                .at(span, "no such finding here")
                .help("delete it: it would hide the next one");
            found.add(finding);
        }
    }
}
