//! `rbuild lint`: the static rules alone. Nothing is run, nothing is written.

use std::io::Write;
use std::path::{Path, PathBuf};

use rbuild::base::{Platform, SourceId};
use rbuild::build::{Job, Prepared, prepare};
use rbuild::diag::{Diagnostic, Sources};
use rbuild::instruction::Instruction;
use rbuild::plan::{Found, Request, Wanted};
use rbuild::policy::{Bases, Policy, Report, Told, diff};

use super::environment;
use super::exit::Exit;
use super::policy::{effective, known_format, rendered, write_all};
use super::shared::{KeyValue, PolicyArgs, Stop, StoreArgs};

/// Judge Dockerfiles without building them.
///
/// The report goes to stdout. Bases are not looked up: rules that need one are listed as skipped,
/// unless `--bases` tells what is known of them.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Dockerfiles, `-` for standard input, or folders (the context, with its Dockerfile)
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The Dockerfile of a folder
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Judge this stage, by name or number, instead of the last one
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Set a build argument
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<KeyValue>,
    /// Take NAME for a named context: nothing of it is looked up
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<KeyValue>,
    /// The platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// What is known of bases, as JSON: {"debian:12": {"config": {"User": "65532"}}}
    #[arg(long, value_name = "FILE")]
    bases: Option<PathBuf>,
    /// Take NAME[:TAG] for a name of the image
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// The layers of the build become one
    #[arg(long)]
    squash: bool,
    /// The report's form: human, json, sarif, github, gitlab, junit, checkstyle or tap
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: String,
    /// Make the changes that mend findings and keep what the build does; with `unsafe`, all
    #[arg(long, value_name = "safe|unsafe", num_args = 0..=1, default_missing_value = "safe",
          require_equals = true, value_parser = ["safe", "unsafe"])]
    fix: Option<String>,
    /// Print the changes that --fix would make, and make none
    #[arg(long)]
    diff: bool,
    /// Print what rules in Rego see of the text as `input`, and judge nothing
    #[arg(long)]
    dump_input: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// One text is judged, once.
    #[arg(skip)]
    last: bool,
}

/// Runs the command.
pub(crate) fn run(mut args: Args) -> Exit {
    args.last = args.paths.len() == 1 && args.fix.is_none() && !args.diff;
    match lint(&args) {
        Ok(exit) => exit,
        Err(stop) => stop.tell(),
    }
}

fn lint(args: &Args) -> Result<Exit, Stop> {
    let known = match &args.bases {
        None => Bases::none(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Stop::usage(format!("cannot read `{}`: {error}", path.display()))
            })?;
            Bases::from_json(&text)
                .ok_or_else(|| Stop::usage(format!("`{}` is not of that form", path.display())))?
        }
    };
    known_format(&args.format)?;
    let mut exit = Exit::Success;
    let mut judged = Vec::new();
    // One file that cannot be read does not hide what is wrong with another.
    let mut stops = Vec::new();
    for path in &args.paths {
        match one(path, args, &known) {
            Ok(None) => {}
            Ok(Some(found)) => judged.push(found),
            Err(stop) => stops.push(stop),
        }
    }
    let mut reports: Vec<(&mut Report, &Policy)> =
        judged.iter_mut().map(|one| (&mut one.report, &one.policy)).collect();
    Report::settle(&mut reports);
    for one in &judged {
        exit = exit.and(match one.parsed {
            false => Exit::Parse,
            true if one.report.verdict(one.policy.fail_on).refused => Exit::Refused,
            true => Exit::Success,
        });
    }
    if !args.diff && (stops.is_empty() || !judged.is_empty()) {
        let all: Vec<Told<'_>> = judged
            .iter()
            .map(|one| Told {
                name: &one.name,
                report: &one.report,
                sources: &one.sources,
                policy: &one.policy,
            })
            .collect();
        let text = rendered(&args.format, &all, super::build::colour())?;
        // A closed pipe (`rbuild lint | head`) is the reader's choice.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        stops.extend(write_all(&args.policy, &all).err());
    }
    Ok(stops.iter().fold(exit, |exit, stop| exit.and(stop.tell())))
}

/// A file that was judged.
struct Judged {
    name: String,
    report: Report,
    sources: Sources,
    policy: Policy,
    parsed: bool,
}

/// Does what was asked for with one path; `None` where that is no judgement.
fn one(path: &Path, args: &Args, known: &Bases) -> Result<Option<Judged>, Stop> {
    let (dockerfile, context) = locate(path, args)?;
    let policy = effective(&args.policy, &args.store, &context)?;
    let folder = path.is_dir().then_some(path);
    if args.dump_input {
        let text = document(&dockerfile, folder, args, &policy, known)?;
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        return Ok(None);
    }
    if args.fix.is_some() || args.diff {
        mend(&dockerfile, folder, args, &policy, known)?;
        if args.diff {
            return Ok(None);
        }
    }
    let (sources, report, parsed) = judge(&dockerfile, folder, args, &policy, known)?;
    let name = dockerfile.display().to_string();
    Ok(Some(Judged { name, report, sources, policy, parsed }))
}

/// The Dockerfile that a path means, and the folder where its policy is looked for.
fn locate(path: &Path, args: &Args) -> Result<(PathBuf, PathBuf), Stop> {
    if path == Path::new("-") {
        return Ok((path.to_owned(), PathBuf::from(".")));
    }
    if !path.is_dir() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        return Ok((path.to_owned(), folder.unwrap_or(Path::new(".")).to_owned()));
    }
    let found = match &args.file {
        Some(file) => Some(file.clone()),
        None => ["Dockerfile", "Containerfile"]
            .iter()
            .map(|name| path.join(name))
            .find(|candidate| candidate.is_file()),
    };
    found
        .map(|file| (file, path.to_owned()))
        .ok_or_else(|| Stop::usage(format!("no Dockerfile in `{}`", path.display())))
}

fn judge(
    dockerfile: &Path,
    folder: Option<&Path>,
    args: &Args,
    policy: &Policy,
    known: &Bases,
) -> Result<(Sources, Report, bool), Stop> {
    let (name, text) = super::build::read_dockerfile(dockerfile)?;
    judge_text(name, text, dockerfile, folder, args, policy, known)
}

/// Rounds of changes: one may make room for another.
const ROUNDS: usize = 5;

/// Makes the changes that mend findings, or prints them.
fn mend(
    dockerfile: &Path,
    folder: Option<&Path>,
    args: &Args,
    policy: &Policy,
    known: &Bases,
) -> Result<(), Stop> {
    let (name, bytes) = super::build::read_dockerfile(dockerfile)?;
    let Ok(old) = String::from_utf8(bytes) else {
        return Err(Stop::usage(format!("`{name}` is no text: nothing is changed in it")));
    };
    let all = args.fix.as_deref() == Some("unsafe");
    let mut text = old.clone();
    for _ in 0..ROUNDS {
        let bytes = text.clone().into_bytes();
        let (_, report, _) =
            judge_text(name.clone(), bytes, dockerfile, folder, args, policy, known)?;
        match report.mended(SourceId::default(), &text, all) {
            Some((next, _)) => text = next,
            None => break,
        }
    }
    if args.diff {
        let _ = std::io::stdout().lock().write_all(diff(&name, &old, &text).as_bytes());
    } else if text != old {
        if dockerfile == Path::new("-") {
            return Err(Stop::usage("--fix writes files: standard input is none")
                .help("add --diff, or name the file"));
        }
        // In place: its mode and its links stay.
        std::fs::write(dockerfile, &text)
            .map_err(|error| Stop::usage(format!("cannot write `{name}`: {error}")))?;
    }
    Ok(())
}

pub(crate) fn judge_text(
    name: String,
    text: Vec<u8>,
    dockerfile: &Path,
    folder: Option<&Path>,
    args: &Args,
    policy: &Policy,
    known: &Bases,
) -> Result<(Sources, Report, bool), Stop> {
    let job = job(name, text, dockerfile, folder, args, known)?;
    let target = |instructions: &[Instruction]| {
        super::arguments::check_target(args.target.as_deref(), instructions)
    };
    match prepare(&job, policy, &unread) {
        Ok(prepared) => {
            target(&prepared.instructions)?;
            let Prepared { sources, report, plan, file, instructions, .. } = prepared;
            if job.last {
                std::mem::forget((plan, file, instructions));
            }
            Ok((sources, report, true))
        }
        Err(not) => {
            if not.parsed {
                target(&not.instructions)?;
            }
            Ok((not.sources, not.report, false))
        }
    }
}

fn unread(_: &Wanted) -> Result<Found, Diagnostic> {
    Ok(Found::Unread)
}

/// What rules in Rego see of a text.
fn document(
    dockerfile: &Path,
    folder: Option<&Path>,
    args: &Args,
    policy: &Policy,
    known: &Bases,
) -> Result<String, Stop> {
    let (name, text) = super::build::read_dockerfile(dockerfile)?;
    let job = job(name, text, dockerfile, folder, args, known)?;
    match prepare(&job, policy, &unread) {
        Ok(prepared) => Ok(format!("{:#}\n", prepared.input_document(&job, policy))),
        Err(not) => {
            let first = not.diagnostics.first().map_or("", |one| one.message.as_str());
            Err(Stop { exit: Exit::Parse, ..Stop::usage(first) })
        }
    }
}

fn job(
    name: String,
    text: Vec<u8>,
    dockerfile: &Path,
    folder: Option<&Path>,
    args: &Args,
    known: &Bases,
) -> Result<Job, Stop> {
    let platform = match &args.platform {
        Some(text) => Platform::parse(text).map_err(|error| Stop::usage(error.to_string()))?,
        None => Platform::host(),
    };
    let mut request = Request::new(platform);
    request.target = args.target.clone();
    for pair in &args.build_arg {
        request.build_args.insert(pair.key.clone(), Some(pair.value.clone()));
    }
    for pair in &args.build_context {
        let source = rbuild::build::NamedSource::parse(&pair.value)
            .map_err(|error| Stop::usage(format!("--build-context {}: {error}", pair.key)))?;
        request.named_contexts.insert(pair.key.clone(), source.kind());
    }
    Ok(Job {
        name,
        text,
        request,
        squash: args.squash,
        today: Some(environment::today()),
        known: known.clone(),
        tags: (!args.tag.is_empty()).then(|| args.tag.clone()),
        files: match folder {
            Some(folder) => {
                let files = super::context::listed(folder, Some(dockerfile), &[])?;
                Some(files as std::sync::Arc<_>)
            }
            None => None,
        },
        last: args.last,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_file_that_is_not_there_hides_no_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let bad = file("bad", "FROM scratch\nUSER root\n");
        let report = folder.path().join("report.json");
        let none = folder.path().join("none").display().to_string();
        let check = |paths: &[&str], want: Exit, told: bool| {
            let _ = std::fs::remove_file(&report);
            let to = format!("json={}", report.display());
            let line = ["lint", "--policy=hardened", "--report", &to];
            let line = Line::parse_from(line.iter().chain(paths));
            assert_eq!(lint(&line.args).unwrap(), want, "{paths:?}");
            assert_eq!(report.exists(), told, "{paths:?}");
        };
        check(&[&bad, &none], Exit::Refused, true);
        check(&[&none, &bad], Exit::Refused, true);
        check(&[&none], Exit::Usage, false);
    }
}
