//! Configuration files of other tools as policies: `hadolint.yaml`, `.trivyignore` (`.yaml`),
//! `.dockleignore`, `.dive-ci`.
//!
//! Each becomes the text of a policy file, so that reading one in place and importing it are the same.
//! What has no counterpart here is a note, in the text and beside it; it is never an error.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::dive::{DiveThresholds, THRESHOLDS};
use super::profile::{RuleName, find_rules};
use super::read::is_date;
use super::show::{inline, quoted};
use super::{units, yaml};

/// A configuration file of another tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foreign {
    /// hadolint's.
    Hadolint,
    /// Trivy's list of ids.
    Trivyignore,
    /// Trivy's, with paths and reasons.
    TrivyignoreYaml,
    /// dockle's list of ids.
    Dockleignore,
    /// dive's limits.
    DiveCi,
}

/// What became of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// The policy file.
    pub text: String,
    /// What could not be carried over.
    pub notes: Vec<String>,
}

impl Foreign {
    /// All names that are looked for, in the order in which they are read. Of one tool's, the first.
    pub const NAMES: &[(&str, Foreign)] = &[
        (".hadolint.yaml", Foreign::Hadolint),
        (".hadolint.yml", Foreign::Hadolint),
        ("hadolint.yaml", Foreign::Hadolint),
        ("hadolint.yml", Foreign::Hadolint),
        (".trivyignore.yaml", Foreign::TrivyignoreYaml),
        (".trivyignore.yml", Foreign::TrivyignoreYaml),
        (".trivyignore", Foreign::Trivyignore),
        (".dockleignore", Foreign::Dockleignore),
        (".dive-ci", Foreign::DiveCi),
        (".dive-ci.yaml", Foreign::DiveCi),
        (".dive-ci.yml", Foreign::DiveCi),
    ];

    /// Tells by its name whose a file is.
    pub fn of(name: &str) -> Option<Foreign> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, foreign)| *foreign)
    }

    /// Returns the tool's name.
    pub fn tool(self) -> &'static str {
        match self {
            Foreign::Hadolint => "hadolint",
            Foreign::Trivyignore | Foreign::TrivyignoreYaml => "trivy",
            Foreign::Dockleignore => "dockle",
            Foreign::DiveCi => "dive",
        }
    }

    /// Turns a text into a policy. The error names the line.
    pub fn import(self, text: &str) -> Result<Imported, String> {
        let mut draft = Draft::default();
        match self {
            Foreign::Hadolint => hadolint(&yaml::parse(text)?, &mut draft)?,
            Foreign::Trivyignore => trivyignore(text, &mut draft),
            Foreign::TrivyignoreYaml => trivyignore_yaml(&yaml::parse(text)?, &mut draft)?,
            Foreign::Dockleignore => {
                for line in text.lines() {
                    let id = line.split('#').next().unwrap_or("").trim();
                    if !id.is_empty() {
                        draft.level(id, "off", "CIS DKL");
                    }
                }
            }
            Foreign::DiveCi => dive(text, &mut draft)?,
        }
        Ok(draft.finish())
    }
}

impl Imported {
    /// Joins what was imported to one policy file. A key that two tools set is there once: a level of
    /// the strictest tool would be a guess, so the first one's stays.
    pub fn join(parts: &[(String, Imported)]) -> Imported {
        let mut draft = Draft::default();
        let mut notes = Vec::new();
        let mut exceptions = String::new();
        for (name, part) in parts {
            let Ok(table) = part.text.parse::<toml::Table>() else { continue };
            for (key, value) in &table {
                match (key.as_str(), value) {
                    ("version", _) => {}
                    ("rules", toml::Value::Table(rules)) => {
                        for (id, level) in rules {
                            draft.rules.entry(id.clone()).or_insert_with(|| inline(level));
                        }
                    }
                    ("exceptions", toml::Value::Array(list)) => {
                        for one in list {
                            exceptions.push_str("\n[[exceptions]]\n");
                            for (key, value) in one.as_table().into_iter().flatten() {
                                let _ = writeln!(exceptions, "{key} = {}", inline(value));
                            }
                        }
                    }
                    (section, toml::Value::Table(keys)) => {
                        let known = draft.sections.entry(section.to_owned()).or_default();
                        for (key, value) in keys {
                            known.entry(key.clone()).or_insert_with(|| inline(value));
                        }
                    }
                    (key, value) => {
                        draft.top.entry(key.to_owned()).or_insert_with(|| inline(value));
                    }
                }
            }
            notes.extend(part.notes.iter().map(|note| format!("{name}: {note}")));
        }
        draft.exceptions = exceptions;
        draft.notes = notes;
        draft.finish()
    }
}

// A policy file that is being written.
#[derive(Default)]
struct Draft {
    top: BTreeMap<String, String>,
    rules: BTreeMap<String, String>,
    sections: BTreeMap<String, BTreeMap<String, String>>,
    exceptions: String,
    notes: Vec<String>,
}

impl Draft {
    // Sets the level of what another tool calls `id`.
    fn level(&mut self, id: &str, level: &str, tools: &str) {
        for name in self.names(id, tools) {
            self.rules.insert(name.to_string(), quoted(level));
        }
    }

    // What `id` means here; notes what it does not, and what it means besides.
    fn names(&mut self, id: &str, tools: &str) -> Vec<RuleName> {
        let shown: String = id.chars().take(60).collect();
        let Ok(names) = find_rules(id, "") else {
            self.notes.push(match vulnerability(id) {
                true => format!("`{shown}`: vulnerabilities are not judged here"),
                false => format!("`{shown}`: no rule corresponds to it"),
            });
            return Vec::new();
        };
        for name in names.iter().filter(|name| name.facet.is_none()) {
            let Some(rule) = super::rule(name.rule) else { continue };
            let same = |alias: &&super::Alias| {
                let head = alias.name.get(..2).unwrap_or("");
                tools.contains(head) && !super::profile::same_alias(alias.name, id)
            };
            let others: Vec<&str> = rule.aliases.iter().filter(same).map(|a| a.name).collect();
            if !others.is_empty() {
                let also = others.join(", ");
                self.notes.push(format!("`{shown}` is `{}`, which is {also} too", name.rule));
            }
        }
        names
    }

    fn section(&mut self, section: &str, key: &str, value: String) {
        self.sections.entry(section.to_owned()).or_default().insert(key.to_owned(), value);
    }

    fn exception(
        &mut self,
        names: &[RuleName],
        files: &[String],
        reason: &str,
        until: &str,
        owner: &str,
    ) {
        if names.is_empty() {
            return;
        }
        let names: Vec<String> = names.iter().map(|name| quoted(&name.to_string())).collect();
        let files: Vec<String> = files.iter().map(|file| quoted(file)).collect();
        let _ = write!(
            self.exceptions,
            "\n[[exceptions]]\nrules = [{}]\nfiles = [{}]\nreason = {}\nowner = {}\nexpires = {until}\n",
            names.join(", "),
            files.join(", "),
            quoted(reason),
            quoted(owner),
        );
    }

    fn finish(self) -> Imported {
        let mut text = String::from("version = 1\n");
        for note in &self.notes {
            let _ = writeln!(text, "# note: {}", note.replace(char::is_control, " "));
        }
        for (key, value) in &self.top {
            let _ = writeln!(text, "{key} = {value}");
        }
        if !self.rules.is_empty() {
            text.push_str("\n[rules]\n");
            for (id, level) in &self.rules {
                let key = if id.contains('[') { quoted(id) } else { id.clone() };
                let _ = writeln!(text, "{key} = {level}");
            }
        }
        for (section, keys) in &self.sections {
            let _ = writeln!(text, "\n[{section}]");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text.push_str(&self.exceptions);
        Imported { text, notes: self.notes }
    }
}

fn list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn vulnerability(id: &str) -> bool {
    ["CVE-", "GHSA-", "TEMP-", "AVD-CVE", "DLA-", "RUSTSEC-", "GMS-"]
        .iter()
        .any(|head| id.starts_with(head))
}

fn mapping<'a>(value: &'a Value, what: &str) -> Result<&'a serde_json::Map<String, Value>, String> {
    static NOTHING: std::sync::LazyLock<serde_json::Map<String, Value>> =
        std::sync::LazyLock::new(serde_json::Map::new);
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(&NOTHING),
        _ => Err(format!("{what} is no mapping")),
    }
}

fn texts<'a>(value: &'a Value, what: &str) -> Result<Vec<&'a str>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => list
            .iter()
            .map(|one| one.as_str().ok_or_else(|| format!("`{what}` must be a list of strings")))
            .collect(),
        _ => Err(format!("`{what}` must be a list of strings")),
    }
}

// https://github.com/hadolint/hadolint#configure
fn hadolint(value: &Value, draft: &mut Draft) -> Result<(), String> {
    let root = mapping(value, "the file")?;
    // What is stricter comes last: an id that is ignored and raised is, there too, ignored.
    if let Some(levels) = root.get("override") {
        for (word, ids) in mapping(levels, "`override`")? {
            // What hadolint tells as info or style stops nothing there, nor does a warning here.
            let level = match word.as_str() {
                "error" => "error",
                "warning" | "info" | "style" => "warn",
                other => return Err(format!("unknown severity `{other}` in `override`")),
            };
            for id in texts(ids, word)? {
                draft.level(id, level, "DL SC");
            }
        }
    }
    for (key, value) in root {
        match key.as_str() {
            "ignored" => {
                for id in texts(value, key)? {
                    draft.level(id, "off", "DL SC");
                }
            }
            "trustedRegistries" => {
                let hosts = texts(value, key)?;
                draft.section("registries", "trusted", list(&hosts));
                if !hosts.is_empty() && !draft.rules.contains_key("base-registry-untrusted") {
                    draft.rules.insert("base-registry-untrusted".into(), quoted("error"));
                }
            }
            "label-schema" => {
                let schema = mapping(value, "`label-schema`")?;
                let mut pairs = Vec::new();
                for (label, kind) in schema {
                    let kind = match kind.as_str() {
                        None | Some("" | "text" | "rawtext" | "rawText") => "text",
                        Some(kind @ ("url" | "email" | "semver" | "rfc3339" | "spdx" | "hash")) => {
                            kind
                        }
                        Some(other) => {
                            return Err(format!("unknown kind `{other}` in `label-schema`"));
                        }
                    };
                    pairs.push(format!("{} = {}", quoted(label), quoted(kind)));
                }
                let labels: Vec<&str> = schema.keys().map(String::as_str).collect();
                draft.section("labels", "required", list(&labels));
                draft.section("labels", "schema", format!("{{ {} }}", pairs.join(", ")));
            }
            "strict-labels" => {
                draft.section("labels", "strict", (value == &Value::Bool(true)).to_string());
            }
            "failure-threshold" => {
                let fail_on = match value.as_str() {
                    Some("error") => "error",
                    Some("warning" | "info" | "style") => "warn",
                    Some("ignore" | "none") => "never",
                    _ => return Err("unknown `failure-threshold`".into()),
                };
                draft.top.insert("fail_on".into(), quoted(fail_on));
            }
            "no-fail" if value == &Value::Bool(true) => {
                draft.top.insert("fail_on".into(), quoted("never"));
            }
            "disable-ignore-pragma" if value == &Value::Bool(true) => {
                draft.top.insert("inline".into(), quoted("deny"));
            }
            "override" | "no-fail" | "disable-ignore-pragma" => {}
            "format" | "output-format" | "no-color" | "verbose" => {
                draft
                    .notes
                    .push(format!("`{key}`: say it on the command line (--format, NO_COLOR)"));
            }
            other => draft.notes.push(format!("`{other}` is not known")),
        }
    }
    Ok(())
}

// https://trivy.dev/docs/latest/configuration/filtering/: ids, each with an end if it has one.
fn trivyignore(text: &str, draft: &mut Draft) {
    let mut reason = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            comment.trim().clone_into(&mut reason);
            continue;
        }
        let (entry, comment) = line.split_once(" #").unwrap_or((line, ""));
        let mut words = entry.split_whitespace();
        let Some(id) = words.next() else {
            reason.clear();
            continue;
        };
        let end = words.find_map(|word| word.strip_prefix("exp:"));
        match end.filter(|end| is_date(end)) {
            None => draft.level(id, "off", "DS"),
            Some(end) => {
                let names = draft.names(id, "DS");
                let comment = comment.trim();
                let why = [comment, &reason, "ignored in .trivyignore"];
                let why = why.iter().find(|why| !why.is_empty()).unwrap_or(&"");
                draft.exception(&names, &["**".to_owned()], why, end, ".trivyignore");
            }
        }
    }
}

fn trivyignore_yaml(value: &Value, draft: &mut Draft) -> Result<(), String> {
    for (kind, list) in mapping(value, "the file")? {
        if !matches!(kind.as_str(), "misconfigurations" | "secrets") {
            draft.notes.push(format!("`{kind}` are not judged here"));
            continue;
        }
        let Value::Array(list) = list else { return Err(format!("`{kind}` must be a list")) };
        for one in list {
            let Some(id) = one["id"].as_str() else { return Err(format!("`{kind}`: no `id`")) };
            let paths: Vec<String> =
                texts(&one["paths"], "paths")?.into_iter().map(str::to_owned).collect();
            let end = one["expired_at"].as_str().map(|end| end.get(..10).unwrap_or(end));
            let end = end.filter(|end| is_date(end));
            if paths.is_empty() && end.is_none() {
                draft.level(id, "off", "DS");
                continue;
            }
            let names = draft.names(id, "DS");
            let why = one["statement"].as_str().unwrap_or("ignored in .trivyignore.yaml");
            let everywhere = || vec!["**".to_owned()];
            let paths = if paths.is_empty() { everywhere() } else { paths };
            if end.is_none() && !names.is_empty() {
                draft.notes.push(format!("`{id}` has no end: agree on one"));
            }
            draft.exception(&names, &paths, why, end.unwrap_or("9999-12-31"), ".trivyignore.yaml");
        }
    }
    Ok(())
}

// https://github.com/wagoodman/dive#ci-integration
fn dive(text: &str, draft: &mut Draft) -> Result<(), String> {
    let (thresholds, unknown) = DiveThresholds::scan(text)?;
    draft.notes.extend(unknown.iter().map(|key| format!("`{key}` is not known")));
    for (index, word) in thresholds.given() {
        let (key, name, rule, _) = THRESHOLDS[index];
        if matches!(word, "disabled" | "off") {
            draft.rules.insert(rule.into(), quoted("off"));
            continue;
        }
        // Written as numbers, or as strings that hold them.
        let number = word.parse::<f64>().ok();
        let shown = match (name, number) {
            ("highest_wasted_bytes", Some(bytes)) if bytes >= 0.0 => format!("{}", bytes as u64),
            ("highest_wasted_bytes", None) => quoted(word),
            (_, Some(share)) if (0.0..=1.0).contains(&share) => format!("{share:?}"),
            _ => return Err(format!("`{key}` is not of its kind")),
        };
        let size = |text: &str| text.parse().ok().as_ref().and_then(units::size);
        if name == "highest_wasted_bytes" && size(&shown).is_none() {
            return Err(format!("`{key}`: `{word}` is no size"));
        }
        draft.section("budget", name, shown);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::policy::{Level, Policy};

    fn check(foreign: Foreign, text: &str, want: &Expect) -> Policy {
        let imported = foreign.import(text).unwrap();
        want.assert_eq(&imported.text);
        let mut policy = Policy::builtin("hardened").unwrap();
        policy.merge(&imported.text, "x").unwrap();
        policy
    }

    #[test]
    fn hadolint_yaml() {
        let policy = check(
            Foreign::Hadolint,
            "failure-threshold: warning\nformat: tty\nignored:\n  - DL3008 # pins vanish\n  - SC2086\n\
             \x20 - SC2164\n  - DL9999\noverride:\n  error: [DL3015]\n  style:\n    - DL3007\n\
             trustedRegistries:\n  - docker.io\n  - \"*.corp.example\"\nlabel-schema:\n  author: text\n\
             \x20 version: semver\nstrict-labels: true\ndisable-ignore-pragma: true\n",
            &expect![[r#"
                version = 1
                # note: `format`: say it on the command line (--format, NO_COLOR)
                # note: `SC2086` is `shell-unquoted`, which is SC2046, SC2035 too
                # note: `DL9999`: no rule corresponds to it
                fail_on = "warn"
                inline = "deny"

                [rules]
                base-registry-untrusted = "error"
                base-tag-latest = "warn"
                "package-recommends[apt]" = "error"
                "package-version-unpinned[apt]" = "off"
                shell-cd-unchecked = "off"
                shell-unquoted = "off"

                [labels]
                required = ["author", "version"]
                schema = { "author" = "text", "version" = "semver" }
                strict = true

                [registries]
                trusted = ["docker.io", "*.corp.example"]
            "#]],
        );
        let pins = policy.setting("package-version-unpinned");
        assert_eq!(pins.facets.get("apt"), Some(&Level::Off));
        assert_eq!(policy.setting("base-tag-latest").level, Level::Warn);
    }

    #[test]
    fn trivyignore_and_its_yaml() {
        check(
            Foreign::Trivyignore,
            "# runs as root on purpose\nAVD-DS-0002 exp:2027-01-01\n\nDS026\nCVE-2024-1 exp:2027-01-01\n",
            &expect![[r#"
                version = 1
                # note: `CVE-2024-1`: vulnerabilities are not judged here

                [rules]
                healthcheck-missing = "off"

                [[exceptions]]
                rules = ["final-user-root"]
                files = ["**"]
                reason = "runs as root on purpose"
                owner = ".trivyignore"
                expires = 2027-01-01
            "#]],
        );
        check(
            Foreign::TrivyignoreYaml,
            "misconfigurations:\n  - id: AVD-DS-0002\n    paths:\n      - \"init/Dockerfile\"\n\
             \x20   statement: sets sysctls\n  - id: DS-0026\nvulnerabilities:\n  - id: CVE-1\n",
            &expect![[r#"
                version = 1
                # note: `AVD-DS-0002` has no end: agree on one
                # note: `vulnerabilities` are not judged here

                [rules]
                healthcheck-missing = "off"

                [[exceptions]]
                rules = ["final-user-root"]
                files = ["init/Dockerfile"]
                reason = "sets sysctls"
                owner = ".trivyignore.yaml"
                expires = 9999-12-31
            "#]],
        );
    }

    #[test]
    fn dockleignore_and_dive_ci() {
        let policy = check(
            Foreign::Dockleignore,
            "# a comment\nCIS-DI-0001\nDKL-DI-0006 # tags\nDKL-XX-0001\n",
            &expect![[r#"
                version = 1
                # note: `DKL-XX-0001`: no rule corresponds to it

                [rules]
                base-tag-latest = "off"
                final-user-root = "off"
                output-tag-mutable = "off"
            "#]],
        );
        assert_eq!(policy.setting("final-user-root").level, Level::Off);
        check(
            Foreign::DiveCi,
            "rules:\n  lowestEfficiency: 0.95\n  highestWastedBytes: 20MB\n  highestUserWastedPercent: \"0.20\"\n",
            &expect![[r#"
                version = 1

                [budget]
                highest_user_wasted_percent = 0.2
                highest_wasted_bytes = "20MB"
                lowest_efficiency = 0.95
            "#]],
        );
        check(
            Foreign::DiveCi,
            "lowest_efficiency: off\nhighest-wasted-bytes: 5\nsomething: 1\n",
            &expect![[r#"
                version = 1
                # note: `something` is not known

                [rules]
                image-efficiency = "off"

                [budget]
                highest_wasted_bytes = 5
            "#]],
        );
    }

    #[test]
    fn mistakes_are_told_and_never_end_the_reading_of_ids() {
        for (foreign, text, want) in [
            (Foreign::Hadolint, "ignored: DL3008\n", "`ignored` must be a list of strings"),
            (
                Foreign::Hadolint,
                "override:\n  fatal: [DL3000]\n",
                "unknown severity `fatal` in `override`",
            ),
            (Foreign::Hadolint, "a: [\n", "line 1: a bracket is not closed"),
            (
                Foreign::DiveCi,
                "rules:\n  lowestEfficiency: high\n",
                "`lowestEfficiency` is not of its kind",
            ),
            (
                Foreign::DiveCi,
                "rules:\n  highestWastedBytes: lots\n",
                "`highestWastedBytes`: `lots` is no size",
            ),
            // One reader for `audit --ci` and `import`: what the one takes, the other does.
            (Foreign::DiveCi, "rules:\n  nothing\n", "`rules` is no mapping: write `KEY: VALUE`"),
        ] {
            assert_eq!(foreign.import(text).unwrap_err(), want);
        }
        // What could be TOML is a string in it.
        let hostile = "x\"\n[rules]\nparse-error = \"off\" #\n";
        let imported = Foreign::Dockleignore.import(hostile).unwrap();
        let table: toml::Table = imported.text.parse().unwrap();
        assert!(!table.contains_key("rules"), "{}", imported.text);
        let labels = "label-schema:\n  'a\"]\n\n  b': text\n";
        let imported = Foreign::Hadolint.import(labels).unwrap_or_default();
        assert!(imported.text.is_empty() || imported.text.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn several_become_one() {
        let part = |foreign: Foreign, text: &str| ("f".to_owned(), foreign.import(text).unwrap());
        let all = Imported::join(&[
            part(Foreign::Hadolint, "ignored: [DL3007, DL9999]\ntrustedRegistries: [docker.io]\n"),
            part(Foreign::Trivyignore, "DS002 exp:2027-01-01\n"),
            part(Foreign::DiveCi, "rules:\n  lowestEfficiency: 0.9\n"),
        ]);
        expect![[r#"
            version = 1
            # note: f: `DL9999`: no rule corresponds to it

            [rules]
            base-registry-untrusted = "error"
            base-tag-latest = "off"

            [budget]
            lowest_efficiency = 0.9

            [registries]
            trusted = ["docker.io"]

            [[exceptions]]
            expires = 2027-01-01
            files = ["**"]
            owner = ".trivyignore"
            reason = "ignored in .trivyignore"
            rules = ["final-user-root"]
        "#]]
        .assert_eq(&all.text);
        let mut policy = Policy::builtin("hardened").unwrap();
        policy.merge(&all.text, "x").unwrap();
        assert_eq!(policy.exceptions.len(), 1);
    }
}
