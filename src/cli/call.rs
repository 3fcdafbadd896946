//! `--call`: what can be said of a build without running it. The answer goes to stdout; neither a
//! store nor a namespace is needed, and bases are not looked up. Where there is a store, `plan` tells
//! which results it has; bases are then looked up there and in layouts, never in the network, as
//! `outline` does for their ONBUILD.

mod graph;
mod outline;
mod targets;

use std::collections::BTreeMap;
use std::io::Write;

use rbuild::base::StepId;
use rbuild::build::{Job, Prepared, prepare};
use rbuild::diag::{Diagnostic, Severity, Sources, render};
use rbuild::exec::Foreseen;
use rbuild::plan::{Found, Wanted};
use rbuild::policy::{Policy, Report};
use serde_json::{Value, json};

use super::environment;
use super::exit::Exit;
use super::shared::{PolicyArgs, Stop};

/// `--call`, `--check` and `--format`.
#[derive(clap::Args, Debug)]
pub(crate) struct CallArgs {
    /// Tell about the build instead of running it
    #[arg(long, value_name = "build|check|outline|targets|plan", default_value = "build")]
    #[arg(value_parser = ["build", "check", "outline", "targets", "plan"])]
    call: String,
    /// `--call check`: judge the Dockerfile, by the policy too
    #[arg(long, conflicts_with = "call")]
    check: bool,
    /// The form of what --call tells
    #[arg(long, value_name = "text|json|dot", default_value = "text")]
    #[arg(value_parser = ["text", "json", "dot"])]
    format: String,
}

/// What is known of steps that have not run.
pub(crate) type Steps = BTreeMap<StepId, Foreseen>;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Dot,
}

impl CallArgs {
    /// Tells whether it is the plan that is asked for.
    pub(crate) fn is_plan(&self) -> bool {
        !self.check && self.call == "plan"
    }

    /// Tells whether it is the outline that is asked for.
    pub(crate) fn is_outline(&self) -> bool {
        !self.check && self.call == "outline"
    }

    /// Tells whether nothing is to be run.
    pub(crate) fn is_asked(&self) -> bool {
        self.check || self.call != "build"
    }

    /// Answers the call; `None` means that the build is to be run.
    pub(crate) fn run(
        &self,
        job: &Job,
        policy: &Policy,
        reports: &PolicyArgs,
        foreseen: Option<(Prepared, Steps)>,
    ) -> Result<Option<Exit>, Stop> {
        let call = if self.check { "check" } else { self.call.as_str() };
        let form = match self.format.as_str() {
            "json" => Form::Json,
            "dot" if call == "plan" => Form::Dot,
            "dot" => return Err(Stop::usage("--format dot needs --call plan")),
            _ => Form::Text,
        };
        if call == "build" {
            return Ok(None);
        }
        let unread = |_: &Wanted| -> Result<Found, Diagnostic> { Ok(Found::Unread) };
        if let Some((prepared, steps)) = foreseen {
            print(&match call {
                "outline" => outline::answer(&prepared, form),
                _ => graph::answer(&prepared, &steps, form),
            });
            return Ok(Some(Exit::Success));
        }
        let result = prepare(job, policy, &unread);
        if call == "check" {
            return check(result, form, policy, reports).map(Some);
        }
        let prepared = match result {
            Ok(prepared) => prepared,
            Err(not) => {
                super::build::tell_not_prepared(&not);
                return Ok(Some(Exit::Parse));
            }
        };
        let text = match call {
            "outline" => outline::answer(&prepared, form),
            "targets" => targets::answer(&prepared, form),
            _ => graph::answer(&prepared, &Steps::new(), form),
        };
        print(&text);
        Ok(Some(Exit::Success))
    }
}

/// A closed pipe (`… | head`) is the reader's choice.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// A document with a newline at its end.
fn document(value: &Value) -> String {
    format!("{value:#}\n")
}

/// All that is wrong or odd: what parser and planner say, then what the policy says.
fn check(
    result: Result<Prepared, Box<rbuild::build::NotPrepared>>,
    form: Form,
    policy: &Policy,
    reports: &PolicyArgs,
) -> Result<Exit, Stop> {
    let (sources, report, told, planned) = match result {
        Ok(prepared) => (prepared.sources, prepared.report, prepared.plan.warnings, true),
        Err(not) => (not.sources, not.report, not.diagnostics, false),
    };
    print(&judged(&sources, &report, &told, form, policy));
    super::policy::write_reports(reports, &report, &sources, policy)?;
    Ok(match planned {
        false => Exit::Parse,
        true if report.verdict(policy.fail_on).refused => Exit::Refused,
        true => Exit::Success,
    })
}

fn judged(
    sources: &Sources,
    report: &Report,
    told: &[Diagnostic],
    form: Form,
    policy: &Policy,
) -> String {
    if form == Form::Json {
        let list: Vec<Value> = told.iter().map(|diagnostic| one(diagnostic, sources)).collect();
        let mut value = report.json(sources, policy, environment::VERSION);
        value["diagnostics"] = Value::Array(list);
        return document(&value);
    }
    let colour = super::build::colour();
    let mut text = String::new();
    // The policy tells errors of the text too, as a finding of its own.
    let has_findings = report.findings.iter().any(|finding| finding.rule == "parse-error");
    for diagnostic in told {
        if diagnostic.severity != Severity::Error || !has_findings {
            text.push_str(&render(diagnostic, sources, colour));
            text.push_str("\n\n");
        }
    }
    text.push_str(&report.human(sources, policy, colour));
    text.push('\n');
    text
}

fn one(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    json!({
        "code": diagnostic.code.0,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "place": diagnostic.span.map(|span| sources.place(span)),
        "help": diagnostic.help,
    })
}

/// Rows in columns that are as wide as they have to be; the first row is the heading.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}   "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rbuild::base::Platform;
    use rbuild::plan::Request;

    pub(super) fn prepared(text: &str, set: impl FnOnce(&mut Request)) -> Prepared {
        let job = job(text, set);
        let policy = Policy::builtin("none").unwrap();
        let unread = |_: &Wanted| -> Result<Found, Diagnostic> { Ok(Found::Unread) };
        match prepare(&job, &policy, &unread) {
            Ok(prepared) => prepared,
            Err(not) => panic!("{:?}", not.diagnostics),
        }
    }

    fn job(text: &str, set: impl FnOnce(&mut Request)) -> Job {
        let mut request = Request::new(Platform::parse("linux/amd64").unwrap());
        set(&mut request);
        Job::new("Dockerfile", text, request)
    }

    #[test]
    fn a_check_tells_parser_planner_and_policy() {
        let judge = |text: &str, policy: &str, form: Form| {
            let job = job(text, |request| {
                request.build_args.insert("VERSON".to_owned(), Some("1".to_owned()));
            });
            let policy = Policy::builtin(policy).unwrap();
            let unread = |_: &Wanted| -> Result<Found, Diagnostic> { Ok(Found::Unread) };
            match prepare(&job, &policy, &unread) {
                Ok(done) => judged(&done.sources, &done.report, &done.plan.warnings, form, &policy),
                Err(not) => judged(&not.sources, &not.report, &not.diagnostics, form, &policy),
            }
        };
        let text = judge("FROM debian:latest\nARG VERSION\n", "hardened", Form::Text);
        for words in ["build-arg-unused", "did you mean `VERSION`?", "base-tag-latest"] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        for policy in ["none", "hardened"] {
            let text = judge("FRM x\nCOPPY a b\n", policy, Form::Text);
            assert_eq!(text.matches("unknown instruction `FRM`").count(), 1, "{text}");
            assert_eq!(text.matches("unknown instruction `COPPY`").count(), 1, "{text}");
        }
        let text = judge("FROM scratch\nCOPY --from=x:y:z a b\n", "none", Form::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["diagnostics"][0]["code"], "bad-reference");
        assert_eq!(value["diagnostics"][0]["place"], "Dockerfile:2:13");
    }
}
