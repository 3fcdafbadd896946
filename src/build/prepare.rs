//! From text to plan: everything that can be said before anything runs.

use std::sync::Arc;

use crate::diag::{Diagnostic, Severity, Sources};
use crate::dockerfile::{self, Dockerfile};
use crate::instruction::{self, Instruction};
use crate::plan::{self, BaseLookup, Plan, Request};
use crate::policy::{
    Bases, ContextFiles, Level, Policy, Report, TextInput, check_last_text, check_text,
};

/// A Dockerfile and what is asked of it.
#[derive(Clone, Debug)]
pub struct Job {
    /// What a person calls the file.
    pub name: String,
    /// Its bytes.
    pub text: Vec<u8>,
    /// The rest.
    pub request: Request,
    /// `--squash`.
    pub squash: bool,
    /// Today, `YYYY-MM-DD`, for waivers that end; `None` lets none end.
    pub today: Option<String>,
    /// What is known of bases from elsewhere (`lint --bases`); used where none is looked up.
    pub known: Bases,
    /// The names that the image will have; `None` where none can be known.
    pub tags: Option<Vec<String>>,
    /// The files of the main context, for rules; `None` where there is no folder.
    pub files: Option<Arc<dyn ContextFiles + Send + Sync>>,
    /// The process ends when it is told: what judging needed may be left as it is.
    pub last: bool,
}

impl Job {
    /// A file of which nothing else is known or asked.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>, request: Request) -> Self {
        Job {
            name: name.into(),
            text: text.into(),
            request,
            squash: false,
            today: None,
            known: Bases::none(),
            tags: None,
            files: None,
            last: false,
        }
    }

    fn context(&self) -> Option<&dyn ContextFiles> {
        self.files.as_deref().map(|files| files as &dyn ContextFiles)
    }
}

/// A plan with the texts that it comes from.
#[derive(Debug)]
pub struct Prepared {
    /// The texts that spans point into.
    pub sources: Sources,
    /// The file.
    pub file: Dockerfile,
    /// Its instructions.
    pub instructions: Vec<Instruction>,
    /// The plan.
    pub plan: Plan,
    /// What is known of bases.
    pub bases: Bases,
    /// What the policy says of the text. Ask it before anything runs.
    pub report: Report,
    /// The own layers become one: asked for, or demanded by the policy of a single-stage image.
    pub squash: bool,
}

impl Prepared {
    /// Returns what rules in Rego see of the text (docs/rego.md).
    pub fn input_document(&self, job: &Job, policy: &Policy) -> serde_json::Value {
        crate::policy::input_document(self.text_input(job), policy)
    }

    /// What rules are given of the text.
    pub(super) fn text_input<'a>(&'a self, job: &'a Job) -> TextInput<'a> {
        TextInput {
            file: &self.file,
            instructions: &self.instructions,
            errors: &[],
            sources: &self.sources,
            request: &job.request,
            bases: &self.bases,
            squash: self.squash,
            today: job.today.as_deref(),
            tags: job.tags.as_deref(),
            context: job.context(),
        }
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub struct NotPrepared {
    /// The texts that spans point into.
    pub sources: Sources,
    /// All that is wrong, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The file, as far as it was understood.
    pub file: Dockerfile,
    /// Its instructions, as far as they were understood.
    pub instructions: Vec<Instruction>,
    /// The text is fine; what it names could not be planned or resolved.
    pub parsed: bool,
    /// What the policy says of the text, its errors included.
    pub report: Report,
}

/// A text that was understood, line by line.
struct Parsed {
    sources: Sources,
    file: Dockerfile,
    instructions: Vec<Instruction>,
    diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    fn is_wrong(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

fn parse_job(job: &Job, policy: &Policy) -> Result<Parsed, Box<NotPrepared>> {
    let parsed = understand(job);
    if parsed.is_wrong() {
        let Parsed { sources, file, instructions, diagnostics } = parsed;
        return Err(not_prepared(job, policy, sources, file, instructions, diagnostics, false));
    }
    Ok(parsed)
}

fn understand(job: &Job) -> Parsed {
    let mut sources = Sources::new();
    let source = sources.add(&job.name, as_text(&job.text));
    let text = sources.get(source).text.clone();
    let (file, mut diagnostics) = dockerfile::parse(source, &text);
    let (instructions, more) = instruction::parse_all(&file);
    diagnostics.extend(more);
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Parsed { sources, file, instructions, diagnostics }
}

/// Gives the instructions of a text, or all that is wrong with it by itself, without planning: for
/// hosts on which nothing else can be done, and for what names stages.
pub fn parse(job: &Job, policy: &Policy) -> Result<Vec<Instruction>, Box<NotPrepared>> {
    parse_job(job, policy).map(|parsed| parsed.instructions)
}

fn not_prepared(
    job: &Job,
    policy: &Policy,
    sources: Sources,
    file: Dockerfile,
    instructions: Vec<Instruction>,
    diagnostics: Vec<Diagnostic>,
    parsed: bool,
) -> Box<NotPrepared> {
    let input = TextInput {
        file: &file,
        instructions: &instructions,
        errors: &diagnostics,
        sources: &sources,
        request: &job.request,
        bases: &job.known,
        squash: job.squash,
        today: job.today.as_deref(),
        tags: job.tags.as_deref(),
        context: job.context(),
    };
    let report = check_text(input, policy);
    Box::new(NotPrepared { sources, diagnostics, file, instructions, parsed, report })
}

/// Parses, plans and judges. All errors of the text are reported together; when there is one, no
/// base is asked for.
pub fn prepare(
    job: &Job,
    policy: &Policy,
    bases: &dyn BaseLookup,
) -> Result<Prepared, Box<NotPrepared>> {
    let Parsed { mut sources, file, instructions, mut diagnostics } = parse_job(job, policy)?;
    match plan::plan(&file, &instructions, &job.request, bases, &mut sources) {
        Ok(plan) => {
            let parsed = Parsed { sources, file, instructions, diagnostics };
            Ok(judged(job, policy, parsed, plan))
        }
        Err(errors) => {
            diagnostics.extend(errors);
            Err(not_prepared(job, policy, sources, file, instructions, diagnostics, true))
        }
    }
}

/// As [`prepare`], for who does not ask what is wrong: then nothing is judged.
pub fn prepare_known(job: &Job, policy: &Policy, bases: &dyn BaseLookup) -> Option<Prepared> {
    let mut parsed = understand(job);
    if parsed.is_wrong() {
        return None;
    }
    let Parsed { sources, file, instructions, .. } = &mut parsed;
    let plan = plan::plan(file, instructions, &job.request, bases, sources).ok()?;
    Some(judged(job, policy, parsed, plan))
}

fn judged(job: &Job, policy: &Policy, parsed: Parsed, mut plan: Plan) -> Prepared {
    let Parsed { mut sources, file, instructions, mut diagnostics } = parsed;
    diagnostics.append(&mut plan.warnings);
    plan.warnings = diagnostics;
    let looked_up = plan.bases.iter().any(|(_, base)| base.image.is_some());
    let known = if looked_up {
        Bases::of_plan(&plan)
    } else {
        let mut known = job.known.clone();
        known.read_triggers(&mut sources);
        known
    };
    let mut prepared = Prepared {
        sources,
        file,
        instructions,
        plan,
        bases: known,
        report: Report::default(),
        squash: job.squash,
    };
    let check = if job.last { check_last_text } else { check_text };
    prepared.report = check(prepared.text_input(job), policy);
    // Where the policy has a single-stage image squashed, the rule tells so in a note.
    prepared.squash |=
        prepared.report.findings.iter().any(|finding| {
            finding.rule == "single-stage-unsquashed" && finding.level == Level::Note
        });
    prepared
}

/// Bytes as text: what is not UTF-8 becomes `?`, one for each byte, so that offsets stay.
fn as_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Platform;
    use crate::plan::{Found, Wanted};

    fn check(text: &[u8]) -> Result<usize, Vec<String>> {
        let job = Job::new("Dockerfile", text, Request::new(Platform::host()));
        let policy = Policy::builtin("none").unwrap();
        match prepare(&job, &policy, &|_: &Wanted| Ok(Found::Unread)) {
            Ok(prepared) => Ok(prepared.plan.steps.len()),
            Err(not) => Err(not.diagnostics.into_iter().map(|d| d.message).collect()),
        }
    }

    #[test]
    fn bytes_that_are_not_text_keep_their_offsets() {
        assert_eq!(as_text(b"a\xff\xfeb"), "a??b");
        assert_eq!(check(b"FROM scratch\nLABEL a=\xff\n"), Ok(0));
    }

    #[test]
    fn all_errors_of_a_text_are_told_together() {
        let errors = check(b"FROM scratch\nCOPPY a b\nRUN --mout=x true\n").unwrap_err();
        assert!(errors.len() >= 2, "{errors:?}");
    }
}
