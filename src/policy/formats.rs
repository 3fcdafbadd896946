//! The report in the forms of other tools: SARIF 2.1.0, GitHub's and GitLab's, Checkstyle; JUnit and
//! TAP are in `tested`.
//!
//! Each is made of the report's own JSON, so that all tell the same.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Level, Report};
use super::profile::Policy;
use super::rules::CATEGORIES;
use super::tested;
use crate::base::{Blob, Digest, Hasher};
use crate::diag::Sources;

/// A form of the report for other tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// SARIF 2.1.0 (OASIS), with fixes and suppressions.
    Sarif,
    /// Workflow commands of GitHub Actions, a line each.
    Github,
    /// GitLab's Code Quality report.
    Gitlab,
    /// JUnit XML: a case for each rule that is on.
    Junit,
    /// Checkstyle XML.
    Checkstyle,
    /// TAP, version 14: a test for each rule that is on.
    Tap,
}

impl Format {
    /// All forms, by name.
    pub const ALL: &[(&str, Format)] = &[
        ("sarif", Format::Sarif),
        ("github", Format::Github),
        ("gitlab", Format::Gitlab),
        ("junit", Format::Junit),
        ("checkstyle", Format::Checkstyle),
        ("tap", Format::Tap),
    ];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Format> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// What was judged, and what was found: a Dockerfile, or an image.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was found.
    pub report: &'a Report,
    /// The texts that it points into.
    pub sources: &'a Sources,
    /// What it was judged by.
    pub policy: &'a Policy,
}

impl Told<'_> {
    /// Writes what was found in several files or images as one document for machines. With one, it
    /// is that of [`Report::json`]; with several, each finding says of which it is.
    pub fn json(all: &[Told<'_>], version: &str) -> Value {
        let one = |told: &Told<'_>| told.report.json(told.sources, told.policy, version);
        if let [single] = all {
            return one(single);
        }
        let mut sum = json!({});
        let (mut findings, mut skipped, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
        let mut policy = Value::Null;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for told in all {
            let mut report = one(told);
            for mut finding in list(&mut report, "findings") {
                finding["subject"] = json!(told.name);
                // The same mistake in two files is two findings.
                let known = text(&finding, "fingerprint").to_owned();
                if !seen.insert(known.clone()) {
                    let mut hasher = Hasher::new();
                    hasher.field(known.as_bytes());
                    hasher.field(told.name.as_bytes());
                    let digest: Digest<Blob> = hasher.finish();
                    seen.insert(digest.hex());
                    finding["fingerprint"] = json!(digest.hex());
                }
                findings.push(finding);
            }
            for mut rule in list(&mut report, "skipped") {
                rule["subject"] = json!(told.name);
                skipped.push(rule);
            }
            for (key, value) in report["summary"].as_object().into_iter().flatten() {
                sum[key] = match (value.as_u64(), sum[key].as_u64()) {
                    (Some(more), before) => json!(before.unwrap_or(0) + more),
                    (None, _) => json!(value == &json!(true) || sum[key] == json!(true)),
                };
            }
            subjects.push(json!({
                "name": told.name, "policy": report["policy"], "summary": report["summary"],
            }));
            if policy.is_null() {
                policy = report["policy"].clone();
            }
        }
        json!({
            "version": 1,
            "tool": { "name": "rbuild", "version": version },
            "policy": policy,
            "summary": sum,
            "subjects": subjects,
            "findings": findings,
            "skipped": skipped,
        })
    }

    /// Writes what was found in another tool's form, as one document, with a newline at its end if
    /// there is anything.
    pub fn formatted(all: &[Told<'_>], format: Format, version: &str) -> String {
        let report = Self::json(all, version);
        let mut findings = report["findings"].as_array().cloned().unwrap_or_default();
        // What is of no place is of the whole.
        for finding in findings.iter_mut().filter(|finding| file(finding).is_empty()) {
            let subject = finding["subject"].as_str().or(all.first().map(|told| told.name));
            finding["file"] = json!(subject);
        }
        match format {
            Format::Sarif => format!("{:#}\n", sarif(&report, &findings, all, version)),
            Format::Github => github(&findings),
            Format::Gitlab => format!("{:#}\n", gitlab(&findings)),
            Format::Junit => tested::junit(&findings, &report, all),
            Format::Checkstyle => checkstyle(&findings),
            Format::Tap => tested::tap(&findings, &report, all),
        }
    }
}

impl Report {
    /// Writes the report in another tool's form, with a newline at its end if there is anything.
    pub fn formatted(
        &self,
        format: Format,
        sources: &Sources,
        policy: &Policy,
        version: &str,
    ) -> String {
        let file = self.findings.iter().find_map(|finding| finding.span);
        let name = file.map_or("image", |span| sources.get(span.source).name.as_str());
        Told::formatted(&[Told { name, report: self, sources, policy }], format, version)
    }
}

fn list(report: &mut Value, key: &str) -> Vec<Value> {
    report[key].as_array_mut().map(std::mem::take).unwrap_or_default()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

pub(super) fn number(value: &Value, key: &str) -> u64 {
    value["span"][key].as_u64().unwrap_or(1)
}

/// The file of a finding; of what is found in an image, the path in it, behind the image's name
/// where there are several.
pub(super) fn file(finding: &Value) -> String {
    if let Some(file) = finding["file"].as_str() {
        return file.to_owned();
    }
    let path = text(&finding["image"], "path").trim_start_matches('/');
    match finding["subject"].as_str() {
        Some(_) if path.is_empty() => String::new(),
        Some(subject) => format!("{subject}/{path}"),
        None => path.to_owned(),
    }
}

// A path as a reference (RFC 3986): all but letters, digits, `-._~` and `/` is written as its bytes.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

pub(super) fn counts(finding: &&Value) -> bool {
    finding["suppressed"].is_null() && finding["severity"] != "off" && finding["severity"] != "note"
}

fn sarif_level(level: &str) -> &'static str {
    match level {
        "error" => "error",
        "warn" => "warning",
        "note" => "note",
        _ => "none",
    }
}

fn sarif(report: &Value, findings: &[Value], told: &[Told<'_>], version: &str) -> Value {
    let all = || {
        CATEGORIES.iter().flat_map(|(group, rules)| rules.iter().map(move |rule| (*group, *rule)))
    };
    let mut rules: Vec<Value> = all()
        .map(|(group, rule)| {
            // Where policies differ, the strictest says what a rule is worth.
            let level = told.iter().map(|told| told.policy.setting(rule.id).level).max();
            let level = level.unwrap_or(Level::Off);
            let on = told.iter().any(|told| told.policy.setting(rule.id).on());
            let standards = rule
                .standards
                .iter()
                .map(|s| format!("external/{}", s.to_ascii_lowercase().replace(' ', "/")));
            let security = !matches!(group, "form" | "config" | "meta" | "run");
            let kind = if security { "security" } else { "correctness" };
            let tags: Vec<String> =
                [kind.to_owned(), group.to_owned()].into_iter().chain(standards).collect();
            let mut properties = json!({ "tags": tags });
            if security {
                // GitHub sorts by it: from 7 on "high", from 4 on "medium".
                properties["security-severity"] =
                    json!(if level == Level::Error { "7.5" } else { "5.0" });
            }
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "fullDescription": { "text": rule.text },
                "help": { "text": rule.text, "markdown": rule.text },
                "defaultConfiguration": {
                    "enabled": on,
                    "level": sarif_level(level.word()),
                },
                "properties": properties,
            })
        })
        .collect();
    // Rules of one's own: each once, whoever of the policies has them.
    for told in told {
        for rule in &told.policy.custom.rules {
            if rules.iter().any(|known| known["id"] == rule.id) {
                continue;
            }
            let help = rule.help.as_deref().unwrap_or(&rule.title);
            let setting = told.policy.setting(rule.id);
            rules.push(json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "help": { "text": help },
                "defaultConfiguration": {
                    "enabled": setting.on(),
                    "level": sarif_level(setting.level.word()),
                },
                "properties": { "tags": ["custom"] },
            }));
        }
    }
    let results: Vec<Value> = findings
        .iter()
        .filter(|finding| finding["severity"] != "off")
        .map(|finding| {
            let index = rules.iter().position(|rule| rule["id"] == finding["rule"]);
            let mut message = text(finding, "message").to_owned();
            if let Some(help) = finding["help"].as_str() {
                let _ = write!(message, "; {help}");
            }
            let mut out = json!({
                "ruleId": finding["rule"],
                "level": sarif_level(text(finding, "severity")),
                "message": { "text": message },
                "partialFingerprints": { "rbuild/v1": finding["fingerprint"] },
            });
            if let Some(index) = index {
                out["ruleIndex"] = index.into();
            }
            let mut location = json!({});
            // Who shows results wants a place in a file; of what is in an image it is its path there.
            let place = file(finding);
            if !place.is_empty() {
                location["physicalLocation"] = json!({
                    "artifactLocation": { "uri": uri(&place) },
                    "region": region(&finding["span"]),
                });
            }
            if let Some(path) = finding["image"]["path"].as_str() {
                let name = match finding["image"]["layer"].as_u64() {
                    Some(layer) => format!("layer {layer}{path}"),
                    None => path.to_owned(),
                };
                let name = match finding["subject"].as_str() {
                    Some(subject) => format!("{subject} {name}"),
                    None => name,
                };
                location["logicalLocations"] = json!([{ "fullyQualifiedName": name }]);
            }
            if location != json!({}) {
                out["locations"] = json!([location]);
            }
            if let Some(suppressed) = finding["suppressed"].as_object() {
                out["suppressions"] = json!([{
                    "kind": suppressed.get("kind"), "justification": suppressed.get("justification"),
                }]);
            }
            let fixes: Vec<Value> = finding["fix"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|fix| {
                    let replacements: Vec<Value> = fix["edits"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|edit| {
                            json!({
                                "deletedRegion": region(&edit["span"]),
                                "insertedContent": { "text": edit["text"] },
                            })
                        })
                        .collect();
                    json!({
                        "description": { "text": finding["help"].as_str().unwrap_or("mend it") },
                        "artifactChanges": [{
                            "artifactLocation": { "uri": uri(&file(finding)) },
                            "replacements": replacements,
                        }],
                    })
                })
                .collect();
            if !fixes.is_empty() {
                out["fixes"] = json!(fixes);
            }
            out
        })
        .collect();
    let notifications: Vec<Value> = report["skipped"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|skipped| {
            let of = skipped["subject"].as_str().map(|of| format!(" ({of})")).unwrap_or_default();
            json!({
                "level": "note",
                "message": { "text": format!("skipped{of}: {}", text(skipped, "reason")) },
                "associatedRule": { "id": skipped["rule"] },
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "rbuild", "version": version, "rules": rules } },
            "automationDetails": { "id": automation(told) },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "properties": { "policy": report["policy"] },
        }],
    })
}

// Tells runs apart that are uploaded for one commit: a category, then a slash.
fn automation(told: &[Told<'_>]) -> String {
    match told {
        [one] => format!("rbuild/{}/", one.name),
        several => format!("rbuild/{} subjects/", several.len()),
    }
}

fn region(span: &Value) -> Value {
    let mut out = json!({ "startLine": span["line"].as_u64().unwrap_or(1) });
    for (from, to) in [("col", "startColumn"), ("end_line", "endLine"), ("end_col", "endColumn")] {
        if !span[from].is_null() {
            out[to] = span[from].clone();
        }
    }
    out
}

// Workflow commands: `%`, line ends, and in properties `:` and `,`, are written as codes.
fn github(findings: &[Value]) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for finding in findings.iter().filter(counts) {
        let word = if finding["severity"] == "error" { "error" } else { "warning" };
        let rule = text(finding, "rule");
        let mut message = text(finding, "message").to_owned();
        if let Some(help) = finding["help"].as_str() {
            let _ = write!(message, "\n{help}");
        }
        let _ = writeln!(
            out,
            "::{word} file={},line={},endLine={},col={},endColumn={},title={}::{}",
            property(&file(finding)),
            number(finding, "line"),
            number(finding, "end_line"),
            number(finding, "col"),
            number(finding, "end_col"),
            property(&format!("rbuild({rule})")),
            data(&message)
        );
    }
    out
}

fn gitlab(findings: &[Value]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .filter(counts)
        .map(|finding| {
            json!({
                "description": finding["message"],
                "check_name": finding["rule"],
                "fingerprint": finding["fingerprint"],
                "severity": if finding["severity"] == "error" { "major" } else { "minor" },
                "location": {
                    "path": file(finding),
                    "lines": { "begin": number(finding, "line") },
                },
            })
        })
        .collect();
    json!(list)
}

pub(super) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            // XML 1.0 has no other control characters.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

pub(super) const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn checkstyle(findings: &[Value]) -> String {
    let mut out = format!("{HEAD}<checkstyle version=\"4.3\">\n");
    let mut files: Vec<String> = findings.iter().filter(counts).map(file).collect();
    files.sort();
    files.dedup();
    for name in files {
        let _ = writeln!(out, "  <file name=\"{}\">", xml(&name));
        for finding in findings.iter().filter(counts).filter(|finding| file(finding) == name) {
            let severity = if finding["severity"] == "error" { "error" } else { "warning" };
            let _ = writeln!(
                out,
                "    <error line=\"{}\" column=\"{}\" severity=\"{severity}\" message=\"{}\" \
                 source=\"rbuild.{}\"/>",
                number(finding, "line"),
                number(finding, "col"),
                xml(text(finding, "message")),
                xml(text(finding, "rule"))
            );
        }
        out.push_str("  </file>\n");
    }
    out.push_str("</checkstyle>\n");
    out
}
