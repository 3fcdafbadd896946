//! The policy that is in force, for people: every value with who said so.

use std::fmt::Write;

use toml::Value;

use super::profile::{Policy, PolicyError};
use super::rules::RULES;
use super::sections::SECTIONS;

impl Policy {
    /// Writes the policy for people: each value that was set, each rule with its level, and who said
    /// so; defaults of tables and parameters are left out.
    pub fn show(&self) -> String {
        let mut out = format!("policy {} ({})\n", self.name, self.digest());
        let json = self.to_json();
        for key in ["inline", "offline", "fail_on", "behaviour", "chroot"] {
            let value = json[key].as_str().unwrap_or("");
            let _ = writeln!(out, "{key} = {value:<36}  {}", self.origin(key));
        }
        if !self.locked.is_empty() {
            let locked: Vec<&str> = self.locked.iter().map(String::as_str).collect();
            let _ = writeln!(out, "locked: {}", locked.join(", "));
        }
        for section in SECTIONS {
            let Some(table) = self.sections.get(section.name) else { continue };
            let _ = writeln!(out, "\n[{}]", section.name);
            for (key, value) in table {
                let origin = self.origin(&format!("{}.{key}", section.name));
                let _ = writeln!(out, "{key} = {}  {origin}", inline(value));
            }
        }
        if !self.custom.rules.is_empty() {
            out.push_str("\n[custom]\n");
            for rule in &self.custom.rules {
                let _ = writeln!(out, "{} of {}: {}", rule.id, rule.file, rule.title);
            }
        }
        out.push('\n');
        for (id, setting) in &self.rules {
            let level = setting.level.word();
            let facets: String = setting
                .facets
                .iter()
                .map(|(facet, level)| format!(" {facet}={}", level.word()))
                .collect();
            let _ = writeln!(out, "{level:<5}  {id:<30}  {}{facets}", setting.origin);
            let known =
                RULES.iter().find(|rule| rule.id == *id).map_or(&[][..], |rule| rule.params);
            for param in known {
                let origin = self.origins.get(&format!("rules.{id}.{}", param.name));
                if let (Some(origin), Some(value)) = (origin, setting.params.get(param.name)) {
                    let _ = writeln!(out, "         {} = {}  {origin}", param.name, inline(value));
                }
            }
        }
        for exception in &self.exceptions {
            let rules: Vec<String> = exception.rules.iter().map(ToString::to_string).collect();
            let scopes = [
                ("files", &exception.files),
                ("stages", &exception.stages),
                ("paths", &exception.paths),
                ("sha256", &exception.sha256),
                ("images", &exception.images),
            ];
            let scope: String = scopes
                .iter()
                .filter(|(_, list)| !list.is_empty())
                .map(|(key, list)| format!(", {key} {}", list.join(" ")))
                .collect();
            let most = exception.max.map_or(String::new(), |max| format!(", at most {max}"));
            let ended = if exception.ended { ", which is over" } else { "" };
            let _ = writeln!(
                out,
                "\nexcept {}{scope}{most}, to {}{ended}: {} ({})",
                rules.join(", "),
                exception.expires,
                exception.reason,
                exception.owner
            );
        }
        out
    }

    fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }
}

/// Returns a table of a TOML file as the text of a file of its own: `[policy]` of `rbuild.toml`. `None`
/// if it has no such table.
pub fn table_of(text: &str, key: &str, place: &str) -> Result<Option<String>, PolicyError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        PolicyError::new(place, super::read::not_toml(text, &error))
    })?;
    let part = table.get(key).and_then(Value::as_table);
    let line = |(key, value): (&String, &Value)| format!("{} = {}\n", quoted(key), inline(value));
    Ok(part.map(|part| part.iter().map(line).collect()))
}

/// Writes a value as TOML, on one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(inline).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Table(table) => {
            let pairs: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", quoted(key), inline(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Datetime(date) => date.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
    }
}

/// Writes a string of TOML. Its escapes are those of JSON, but for one character.
pub(super) fn quoted(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a string is JSON");
    json.replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::table_of;
    use crate::policy::Policy;

    #[test]
    fn a_table_of_a_file_is_a_file() {
        let text = "[build]\njobs = 2\n[policy]\nfail_on = \"warn\"\n[policy.rules]\n\"DL3007\" = \"off\"\n\
                    [policy.bases]\nmax_age = \"90d\"\n[[policy.exceptions]]\nrules = [\"DL3002\"]\n\
                    files = [\"a\\\"\\n\"]\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n";
        let part = table_of(text, "policy", "p").unwrap().unwrap();
        let mut policy = Policy::builtin("hardened").unwrap();
        policy.merge(&part, "p").unwrap();
        assert_eq!(policy.exceptions[0].files, ["a\"\n"]);
        assert_eq!(policy.exceptions[0].expires, "2027-01-01");
        assert!(!policy.is_on("base-tag-latest"));
        assert_eq!(table_of("[build]\n", "policy", "p"), Ok(None));
        assert!(table_of("[", "policy", "p").is_err());
    }

    #[test]
    fn every_value_that_was_set_has_its_origin() {
        let mut policy = Policy::read(
            "name = \"org\"\nfail_on = \"warn\"\nlock = [\"rules.secret-in-env\"]\n\
             [bases]\nmax_age = \"90d\"\n",
            "org.toml",
            &mut |_| None,
        )
        .unwrap();
        policy
            .merge(
                "[rules.final-user-root]\nabsent = \"off\"\n[rules]\nDL3008 = \"error\"\n\
                 [[exceptions]]\nrules = [\"DL3007\"]\nfiles = [\"a/*\"]\nreason = \"r\"\n\
                 owner = \"o\"\nexpires = 2020-01-01\nmax = 2\n",
                "repo.toml",
            )
            .unwrap();
        policy.end("2026-11-21");
        let shown = policy.show();
        for (want, origin) in [
            ("fail_on = warn", "org.toml"),
            ("inline = justify", "hardened"),
            ("max_age = \"90d\"", "org.toml"),
            ("error  final-user-root", "hardened"),
            ("absent = \"off\"", "repo.toml"),
            ("apt=error", "repo.toml"),
            ("locked: rules.secret-in-env", ""),
            (
                "except base-tag-latest, files a/*, at most 2, to 2020-01-01, which is over: r (o)",
                "",
            ),
        ] {
            let line = shown.lines().find(|line| line.contains(want));
            assert!(line.is_some_and(|line| line.contains(origin)), "{want}\n{shown}");
        }
    }
}
