//! What comments in the Dockerfile cover.

use std::collections::BTreeMap;

use super::comments::Comments;
use super::finding::{Level, Report, Suppressed};
use super::outline::Outline;
use super::profile::{Inline, Policy, rule};

/// Marks what comments cover, and returns which of them cover something.
pub(super) fn comments(
    report: &mut Report,
    outline: &Outline<'_>,
    policy: &Policy,
    comments: &Comments,
) -> Vec<bool> {
    let mut used = vec![false; comments.list.len()];
    // The comments that speak of a rule: there may be very many.
    let mut by_rule: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for finding in &mut report.findings {
        let known = rule(finding.rule);
        if comments.errors && finding.level == Level::Warn && known.is_some_and(is_buildkit) {
            finding.level = Level::Error;
        }
        let silent = finding.firm
            || known.is_some_and(|rule| !rule.inline)
            || policy.locked.contains(&format!("rules.{}", finding.rule));
        if policy.inline == Inline::Deny || silent || finding.suppressed.is_some() {
            continue;
        }
        let mine = by_rule.entry(finding.rule).or_insert_with(|| {
            let of = |at: &usize| comments.list[*at].rules.may(finding.rule);
            (0..comments.list.len()).filter(of).collect()
        });
        for at in mine.iter().copied() {
            let comment = &comments.list[at];
            if comment.expired(outline.input.today)
                || (policy.inline == Inline::Justify && comment.reason.is_empty())
                || !comment.covers(finding, outline)
            {
                continue;
            }
            used[at] = true;
            finding.suppressed.get_or_insert_with(|| Suppressed {
                kind: "inSource",
                justification: comment.reason.clone(),
            });
        }
    }
    used
}

// BuildKit's names are single words with capitals inside.
fn is_buildkit(rule: &super::Rule) -> bool {
    rule.aliases.iter().any(|alias| {
        alias.name.bytes().all(|byte| byte.is_ascii_alphabetic())
            && alias.name.starts_with(|c: char| c.is_ascii_uppercase())
    })
}
