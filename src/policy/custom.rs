//! Rules of others, in Rego: which files a policy names, what their metadata says, and how what they
//! find becomes findings. The language itself is not here: a [`Runner`] is handed in, so that it
//! works in a process of its own, with limits (`rego`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::{Value, json};
use toml::Table;

use super::finding::{Count, Finding, Level, Moment, Report, Skipped};
use super::outline::Outline;
use super::profile::{Policy, PolicyError, PolicyFiles, Setting, locked};
use super::read::{known, strings};
use super::yaml;
use crate::base::Span;

const KEYS: &[&str] = &["rego", "data", "input"];
const MOST_FILES: usize = 1000;
/// Of all files together.
const MOST_BYTES: usize = 8 << 20;
const MOST_RULES: usize = 1000;
const LONGEST_MESSAGE: usize = 2000;

/// Evaluates: a request in, an answer out, both JSON (`rego`); else why not.
#[derive(Clone, Copy)]
pub struct Runner(pub fn(&[u8]) -> Result<Vec<u8>, String>);

impl std::fmt::Debug for Runner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Runner")
    }
}

/// The form of the document that rules see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Our own, with trivy's `Stages` in it.
    #[default]
    Rbuild,
    /// The list of commands that conftest's parser makes.
    Conftest,
}

/// What `[custom]` says.
#[derive(Clone, Debug, Default)]
pub struct Custom {
    /// Rego files: name and text.
    pub files: Vec<(String, String)>,
    /// Documents that rules see as `data`: name and text.
    pub data: Vec<(String, String)>,
    /// What rules see as `input`.
    pub view: View,
    /// The rules of these files.
    pub rules: Vec<CustomRule>,
    /// Who evaluates them; without, they are listed as skipped.
    pub runner: Option<Runner>,
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files && self.data == other.data && self.view == other.view
    }
}

/// A package of a Rego file: a rule with what its metadata says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustomRule {
    /// Namespace and id: `corp/go-trimpath`.
    pub id: &'static str,
    /// The package: `corp.go_trimpath`.
    pub package: String,
    /// Why it matters.
    pub title: String,
    /// The remedy.
    pub help: Option<String>,
    /// When it looks.
    pub moment: Moment,
    /// What it is worth where no policy says so.
    pub level: Level,
    /// The file that it stands in.
    pub file: String,
}

impl Custom {
    /// Tells whether a rule looks at this moment.
    pub(super) fn at(&self, moment: Moment) -> impl Iterator<Item = &CustomRule> {
        self.rules.iter().filter(move |rule| rule.moment == moment)
    }

    /// Reads the files without asking them anything: the error names file and line.
    pub fn check(&self) -> Result<(), String> {
        let answer = self.ask(&[], Value::Null)?;
        answer["error"].as_str().map_or(Ok(()), |error| Err(error.to_owned()))
    }

    // Asks these packages.
    fn ask(&self, packages: &[&str], input: Value) -> Result<Value, String> {
        let Some(Runner(run)) = self.runner else { return Ok(Value::Null) };
        let request = json!({
            "files": self.files, "data": self.data, "packages": packages, "input": input,
        });
        let answer = run(request.to_string().as_bytes())?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }

    /// Returns the rule of an id.
    pub fn rule(&self, id: &str) -> Option<&CustomRule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Returns what the digest of the policy is of.
    pub(super) fn to_json(&self) -> Value {
        let list = |files: &[(String, String)]| -> Vec<Value> {
            let digest = |text: &str| crate::base::Digest::<crate::base::Blob>::of(text.as_bytes());
            let of = |(name, text): &(String, String)| json!([name, digest(text).to_string()]);
            files.iter().map(of).collect()
        };
        json!({ "rego": list(&self.files), "data": list(&self.data), "input": self.view })
    }
}

impl Policy {
    /// Sets what custom rules see as `input`. Where they are locked, another view is refused: they
    /// would find nothing in it.
    pub fn set_view(&mut self, view: View, place: &str) -> Result<(), PolicyError> {
        if view != self.custom.view && (self.locked.contains("custom") || self.locks_custom()) {
            return Err(locked(place, "custom.input"));
        }
        self.custom.view = view;
        Ok(())
    }

    // Tells whether a rule in Rego is locked.
    fn locks_custom(&self) -> bool {
        self.custom.rules.iter().any(|rule| self.locked.contains(&format!("rules.{}", rule.id)))
    }
}

// Tells whether a package is another, or in it.
fn within(package: &str, other: &str) -> bool {
    let rest = package.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Takes `[custom]` of a policy file.
pub(super) fn read(
    policy: &mut Policy,
    table: &Table,
    place: &str,
    open: &mut dyn PolicyFiles,
) -> Result<(), PolicyError> {
    if policy.locked.contains("custom") {
        return Err(locked(place, "custom"));
    }
    known(table, KEYS, place, " in `custom`")?;
    if let Some(value) = table.get("input") {
        let view = match value.as_str() {
            Some("rbuild") => View::Rbuild,
            Some("conftest") => View::Conftest,
            _ => {
                let message = "`custom.input` must be one of `rbuild`, `conftest`";
                return Err(PolicyError::new(place, message));
            }
        };
        policy.set_view(view, place)?;
    }
    let locks = policy.locks_custom();
    // What a locked rule is made of may be in any of the packages that there are.
    let taken: BTreeSet<String> =
        policy.custom.files.iter().filter_map(|(_, text)| package(text)).collect();
    for key in ["rego", "data"] {
        let Some(value) = table.get(key) else { continue };
        let patterns = strings(value).ok_or_else(|| {
            PolicyError::new(place, format!("`custom.{key}` must be a list of strings"))
        })?;
        for pattern in patterns {
            let names = match pattern.contains(['*', '?']) {
                true => open.list(&pattern),
                false => vec![pattern.clone()],
            };
            if names.is_empty() {
                let message = format!("`custom.{key}`: no file is named `{pattern}`");
                return Err(PolicyError::new(place, message));
            }
            for name in names {
                let text = open.text(&name).ok_or_else(|| {
                    PolicyError::new(place, format!("`custom.{key}`: cannot read `{name}`"))
                })?;
                let custom = &mut policy.custom;
                let list = if key == "rego" { &mut custom.files } else { &mut custom.data };
                if list.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if locks && key == "data" {
                    return Err(locked(place, "custom.data")
                        .help(Some("a rule in Rego is locked: it sees this data too".into())));
                }
                let package = package(&text).filter(|_| locks && key == "rego");
                if let Some(package) = package
                    && taken.iter().any(|other| within(&package, other) || within(other, &package))
                {
                    let message = format!("package `{package}` may change a rule that is locked");
                    return Err(PolicyError::new(&name, message)
                        .help(Some("write the rule in a package of its own".into())));
                }
                list.push((name, text));
            }
        }
        policy.origins.insert(format!("custom.{key}"), place.to_owned());
    }
    let all = policy.custom.files.iter().chain(&policy.custom.data);
    let (count, bytes) =
        all.fold((0, 0), |(count, bytes), (_, text)| (count + 1, bytes + text.len()));
    if count > MOST_FILES || bytes > MOST_BYTES {
        let message = "`custom` names more than 1000 files, or more than 8 MiB";
        return Err(PolicyError::new(place, message));
    }
    for (name, text) in &policy.custom.data {
        document(name, text).map_err(|error| PolicyError::new(name, error))?;
    }
    find(policy, place)
}

/// Reads a data file: JSON, or YAML by its name.
pub(super) fn document(name: &str, text: &str) -> Result<Value, String> {
    if name.ends_with(".yaml") || name.ends_with(".yml") {
        return yaml::parse(text);
    }
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

// Lists the rules of all files, and gives each a setting.
fn find(policy: &mut Policy, place: &str) -> Result<(), PolicyError> {
    let mut found: BTreeMap<String, CustomRule> = BTreeMap::new();
    for (file, text) in &policy.custom.files {
        let Some(package) = package(text) else {
            return Err(PolicyError::new(file, "it has no `package` line"));
        };
        // Tests of rules are for those who write them.
        if package.ends_with("_test") || file.ends_with("_test.rego") {
            continue;
        }
        let says = metadata(text).map_err(|error| PolicyError::new(file, error))?;
        // What only helps other packages gives no verdicts.
        if says.is_null()
            && !text
                .lines()
                .any(|line| entry(line.split([' ', '[', ':', '(']).next().unwrap_or("")))
        {
            continue;
        }
        let own = &says["custom"];
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let id = word(&own["id"])
            .unwrap_or_else(|| package.rsplit('.').next().unwrap_or("").replace('_', "-"));
        let id = match id.contains('/') {
            true => id,
            false if package.starts_with("builtin.") => format!("trivy/{id}"),
            false => format!("custom/{id}"),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
        if !id.chars().all(fits) || id.len() > 100 || found.len() >= MOST_RULES {
            let message = format!("`{id}` is no id: NAMESPACE/NAME of letters, digits, `-`, `_`");
            return Err(PolicyError::new(file, message));
        }
        let level = match word(&own["severity"]).map(|word| word.to_ascii_lowercase()).as_deref() {
            None | Some("error" | "critical" | "high") => Level::Error,
            Some("warn" | "warning" | "medium" | "low" | "unknown") => Level::Warn,
            Some("off") => Level::Off,
            Some(other) => {
                let message = format!("severity `{other}`: write off, warn or error");
                return Err(PolicyError::new(file, message));
            }
        };
        let moment = match own["moment"].as_str() {
            Some("static") => Moment::Static,
            Some("image") => Moment::Image,
            None if text.contains("input.image") => Moment::Image,
            None => Moment::Static,
            Some(other) => {
                let message = format!("moment `{other}`: write static or image");
                return Err(PolicyError::new(file, message));
            }
        };
        let title = word(&says["title"]).unwrap_or_else(|| format!("A rule of {file}."));
        let help = word(&own["help"]).or_else(|| word(&own["recommended_actions"]));
        let id = interned(&id);
        let file = file.clone();
        if let Some(other) = found.values().find(|rule| rule.id == id && rule.package != package) {
            let message = format!("`{id}` is the id of package `{}` too", other.package);
            return Err(PolicyError::new(&file, message));
        }
        let rule = CustomRule { id, package: package.clone(), title, help, moment, level, file };
        found.entry(package).or_insert(rule);
    }
    for rule in found.values() {
        policy.rules.entry(rule.id).or_insert_with(|| Setting {
            level: rule.level,
            facets: BTreeMap::new(),
            params: Table::new(),
            origin: place.to_owned(),
            only: false,
        });
    }
    policy.custom.rules = found.into_values().collect();
    Ok(())
}

/// What is wrong with rules in Rego, or their limits, is told under this id.
pub const FAILED: &str = "custom-rule-failed";

/// Judges by the rules of this moment that are on. Where there are none, nothing is started.
pub(super) fn judge(
    report: &mut Report,
    policy: &Policy,
    moment: Moment,
    outline: Option<&Outline<'_>>,
    input: impl FnOnce(bool) -> Value,
) {
    let custom = &policy.custom;
    let on: Vec<&CustomRule> =
        custom.at(moment).filter(|rule| policy.setting(rule.id).on()).collect();
    if on.is_empty() {
        return;
    }
    if custom.runner.is_none() {
        let reason = "this rbuild has no Rego";
        let skip = |rule: &&CustomRule| Skipped { rule: rule.id, reason: reason.to_owned() };
        report.skipped.extend(on.iter().map(skip));
        return;
    }
    let files = custom.files.iter().any(|(_, text)| text.contains("input.image.files"));
    let packages: Vec<&str> = on.iter().map(|rule| rule.package.as_str()).collect();
    let answer = custom.ask(&packages, input(files));
    let answer = answer.unwrap_or_else(|error| json!({ "error": error }));
    if let Some(error) = answer["error"].as_str() {
        let mut finding =
            Finding::new(moment, format!("the custom rules gave no verdict: {error}"));
        finding.rule = FAILED;
        finding.level = Level::Error;
        finding.help = Some("mend the rule, or switch it off: --skip ID".into());
        report.findings.push(finding);
        return;
    }
    for rule in on {
        let mut count = Count::default();
        for (name, found) in answer["packages"][&rule.package].as_object().into_iter().flatten() {
            // A set is a list here; a rule that is one value gives that.
            let one = std::slice::from_ref(found);
            let list = found.as_array().map_or(one, Vec::as_slice);
            for element in list.iter().filter(|element| says(element)) {
                let finding = finding_of(element, name, rule, policy, moment, outline);
                if let Some(finding) = finding {
                    count.keep(finding, &mut report.findings);
                }
            }
        }
    }
}

// `deny := false` and `deny := {}` say nothing.
fn says(element: &Value) -> bool {
    match element {
        Value::Null | Value::Bool(false) => false,
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

fn finding_of(
    element: &Value,
    entry: &str,
    rule: &CustomRule,
    policy: &Policy,
    moment: Moment,
    outline: Option<&Outline<'_>>,
) -> Option<Finding> {
    let message = match (element, element["msg"].as_str()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(text)) => text.to_owned(),
        (Value::Bool(true), _) => rule.title.clone(),
        (other, None) => other.to_string(),
    };
    let message: String = message.chars().take(LONGEST_MESSAGE).collect();
    let rule = element["id"].as_str().and_then(|id| policy.custom.rule(id)).unwrap_or(rule);
    let setting = policy.setting(rule.id);
    let mut level = setting.level;
    if entry.starts_with("warn") {
        level = level.min(Level::Warn);
    }
    if let Some(own) =
        element["severity"].as_str().and_then(|word| Level::parse(&word.to_lowercase()))
    {
        level = level.min(own);
    }
    if level == Level::Off {
        return None;
    }
    let mut finding = Finding::new(moment, message);
    finding.rule = rule.id;
    finding.level = if setting.only { level.max(Level::Warn) } else { level };
    finding.help = rule.help.clone();
    finding.evidence.insert("title", rule.title.as_str().into());
    if let Some(path) = element["path"].as_str() {
        let layer = element["layer"].as_u64().and_then(|layer| usize::try_from(layer).ok());
        finding = finding.in_image(path, layer);
    }
    if let Some(outline) = outline
        && let Some(span) = span_of(&element["span"], outline)
    {
        finding.span = Some(span);
        finding.place = outline
            .stages
            .iter()
            .flat_map(|stage| {
                std::iter::once(stage.place).chain(stage.items.iter().map(|item| item.place))
            })
            .find(|place| place.span.start <= span.start && span.start < place.span.end);
    }
    Some(finding)
}

// Lines and columns of the Dockerfile; without columns, the lines.
fn span_of(value: &Value, outline: &Outline<'_>) -> Option<Span> {
    let source = outline.input.file.source;
    let text = &outline.input.sources.get(source).text;
    let at = |line: u64, column: Option<u64>| -> Option<usize> {
        let index = usize::try_from(line.checked_sub(1)?).ok()?;
        let mut start = 0;
        let mut lines = text.split_inclusive('\n');
        for _ in 0..index {
            start += lines.next()?.len();
        }
        let line = lines.next()?.trim_end_matches(['\n', '\r']);
        let column = match column {
            Some(column) => usize::try_from(column.saturating_sub(1)).ok()?,
            None => return Some(start + line.len()),
        };
        Some(start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at))
    };
    let number = |key: &str| value[key].as_u64();
    let start = at(number("line")?, Some(number("col").unwrap_or(1)))?;
    let end = at(number("end_line").or(number("line"))?, number("end_col"))?;
    Some(Span::new(source, start, end.max(start)))
}

/// Tells whether a rule of this name gives verdicts: `deny`, `violation_x`, `warn`.
pub(super) fn entry(name: &str) -> bool {
    ["deny", "violation", "warn"].iter().any(|word| {
        name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    })
}

fn package(text: &str) -> Option<String> {
    // The first that is said: what looks like it below may stand in a string.
    let said = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let line = text.lines().find(said)?.strip_prefix("package ")?;
    let name = line.split('#').next().unwrap_or("").trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    (!name.is_empty() && name.chars().all(fits)).then(|| name.to_owned())
}

// The comment `# METADATA` above the package, as YAML.
fn metadata(text: &str) -> Result<Value, String> {
    let mut lines = text.lines().take_while(|line| !line.starts_with("package "));
    if !lines.any(|line| line.trim_end() == "# METADATA") {
        return Ok(Value::Null);
    }
    let block: Vec<&str> = lines
        .take_while(|line| line.starts_with('#'))
        .map(|line| {
            let line = &line[1..];
            line.strip_prefix(' ').unwrap_or(line)
        })
        .collect();
    yaml::parse(&block.join("\n")).map_err(|error| format!("its METADATA: {error}"))
}

/// Keeps a name of a policy file as long as the program lives, as those of our own are. There are as
/// many as policy files hold, which is bounded.
pub(super) fn interned(id: &str) -> &'static str {
    static IDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut ids = IDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(known) = ids.get(id) {
        return known;
    }
    let id: &'static str = Box::leak(id.to_owned().into_boxed_str());
    ids.insert(id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by name, a pattern means all that end like it.
    pub(crate) struct Given<'a>(pub(crate) &'a [(&'a str, &'a str)]);

    impl PolicyFiles for Given<'_> {
        fn text(&mut self, name: &str) -> Option<String> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        }

        fn list(&mut self, pattern: &str) -> Vec<String> {
            let fits = |name: &&str| super::super::glob::matches(pattern, name);
            self.0
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| fits(name))
                .map(str::to_owned)
                .collect()
        }
    }

    const RULE: &str = "# METADATA\n# title: A title: with a colon\n# custom:\n#   id: corp/a\n\
                        #   severity: warn\n#   help: Do it.\npackage corp.a\nimport rego.v1\n\
                        deny contains \"x\" if true\n";

    fn check(files: &[(&str, &str)], policy: &str) -> Result<Policy, String> {
        Policy::read_with(policy, "p.toml", &mut Given(files)).map_err(|error| error.to_string())
    }

    #[test]
    fn files_of_rules_are_listed_with_what_they_say() {
        let files = [
            ("r/a.rego", RULE),
            ("r/a_test.rego", "package corp.a_test\ntest_x if true\n"),
            ("r/lib.rego", "package lib.docker\nis_run(x) if x == 1\n"),
            ("r/main.rego", "package main\ndeny[msg] { msg := input.image.digest }\n"),
            (
                "r/t.rego",
                "# METADATA\n# custom:\n#   id: DS002\n#   severity: LOW\npackage builtin.dockerfile.DS002\n",
            ),
        ];
        let policy = check(
            &files,
            "[custom]\nrego = [\"r/*.rego\"]\n[rules]\n\"custom/main\" = \"warn\"\n\
             [[exceptions]]\nrules = [\"corp/a\"]\nfiles = [\"x\"]\nreason = \"r\"\nowner = \"o\"\n\
             expires = 2027-01-01\n",
        )
        .unwrap();
        let rules: Vec<_> = policy.custom.rules.iter().map(|r| (r.id, r.level, r.moment)).collect();
        assert_eq!(
            rules,
            [
                ("trivy/DS002", Level::Warn, Moment::Static),
                ("corp/a", Level::Warn, Moment::Static),
                ("custom/main", Level::Error, Moment::Image),
            ]
        );
        assert_eq!(policy.custom.rule("corp/a").unwrap().title, "A title: with a colon");
        assert_eq!(policy.setting("custom/main").level, Level::Warn);
        assert_eq!(policy.exceptions[0].rules[0].rule, "corp/a");
        let other = check(
            &[("r/a.rego", &RULE.replace("\"x\"", "\"y\""))],
            "[custom]\nrego=[\"r/a.rego\"]",
        );
        let one = check(&files, "[custom]\nrego=[\"r/a.rego\"]").unwrap();
        assert_ne!(one.digest(), other.unwrap().digest(), "the text of the rules is part of it");
    }

    #[test]
    fn files_are_looked_at_only_for_rules_that_want_them() {
        let image = ("i.rego", "package main\ndeny[msg] { msg := input.image.digest }\n");
        let custom = "extends = \"none\"\n[custom]\nrego = [\"*.rego\"]\n";
        let waived = format!(
            "extends = \"none\"\n[[exceptions]]\nrules = [\"build-secret-leaked\"]\nsha256 = [\"{}\"]\n\
             reason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n",
            "a".repeat(64)
        );
        for (files, policy, want) in [
            (&[][..], "extends = \"none\"\n", false),
            (&[], "extends = \"none\"\n[rules]\nsetuid-file = \"warn\"\n", true),
            (&[], "extends = \"hardened\"\n", true),
            (&[("a.rego", RULE)], custom, false),
            (&[image], custom, true),
            (&[], &waived, true),
        ] {
            assert_eq!(check(files, policy).unwrap().looks_at_files(), want, "{files:?} {policy}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (files, policy, want) in [
            (&[][..], "rego = [\"no.rego\"]", "p.toml: `custom.rego`: cannot read `no.rego`"),
            (&[], "rego = [\"no/*.rego\"]", "p.toml: `custom.rego`: no file is named `no/*.rego`"),
            (&[], "regos = []", "p.toml: unknown key `regos` in `custom`"),
            (
                &[("a.rego", "deny := 1\n")],
                "rego = [\"a.rego\"]",
                "a.rego: it has no `package` line",
            ),
            (
                &[("a.rego", "# METADATA\n# custom:\n#   id: a b/c\npackage a\n")],
                "rego = [\"a.rego\"]",
                "a.rego: `a b/c` is no id: NAMESPACE/NAME of letters, digits, `-`, `_`",
            ),
            (
                &[("a.rego", "# METADATA\n# title: [x\npackage a\n")],
                "rego = [\"a.rego\"]",
                "a.rego: its METADATA: line 1: a bracket is not closed",
            ),
            (&[("d.json", "{")], "data = [\"d.json\"]", "d.json: not JSON"),
        ] {
            let error = check(files, &format!("[custom]\n{policy}\n")).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
        let twice =
            [("a.rego", RULE), ("b.rego", &RULE.replace("package corp.a", "package corp.b"))];
        assert!(check(&twice, "[custom]\nrego = [\"*.rego\"]\n").unwrap_err().contains("too"));
        assert!(check(&[], "[rules]\n\"corp/none\" = \"off\"\n").is_err());
        let locked = "lock = [\"custom\"]\n";
        let mut policy = check(&[], locked).unwrap();
        assert!(policy.merge("[custom]\ninput = \"conftest\"\n", "q.toml").is_err());
        assert!(policy.set_view(View::Conftest, "--rego-input").is_err());
        assert!(policy.set_view(View::Rbuild, "--rego-input").is_ok());
        assert!(check(&[], "").unwrap().set_view(View::Conftest, "--rego-input").is_ok());
    }

    #[test]
    fn a_locked_rule_is_not_changed_from_beside() {
        let of = |name: &str| format!("package {name}\nimport rego.v1\ndeny contains 1 if true\n");
        let [same, inner, outer, other, library] =
            ["corp.a", "corp.a.deny", "corp", "corp.ab", "lib"].map(of);
        let hidden = "  package corp.a\nx := `\npackage y\n`\ndeny contains 1 if true\n";
        let files = [
            ("a.rego", RULE),
            ("lib.rego", "package lib\nis(x) if x == 1\n"),
            ("same.rego", &same),
            ("inner.rego", &inner),
            ("outer.rego", &outer),
            ("library.rego", &library),
            ("hidden.rego", hidden),
            ("other.rego", &other),
            ("d.json", "{}"),
        ];
        let merged = |lock: &str, later: &str| {
            let text = format!("lock = [{lock}]\n[custom]\nrego = [\"a.rego\", \"lib.rego\"]\n");
            let mut policy = check(&files, &text).unwrap();
            let later = format!("[custom]\n{later}\n");
            policy.merge_with(&later, "q.toml", &mut Given(&files)).map_err(|e| e.to_string())
        };
        for (later, want) in [
            ("input = \"conftest\"", "q.toml: `custom.input` is locked"),
            ("data = [\"d.json\"]", "q.toml: `custom.data` is locked"),
            ("rego = [\"same.rego\"]", "same.rego: package `corp.a` may change"),
            ("rego = [\"inner.rego\"]", "inner.rego: package `corp.a.deny` may change"),
            ("rego = [\"outer.rego\"]", "outer.rego: package `corp` may change"),
            ("rego = [\"library.rego\"]", "library.rego: package `lib` may change"),
            ("rego = [\"hidden.rego\"]", "hidden.rego: it has no `package` line"),
        ] {
            let error = merged("\"rules.corp/a\"", later).unwrap_err();
            assert!(error.starts_with(want), "{error}");
            if !later.contains("hidden") {
                merged("", later).unwrap();
            }
        }
        for later in ["rego = [\"other.rego\", \"a.rego\"]", "input = \"rbuild\""] {
            merged("\"rules.corp/a\"", later).unwrap();
        }
        let mut policy =
            check(&files, "lock = [\"rules.corp/a\"]\n[custom]\nrego = [\"a.rego\"]\n").unwrap();
        assert!(policy.set_view(View::Conftest, "--rego-input").is_err());
    }
}
