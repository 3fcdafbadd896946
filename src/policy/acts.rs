//! What steps did, in the form in which rules look at it: each RUN with its facts, and what could not
//! be seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Count, Finding, Level, Moment, Place, Report};
use super::outline::{Item, Outline, TextInput};
use super::profile::{Behaviour as Wanted, Policy};
use super::rule::Found;
use super::rules::RULES;
use crate::base::Span;
use crate::facts::{Behaviour, Conduct, Executed, Observed};

/// How steps went, and the text that they come from.
#[derive(Clone, Copy)]
pub struct BehaviourInput<'a> {
    /// The text.
    pub text: TextInput<'a>,
    /// The steps, in the order of the plan.
    pub steps: &'a [StepInput<'a>],
}

/// How one step went.
#[derive(Clone, Copy)]
pub struct StepInput<'a> {
    /// The instruction.
    pub span: Span,
    /// All that is known.
    pub conduct: &'a Conduct,
}

/// What a rule that looks at behaviour is given.
pub struct Acts<'o, 'a> {
    /// The text.
    pub outline: &'o Outline<'a>,
    /// The steps.
    pub steps: Vec<Act<'o, 'a>>,
    unseen: RefCell<BTreeSet<(usize, String)>>,
}

/// A step and what it did.
pub struct Act<'o, 'a> {
    /// The instruction, if it stands in the file: those of a base's ONBUILD do not.
    pub item: Option<&'o Item<'a>>,
    /// Where findings point.
    pub span: Span,
    /// All that is known.
    pub conduct: &'a Conduct,
    /// Its stage becomes the image.
    pub ships: bool,
}

/// Judges how steps went.
///
/// In a build, add it to the report of [`super::check_text`] with [`Report::append`]: what both have
/// found is told once.
pub fn check_behaviour(input: BehaviourInput<'_>, policy: &Policy) -> Report {
    let outline = Outline::new(input.text);
    let shipped: BTreeSet<usize> = outline.shipped().map(|item| item.place.index).collect();
    let items: BTreeMap<Span, &Item<'_>> =
        outline.items().map(|item| (item.place.span, item)).collect();
    let steps = input
        .steps
        .iter()
        .map(|step| {
            let item = items.get(&step.span).copied();
            Act {
                item,
                span: item.map_or(step.span, |item| item.instruction.keyword()),
                conduct: step.conduct,
                // ONBUILD is done in the stage of the FROM that brings it.
                ships: item.is_none_or(|item| shipped.contains(&item.place.index)),
            }
        })
        .collect();
    let acts = Acts { outline: &outline, steps, unseen: RefCell::default() };
    let mut report = Report::default();
    let mut blind: Option<&'static str> = None;
    for rule in RULES {
        let (setting, Some(check)) = (policy.setting(rule.id), rule.behaviour_check) else {
            continue;
        };
        if !setting.on() {
            continue;
        }
        let (moment, report) = (Moment::Behaviour, &mut report);
        let mut found = Found { rule, setting, policy, moment, report, count: Count::default() };
        if policy.behaviour == Wanted::Off && rule.watched {
            if rule.text_check.is_none() && !acts.steps.is_empty() {
                found.skip("the policy does not look at what steps do");
            }
            continue;
        }
        check(&acts, &mut found);
        if blind.is_none() && !acts.unseen.borrow().is_empty() {
            blind = Some(rule.id);
        }
    }
    if let (Wanted::Required, Some(rule)) = (policy.behaviour, blind) {
        for (at, reason) in acts.unseen.borrow().iter() {
            let act = &acts.steps[*at];
            let message = format!("what this step did is not known: {reason}");
            let mut finding =
                Finding::new(Moment::Behaviour, message).at(act.span, "not watched").help(
                    "build where steps can be watched (`rbuild doctor` tells), with --audit=exec",
                );
            finding.rule = rule;
            finding.level = Level::Error;
            finding.place = act.item.map(|item| item.place);
            report.findings.push(finding);
        }
    }
    super::cover(&mut report, Some(&outline), policy, Moment::Behaviour, None);
    report.sort();
    report
}

/// Tells whether [`check_behaviour`] has nothing to look at in a step, for it was not watched and
/// nothing of note is known of it otherwise.
pub fn is_plain(conduct: &Conduct, policy: &Policy) -> bool {
    let budget = policy.setting("step-resource-budget");
    conduct.seen.is_none()
        && conduct.printed == 0
        && conduct.varying.as_ref().is_none_or(Vec::is_empty)
        && conduct.hooks.as_ref().is_none_or(Vec::is_empty)
        && budget.level < Level::Warn
        && policy.behaviour != Wanted::Required
}

impl<'o, 'a> Acts<'o, 'a> {
    /// Returns the steps that were watched; that others were not is noted.
    pub fn watched(&self, found: &mut Found<'_>) -> Vec<(&Act<'o, 'a>, &'a Behaviour)> {
        let mut seen = Vec::new();
        for (at, act) in self.steps.iter().enumerate() {
            match &act.conduct.seen {
                Some(Observed::Watched(behaviour)) => {
                    if behaviour.untold > 0 {
                        let reason = format!("{} acts were beyond the limit", behaviour.untold);
                        self.unseen(at, reason, found);
                    }
                    seen.push((act, behaviour));
                }
                Some(Observed::Skipped(reason)) => self.unseen(at, reason.clone(), found),
                None => self.unseen(at, NOBODY.to_owned(), found),
            }
        }
        seen
    }

    /// Notes that something of a step could not be seen.
    pub fn unseen_of(&self, act: &Act<'_, '_>, reason: &str, found: &mut Found<'_>) {
        if let Some(at) = self.steps.iter().position(|other| std::ptr::eq(other, act)) {
            self.unseen(at, reason.to_owned(), found);
        }
    }

    fn unseen(&self, at: usize, reason: String, found: &mut Found<'_>) {
        // What looks at the text as well has looked, unless more was asked for.
        if reason != NOBODY || found.rule.text_check.is_none() {
            found.skip(reason.clone());
        }
        self.unseen.borrow_mut().insert((at, reason));
    }
}

const NOBODY: &str = "steps were not watched: --audit=exec";

/// The longest word of a command that is shown.
const LONGEST: usize = 60;

impl Act<'_, '_> {
    /// Makes a finding at the step, with the programs that led to it.
    pub fn finding(
        &self,
        found: &Found<'_>,
        seen: &Behaviour,
        by: Option<usize>,
        message: impl Into<String>,
    ) -> Finding {
        let chain = chain(seen, by);
        let label = match chain.is_empty() {
            true => "this step".to_owned(),
            false => chain.join(" → "),
        };
        let mut finding = found.finding(message).at(self.span, label).evidence("chain", chain);
        if let Some(program) = by.and_then(|by| seen.execs.get(by)) {
            finding = finding.evidence("program", program.path.as_str());
            if let Some(sha256) = &program.sha256 {
                finding = finding.evidence("sha256", sha256.as_str());
            }
        }
        self.placed(finding)
    }

    /// Puts a finding at the instruction.
    pub fn placed(&self, mut finding: Finding) -> Finding {
        finding.place = self.item.map(|item| item.place);
        finding
    }

    /// The instruction's place.
    pub fn place(&self) -> Option<Place> {
        self.item.map(|item| item.place)
    }
}

/// Returns the commands from the step's own to a program, in short.
fn chain(seen: &Behaviour, by: Option<usize>) -> Vec<String> {
    let Some(by) = by else { return Vec::new() };
    let Some(last) = seen.execs.get(by) else { return Vec::new() };
    let mut programs = vec![last];
    programs.extend(seen.chain(by));
    programs.reverse();
    programs.into_iter().map(shown).collect()
}

/// Returns a program's command on one line, cut where it is long.
pub(super) fn shown(program: &Executed) -> String {
    let text = match program.argv.is_empty() {
        true => program.path.clone(),
        false => program.argv.join(" "),
    };
    let text: String =
        text.chars().map(|c| if c.is_control() || c == '\u{fffd}' { ' ' } else { c }).collect();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
