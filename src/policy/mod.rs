//! Facts to verdicts: rules, profiles, suppressions, and how findings are told.
//!
//! Judges and never looks: [`check_text`] is a pure function of the text and what is known of its
//! bases, [`check_image`] of the facts of a finished image. Each rule is one file in `rules/` and
//! one word in the list there; what it is worth is said by every profile in `policies/`. Nothing
//! here stops a build: `build` asks [`Report::verdict`].

mod acts;
mod bases;
mod comments;
mod context;
mod copied;
mod executed;
mod finding;
mod fix;
mod flow;
mod formats;
mod glob;
mod judged;
mod look;
mod outline;
mod profile;
mod read;
mod report;
mod rule;
mod rules;
mod scripts;
mod sections;
mod started;
mod suppress;
mod units;
mod values;

pub use acts::{Act, Acts, BehaviourInput, StepInput, check_behaviour, is_plain};
pub use bases::{BaseFacts, BaseSignature, Bases};
pub use context::{ContextFile, ContextFiles, GivenFiles};
pub use finding::{
    Confidence, FailOn, Finding, Fix, ImagePlace, Level, Moment, Place, Report, Skipped,
    Suppressed, Verdict,
};
pub use fix::diff;
pub use formats::Format;
pub use judged::{Judged, Maker};
pub use look::{Transfer, variables};
pub use outline::{BaseName, Item, Outline, Stage, TextInput};
pub use profile::{
    Behaviour, Exception, Inline, Offline, Overrides, PROFILES, Policy, PolicyError, RuleName,
    Setting, find_rules, rule,
};
pub use rule::{Alias, Around, Found, Param, ParamKind, Rule};
pub use rules::{CATEGORIES, RULES, explain};

use std::collections::BTreeMap;

use crate::facts::ImageFacts;

/// A finished image, and the text that it was made from, if there is one.
#[derive(Clone, Copy)]
pub struct ImageInput<'a> {
    /// The facts.
    pub facts: &'a ImageFacts,
    /// The text; `None` in `audit`.
    pub text: Option<TextInput<'a>>,
}

/// Judges the text: before anything runs.
pub fn check_text(input: TextInput<'_>, policy: &Policy) -> Report {
    let mut outline = Outline::new(input);
    let mut report = Report::default();
    let asked = RULES
        .iter()
        .any(|rule| rule.text_check.is_some() && rule.inline && policy.setting(rule.id).on());
    let followed = match input.context {
        Some(context) if asked => copied::follow(&mut outline, context),
        _ => Vec::new(),
    };
    for rule in RULES {
        let (setting, Some(check)) = (policy.setting(rule.id), rule.text_check) else { continue };
        if setting.on() {
            let (moment, report) = (Moment::Static, &mut report);
            check(&outline, &mut Found { rule, setting, policy, moment, report, count: 0 });
        }
    }
    for finding in &mut report.findings {
        let script = followed.iter().find(|(span, _)| finding.span == Some(*span));
        if let Some((_, script)) = script {
            finding.evidence.insert("script", script.as_str().into());
            finding.label.push_str(&format!(" (it runs `{script}`)"));
        }
    }
    cover(&mut report, Some(&outline), policy, true);
    report.sort();
    report
}

/// Judges a finished image: before a byte of it leaves.
///
/// In a build, add it to the report of [`check_text`] with [`Report::append`]: what both have
/// found (a user, a variable) is told once.
pub fn check_image(input: ImageInput<'_>, policy: &Policy) -> Report {
    let outline = input.text.map(Outline::new);
    let judged = Judged::new(input.facts, outline.as_ref());
    let mut report = Report::default();
    for rule in RULES {
        let (setting, Some(check)) = (policy.setting(rule.id), rule.image_check) else { continue };
        if setting.on() {
            let (moment, report) = (Moment::Image, &mut report);
            check(&judged, &mut Found { rule, setting, policy, moment, report, count: 0 });
        }
    }
    cover(&mut report, outline.as_ref(), policy, false);
    report.sort();
    report
}

// Applies comments and waivers; at the text, judges them too.
fn cover(report: &mut Report, outline: Option<&Outline<'_>>, policy: &Policy, text: bool) {
    let Some(outline) = outline else {
        suppress::exceptions(report, policy, "", &BTreeMap::new(), None);
        return;
    };
    let comments = comments::read(outline);
    let used = suppress::comments(report, outline, policy, &comments);
    if text {
        let covering = Covering { outline, comments: &comments, used: &used };
        for rule in RULES {
            let (setting, Some(check)) = (policy.setting(rule.id), rule.cover_check) else {
                continue;
            };
            if setting.on() {
                let moment = Moment::Static;
                let report = &mut *report;
                check(&covering, &mut Found { rule, setting, policy, moment, report, count: 0 });
            }
        }
    }
    let file = &outline.input.sources.get(outline.input.file.source).name;
    let stages = outline.stages.iter().map(|stage| (stage.index, stage.shown())).collect();
    suppress::exceptions(report, policy, file, &stages, outline.input.today);
}

/// What a rule about comments and waivers is given.
pub struct Covering<'a> {
    outline: &'a Outline<'a>,
    comments: &'a comments::Comments,
    used: &'a [bool],
}

impl Covering<'_> {
    // Judges the text by one rule alone, whatever the policy makes of it.
    fn findings_of(&self, rule: &'static Rule, policy: &Policy) -> Vec<Finding> {
        let mut report = Report::default();
        let Some(check) = rule.text_check else { return Vec::new() };
        let setting = policy.setting(rule.id);
        let alone = Setting { level: Level::Error, facets: BTreeMap::new(), ..setting.clone() };
        let moment = Moment::Static;
        let out = &mut report;
        check(
            self.outline,
            &mut Found { rule, setting: &alone, policy, moment, report: out, count: 0 },
        );
        report.findings
    }
}

#[cfg(test)]
mod acted;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
