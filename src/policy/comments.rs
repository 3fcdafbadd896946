//! Comments in the Dockerfile that cover findings: all their forms, other tools' too.

use super::finding::Finding;
use super::outline::Outline;
use super::profile::{Policy, RuleName};
use super::read::is_date;
use crate::base::Span;

/// What comments say, together.
#[derive(Debug, Default)]
pub(super) struct Comments {
    /// Each of them.
    pub(super) list: Vec<Comment>,
    /// `check=error=true`: what BuildKit would warn of is an error.
    pub(super) errors: bool,
    /// Comments for tools whose comments are not read, and the tool.
    pub(super) unread: Vec<(Span, &'static str)>,
}

/// One comment that covers findings.
#[derive(Debug)]
pub(super) struct Comment {
    pub(super) rules: Names,
    /// Words that name no rule.
    pub(super) unknown: Vec<String>,
    /// Whether a word names something that is not judged here, such as a code of ShellCheck.
    pub(super) foreign: bool,
    pub(super) scope: Scope,
    pub(super) reason: String,
    /// Whether this form has room for a reason.
    pub(super) explains: bool,
    pub(super) until: Option<String>,
    /// The comment itself; `None` for a build argument.
    pub(super) span: Option<Span>,
}

#[derive(Debug)]
pub(super) enum Names {
    All,
    These(Vec<RuleName>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    File,
    Stage(usize),
    /// What starts in this range of the text.
    Range(Span),
}

impl Comment {
    /// Tells whether it ends before this day.
    pub(super) fn expired(&self, today: Option<&str>) -> bool {
        matches!((&self.until, today), (Some(until), Some(today)) if today > until.as_str())
    }

    /// Tells whether it speaks of a finding.
    pub(super) fn covers(&self, finding: &Finding, outline: &Outline<'_>) -> bool {
        self.rules.name(finding) && self.scope.holds(finding, outline)
    }
}

impl Names {
    /// Tells whether it speaks of a rule, or of a part of it.
    pub(super) fn may(&self, rule: &str) -> bool {
        match self {
            Names::All => true,
            Names::These(names) => names.iter().any(|name| name.rule == rule),
        }
    }

    pub(super) fn name(&self, finding: &Finding) -> bool {
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
    fn holds(self, finding: &Finding, outline: &Outline<'_>) -> bool {
        let at = finding.span.or(finding.place.map(|place| place.span));
        match self {
            Scope::File => true,
            Scope::Range(range) => at.is_some_and(|at| {
                at.source == range.source && range.start <= at.start && at.start < range.end
            }),
            Scope::Stage(index) => {
                finding.place.and_then(|place| place.stage) == Some(index)
                    || at.is_some_and(|at| {
                        outline.stages.get(index).is_some_and(|stage| {
                            // Not those of triggers, which stand elsewhere.
                            let own =
                                stage.items.iter().filter(|i| i.place.index > stage.place.index);
                            let all =
                                own.fold(stage.place.span, |all, item| all.to(item.place.span));
                            all.source == at.source && all.start <= at.start && at.start < all.end
                        })
                    })
            }
        }
    }
}

/// Reads all comments.
pub(super) fn read(outline: &Outline<'_>, policy: &Policy) -> Comments {
    let input = &outline.input;
    let mut out = Reading { policy, out: Comments::default() };
    for directive in input.file.directives.iter().filter(|directive| directive.name == "check") {
        out.check(&directive.value, Scope::File, Some(directive.span));
    }
    if let Some(Some(value)) = input.request.build_args.get("BUILDKIT_DOCKERFILE_CHECK") {
        out.check(value, Scope::File, None);
    }
    let first = outline.stages.first().map(|stage| stage.place.span.start);
    let lines = &input.file.lines;
    let mut next_line = Following::default();
    for comment in &input.file.comments {
        let text = comment.text.trim();
        if let Some((_, tool)) = UNREAD.iter().find(|(word, _)| text.starts_with(word)) {
            out.out.unread.push((comment.span, tool));
        }
        if !speaks(text) {
            continue;
        }
        // The instruction that holds the comment, or the next one below it.
        let after = lines.partition_point(|line| line.span.start <= comment.span.start);
        let around = after
            .checked_sub(1)
            .map(|before| &lines[before])
            .filter(|line| comment.span.end <= line.span.end);
        let next = lines.get(after);
        let scope = match (around, next) {
            // In a body: the next line that is no comment.
            (Some(line), _) => Scope::Range(
                next_line.after(&input.sources.get(line.span.source).text, comment.span),
            ),
            (None, Some(line)) => Scope::Range(line.span),
            (None, None) => continue,
        };
        out.comment(text, comment.span, scope, outline, first, next.map(|line| line.span));
    }
    // Comments in the text of a heredoc are lines of its content.
    for heredoc in lines.iter().flat_map(|line| &line.heredocs) {
        let mut next_line = Following::default();
        let mut at = heredoc.span.start as usize;
        let source = heredoc.span.source;
        let whole = &input.sources.get(source).text;
        for one in whole.get(heredoc.span.range()).unwrap_or("").split_inclusive('\n') {
            let start = at;
            at += one.len();
            let text = one.trim().strip_prefix('#').map(str::trim);
            if let Some(text) = text.filter(|text| speaks(text)) {
                let span = Span::new(source, start, start + one.trim_end().len());
                let scope = Scope::Range(next_line.after(whole, span));
                out.comment(text, span, scope, outline, None, None);
            }
        }
    }
    out.out
}

/// Returns the shell that `# hadolint shell=/bin/bash` names: with its options, if it has any, cut.
pub(super) fn shell(text: &str) -> Option<&str> {
    let rest = text.trim().strip_prefix("hadolint")?.trim_start().strip_prefix("shell=")?;
    rest.split_whitespace().next()
}

// Comments of tools that judge other things, or that cannot be told apart from prose.
const UNREAD: &[(&str, &str)] =
    &[("nosemgrep", "semgrep"), ("checkov:skip=", "checkov"), ("tfsec:ignore:", "tfsec")];

// Whether a comment may cover findings.
fn speaks(text: &str) -> bool {
    ["rbuild:", "hadolint", "check=", "shellcheck", "trivy:ignore:"]
        .iter()
        .any(|word| text.starts_with(word))
}

// From the end of a comment to the line that follows it: the same for all comments in between.
#[derive(Default)]
struct Following(Option<(u32, Span)>);

impl Following {
    fn after(&mut self, text: &str, comment: Span) -> Span {
        let known = self
            .0
            .filter(|(from, following)| *from <= comment.end && comment.end <= following.start);
        let found = match known {
            Some((_, span)) => span,
            None => following(text, comment),
        };
        self.0 = Some((known.map_or(comment.end, |(from, _)| from), found));
        found
    }
}

struct Reading<'a> {
    policy: &'a Policy,
    out: Comments,
}

impl Reading<'_> {
    fn comment(
        &mut self,
        text: &str,
        span: Span,
        scope: Scope,
        outline: &Outline<'_>,
        first: Option<u32>,
        next: Option<Span>,
    ) {
        if let Some(rest) = text.strip_prefix("rbuild:") {
            let rest = rest.trim_start();
            let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let scope = match word {
                "allow" => scope,
                "allow-file" if first.is_none_or(|first| span.start < first) => Scope::File,
                "allow-stage" => {
                    let stages = &outline.stages;
                    let stage = stages.iter().find(|stage| next == Some(stage.place.span));
                    match stage {
                        Some(stage) => Scope::Stage(stage.index),
                        None => return,
                    }
                }
                _ => return,
            };
            let (ids, reason) = rest.split_once("--").unwrap_or((rest, ""));
            self.add(ids, scope, reason.trim(), span);
        } else if let Some(rest) = text.strip_prefix("hadolint") {
            let rest = rest.trim_start();
            let (rest, scope) = match rest.strip_prefix("global") {
                Some(rest) => (rest.trim_start(), Scope::File),
                None => (rest, scope),
            };
            let Some(rest) = rest.strip_prefix("ignore=") else { return };
            // The reason follows a blank and `#`, `-` or `:`.
            let end = rest
                .match_indices([' ', '\t'])
                .find(|(at, _)| rest[at + 1..].trim_start().starts_with(['#', '-', ':']))
                .map_or(rest.len(), |(at, _)| at);
            let reason = rest[end..].trim_start_matches(['#', '-', ':', ' ', '\t']);
            self.add(&rest[..end], scope, reason, span);
        } else if let Some(value) = text.strip_prefix("check=") {
            self.check(value, scope, Some(span));
        } else if let Some(rest) = text.strip_prefix("shellcheck") {
            let Some(rest) = rest.trim_start().strip_prefix("disable=") else { return };
            let (ids, reason) = rest.split_once('#').unwrap_or((rest, ""));
            self.add(ids, scope, reason.trim(), span);
        } else if let Some(rest) = text.strip_prefix("trivy:ignore:") {
            // `DS-0002 exp:2027-01-01`: no room for a reason.
            // One comment may name several, each with the words in front.
            let ids = rest.replace("trivy:ignore:", " ").replace("exp:", "until=");
            self.add(&ids, scope, "trivy:ignore", span);
        }
    }

    fn add(&mut self, ids: &str, scope: Scope, reason: &str, span: Span) {
        let mut until = None;
        let (mut names, mut unknown, mut foreign) = (Vec::new(), Vec::new(), false);
        for word in ids.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            if let Some(date) = word.strip_prefix("until=") {
                // A date that cannot be read has passed.
                until = Some(if is_date(date) { date } else { "0000-00-00" }.to_owned());
                continue;
            }
            match self.policy.find_rules(word, "") {
                Ok(found) => {
                    // Of rules in Rego nothing can be said before they were asked.
                    foreign |=
                        found.iter().any(|name| self.policy.custom.rule(name.rule).is_some());
                    names.extend(found);
                }
                Err(_) if is_foreign(word) => foreign = true,
                Err(_) => unknown.push(word.to_owned()),
            }
        }
        self.out.list.push(Comment {
            rules: Names::These(names),
            unknown,
            foreign,
            scope,
            reason: reason.to_owned(),
            explains: reason != "trivy:ignore",
            until,
            span: Some(span),
        });
    }

    // `skip=A,B;error=true`. The directive has no room for a reason: it is one.
    fn check(&mut self, value: &str, scope: Scope, span: Option<Span>) {
        for part in value.split(';').map(str::trim) {
            if part == "error=true" && matches!(scope, Scope::File) {
                self.out.errors = true;
            }
            let Some(skip) = part.strip_prefix("skip=") else { continue };
            let (mut names, mut unknown) = (Vec::new(), Vec::new());
            let all = skip.trim() == "all";
            for word in skip.split(',').map(str::trim).filter(|_| !all) {
                match self.policy.find_rules(word, "") {
                    Ok(found) => names.extend(found),
                    Err(_) => unknown.push(word.to_owned()),
                }
            }
            self.out.list.push(Comment {
                rules: if all { Names::All } else { Names::These(names) },
                unknown,
                foreign: false,
                scope,
                reason: "check=skip".to_owned(),
                explains: false,
                until: None,
                span,
            });
        }
    }
}

// A code of ShellCheck: what is not judged here is not unknown.
fn is_foreign(word: &str) -> bool {
    word.strip_prefix("SC")
        .is_some_and(|rest| rest.len() == 4 && rest.bytes().all(|byte| byte.is_ascii_digit()))
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
