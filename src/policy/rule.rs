//! What a rule is, and what a rule's check is given.

use toml::Value;

use super::Judged;
use super::finding::{Finding, Level, Moment, Report, Skipped};
use super::outline::Outline;
use super::profile::Setting;

/// A rule: one value in one file of `rules/`, and one word in the list there.
pub struct Rule {
    /// The id, for ever: `final-user-root`.
    pub id: &'static str,
    /// Why it matters, in a sentence.
    pub title: &'static str,
    /// What it finds, what it lets pass, how to mend it: the text of `explain`.
    pub text: &'static str,
    /// What other tools call it; each may stand for the rule in policies and comments, or for one
    /// of its facets.
    pub aliases: &'static [Alias],
    /// Clauses of standards: `CIS 4.1`.
    pub standards: &'static [&'static str],
    /// What a policy may set besides `severity`.
    pub params: &'static [Param],
    /// Whether a comment in the Dockerfile may cover it.
    pub inline: bool,
    /// The check of the text, if it has one.
    pub text_check: Option<fn(&Outline<'_>, &mut Found<'_>)>,
    /// The check of the image, if it has one.
    pub image_check: Option<fn(&Judged<'_>, &mut Found<'_>)>,
    /// Dockerfiles in which it finds something.
    pub bad: &'static [&'static str],
    /// Dockerfiles in which it finds nothing.
    pub good: &'static [&'static str],
}

/// Another tool's name for a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The name: `DL3008`.
    pub name: &'static str,
    /// The part of the rule that it means.
    pub facet: Option<&'static str>,
}

impl Alias {
    /// An alias of the whole rule.
    pub const fn of(name: &'static str) -> Self {
        Alias { name, facet: None }
    }
}

/// Something that a policy may set for a rule.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The key.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// The value where no policy says anything, as TOML.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
}

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParamKind {
    /// A list of strings.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A string.
    Text,
    /// A list of strings, or of tables with `path` and `sha256`.
    Files,
}

impl ParamKind {
    /// Tells whether a value fits; else what would.
    pub fn check(self, value: &Value) -> Result<(), String> {
        let strings =
            |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_str));
        let file = |value: &Value| match value {
            Value::String(_) => true,
            Value::Table(table) => {
                table.get("path").is_some_and(Value::is_str)
                    && table.iter().all(|(key, value)| {
                        matches!(key.as_str(), "path" | "sha256") && value.is_str()
                    })
            }
            _ => false,
        };
        match self {
            ParamKind::Texts if strings(value) => Ok(()),
            ParamKind::Texts => Err("a list of strings".into()),
            ParamKind::Word(words) => match value.as_str() {
                Some(word) if words.contains(&word) => Ok(()),
                _ => Err(format!("one of `{}`", words.join("`, `"))),
            },
            ParamKind::Text if value.is_str() => Ok(()),
            ParamKind::Text => Err("a string".into()),
            ParamKind::Files if value.as_array().is_some_and(|list| list.iter().all(file)) => {
                Ok(())
            }
            ParamKind::Files => Err("a list of paths or of { path = …, sha256 = … }".into()),
        }
    }
}

/// What a check reports to, with what the policy says of the rule.
pub struct Found<'a> {
    pub(super) rule: &'static Rule,
    pub(super) setting: &'a Setting,
    pub(super) moment: Moment,
    pub(super) report: &'a mut Report,
}

// A hostile file may break one rule a million times; nobody reads more than this.
const MOST: usize = 1000;

impl Found<'_> {
    /// Starts a finding of this moment.
    pub fn finding(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.moment, message)
    }

    /// Reports a finding at the rule's level.
    pub fn add(&mut self, finding: Finding) {
        self.add_at(self.setting.level, finding);
    }

    /// Reports a finding at this level, or at the rule's if that is lower.
    pub fn add_at(&mut self, level: Level, mut finding: Finding) {
        let mine = self.report.findings.iter().filter(|f| f.rule == self.rule.id).count();
        if mine >= MOST {
            return;
        }
        finding.rule = self.rule.id;
        let level = level.min(self.setting.level);
        // `--only` is for looking: what it names is at least a warning.
        finding.level = if self.setting.only { level.max(Level::Warn) } else { level };
        self.report.findings.push(finding);
    }

    /// Says that the rule could not look.
    pub fn skip(&mut self, reason: impl Into<String>) {
        self.report.skipped.push(Skipped { rule: self.rule.id, reason: reason.into() });
    }

    /// The rule's level.
    pub fn level(&self) -> Level {
        self.setting.level
    }

    /// Returns a parameter that is a list of strings.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.value(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Returns a parameter that is a string.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Returns a parameter that lists files: path and, if given, SHA-256.
    pub fn files(&self, name: &str) -> Vec<(&str, Option<&str>)> {
        self.value(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|value| match value {
                Value::String(path) => Some((path.as_str(), None)),
                Value::Table(table) => Some((
                    table.get("path")?.as_str()?,
                    table.get("sha256").and_then(Value::as_str),
                )),
                _ => None,
            })
            .collect()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.rule.params.iter().any(|param| param.name == name), "{name}");
        self.setting.params.get(name)
    }
}
