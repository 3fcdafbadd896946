//! The effective policy: what each rule is worth, and where that was said.
//!
//! Built-in profile, then files, then the command line; later wins, except over what an earlier
//! one has locked. Reading TOML is in `read`.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::custom::Custom;
use super::exceptions::Exception;
use super::finding::{FailOn, Level};
use super::read;
use super::rule::Rule;
use super::rules;
use super::sections;
use crate::base::{Blob, Digest};
use crate::diag::nearest;

/// Why a policy cannot be used: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PolicyError {
    /// The file, or `--set`.
    pub place: String,
    /// The fact.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
    /// What kind of error it is.
    pub cause: PolicyCause,
}

/// What is wrong where a policy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyCause {
    /// It says what cannot be.
    #[default]
    Wrong,
    /// What it extends cannot be had: exit code 5.
    Absent,
    /// What it extends is not what its digest names: exit code 6.
    Tampered,
}

impl PolicyError {
    pub(super) fn new(place: &str, message: impl Into<String>) -> Self {
        let cause = PolicyCause::Wrong;
        PolicyError { place: place.to_owned(), message: message.into(), help: None, cause }
    }

    pub(super) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// What comments in the Dockerfile may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inline {
    /// Nothing.
    Deny,
    /// Cover a finding, with a reason.
    Justify,
    /// Cover a finding.
    Allow,
}

/// What becomes of rules that would need a base that was not looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Offline {
    /// They are listed as skipped.
    Skip,
    /// They are findings.
    Error,
}

/// What a policy says of one rule.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    /// What it is worth.
    pub level: Level,
    /// What parts of it are worth, where that differs.
    pub facets: BTreeMap<&'static str, Level>,
    /// Its parameters, defaults included.
    pub params: Table,
    /// Who said so last: `hardened`, a file, `--set`.
    pub origin: String,
    /// Named by `--only`.
    pub only: bool,
}

impl Setting {
    /// Tells whether the rule, or a part of it, is on.
    pub fn on(&self) -> bool {
        self.level > Level::Off || self.facets.values().any(|level| *level > Level::Off)
    }
}

/// Whether what steps do is seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// Nobody looks.
    Off,
    /// Where `--audit` asks for it.
    Auto,
    /// Unless `--audit=none` forbids it. A step that could not be watched is told.
    Required,
}

/// A rule, or one facet of it, as people name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleName {
    /// The rule's id.
    pub rule: &'static str,
    /// The facet, if one was named.
    pub facet: Option<&'static str>,
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.facet {
            Some(facet) => write!(out, "{}[{facet}]", self.rule),
            None => out.write_str(self.rule),
        }
    }
}

/// What the command line says.
#[derive(Clone, Default, Debug)]
pub struct Overrides {
    /// `--only`: all other rules are off, these are at least warnings.
    pub only: Vec<String>,
    /// `--skip`.
    pub skip: Vec<String>,
    /// `--set rules.ID=LEVEL`, `--set rules.ID.PARAM=VALUE`, `--set inline=…`.
    pub set: Vec<String>,
    /// `--fail-on`.
    pub fail_on: Option<FailOn>,
}

/// The effective policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// Its name: that of the last file, or of the profile.
    pub name: String,
    /// What comments may do.
    pub inline: Inline,
    /// What becomes of rules without their base.
    pub offline: Offline,
    /// From which level on an image is refused.
    pub fail_on: FailOn,
    /// Whether steps are watched.
    pub behaviour: Behaviour,
    /// Steps may run without namespaces, where that is asked for (`--isolation=chroot`).
    pub chroot: bool,
    /// Every rule.
    pub rules: BTreeMap<&'static str, Setting>,
    /// What rules share: `[registries]`, `[bases]`, `[labels]` …, as far as it was set.
    pub sections: BTreeMap<&'static str, Table>,
    /// Waivers.
    pub exceptions: Vec<Exception>,
    /// What may not be weakened: `inline`, `chroot`, `rules.ID`.
    pub locked: BTreeSet<String>,
    /// Who said so last, by key: `inline`, `bases.allow`, `rules.ID.PARAM`. What is not here is a
    /// default.
    pub origins: BTreeMap<String, String>,
    /// Rules of others: `[custom]`.
    pub custom: Custom,
    /// Error rules that the command line has switched off.
    pub skipped_errors: BTreeSet<&'static str>,
}

/// The files that a policy file names, by paths as written there.
pub trait PolicyFiles {
    /// Returns the text of a file.
    fn text(&mut self, name: &str) -> Option<String>;

    /// Returns the names of the files that a pattern means (`policies/*.rego`), sorted.
    fn list(&mut self, pattern: &str) -> Vec<String>;

    /// Returns the policy that is kept as an OCI artifact (`oci:…`, `oci-layout://…`).
    fn artifact(&mut self, name: &str) -> Result<String, PolicyError> {
        let _ = name;
        Err(PolicyError::new("", "artifacts are not read here"))
    }
}

// Files that are only known by name.
struct Opened<'a>(&'a mut dyn FnMut(&str) -> Option<String>);

impl PolicyFiles for Opened<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn list(&mut self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// The built-in profiles: name and text.
pub const PROFILES: &[(&str, &str)] = &[
    ("none", include_str!("../../policies/none.toml")),
    ("baseline", include_str!("../../policies/baseline.toml")),
    ("hardened", include_str!("../../policies/hardened.toml")),
    ("paranoid", include_str!("../../policies/paranoid.toml")),
];

impl Policy {
    /// Returns a built-in profile: `none`, `baseline`, `hardened` or `paranoid`.
    pub fn builtin(name: &str) -> Option<Policy> {
        let (name, text) = PROFILES.iter().find(|(known, _)| *known == name)?;
        let mut policy = Policy::blank(name);
        read::apply(&mut policy, text, name, &mut Opened(&mut |_| None))
            .expect("a test reads every profile");
        Some(policy)
    }

    // All rules off.
    pub(super) fn blank(name: &str) -> Policy {
        let rules = rules::RULES
            .iter()
            .map(|rule| {
                let params = rule
                    .params
                    .iter()
                    .map(|param| (param.name.to_owned(), default(param.default)))
                    .collect();
                let origin = "default".to_owned();
                let facets = BTreeMap::new();
                (rule.id, Setting { level: Level::Off, facets, params, origin, only: false })
            })
            .collect();
        Policy {
            name: name.to_owned(),
            inline: Inline::Allow,
            offline: Offline::Skip,
            fail_on: FailOn::Error,
            behaviour: Behaviour::Auto,
            chroot: true,
            rules,
            sections: BTreeMap::new(),
            exceptions: Vec::new(),
            locked: BTreeSet::new(),
            origins: BTreeMap::new(),
            custom: Custom::default(),
            skipped_errors: BTreeSet::new(),
        }
    }

    /// Reads a policy file. `place` names it in messages; `open` returns the text of a file that
    /// it extends, by the path as written there.
    ///
    /// A file without `extends` extends `hardened`.
    pub fn read(
        text: &str,
        place: &str,
        open: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<Policy, PolicyError> {
        Policy::read_with(text, place, &mut Opened(open))
    }

    /// The same, where the file may name further ones by patterns (`[custom]`).
    pub fn read_with(
        text: &str,
        place: &str,
        files: &mut dyn PolicyFiles,
    ) -> Result<Policy, PolicyError> {
        let mut policy = Policy::blank(place);
        read::apply(&mut policy, text, place, files)?;
        Ok(policy)
    }

    /// Applies a further file on top: that of the repository over that of the organisation. Its
    /// `extends` is not followed; what is locked cannot be weakened.
    pub fn merge(&mut self, text: &str, place: &str) -> Result<(), PolicyError> {
        self.merge_with(text, place, &mut Opened(&mut |_| None))
    }

    /// The same, where the file may name further ones (`[custom]`).
    pub fn merge_with(
        &mut self,
        text: &str,
        place: &str,
        files: &mut dyn PolicyFiles,
    ) -> Result<(), PolicyError> {
        read::merge(self, text, place, files)
    }

    /// Applies the command line.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<(), PolicyError> {
        for text in &overrides.set {
            let place = format!("--set {text}");
            let Some((key, value)) = text.split_once('=') else {
                return Err(PolicyError::new(&place, "write it as KEY=VALUE")
                    .help(Some("--set rules.final-user-root=warn".into())));
            };
            let value = value.parse::<Value>().unwrap_or_else(|_| Value::String(value.to_owned()));
            self.set(key.trim(), value, &place)?;
        }
        if !overrides.only.is_empty() {
            let mut only = Vec::new();
            for name in &overrides.only {
                only.extend(self.find_rules(name, "--only")?);
            }
            for (id, setting) in &mut self.rules {
                let mut names = only.iter().filter(|name| name.rule == *id).peekable();
                setting.only = names.peek().is_some();
                let base = setting.level.max(Level::Warn);
                // What is locked stays as it is.
                if self.locked.contains(&format!("rules.{id}")) {
                    if setting.only {
                        setting.level = base;
                    }
                    continue;
                }
                setting.level = Level::Off;
                for name in names {
                    match name.facet {
                        None => setting.level = base,
                        Some(facet) => {
                            let own = setting.facets.get(facet).copied().unwrap_or(base);
                            setting.facets.insert(facet, own.max(Level::Warn));
                        }
                    }
                }
                if setting.level == Level::Off {
                    let named = |facet: &str| {
                        only.iter().any(|name| name.rule == *id && name.facet == Some(facet))
                    };
                    setting.facets.retain(|facet, _| named(facet));
                }
            }
        }
        for name in &overrides.skip {
            for name in self.find_rules(name, "--skip")? {
                if self.locked.contains(&format!("rules.{}", name.rule)) {
                    return Err(locked("--skip", name.rule));
                }
                let setting = self.setting_mut(name.rule);
                let before = match name.facet {
                    Some(facet) => {
                        setting.facets.insert(facet, Level::Off).unwrap_or(setting.level)
                    }
                    None => {
                        setting.facets.clear();
                        std::mem::replace(&mut setting.level, Level::Off)
                    }
                };
                if before == Level::Error {
                    self.skipped_errors.insert(name.rule);
                }
            }
        }
        if let Some(fail_on) = overrides.fail_on {
            if self.locked.contains("fail_on") && fail_on < self.fail_on {
                return Err(locked("--fail-on", "fail_on"));
            }
            self.fail_on = fail_on;
            self.origins.insert("fail_on".into(), "--fail-on".into());
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, place: &str) -> Result<(), PolicyError> {
        let mut table = Table::new();
        match key.split('.').collect::<Vec<_>>().as_slice() {
            ["rules", id] => {
                table.insert((*id).to_owned(), value);
                read::rules(self, &table, place)
            }
            ["rules", id, param] => {
                let inner = Table::from_iter([((*param).to_owned(), value)]);
                table.insert((*id).to_owned(), Value::Table(inner));
                read::rules(self, &table, place)
            }
            [key] => {
                table.insert((*key).to_owned(), value);
                read::top(self, &table, place, &mut Opened(&mut |_| None))
            }
            [section, key] => {
                let inner = Table::from_iter([((*key).to_owned(), value)]);
                table.insert((*section).to_owned(), Value::Table(inner));
                read::top(self, &table, place, &mut Opened(&mut |_| None))
            }
            _ => Err(PolicyError::new(place, format!("unknown key `{key}`"))),
        }
    }

    /// Returns the rules that `name` means: an id, an alias, or the id of a custom rule.
    pub fn find_rules(&self, name: &str, place: &str) -> Result<Vec<RuleName>, PolicyError> {
        match self.rules.get_key_value(name) {
            Some((id, _)) => Ok(vec![RuleName { rule: id, facet: None }]),
            None => find_rules(name, place),
        }
    }

    /// Ends the waivers whose last day has passed, for judgements that do not know the day.
    pub fn end(&mut self, today: &str) {
        for exception in &mut self.exceptions {
            exception.ended |= exception.over(Some(today));
        }
    }

    /// Returns what the policy says of a rule.
    pub fn setting(&self, id: &str) -> &Setting {
        self.rules.get(id).expect("every rule has a setting")
    }

    /// Tells whether a rule exists and is on.
    pub fn is_on(&self, id: &str) -> bool {
        self.rules.get(id).is_some_and(Setting::on)
    }

    /// Returns a key of a section: what was set, else its default.
    pub fn section(&self, section: &str, key: &str) -> Option<&Value> {
        debug_assert!(sections::key(section, key).is_some(), "{section}.{key}");
        self.sections
            .get(section)
            .and_then(|table| table.get(key))
            .or_else(|| sections::default(section, key))
    }

    pub(super) fn setting_mut(&mut self, id: &str) -> &mut Setting {
        self.rules.get_mut(id).expect("every rule has a setting")
    }

    /// Tells whether the policy has own layers of a single-stage image squashed by the builder.
    pub fn squashes(&self) -> bool {
        let setting = self.setting("single-stage-unsquashed");
        setting.level > Level::Off
            && setting.params.get("action").and_then(Value::as_str) == Some("squash")
    }

    /// Tells whether steps are to run with less than Docker leaves them: where the image is refused
    /// for running as root, steps need no raw sockets and device nodes either.
    pub fn demands_hardened_steps(&self) -> bool {
        self.setting("final-user-root").level == Level::Error
    }

    /// Tells whether steps are to be watched: where it is required, or where `--only` names a rule
    /// that looks at nothing else.
    pub fn watches(&self) -> bool {
        let named = |rule: &&Rule| {
            let setting = self.setting(rule.id);
            rule.behaviour_check.is_some()
                && rule.watched
                && rule.text_check.is_none()
                && setting.only
                && setting.on()
        };
        match self.behaviour {
            Behaviour::Required => true,
            Behaviour::Auto => rules::RULES.iter().any(named),
            Behaviour::Off => false,
        }
    }

    /// Tells whether steps of the stage that ships have no network, unless they ask for the host's.
    pub fn denies_network_in_final(&self) -> bool {
        let setting = self.setting("network-in-final");
        let own = setting.params.get("enforce").and_then(Value::as_str);
        let shared = self.section("network", "final").and_then(Value::as_str);
        setting.on() && (own == Some("deny") || shared == Some("deny"))
    }

    /// Returns how many milliseconds processes may outlive a step before that is told.
    pub fn grace(&self) -> u64 {
        let setting = self.setting("process-left-behind");
        let grace = setting.params.get("grace").and_then(Value::as_str);
        grace.and_then(super::units::millis).unwrap_or(0)
    }

    /// Tells whether a rule that is on looks at the files of the image, or an exception at their contents.
    pub fn looks_at_files(&self) -> bool {
        let looks = |rule: &Rule| rule.image_check.is_some() && rule.files;
        rules::RULES.iter().any(|rule| looks(rule) && self.setting(rule.id).on())
            || self.custom.at(super::Moment::Image).any(|rule| self.is_on(rule.id))
            || self.exceptions.iter().any(|exception| !exception.sha256.is_empty())
    }

    /// Returns the policy as one JSON document, keys sorted: what its digest is of.
    pub fn to_json(&self) -> serde_json::Value {
        let rules: serde_json::Map<String, serde_json::Value> = self
            .rules
            .iter()
            .map(|(id, setting)| {
                let params = serde_json::to_value(&setting.params).unwrap_or_default();
                let rule = serde_json::json!({
                    "severity": setting.level, "facets": setting.facets,
                    "origin": setting.origin, "params": params,
                });
                ((*id).to_owned(), rule)
            })
            .collect();
        let exceptions: Vec<serde_json::Value> =
            self.exceptions.iter().map(Exception::to_json).collect();
        serde_json::json!({
            "name": self.name, "inline": self.inline, "offline": self.offline,
            "fail_on": self.fail_on, "behaviour": self.behaviour,
            "chroot": if self.chroot { "allow" } else { "deny" }, "lock": self.locked,
            "rules": rules, "sections": self.sections, "exceptions": exceptions,
            "custom": self.custom.to_json(),
        })
    }

    /// Returns the digest of the effective policy: of [`Policy::to_json`] without the origins.
    pub fn digest(&self) -> Digest<Blob> {
        let rules = self.rules.iter().map(|(id, setting)| {
            let Setting { facets, params, level, .. } = setting;
            (*id, Judged { facets, params, severity: *level })
        });
        let bytes = serde_json::to_vec(&Effective {
            behaviour: self.behaviour,
            chroot: if self.chroot { "allow" } else { "deny" },
            custom: self.custom.to_json(),
            exceptions: self.exceptions.iter().map(Exception::to_json).collect(),
            fail_on: self.fail_on,
            inline: self.inline,
            lock: &self.locked,
            name: &self.name,
            offline: self.offline,
            rules: rules.collect(),
            sections: &self.sections,
        });
        Digest::of(&bytes.expect("names, numbers and texts"))
    }
}

// `Policy::to_json` without the origins: the same bytes, made in one pass. Each build tells its digest.
#[derive(serde::Serialize)]
struct Effective<'a> {
    behaviour: Behaviour,
    chroot: &'static str,
    custom: serde_json::Value,
    exceptions: Vec<serde_json::Value>,
    fail_on: FailOn,
    inline: Inline,
    lock: &'a BTreeSet<String>,
    name: &'a str,
    offline: Offline,
    rules: BTreeMap<&'static str, Judged<'a>>,
    sections: &'a BTreeMap<&'static str, Table>,
}

#[derive(serde::Serialize)]
struct Judged<'a> {
    facets: &'a BTreeMap<&'static str, Level>,
    params: &'a Table,
    severity: Level,
}

/// Returns the rules that `name` means: an id, or an alias, which may stand for several; either
/// with `[facet]`. Never empty.
pub fn find_rules(name: &str, place: &str) -> Result<Vec<RuleName>, PolicyError> {
    let (base, facet) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((base, facet)) => (base, Some(facet)),
        None => (name, None),
    };
    let part = |rule: &Rule, facet: &str| {
        let known = rule.facets.iter().copied().find(|known| *known == facet);
        known.ok_or_else(|| {
            let near = nearest(facet, rule.facets.iter().copied());
            PolicyError::new(place, format!("`{}` has no facet `{facet}`", rule.id))
                .help(near.map(|near| format!("did you mean `{near}`?")))
        })
    };
    if let Some(rule) = rules::RULES.iter().find(|rule| rule.id == base) {
        let facet = facet.map(|facet| part(rule, facet)).transpose()?;
        return Ok(vec![RuleName { rule: rule.id, facet }]);
    }
    let mut found = Vec::new();
    for rule in rules::RULES {
        for alias in rule.aliases.iter().filter(|alias| same_alias(alias.name, base)) {
            let facet = match facet {
                Some(facet) => Some(part(rule, facet)?),
                None => alias.facet,
            };
            found.push(RuleName { rule: rule.id, facet });
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let shown: String = name.chars().take(60).collect();
    let near = nearest(base, rules::RULES.iter().map(|rule| rule.id));
    Err(PolicyError::new(place, format!("unknown rule `{shown}`"))
        .help(near.map(|near| format!("did you mean `{near}`?"))))
}

/// Returns the rule with this id or alias.
pub fn rule(name: &str) -> Option<&'static Rule> {
    let names = find_rules(name, "").ok()?;
    let name = names.first()?;
    rules::RULES.iter().copied().find(|rule| rule.id == name.rule)
}

// `DS-0002`, `DS002`, `AVD-DS-0002`: one thing, three spellings.
pub(super) fn same_alias(alias: &str, name: &str) -> bool {
    if alias.eq_ignore_ascii_case(name) {
        return true;
    }
    let name = name.strip_prefix("AVD-").unwrap_or(name);
    let digits = |text: &str| {
        text.strip_prefix("DS").and_then(|rest| rest.trim_start_matches('-').parse::<u32>().ok())
    };
    digits(alias).is_some() && digits(alias) == digits(name)
}

pub(super) fn locked(place: &str, key: &str) -> PolicyError {
    PolicyError::new(place, format!("`{key}` is locked and may not be weakened"))
}

fn default(text: &str) -> Value {
    match text {
        "true" | "false" => Value::Boolean(text == "true"),
        "{}" => Value::Table(Table::new()),
        _ => texts(text).unwrap_or_else(|| text.parse().expect("a test reads every default")),
    }
}

// A list of plain texts: most defaults are, and each start reads them all.
fn texts(text: &str) -> Option<Value> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut pieces = inner.split('"');
    let blank = |between: &str| between.bytes().all(|byte| matches!(byte, b',' | b' ' | b'\n'));
    let mut out = Vec::new();
    while blank(pieces.next()?) {
        let Some(one) = pieces.next() else { return Some(Value::Array(out)) };
        if one.contains(['\\', '\n']) {
            return None;
        }
        out.push(Value::String(one.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_toml_makes_of_them() {
        let all = rules::RULES.iter().flat_map(|rule| rule.params).map(|param| param.default);
        for text in
            all.chain([r#"["a\"b", "c"]"#, "[1, 2]", "[ ]", "[\"a\",\n\"b\",]", "[[\"a\"]]"])
        {
            assert_eq!(default(text), text.parse::<Value>().unwrap(), "{text}");
        }
    }
}
