//! Reports that are lists of tests, one for each rule that is on: JUnit and TAP.

use std::fmt::Write;

use serde_json::{Value, json};

use super::custom::FAILED;
use super::formats::{HEAD, Told, counts, file, number, text, xml};
use super::rules::CATEGORIES;

/// How one test went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tested {
    /// Nothing was found.
    Passed,
    /// What was found, for machines: a JSON object.
    Failed(Value),
    /// Why nobody looked.
    Skipped(String),
}

/// Writes tests as TAP, version 14 (<https://testanything.org/tap-version-14-specification.html>).
pub fn tap_of<'a>(tests: impl Iterator<Item = (&'a str, &'a Tested)>) -> String {
    let (mut lines, mut count) = (String::new(), 0);
    for (name, tested) in tests {
        count += 1;
        let name = plain(name);
        match tested {
            Tested::Passed => {
                let _ = writeln!(lines, "ok {count} - {name}");
            }
            Tested::Skipped(why) => {
                let _ = writeln!(lines, "ok {count} - {name} # SKIP {}", plain(why));
            }
            Tested::Failed(what) => {
                let _ = writeln!(lines, "not ok {count} - {name}\n  ---");
                // A value of JSON is one of YAML.
                for (key, value) in what.as_object().into_iter().flatten() {
                    let _ = writeln!(lines, "  {key}: {value}");
                }
                lines.push_str("  ...\n");
            }
        }
    }
    format!("TAP version 14\n1..{count}\n{lines}")
}

// A description is one line, in which `#` begins a directive and `\` escapes.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The findings, and the rules that could not look, of one of those that were judged.
fn of<'a>(
    one: &Told<'_>,
    findings: &'a [Value],
    report: &'a Value,
) -> (Vec<&'a Value>, Vec<&'a Value>) {
    // With a single one findings do not say of what they are.
    let of = |value: &&Value| value["subject"].as_str().is_none_or(|name| name == one.name);
    let skipped = report["skipped"].as_array().into_iter().flatten();
    (findings.iter().filter(of).filter(counts).collect(), skipped.filter(of).collect())
}

fn rules_on<'a>(told: &Told<'a>, findings: &[&Value]) -> Vec<&'a str> {
    let on = CATEGORIES.iter().flat_map(|(_, rules)| rules.iter());
    let on = on.map(|rule| rule.id).chain(told.policy.custom.rules.iter().map(|rule| rule.id));
    let mut on: Vec<&str> = on.filter(|id| told.policy.setting(id).on()).collect();
    if findings.iter().any(|finding| finding["rule"] == FAILED) {
        on.push(FAILED);
    }
    on
}

fn line_of(finding: &Value) -> String {
    format!("{}:{}: {}", file(finding), number(finding, "line"), text(finding, "message"))
}

pub(super) fn tap(findings: &[Value], report: &Value, told: &[Told<'_>]) -> String {
    let mut tests: Vec<(String, Tested)> = Vec::new();
    for one in told {
        let (findings, skipped) = of(one, findings, report);
        for rule in rules_on(one, &findings) {
            let mine: Vec<&&Value> = findings.iter().filter(|f| f["rule"] == rule).collect();
            let skip = skipped.iter().find(|skipped| skipped["rule"] == rule);
            let tested = match (mine.first(), skip) {
                (Some(first), _) => {
                    let at: Vec<String> = mine.iter().map(|one| line_of(one)).collect();
                    Tested::Failed(json!({ "severity": first["severity"], "at": at }))
                }
                (None, Some(skip)) => Tested::Skipped(text(skip, "reason").to_owned()),
                (None, None) => Tested::Passed,
            };
            tests.push((format!("{}: {rule}", one.name), tested));
        }
    }
    tap_of(tests.iter().map(|(name, tested)| (name.as_str(), tested)))
}

pub(super) fn junit(findings: &[Value], report: &Value, told: &[Told<'_>]) -> String {
    let mut out = format!("{HEAD}<testsuites>\n");
    for one in told {
        let (findings, skipped) = of(one, findings, report);
        out.push_str(&suite(one, &findings, &skipped));
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite(told: &Told<'_>, findings: &[&Value], skipped: &[&Value]) -> String {
    let on = rules_on(told, findings);
    let (mut cases, mut failures, mut skips) = (String::new(), 0, 0);
    for rule in on.iter().copied() {
        let mine: Vec<&&Value> = findings.iter().filter(|f| f["rule"] == rule).collect();
        let skip = skipped.iter().find(|skipped| skipped["rule"] == rule);
        let id = xml(rule);
        let _ = write!(cases, "    <testcase classname=\"rbuild\" name=\"{id}\"");
        if let Some(first) = mine.first() {
            failures += 1;
            let lines: Vec<String> = mine.iter().map(|one| line_of(one)).collect();
            let _ = write!(
                cases,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>\n",
                text(first, "severity"),
                xml(text(first, "message")),
                xml(&lines.join("\n"))
            );
        } else if let Some(skip) = skip {
            skips += 1;
            let reason = xml(text(skip, "reason"));
            let _ = write!(cases, ">\n      <skipped message=\"{reason}\"/>\n    </testcase>\n");
        } else {
            cases.push_str("/>\n");
        }
    }
    let count = on.len();
    format!(
        "  <testsuite name=\"{}\" tests=\"{count}\" failures=\"{failures}\" \
         errors=\"0\" skipped=\"{skips}\">\n{cases}  </testsuite>\n",
        xml(told.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_is_one_line_for_each_test() {
        let tests = [
            ("a", Tested::Passed),
            ("b # c\\d\ne", Tested::Failed(json!({ "at": ["f:1: \"x\"\n"] }))),
            ("g", Tested::Skipped("no base\nhere".into())),
        ];
        let text = tap_of(tests.iter().map(|(name, tested)| (*name, tested)));
        let want = "TAP version 14\n1..3\nok 1 - a\nnot ok 2 - b \\# c\\\\d e\n  ---\n  \
                    at: [\"f:1: \\\"x\\\"\\n\"]\n  ...\nok 3 - g # SKIP no base here\n";
        assert_eq!(text, want);
        assert_eq!(tap_of(std::iter::empty()), "TAP version 14\n1..0\n");
    }
}
