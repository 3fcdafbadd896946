//! What a rule found, and what all of it together means.

use std::collections::{BTreeMap, BTreeSet};

use super::exceptions;
use super::profile::Policy;
use crate::base::Span;
use crate::diag::Label;

/// How much a rule matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not looked at.
    Off,
    /// Told in one line; counts for nothing. No policy file sets it: it is what becomes of a rule
    /// whose `action` does the work itself.
    Note,
    /// Reported.
    Warn,
    /// Reported, and the image is refused.
    Error,
}

impl Level {
    /// The word in policy files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Note => "note",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// Reads what a policy file may say: `off`, `warn` (or `warning`), `error`.
    pub fn parse(word: &str) -> Option<Level> {
        match word {
            "off" => Some(Level::Off),
            "warn" | "warning" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => None,
        }
    }
}

/// When a rule looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// At the text, before anything runs.
    Static,
    /// At what a step does, while it runs.
    Behaviour,
    /// At the finished image, before anything leaves.
    Image,
}

/// How sure a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Read from a syntax tree or from bytes.
    High,
    /// Read from words of a text that no parser took.
    Low,
}

/// The instruction that a finding belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Position among the instructions of the file, from 0.
    pub index: usize,
    /// The whole instruction.
    pub span: Span,
    /// The stage; `None` before the first FROM.
    pub stage: Option<usize>,
}

/// A place in an image.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ImagePlace {
    /// A path, or `config`, `history`, `labels`.
    pub path: String,
    /// The layer that made it so, from 0 at the bottom; `None` where no layer is to blame.
    pub layer: Option<usize>,
}

/// Why a finding does not count.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Suppressed {
    /// `inSource` (a comment) or `external` (an exception of the policy).
    pub kind: &'static str,
    /// The reason that was given; may be empty.
    pub justification: String,
}

/// A change of the text that mends a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fix {
    /// Whether it keeps what the build does; others are made only on demand.
    pub safe: bool,
    /// Places and what they become, in no order; they do not overlap.
    pub edits: Vec<(Span, String)>,
}

/// One thing that a rule found.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// The part of the rule: `apt` of `package-version-unpinned`.
    pub facet: Option<&'static str>,
    /// What the policy makes of it.
    pub level: Level,
    /// When it was seen.
    pub moment: Moment,
    /// The fact: small letters, no full stop, names in backticks.
    pub message: String,
    /// The offending token.
    pub span: Option<Span>,
    /// What stands there, in a few words.
    pub label: String,
    /// Other places.
    pub labels: Vec<Label>,
    /// The instruction.
    pub place: Option<Place>,
    /// The place in the image.
    pub image: Option<ImagePlace>,
    /// Facts for machines.
    pub evidence: BTreeMap<&'static str, serde_json::Value>,
    /// The remedy.
    pub help: Option<String>,
    /// A change that mends it, if one is known.
    pub fix: Option<Fix>,
    /// Whether the words at the place are a secret: people are told the line, not the words.
    pub hidden: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// Said of the image only where the same was not said of the instruction that made it so.
    pub once: bool,
    /// No comment and no waiver covers it.
    pub firm: bool,
    /// Set when it does not count.
    pub suppressed: Option<Suppressed>,
    /// What the exceptions of the policy have to do with it.
    pub(super) waivers: Waivers,
}

/// The exceptions that fit a finding. Whether they cover it is known when all is known: see
/// [`Report::settle`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Waivers {
    /// By their places in the policy.
    pub(super) fit: Vec<usize>,
    /// What the remedy was before it was told that an exception fits too many.
    pub(super) help: Option<Option<String>>,
}

impl Finding {
    /// Makes a finding with no place yet; its rule and level are set by the frame.
    pub fn new(moment: Moment, message: impl Into<String>) -> Self {
        Finding {
            rule: "",
            facet: None,
            level: Level::Off,
            moment,
            message: message.into(),
            span: None,
            label: String::new(),
            labels: Vec::new(),
            place: None,
            image: None,
            evidence: BTreeMap::new(),
            help: None,
            fix: None,
            hidden: false,
            confidence: Confidence::High,
            once: false,
            firm: false,
            suppressed: None,
            waivers: Waivers::default(),
        }
    }

    /// Sets the offending token and the words at it.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }

    /// Sets the instruction.
    #[must_use]
    pub fn of(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Sets the place in the image.
    #[must_use]
    pub fn in_image(mut self, path: impl Into<String>, layer: Option<usize>) -> Self {
        self.image = Some(ImagePlace { path: path.into(), layer });
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a fact for machines.
    #[must_use]
    pub fn evidence(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.evidence.insert(name, value.into());
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Sets the part of the rule.
    #[must_use]
    pub fn facet(mut self, facet: &'static str) -> Self {
        self.facet = Some(facet);
        self
    }

    /// Has the words at its place not shown.
    #[must_use]
    pub fn hide(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Sets a change that mends it and keeps what the build does.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix { safe: true, edits: vec![(span, text.into())] });
        self
    }

    /// Sets a change that mends it and may change what the build does.
    #[must_use]
    pub fn unsafe_fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix { safe: false, edits: vec![(span, text.into())] });
        self
    }

    /// Has it told only where the text did not show it.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Says how sure it is.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Tells whether it counts as a warning or an error.
    pub fn counts(&self) -> bool {
        self.suppressed.is_none() && self.level >= Level::Warn
    }
}

/// The most findings of one rule and level: a hostile file may break a rule a million times, and
/// nobody reads more.
const MOST: usize = 1000;

/// How many findings of a rule there are, each level for itself: lesser ones never hide others.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Count([usize; 4]);

impl Count {
    /// Keeps a finding; of those that are too many, only that there are more, at their level.
    pub(super) fn keep(&mut self, finding: Finding, findings: &mut Vec<Finding>) {
        let count = &mut self.0[finding.level as usize];
        if *count < MOST {
            findings.push(finding);
        } else if *count == MOST {
            // What is not told may be what no comment covers.
            findings.push(Finding {
                rule: finding.rule,
                level: finding.level,
                firm: true,
                help: Some("mend those that are told; the others are told then".into()),
                ..Finding::new(
                    finding.moment,
                    format!("more than {MOST} findings; the rest are not told"),
                )
            });
        }
        *count = count.saturating_add(1);
    }
}

/// A rule that could not look, and why. Never the same as "found nothing".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Skipped {
    /// The rule's id.
    pub rule: &'static str,
    /// Why, in words: `bases not resolved`.
    pub reason: String,
}

/// What all rules found at one or more moments.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Report {
    /// By file, position and rule; see [`Report::sort`].
    pub findings: Vec<Finding>,
    /// Rules that could not look.
    pub skipped: Vec<Skipped>,
}

/// From which level on an image is refused; the mildest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    /// Nothing is refused.
    Never,
    /// Any error; the default.
    Error,
    /// Any warning or error.
    Warn,
}

impl FailOn {
    /// Reads `error`, `warn` or `never`.
    pub fn parse(word: &str) -> Option<FailOn> {
        match word {
            "error" => Some(FailOn::Error),
            "warn" | "warning" => Some(FailOn::Warn),
            "never" => Some(FailOn::Never),
            _ => None,
        }
    }
}

/// The sum of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Verdict {
    /// Findings that count as errors.
    pub errors: usize,
    /// Findings that count as warnings.
    pub warnings: usize,
    /// Findings that a comment or an exception covers.
    pub suppressed: usize,
    /// Rules that could not look.
    pub skipped: usize,
    /// Whether the image is refused.
    pub refused: bool,
}

impl Report {
    /// Adds what was found at another moment. What the config of the image repeats of the text (a
    /// user, a variable) is not told again, nor what was seen of an instruction already
    /// ([`Finding::once`]), nor what a step did that its text has said. Exceptions cover what they
    /// may of both together.
    pub fn append(&mut self, mut other: Report, policy: &Policy) {
        let places = |finding: &Finding| finding.place.map(|place| (finding.rule, place.index));
        let told: BTreeSet<_> = self.findings.iter().filter_map(places).collect();
        other.findings.retain(|new| {
            new.moment != Moment::Behaviour
                || places(new).is_none_or(|place| !told.contains(&place))
        });
        other.findings.retain(|new| {
            let same = |old: &Finding| {
                (old.rule, old.facet) == (new.rule, new.facet)
                    && old.place.map(|place| place.index) == new.place.map(|place| place.index)
            };
            !new.once || new.place.is_none() || !self.findings.iter().any(same)
        });
        other.findings.retain(|new| {
            new.image.as_ref().is_none_or(|image| image.path != "config")
                || self.findings.iter().all(|old| {
                    old.rule != new.rule || old.evidence.get("name") != new.evidence.get("name")
                })
        });
        self.findings.append(&mut other.findings);
        self.skipped.append(&mut other.skipped);
        self.sort();
        Report::settle(&mut [(self, policy)]);
    }

    /// Has the exceptions of the policies cover what they fit; one with a `max` only if it fits no more
    /// in all these reports together. Reports of one command are to be settled together.
    pub fn settle(reports: &mut [(&mut Report, &Policy)]) {
        exceptions::settle(reports);
    }

    /// Puts findings into the order of reports: text, position, rule, image path; and each
    /// skipped rule once.
    pub fn sort(&mut self) {
        self.findings.sort_by(|a, b| key(a).cmp(&key(b)));
        self.skipped.sort();
        self.skipped.dedup();
    }

    /// Counts, and tells whether the image is refused.
    pub fn verdict(&self, fail_on: FailOn) -> Verdict {
        let count = |level| {
            self.findings
                .iter()
                .filter(|finding| finding.counts() && finding.level == level)
                .count()
        };
        let (errors, warnings) = (count(Level::Error), count(Level::Warn));
        Verdict {
            errors,
            warnings,
            suppressed: self.findings.iter().filter(|f| f.suppressed.is_some()).count(),
            skipped: self.skipped.len(),
            refused: match fail_on {
                FailOn::Error => errors > 0,
                FailOn::Warn => errors + warnings > 0,
                FailOn::Never => false,
            },
        }
    }
}

// Findings without a place in a text come last.
fn key(finding: &Finding) -> (bool, Option<Span>, &str, Option<&str>, &str) {
    let path = finding.image.as_ref().map(|image| image.path.as_str());
    (finding.span.is_none(), finding.span, finding.rule, path, &finding.message)
}
