//! Facts to verdicts: rules, profiles, suppressions, and how findings are told.
//!
//! Judges and never looks: [`check_text`] is a pure function of the text and what is known of its
//! bases, [`check_image`] of the facts of a finished image. Each rule is one file in `rules/` and
//! one word in the list there; what it is worth is said by every profile in `policies/`. Nothing
//! here stops a build: `build` asks [`Report::verdict`].

mod acts;
mod bases;
mod budget;
mod calls;
mod comments;
mod context;
mod copied;
mod custom;
mod dive;
mod document;
mod exceptions;
mod executed;
mod finding;
mod fix;
mod flow;
mod formats;
mod glob;
mod import;
mod judged;
mod look;
mod outline;
mod patterns;
mod profile;
mod read;
#[cfg(feature = "rego")]
pub mod rego;
mod report;
mod rule;
mod rules;
mod scripts;
mod sections;
mod show;
mod start;
mod started;
mod suppress;
mod template;
mod tested;
mod units;
mod values;
mod yaml;

pub use acts::{Act, Acts, BehaviourInput, StepInput, check_behaviour, is_plain};
pub use bases::{BaseFacts, BaseSignature, Bases};
pub use calls::Head;
pub use context::{ContextFile, ContextFiles, GivenFiles};
pub use custom::{Custom, CustomRule, FAILED, Runner, View};
pub use dive::DiveThresholds;
pub use exceptions::Exception;
pub use finding::{
    Confidence, FailOn, Finding, Fix, ImagePlace, Level, Moment, Place, Report, Skipped,
    Suppressed, Verdict,
};
pub use fix::diff;
pub use formats::{Format, Told};
pub use glob::matches;
pub use import::{Foreign, Imported};
pub use judged::{Judged, Maker};
pub use look::{Transfer, variables};
pub use outline::{BaseName, Item, Outline, Stage, TextInput};
pub use profile::{
    Behaviour, Inline, Offline, Overrides, PROFILES, Policy, PolicyCause, PolicyError, PolicyFiles,
    RuleName, Setting, find_rules, rule,
};
pub use read::not_toml;
pub use rule::{Alias, Around, Found, Param, ParamKind, Rule};
pub use rules::{CATEGORIES, RULES, explain};
pub use show::table_of;
pub use template::template;
pub use tested::{Tested, tap_of};

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

use crate::facts::ImageFacts;
use exceptions::Scope;
use finding::Count;

// What rules say of an image whose manifest or config is not of its digest.
const UNBELIEVED: &str = "the image's documents are not what names them";

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
    judge(&mut Outline::new(input), policy)
}

/// The same for a process that ends soon: what judging needed is left to the kernel, which takes it
/// back at once. For what goes on, this is a leak.
pub fn check_last_text(input: TextInput<'_>, policy: &Policy) -> Report {
    judge(&mut ManuallyDrop::new(Outline::new(input)), policy)
}

fn judge(outline: &mut Outline<'_>, policy: &Policy) -> Report {
    let input = outline.input;
    let mut report = Report::default();
    let asked = RULES
        .iter()
        .any(|rule| rule.text_check.is_some() && rule.inline && policy.setting(rule.id).on());
    let followed = match input.context {
        Some(context) if asked => copied::follow(outline, context),
        _ => Vec::new(),
    };
    for rule in RULES {
        let (setting, Some(check)) = (policy.setting(rule.id), rule.text_check) else { continue };
        if setting.on() {
            let (moment, report) = (Moment::Static, &mut report);
            check(
                outline,
                &mut Found { rule, setting, policy, moment, report, count: Count::default() },
            );
        }
    }
    for finding in &mut report.findings {
        let script = followed.iter().find(|(span, _)| finding.span == Some(*span));
        if let Some((_, script)) = script {
            finding.evidence.insert("script", script.as_str().into());
            finding.label.push_str(&format!(" (it runs `{script}`)"));
        }
    }
    let document = |_| document::of_text(outline, policy);
    custom::judge(&mut report, policy, Moment::Static, Some(outline), document);
    cover(&mut report, Some(outline), policy, Moment::Static, None);
    report.sort();
    report
}

/// Returns what rules in Rego see of a text as `input` (docs/rego.md).
pub fn input_document(input: TextInput<'_>, policy: &Policy) -> serde_json::Value {
    document::of_text(&Outline::new(input), policy)
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
        let mut own = None;
        if input.facts.whole.broken {
            // Of an image whose documents are not believed nothing else is known, and that is told
            // whatever was asked for.
            if rule.id != "digest-mismatch" {
                if setting.on() {
                    report.skipped.push(Skipped { rule: rule.id, reason: UNBELIEVED.to_owned() });
                }
                continue;
            }
            if setting.level < Level::Warn {
                own = Some(Setting { level: Level::Error, ..setting.clone() });
            }
        }
        let setting = own.as_ref().unwrap_or(setting);
        if setting.on() {
            let (moment, report) = (Moment::Image, &mut report);
            check(
                &judged,
                &mut Found { rule, setting, policy, moment, report, count: Count::default() },
            );
        }
    }
    let document = |files| document::of_image(&judged, files);
    if input.facts.whole.broken {
        let on = policy.custom.at(Moment::Image).filter(|rule| policy.is_on(rule.id));
        let skip = |rule: &CustomRule| Skipped { rule: rule.id, reason: UNBELIEVED.to_owned() };
        report.skipped.extend(on.map(skip));
    } else {
        custom::judge(&mut report, policy, Moment::Image, outline.as_ref(), document);
    }
    cover(&mut report, outline.as_ref(), policy, Moment::Image, Some(input.facts));
    report.sort();
    report
}

// Applies comments and waivers; at the text judges them too.
fn cover(
    report: &mut Report,
    outline: Option<&Outline<'_>>,
    policy: &Policy,
    moment: Moment,
    facts: Option<&ImageFacts>,
) {
    let Some(outline) = outline else {
        // A waiver ends for images too.
        let today = facts.and_then(|facts| facts.whole.today.as_deref());
        let names = facts.map_or(&[][..], |facts| &facts.whole.names);
        exceptions::apply(report, policy, &Scope { facts, today, names, ..Scope::default() });
        return;
    };
    let comments = comments::read(outline, policy);
    let used = suppress::comments(report, outline, policy, &comments);
    if moment == Moment::Static {
        let covering = Covering { outline, comments: &comments, used: &used };
        for rule in RULES {
            let (setting, Some(check)) = (policy.setting(rule.id), rule.cover_check) else {
                continue;
            };
            if setting.on() {
                let report = &mut *report;
                check(
                    &covering,
                    &mut Found { rule, setting, policy, moment, report, count: Count::default() },
                );
            }
        }
    }
    let scope = Scope {
        file: &outline.input.sources.get(outline.input.file.source).name,
        stages: outline.stages.iter().map(|stage| (stage.index, stage.shown())).collect(),
        names: outline.input.tags.unwrap_or(&[]),
        facts,
        today: outline.input.today,
        ..Scope::default()
    };
    exceptions::apply(report, policy, &scope);
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
            &mut Found {
                rule,
                setting: &alone,
                policy,
                moment,
                report: out,
                count: Count::default(),
            },
        );
        report.findings
    }
}

#[cfg(test)]
mod acted;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod rule_docs;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
