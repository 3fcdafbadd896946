//! What a rule is, and what a rule's check is given.

use toml::Value;

use super::acts::Acts;
use super::finding::{Count, Finding, Level, Moment, Place, Report, Skipped};
use super::outline::Outline;
use super::profile::{Offline, Policy, Setting};
use super::units;
use super::{Covering, Judged};
use crate::base::Span;
use crate::facts::credentials::Credential;

/// A rule: one value in one file of `rules/`, and one word in the list there.
#[derive(Clone, Copy)]
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
    /// Parts that a policy may give a level of their own: `apt`, `pip`.
    pub facets: &'static [&'static str],
    /// Whether a comment in the Dockerfile may cover it.
    pub inline: bool,
    /// The check of the text, if it has one.
    pub text_check: Option<fn(&Outline<'_>, &mut Found<'_>)>,
    /// The check of the image, if it has one.
    pub image_check: Option<fn(&Judged<'_>, &mut Found<'_>)>,
    /// Whether that looks at files: what is known of them is gathered only for rules which do.
    pub files: bool,
    /// The check of what steps did, if it has one.
    pub behaviour_check: Option<fn(&Acts<'_, '_>, &mut Found<'_>)>,
    /// Whether that needs steps to be watched (`--audit`).
    pub watched: bool,
    /// The check of comments and waivers, if it has one.
    pub cover_check: Option<fn(&Covering<'_>, &mut Found<'_>)>,
    /// Dockerfiles in which it finds something.
    pub bad: &'static [&'static str],
    /// Dockerfiles in which it finds nothing.
    pub good: &'static [&'static str],
    /// What stands around these examples.
    pub around: Around,
}

/// What the examples of a rule are judged with.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The files of the context, with their texts.
    pub files: &'static [(&'static str, &'static str)],
    /// Those of them that the ignore file leaves out.
    pub ignored: &'static [&'static str],
    /// What is known of bases, as `lint --bases` takes it.
    pub bases: &'static str,
    /// The names of the image.
    pub tags: &'static [&'static str],
    /// What the policy says besides, as `--set` takes it.
    pub set: &'static [&'static str],
}

impl Around {
    /// Nothing.
    pub const NONE: Around = Around { files: &[], ignored: &[], bases: "{}", tags: &[], set: &[] };
}

impl Rule {
    /// What a rule has that says nothing else: no alias, no parameter, no check; a comment may
    /// cover it.
    pub const NEW: Rule = Rule {
        id: "",
        title: "",
        text: "",
        aliases: &[],
        standards: &[],
        params: &[],
        facets: &[],
        inline: true,
        text_check: None,
        image_check: None,
        files: true,
        behaviour_check: None,
        watched: true,
        cover_check: None,
        bad: &[],
        good: &[],
        around: Around::NONE,
    };
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

    /// An alias of one facet.
    pub const fn part(name: &'static str, facet: &'static str) -> Self {
        Alias { name, facet: Some(facet) }
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
    /// `true` or `false`.
    Flag,
    /// A list of whole numbers from 0 on.
    Numbers,
    /// A whole number from 0 on.
    Number,
    /// Bytes: `200B`, `64KiB`, `20MB`.
    Size,
    /// A time: `7d`, `12h`, `30min`, `200ms`.
    Time,
    /// A fraction from 0 to 1, or percent: `0.95`, `"10%"`.
    Share,
    /// A list of strings or tables: for rules that read it themselves.
    Entries,
    /// A table of strings.
    Words,
}

impl ParamKind {
    /// Tells whether a value fits; else what would.
    pub fn check(self, value: &Value) -> Result<(), String> {
        let strings =
            |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_str));
        let natural = |value: &Value| value.as_integer().is_some_and(|number| number >= 0);
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
            ParamKind::Flag if value.is_bool() => Ok(()),
            ParamKind::Flag => Err("true or false".into()),
            ParamKind::Numbers if value.as_array().is_some_and(|list| list.iter().all(natural)) => {
                Ok(())
            }
            ParamKind::Numbers => Err("a list of whole numbers".into()),
            ParamKind::Number if natural(value) => Ok(()),
            ParamKind::Number => Err("a whole number".into()),
            ParamKind::Size if units::size(value).is_some() => Ok(()),
            ParamKind::Size => Err("a size such as \"64KiB\"".into()),
            ParamKind::Time if value.as_str().and_then(units::millis).is_some() => Ok(()),
            ParamKind::Time => Err("a time such as \"90d\"".into()),
            ParamKind::Share if units::share(value).is_some() => Ok(()),
            ParamKind::Share => Err("a share such as 0.1 or \"10%\"".into()),
            ParamKind::Entries
                if value
                    .as_array()
                    .is_some_and(|list| list.iter().all(|one| one.is_str() || one.is_table())) =>
            {
                Ok(())
            }
            ParamKind::Entries => Err("a list of strings or tables".into()),
            ParamKind::Words
                if value.as_table().is_some_and(|table| table.values().all(Value::is_str)) =>
            {
                Ok(())
            }
            ParamKind::Words => Err("a table of strings".into()),
        }
    }
}

/// What a check reports to, with what the policy says of the rule.
pub struct Found<'a> {
    pub(super) rule: &'static Rule,
    pub(super) setting: &'a Setting,
    pub(super) policy: &'a Policy,
    pub(super) moment: Moment,
    pub(super) report: &'a mut Report,
    pub(super) count: Count,
}

// What rules say whose base was not looked up.
const UNRESOLVED: &str = "bases not resolved";

impl Found<'_> {
    /// Starts a finding of this moment.
    pub fn finding(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.moment, message)
    }

    /// Reports a finding with all that most have: where, what, and the remedy.
    pub fn tell(
        &mut self,
        place: Place,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let finding = self.finding(message).at(span, label).of(place).help(help);
        self.add(finding);
    }

    /// Reports a finding at the rule's level, or that of its facet.
    pub fn add(&mut self, finding: Finding) {
        self.add_at(Level::Error, finding);
    }

    /// Reports a finding at this level, or at that of the rule or facet if it is lower.
    pub fn add_at(&mut self, most: Level, mut finding: Finding) {
        finding.rule = self.rule.id;
        let own = finding.facet.and_then(|facet| self.setting.facets.get(facet)).copied();
        if own == Some(Level::Off) || (own.is_none() && self.setting.level == Level::Off) {
            return;
        }
        let level = most.min(own.unwrap_or(self.setting.level));
        // `--only` is for looking: what it names is at least a warning.
        finding.level = if self.setting.only { level.max(Level::Warn) } else { level };
        self.count.keep(finding, &mut self.report.findings);
    }

    /// Says that the rule could not look. Where the policy has it so, a base that was not looked
    /// up is a finding.
    pub fn skip(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.policy.offline == Offline::Error && reason == UNRESOLVED {
            let mut finding = self
                .finding(format!("this rule could not look: {reason}"))
                .help("let the bases be looked up, tell of them (`lint --bases FILE`), or set offline = \"skip\"");
            finding.rule = self.rule.id;
            finding.level = Level::Error;
            if !self.report.findings.contains(&finding) {
                self.report.findings.push(finding);
            }
        }
        self.report.skipped.push(Skipped { rule: self.rule.id, reason });
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

    /// Returns a parameter that is `true` or `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.value(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Returns a parameter that is a list of numbers.
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let list = self.value(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|value| u64::try_from(value.as_integer()?).ok()).collect()
    }

    /// Returns a parameter that is a number.
    pub fn number(&self, name: &str) -> u64 {
        let number = self.value(name).and_then(Value::as_integer).unwrap_or(0);
        u64::try_from(number).unwrap_or(0)
    }

    /// Returns a parameter that is a size, in bytes.
    pub fn size(&self, name: &str) -> u64 {
        self.value(name).and_then(units::size).unwrap_or(u64::MAX)
    }

    /// Returns a parameter that is a share, from 0 to 1.
    pub fn share(&self, name: &str) -> f64 {
        self.value(name).and_then(units::share).unwrap_or(1.0)
    }

    /// Returns a parameter that is a time, in seconds.
    pub fn seconds(&self, name: &str) -> u64 {
        self.value(name).and_then(Value::as_str).and_then(units::seconds).unwrap_or(u64::MAX)
    }

    /// Returns a parameter that is a time, in milliseconds.
    pub fn millis(&self, name: &str) -> u64 {
        self.value(name).and_then(Value::as_str).and_then(units::millis).unwrap_or(u64::MAX)
    }

    /// Returns a key of a section of the policy (`[bases] allow`), its default if none is set.
    pub fn section(&self, section: &str, key: &str) -> Option<&Value> {
        self.policy.section(section, key)
    }

    /// Returns the names that are no secrets: of the rule's `accept` and of `[secrets]`.
    pub fn accepted(&self) -> Vec<&str> {
        let mut names = self.texts("accept");
        names.extend(self.section_texts("secrets", "accept_keys"));
        names
    }

    /// Finds credentials in a text: by the forms that are known, and those of `[secrets] extra`.
    pub(super) fn credentials(&self, text: &str) -> Vec<Credential> {
        let mut found = crate::facts::credentials::find(text);
        found.extend(super::patterns::secrets(self.section("secrets", "extra"), text));
        found
    }

    /// Returns a list of strings of a section of the policy.
    pub fn section_texts(&self, section: &str, key: &str) -> Vec<&str> {
        let list = self.section(section, key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// The policy that is in force.
    pub fn policy(&self) -> &Policy {
        self.policy
    }

    /// Returns a parameter that is a string.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).and_then(Value::as_str).unwrap_or("")
    }

    /// Returns a parameter that is a table of strings.
    pub fn table(&self, name: &str) -> Vec<(String, String)> {
        let table = self.value(name).and_then(Value::as_table).into_iter().flatten();
        table.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
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
