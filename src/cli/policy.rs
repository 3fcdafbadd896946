//! The policy that is in force, and reports of what it found.

use std::path::Path;

use rbuild::diag::Sources;
use rbuild::policy::{FailOn, Format, Overrides, PROFILES, Policy, PolicyError, Report, Told};

use super::environment;
use super::shared::{PolicyArgs, Stop, write_file};

const ORGANISATION: &str = "/etc/rbuild/policy.toml";
const REPOSITORY: &str = ".rbuild/policy.toml";

/// Puts the policy together: the profile or the file of `--policy` (else the organisation's file,
/// else `hardened`), the repository's file, the command line.
pub(crate) fn effective(args: &PolicyArgs, context: &Path) -> Result<Policy, Stop> {
    // Told before the work, not after it.
    for pair in &args.report {
        known_format(&pair.key)?;
    }
    let mut policy = match &args.policy {
        Some(name) => match Policy::builtin(name) {
            Some(policy) => policy,
            None => from_file(Path::new(name)).map_err(|stop| {
                let names: Vec<_> = PROFILES.iter().map(|(name, _)| *name).collect();
                stop.help(format!("a profile ({}) or a policy file", names.join(", ")))
            })?,
        },
        None if Path::new(ORGANISATION).is_file() => from_file(Path::new(ORGANISATION))?,
        None => Policy::builtin("hardened").expect("a built-in profile"),
    };
    // A profile by name is the whole of what was asked for; the repository's file refines the rest.
    if args.policy.is_none()
        && let Some(path) = repository_file(context)
    {
        let text = read(&path)?;
        policy.merge(&text, &path.display().to_string()).map_err(stop)?;
    }
    let fail_on = match &args.fail_on {
        Some(word) => Some(FailOn::parse(word).ok_or_else(|| {
            Stop::usage(format!("--fail-on `{word}`: write error, warn or never"))
        })?),
        None => None,
    };
    let overrides = Overrides {
        only: args.only.clone(),
        skip: args.skip.clone(),
        set: args.set.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect(),
        fail_on,
    };
    policy.apply(&overrides).map_err(stop)?;
    Ok(policy)
}

pub(crate) fn stop(error: PolicyError) -> Stop {
    let help = error.help.clone();
    let mut stop = Stop::usage(error.to_string());
    stop.help = help;
    stop
}

fn read(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path).map_err(|error| {
        Stop::usage(format!("cannot read the policy `{}`: {error}", path.display()))
    })
}

fn from_file(path: &Path) -> Result<Policy, Stop> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut open = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    Policy::read(&text, &path.display().to_string(), &mut open).map_err(stop)
}

/// The repository's file: in the context or above it, up to the root of the version control.
fn repository_file(context: &Path) -> Option<std::path::PathBuf> {
    let start = std::path::absolute(context).ok()?;
    for folder in start.ancestors() {
        let file = folder.join(REPOSITORY);
        if file.is_file() {
            return Some(file);
        }
        if folder.join(".git").exists() {
            return None;
        }
    }
    None
}

/// Writes the reports that `--report FORMAT=FILE` asks for.
pub(crate) fn write_reports(
    args: &PolicyArgs,
    report: &Report,
    sources: &Sources,
    policy: &Policy,
) -> Result<(), Stop> {
    let file = report.findings.iter().find_map(|finding| finding.span);
    let name = file.map_or("image", |span| sources.get(span.source).name.as_str());
    write_all(args, &[Told { name, report, sources, policy }])
}

/// Writes the reports that `--report FORMAT=FILE` asks for, each about all files or images.
pub(crate) fn write_all(args: &PolicyArgs, all: &[Told<'_>]) -> Result<(), Stop> {
    for pair in &args.report {
        let text = rendered(&pair.key, all, false)?;
        write_file(Path::new(&pair.value), &text)
            .map_err(|error| Stop::usage(format!("cannot write `{}`: {error}", pair.value)))?;
    }
    Ok(())
}

/// What was found in one of the formats, as one document with a newline at its end.
pub(crate) fn rendered(format: &str, all: &[Told<'_>], colour: bool) -> Result<String, Stop> {
    match format {
        "human" => Ok(all
            .iter()
            .map(|told| format!("{}\n", told.report.human(told.sources, told.policy, colour)))
            .collect()),
        "json" => Ok(format!("{:#}\n", Told::json(all, environment::VERSION))),
        other => match Format::parse(other) {
            Some(format) => Ok(Told::formatted(all, format, environment::VERSION)),
            None => Err(unknown_format(other)),
        },
    }
}

/// Tells that there is no such format.
pub(crate) fn known_format(name: &str) -> Result<(), Stop> {
    match matches!(name, "human" | "json") || Format::parse(name).is_some() {
        true => Ok(()),
        false => Err(unknown_format(name)),
    }
}

fn unknown_format(name: &str) -> Stop {
    let others = Format::ALL.iter().map(|(name, _)| *name);
    let names: Vec<&str> = ["human", "json"].into_iter().chain(others).collect();
    Stop::usage(format!("unknown report format `{name}`; there are {}", names.join(", ")))
}
