//! What covers findings: comments in the Dockerfile, and waivers of the policy.

use std::collections::BTreeMap;

use super::comments::{Comments, Names};
use super::finding::{Finding, Level, Report, Suppressed};
use super::glob;
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
        let silent = known.is_some_and(|rule| !rule.inline)
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

/// Marks what the exceptions of the policy cover. `file` is the Dockerfile's path, `stage` tells
/// the name of a stage, `today` is `YYYY-MM-DD`.
pub(super) fn exceptions(
    report: &mut Report,
    policy: &Policy,
    file: &str,
    stages: &BTreeMap<usize, String>,
    today: Option<&str>,
) {
    for exception in &policy.exceptions {
        if today.is_some_and(|today| today > exception.expires.as_str()) {
            continue;
        }
        let fits = |finding: &&mut Finding| {
            let stage = finding.place.and_then(|place| place.stage);
            finding.suppressed.is_none()
                && Names::These(exception.rules.clone()).name(finding)
                && (exception.files.is_empty()
                    || exception.files.iter().any(|pattern| glob::matches(pattern, file)))
                && (exception.stages.is_empty()
                    || stage.and_then(|stage| stages.get(&stage)).is_some_and(|name| {
                        exception.stages.iter().any(|known| known.eq_ignore_ascii_case(name))
                    }))
                && (exception.paths.is_empty()
                    || finding.image.as_ref().is_some_and(|image| {
                        exception.paths.iter().any(|pattern| glob::matches(pattern, &image.path))
                    }))
        };
        let covered: Vec<&mut Finding> = report.findings.iter_mut().filter(fits).collect();
        // More than was agreed on: the exception covers none of them.
        if exception.max.is_some_and(|max| covered.len() > max) {
            continue;
        }
        for finding in covered {
            finding.suppressed = Some(Suppressed {
                kind: "external",
                justification: format!("{} ({})", exception.reason, exception.owner),
            });
        }
    }
}
