//! How a build ended: for the terminal, the exit code, the metadata file.

use std::io::Write;
use std::path::Path;

use rbuild::base::Masker;
use rbuild::build::{Done, Ended, NotPrepared, Prepared};
use rbuild::diag::{Sources, chain, render};
use rbuild::exec::{Built, Cause, Failure};
use rbuild::facts::{Behaviour, Observed};
use rbuild::output::Target;
use rbuild::policy::{Policy, Report};
use rbuild::store::Store;
use serde_json::json;

use super::super::exit::Exit;
use super::super::progress::{Format, Progress, size};
use super::super::shared::{Stop, count, say, write_file};
use super::watch::{Signals, Stage};
use super::{Command, colour};

/// What the end of a build is told by.
pub(super) struct End<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) policy: &'a Policy,
    pub(super) stage: &'a Stage,
    pub(super) signals: &'a Signals,
    pub(super) store: &'a Store,
}

impl Command {
    /// Tells why the policy refuses, in the terminal and in the reports.
    pub(super) fn refused(
        &self,
        report: &Report,
        sources: &Sources,
        policy: &Policy,
    ) -> Result<Exit, Stop> {
        say(&format!("{}\n", report.human(sources, policy, colour())));
        if let Some(path) = &self.args.metadata_file {
            let rules: Vec<_> = report
                .findings
                .iter()
                .filter(|finding| finding.counts())
                .map(|finding| json!({"rule": finding.rule, "message": finding.message}))
                .collect();
            let error = json!({"kind": "refused", "findings": rules, "exit": Exit::Refused as u8});
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
        super::super::policy::write_reports(&self.args.policy, report, sources, policy)?;
        Ok(Exit::Refused)
    }

    /// Tells that the build was interrupted before its first step.
    pub(super) fn stopped(&self, exit: Option<Exit>) -> Exit {
        let exit = exit.unwrap_or(Exit::Interrupted);
        say("interrupted\n");
        if let Some(path) = &self.args.metadata_file {
            let error = json!({"kind": "stopped", "message": "interrupted", "exit": exit as u8});
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
        exit
    }

    /// Tells all that is wrong with a text, in the terminal and in the files that are asked for.
    pub(super) fn not_prepared(
        &self,
        not: &NotPrepared,
        exit: Exit,
        policy: &Policy,
    ) -> Result<Exit, Stop> {
        tell_not_prepared(not);
        if let Some(path) = &self.args.metadata_file {
            let first = not.diagnostics.first();
            let error = json!({
                "kind": if not.parsed { "not-planned" } else { "parse-error" },
                "message": first.map(|first| first.message.as_str()),
                "place": first.and_then(|first| first.span).map(|span| not.sources.place(span)),
                "exit": exit as u8,
            });
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
        super::super::policy::write_reports(&self.args.policy, &not.report, &not.sources, policy)?;
        Ok(exit)
    }

    /// Writes `--iidfile` and `--metadata-file` of a build that succeeded.
    fn written(&self, built: &Built, prepared: &Prepared) -> Result<(), Stop> {
        let image = &built.image;
        if let Some(path) = &self.args.iidfile {
            write_file(path, &image.config_digest().to_string()).map_err(|error| Stop {
                exit: Exit::Internal,
                text: format!("cannot write `{}`: {error}", path.display()),
                help: None,
            })?;
        }
        if let Some(path) = &self.args.metadata_file {
            let names: Vec<_> = self.tags.iter().map(ToString::to_string).collect();
            let layers: Vec<_> = built
                .layers
                .iter()
                .map(|layer| {
                    json!({
                        "digest": layer.layer.descriptor.digest,
                        "diff_id": layer.layer.diff,
                        "packed": layer.layer.descriptor.size,
                        "size": layer.size,
                        "base": layer.step.is_none(),
                    })
                })
                .collect();
            let document = json!({
                "containerimage.digest": image.digest,
                "containerimage.config.digest": image.config_digest(),
                "containerimage.descriptor": {
                    "mediaType": image.manifest.media_type,
                    "digest": image.digest,
                    "size": image.manifest_bytes.len(),
                },
                "image.name": names.join(","),
                "rbuild": { "layers": layers, "behaviour": behaviour(built, prepared) },
            });
            write_metadata(path, &document);
        }
        Ok(())
    }

    /// Tells how a build ended, and returns its exit code.
    pub(super) fn ended(&self, result: Result<Done, Ended>, end: &End<'_>) -> Result<Exit, Stop> {
        if let Err(error) = end.store.stat_cache().flush() {
            end.stage.events.note(chain(&error));
        }
        let done = match result {
            Ok(done) => done,
            Err(Ended::Refused(report)) => {
                return self.refused(&report, &end.prepared.sources, end.policy);
            }
            Err(Ended::Failed(failure)) => {
                let exit = end.signals.interrupted().unwrap_or_else(|| exit_of(failure.cause));
                return Ok(self.failed(&failure, exit, end));
            }
        };
        let (sources, policy) = (&end.prepared.sources, end.policy);
        self.written(&done.built, end.prepared)?;
        self.summary(&done.built, &end.stage.progress);
        super::super::policy::write_reports(&self.args.policy, &done.report, sources, policy)?;
        if self.format != Format::None {
            say(&format!("{}\n", done.report.human(sources, policy, colour())));
        }
        if !self.outputs.iter().any(Target::is_stdout) {
            // The one line of stdout. A closed pipe is the reader's choice.
            let _ = writeln!(std::io::stdout(), "{}", done.built.image.digest);
        }
        Ok(Exit::Success)
    }

    /// Tells of a failure, in the terminal and in the metadata file; returns the exit code.
    pub(super) fn failed(&self, failure: &Failure, exit: Exit, end: &End<'_>) -> Exit {
        let (sources, masker) = (&end.prepared.sources, end.stage.events.masker());
        tell_failure(failure, sources, &end.stage.progress, exit, masker);
        if let Some(path) = &self.args.metadata_file {
            let place = failure.diagnostic.span.map(|span| sources.place(span));
            let error = json!({
                "kind": failure.diagnostic.code.0,
                "message": masker.mask_text(&failure.diagnostic.message),
                "place": place,
                "status": failure.status,
                "exit": exit as u8,
            });
            write_metadata(path, &json!({"rbuild": {"error": error}}));
        }
        exit
    }

    fn summary(&self, built: &Built, progress: &Progress) {
        if !matches!(self.format, Format::Plain) {
            return;
        }
        let (cached, run) = progress.counts();
        let mut text = String::from("layers:\n");
        for layer in &built.layers {
            let digest = layer.layer.descriptor.digest.to_string();
            let origin = if layer.step.is_none() { "base" } else { "own" };
            text.push_str(&format!(
                "  {digest}  {:>9}  {origin}\n",
                size(layer.layer.descriptor.size)
            ));
        }
        let total: u64 = built.layers.iter().map(|layer| layer.layer.descriptor.size).sum();
        text.push_str(&format!(
            "built: {} in {}; {} run, {cached} cached\n",
            size(total),
            count(built.layers.len(), "layer"),
            count(run, "step")
        ));
        let (emulated, took) = progress.emulated();
        if emulated > 0 {
            text.push_str(&format!(
                "emulated: {emulated} of these steps, {:.1} s; what a stage `FROM \
                 --platform=$BUILDPLATFORM` cross-compiles for $TARGETOS/$TARGETARCH runs at full speed\n",
                took.as_secs_f64()
            ));
        }
        say(&text);
    }
}

/// What steps did, where that was asked for: `null` where not.
fn behaviour(built: &Built, prepared: &Prepared) -> serde_json::Value {
    let asked = built
        .conduct
        .iter()
        .filter(|(_, conduct)| conduct.seen.is_some() || conduct.varying.is_some());
    let steps: Vec<_> = asked
        .map(|(id, conduct)| {
            let step = &prepared.plan.steps[*id];
            let place = prepared.sources.place(step.span);
            let mut one = match &conduct.seen {
                Some(Observed::Watched(seen)) => acts(seen),
                Some(Observed::Skipped(cause)) => json!({ "skipped": cause }),
                None => json!({}),
            };
            one["place"] = json!(place);
            one["title"] = json!(step.title);
            if let Some(varying) = &conduct.varying {
                one["varying"] = json!(varying);
            }
            if let Some(used) = conduct.used {
                one["used"] = json!(used);
            }
            one
        })
        .collect();
    if steps.is_empty() { serde_json::Value::Null } else { json!({ "steps": steps }) }
}

fn acts(seen: &Behaviour) -> serde_json::Value {
    let parents = |index: Option<usize>| -> Vec<&str> {
        let chain = index.map(|index| seen.chain(index)).unwrap_or_default();
        chain.iter().map(|program| program.path.as_str()).collect()
    };
    let path = |by: Option<usize>| Some(&seen.execs.get(by?)?.path);
    let execs: Vec<_> = (0..)
        .zip(&seen.execs)
        .map(|(index, program)| {
            json!({"path": program.path, "argv": program.argv, "sha256": program.sha256,
                   "status": program.status, "parents": parents(Some(index)),
                   "asked": program.asked, "folder": program.folder, "setid": program.setid,
                   "whence": program.whence})
        })
        .collect();
    let connects = seen
        .connects
        .iter()
        .map(|one| json!({"addr": one.addr, "by": path(one.by), "parents": parents(one.by)}));
    let denied = seen.denied.as_ref().map(|denied| -> Vec<_> {
        let shown = |one: &rbuild::facts::Denied| {
            json!({"syscall": one.syscall, "detail": one.detail, "count": one.count,
                   "by": path(one.by), "parents": parents(one.by)})
        };
        denied.iter().map(shown).collect()
    });
    let failed = seen.failed.as_ref().map(|failed| -> Vec<_> {
        let shown = |one: &rbuild::facts::Failed| {
            json!({"path": one.path, "error": one.error, "by": path(one.by),
                   "parents": parents(one.by)})
        };
        failed.iter().map(shown).collect()
    });
    let left: Vec<_> = seen.left.iter().map(|by| path(*by)).collect();
    json!({"execs": execs, "connects": connects.collect::<Vec<_>>(), "denied": denied,
           "failed": failed, "left": left, "processes": seen.processes, "untold": seen.untold})
}

/// Tells all that is wrong with a text.
pub(in crate::cli) fn tell_not_prepared(not: &NotPrepared) {
    let mut text = String::new();
    for diagnostic in &not.diagnostics {
        text.push_str(&render(diagnostic, &not.sources, colour()));
        text.push('\n');
    }
    text.push_str(&format!("rbuild: {}\n", count(not.diagnostics.len(), "error")));
    say(&text);
}

/// Tells why a build ended: the last lines of the step's output, the place, the remedy.
fn tell_failure(
    failure: &Failure,
    sources: &Sources,
    progress: &Progress,
    exit: Exit,
    masker: &Masker,
) {
    if matches!(exit, Exit::Interrupted | Exit::Terminated) {
        say("interrupted\n");
        return;
    }
    let mut text = String::new();
    if let (Some(step), Cause::Step) = (failure.step, failure.cause) {
        let tail = progress.tail(step);
        if !tail.is_empty() {
            text.push_str("the step's last lines:\n");
            for line in tail {
                text.push_str(&format!("  | {line}\n"));
            }
        }
    }
    text.push_str(&render(&failure.diagnostic, sources, colour()));
    text.push('\n');
    // A value that is a secret may stand in the command, or in the text around it.
    say(&masker.mask_text(&text));
}

/// The exit code of a kind of failure.
pub(super) fn exit_of(cause: Cause) -> Exit {
    match cause {
        Cause::Tampered => Exit::Tampered,
        Cause::Refused => Exit::Refused,
        Cause::Usage => Exit::Usage,
        Cause::Step | Cause::Input => Exit::Step,
        Cause::Network => Exit::Network,
        Cause::Sandbox => Exit::Sandbox,
        Cause::Internal => Exit::Internal,
        Cause::Interrupted => Exit::Interrupted,
    }
}

/// Writes the metadata file; that it cannot be written is told, and is no reason to fail a build
/// that is done.
pub(super) fn write_metadata(path: &Path, document: &serde_json::Value) {
    if let Err(error) = write_file(path, &format!("{document:#}\n")) {
        say(&format!("warning: cannot write `{}`: {error}\n", path.display()));
    }
}
