//! Comments in the Dockerfile that cover findings, and waivers of the policy.

use std::collections::BTreeMap;

use super::finding::{Finding, Report, Suppressed};
use super::glob;
use super::outline::Outline;
use super::profile::{Inline, Policy, RuleName, find_rules, rule};
use super::read::is_date;
use crate::base::Span;

/// One comment that covers findings.
#[derive(Debug)]
struct Comment {
    rules: Names,
    scope: Scope,
    reason: String,
    until: Option<String>,
}

#[derive(Debug)]
enum Names {
    All,
    These(Vec<RuleName>),
}

#[derive(Debug)]
enum Scope {
    File,
    Stage(usize),
    /// What starts in this range of the text.
    Range(Span),
}

/// Marks what comments cover.
pub(super) fn comments(report: &mut Report, outline: &Outline<'_>, policy: &Policy) {
    if policy.inline == Inline::Deny {
        return;
    }
    let comments = read(outline);
    for finding in &mut report.findings {
        let silent = rule(finding.rule).is_some_and(|rule| !rule.inline)
            || policy.locked.contains(&format!("rules.{}", finding.rule));
        if silent || finding.suppressed.is_some() {
            continue;
        }
        let covers = |comment: &&Comment| {
            let in_time = match (&comment.until, outline.input.today) {
                (Some(until), Some(today)) => today <= until.as_str(),
                _ => true,
            };
            in_time
                && (policy.inline == Inline::Allow || !comment.reason.is_empty())
                && comment.rules.name(finding)
                && comment.scope.holds(finding, outline)
        };
        if let Some(comment) = comments.iter().find(covers) {
            finding.suppressed =
                Some(Suppressed { kind: "inSource", justification: comment.reason.clone() });
        }
    }
}

impl Names {
    fn name(&self, finding: &Finding) -> bool {
        match self {
            Names::All => true,
            Names::These(names) => names.iter().any(|name| {
                name.rule == finding.rule
                    && name.facet.is_none_or(|facet| finding.facet == Some(facet))
            }),
        }
    }
}

impl Scope {
    fn holds(&self, finding: &Finding, outline: &Outline<'_>) -> bool {
        let at = finding.span.or(finding.place.map(|place| place.span));
        match self {
            Scope::File => true,
            Scope::Range(range) => at.is_some_and(|at| {
                at.source == range.source && range.start <= at.start && at.start < range.end
            }),
            Scope::Stage(index) => {
                finding.place.and_then(|place| place.stage) == Some(*index)
                    || at.is_some_and(|at| {
                        outline.stages.get(*index).is_some_and(|stage| {
                            let all = stage
                                .items
                                .iter()
                                .fold(stage.place.span, |all, item| all.to(item.place.span));
                            all.start <= at.start && at.start < all.end
                        })
                    })
            }
        }
    }
}

fn read(outline: &Outline<'_>) -> Vec<Comment> {
    let input = &outline.input;
    let mut out = Vec::new();
    for directive in input.file.directives.iter().filter(|directive| directive.name == "check") {
        out.extend(check(&directive.value, Scope::File));
    }
    let first = outline.stages.first().map(|stage| stage.place.span.start);
    for comment in &input.file.comments {
        let text = comment.text.trim();
        // The instruction that holds the comment, or the next one below it.
        let around =
            input.file.lines.iter().find(|line| {
                line.span.start < comment.span.start && comment.span.end <= line.span.end
            });
        let next = input.file.lines.iter().find(|line| line.span.start > comment.span.start);
        let scope = match (around, next) {
            // In a body: the next line that is no comment.
            (Some(line), _) => {
                Scope::Range(following(&input.sources.get(line.span.source).text, comment.span))
            }
            (None, Some(line)) => Scope::Range(line.span),
            (None, None) => continue,
        };
        if let Some(rest) = text.strip_prefix("rbuild:") {
            let rest = rest.trim_start();
            let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let scope = match word {
                "allow" => scope,
                "allow-file" if first.is_none_or(|first| comment.span.start < first) => Scope::File,
                "allow-stage" => {
                    let stage = outline
                        .stages
                        .iter()
                        .find(|stage| next.is_some_and(|line| stage.place.span == line.span));
                    match stage {
                        Some(stage) => Scope::Stage(stage.index),
                        None => continue,
                    }
                }
                _ => continue,
            };
            let (ids, reason) = rest.split_once("--").unwrap_or((rest, ""));
            let mut until = None;
            let mut names = Vec::new();
            for word in ids.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
                match word.strip_prefix("until=") {
                    // A date that cannot be read has passed.
                    Some(date) => {
                        let date = if is_date(date) { date } else { "0000-00-00" };
                        until = Some(date.to_owned());
                    }
                    None => names.extend(find_rules(word, "").unwrap_or_default()),
                }
            }
            let reason = reason.trim().to_owned();
            out.push(Comment { rules: Names::These(names), scope, reason, until });
        } else if let Some(rest) = text.strip_prefix("hadolint") {
            let rest = rest.trim_start();
            let (rest, scope) = match rest.strip_prefix("global") {
                Some(rest) => (rest.trim_start(), Scope::File),
                None => (rest, scope),
            };
            let Some(rest) = rest.strip_prefix("ignore=") else { continue };
            // The reason follows a blank and `#`, `-` or `:`.
            let end = rest
                .match_indices([' ', '\t'])
                .find(|(at, _)| rest[at + 1..].trim_start().starts_with(['#', '-', ':']))
                .map_or(rest.len(), |(at, _)| at);
            let reason = rest[end..].trim_start_matches(['#', '-', ':', ' ', '\t']);
            let names = rest[..end]
                .split(',')
                .flat_map(|name| find_rules(name.trim(), "").unwrap_or_default());
            out.push(Comment {
                rules: Names::These(names.collect()),
                scope,
                reason: reason.to_owned(),
                until: None,
            });
        } else if let Some(value) = text.strip_prefix("check=") {
            out.extend(check(value, scope));
        }
    }
    out
}

// `skip=A,B;error=true`. The directive has no room for a reason: it is one.
fn check(value: &str, scope: Scope) -> Option<Comment> {
    let skip = value.split(';').find_map(|part| part.trim().strip_prefix("skip="))?;
    let rules = if skip.trim() == "all" {
        Names::All
    } else {
        Names::These(
            skip.split(',')
                .flat_map(|name| find_rules(name.trim(), "").unwrap_or_default())
                .collect(),
        )
    };
    Some(Comment { rules, scope, reason: "check=skip".to_owned(), until: None })
}

// The line after a comment that is neither blank nor a comment.
fn following(text: &str, comment: Span) -> Span {
    let mut start = comment.end as usize;
    let mut end = start;
    for line in text.get(start..).unwrap_or("").split_inclusive('\n') {
        (start, end) = (end, end + line.len());
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            break;
        }
    }
    Span::new(comment.source, start, end)
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
