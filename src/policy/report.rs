//! Findings for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Finding, Level, Report, Verdict};
use super::profile::{Policy, rule};
use crate::base::{Blob, Digest, Hasher, Span};
use crate::diag::{Code, Diagnostic, Severity, Sources, render};

/// The most findings of one rule that are shown in full to people.
const SHOWN: usize = 10;

impl Report {
    /// Writes the report for people: each finding as a block, then the summary; after a refusal
    /// lines that tell how to fix, how to waive, and how to choose another profile. Ends
    /// without a newline.
    pub fn human(&self, sources: &Sources, policy: &Policy, colour: bool) -> String {
        let verdict = self.verdict(policy.fail_on);
        let mut out = String::new();
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in self.findings.iter().filter(|finding| finding.suppressed.is_none()) {
            // That there are more is told, whatever was told before.
            if finding.firm {
                out.push_str(&render(&diagnostic(finding, sources), sources, colour));
                out.push_str("\n\n");
                continue;
            }
            let count = shown.entry(finding.rule).or_default();
            *count += 1;
            if finding.level == Level::Note {
                let _ = writeln!(out, "note[{}]: {}\n", finding.rule, finding.message);
            } else if *count <= SHOWN {
                out.push_str(&render(&diagnostic(finding, sources), sources, colour));
                out.push_str("\n\n");
            }
        }
        for (rule, count) in shown.iter().filter(|(_, count)| **count > SHOWN) {
            let _ = writeln!(out, "… and {} more of `{rule}`\n", count - SHOWN);
        }
        out.push_str(&self.summary(&verdict, policy));
        if verdict.refused {
            for line in self.closing(policy) {
                out.push('\n');
                out.push_str(&line);
            }
        }
        out
    }

    /// Writes the one line that sums up.
    pub fn summary(&self, verdict: &Verdict, policy: &Policy) -> String {
        let count = |count: usize, word: &str| {
            format!("{count} {word}{}", if count == 1 { "" } else { "s" })
        };
        let mut out = format!(
            "rbuild: {}, {}",
            count(verdict.errors, "error"),
            count(verdict.warnings, "warning")
        );
        if verdict.suppressed > 0 {
            let _ = write!(out, ", {} suppressed", verdict.suppressed);
        }
        if verdict.skipped > 0 {
            let mut reasons: Vec<&str> =
                self.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
            reasons.sort_unstable();
            reasons.dedup();
            let _ = write!(out, ", {} skipped ({})", verdict.skipped, reasons.join("; "));
        }
        let digest = policy.digest().hex();
        let _ = write!(out, " · policy {} (sha256:{}…)", policy.name, &digest[..12]);
        if !policy.skipped_errors.is_empty() {
            let names: Vec<&str> = policy.skipped_errors.iter().copied().collect();
            let _ = write!(out, " without {}", names.join(", "));
        }
        out
    }

    /// Returns the lines that follow a refusal: how to fix, how to waive, how to choose another
    /// profile, where there is one that judges by less.
    pub fn closing(&self, policy: &Policy) -> Vec<String> {
        let worst = self.findings.iter().filter(|finding| finding.counts());
        let worst = worst.max_by_key(|finding| {
            (finding.level, rule(finding.rule).is_some_and(|rule| rule.inline))
        });
        let id = worst.map_or("final-user-root", |finding| finding.rule);
        // A comment needs an instruction to stand above.
        let place = worst.is_none_or(|finding| finding.span.is_some() || finding.place.is_some());
        let covered = rule(id).map_or(policy.custom.rule(id).is_some(), |rule| rule.inline);
        let waive = if covered && place && policy.inline != super::Inline::Deny {
            format!("`# rbuild: allow {id} -- REASON` above the instruction")
        } else {
            "an entry under [[exceptions]] in a policy file".to_owned()
        };
        let looser: &[&str] = match policy.name.as_str() {
            "none" => &[],
            "paranoid" => &["hardened", "baseline", "none"],
            "baseline" => &["none"],
            _ => &["baseline", "none"],
        };
        let looser: Vec<String> = looser.iter().map(|name| format!("--policy {name}")).collect();
        let mut lines = vec![
            format!(
                "  fix:    `rbuild policy explain {id}` tells what is wrong and how to mend it"
            ),
            format!("  waive:  {waive}"),
        ];
        if !looser.is_empty() {
            lines.push(format!("  choose: {} judges by less", looser.join(" or ")));
        }
        lines
    }

    /// Writes the report for machines.
    pub fn json(&self, sources: &Sources, policy: &Policy, version: &str) -> Value {
        let verdict = self.verdict(policy.fail_on);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let base = fingerprint_base(finding, sources);
                let ordinal = seen.entry(base.clone()).or_default();
                *ordinal += 1;
                one(finding, sources, &fingerprint(&base, *ordinal))
            })
            .collect();
        json!({
            "version": 1,
            "tool": { "name": "rbuild", "version": version },
            "policy": { "name": policy.name, "digest": policy.digest().to_string() },
            "summary": verdict,
            "findings": findings,
            "skipped": self.skipped,
        })
    }
}

fn one(finding: &Finding, sources: &Sources, fingerprint: &str) -> Value {
    let place = finding.place.map(|place| {
        let (line, _) = sources.line_column(place.span.source, place.span.start);
        json!({ "index": place.index, "line": line, "stage": place.stage })
    });
    let aliases: Vec<&str> = rule(finding.rule)
        .map(|rule| rule.aliases.iter().map(|alias| alias.name).collect())
        .unwrap_or_default();
    json!({
        "rule": finding.rule,
        "facet": finding.facet,
        "severity": finding.level,
        "moment": finding.moment,
        "message": finding.message,
        "file": finding.span.map(|span| sources.get(span.source).name.clone()),
        "span": finding.span.map(|span| span_json(span, sources)).or_else(|| {
            // A line of a file in the image.
            finding.evidence.get("line").map(|line| json!({ "line": line, "end_line": line }))
        }),
        "instruction": place,
        "image": finding.image,
        "evidence": finding.evidence,
        "help": finding.help,
        "fix": finding.fix.iter().map(|fix| {
            let edits: Vec<Value> = fix
                .edits
                .iter()
                .map(|(span, text)| json!({ "span": span_json(*span, sources), "text": text }))
                .collect();
            json!({ "safe": fix.safe, "edits": edits })
        }).collect::<Vec<Value>>(),
        "aliases": aliases,
        "suppressed": finding.suppressed,
        "confidence": finding.confidence,
        "fingerprint": fingerprint,
    })
}

fn span_json(span: Span, sources: &Sources) -> Value {
    let (line, column) = sources.line_column(span.source, span.start);
    let (end_line, end_column) = sources.line_column(span.source, span.end);
    json!({ "line": line, "col": column, "end_line": end_line, "end_col": end_column })
}

// Does not change when lines move: the instruction's words count, not their place.
fn fingerprint_base(finding: &Finding, sources: &Sources) -> String {
    let span = finding.place.map(|place| place.span).or(finding.span);
    let text = span.map_or("", |span| sources.slice(span));
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
    let path = finding.image.as_ref().map_or("", |image| image.path.as_str());
    let facet = finding.facet.unwrap_or("");
    [finding.rule, facet, &words.join(" "), path].join("\0")
}

fn fingerprint(base: &str, ordinal: usize) -> String {
    let mut hasher = Hasher::new();
    hasher.field(base.as_bytes());
    hasher.field(ordinal.to_string().as_bytes());
    let digest: Digest<Blob> = hasher.finish();
    digest.hex()
}

/// Turns a finding into a diagnostic.
pub(super) fn diagnostic(finding: &Finding, sources: &Sources) -> Diagnostic {
    let severity = match finding.level {
        Level::Error => Severity::Error,
        Level::Warn => Severity::Warning,
        Level::Note | Level::Off => Severity::Note,
    };
    let mut out = Diagnostic::new(Code(finding.rule), severity, finding.message.clone());
    out.span = finding.span;
    out.label.clone_from(&finding.label);
    out.labels.clone_from(&finding.labels);
    out.help.clone_from(&finding.help);
    if let Some(title) = finding.evidence.get("title").and_then(Value::as_str) {
        out.notes.push(format!("why: {title}"));
    }
    if let Some(rule) = rule(finding.rule) {
        out.notes.push(format!("why: {}", rule.title));
        let mut also = rule.standards.join(", ");
        if !also.is_empty() {
            also.push_str(" · ");
        }
        out.notes.push(format!("also: {also}explain: rbuild policy explain {}", rule.id));
    }
    if finding.hidden
        && let Some(span) = out.span.take()
    {
        out.labels.clear();
        out.notes.insert(0, format!("at {}", sources.place(span)));
    }
    if let Some(image) = &finding.image {
        let layer = image.layer.map_or(String::new(), |layer| format!(", layer {layer}"));
        out.notes.insert(0, format!("in the image: {}{layer}", image.path));
        // Without a Dockerfile the history says what made the layer.
        let origin = finding.evidence.get("origin").and_then(Value::as_str);
        if let Some(origin) = origin.filter(|origin| finding.span.is_none() && !origin.is_empty()) {
            let shown: String = origin.chars().take(200).collect();
            out.notes.insert(1, format!("made by: {shown}"));
        }
    }
    out
}
