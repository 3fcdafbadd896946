//! The policy that is in force, and reports of what it found.

use std::path::Path;

use rbuild::diag::Sources;
use rbuild::policy::{FailOn, Format, Overrides, PROFILES, Policy, PolicyError, Report};

use super::environment;
use super::shared::{PolicyArgs, Stop, write_file};

const ORGANISATION: &str = "/etc/rbuild/policy.toml";
const REPOSITORY: &str = ".rbuild/policy.toml";

/// Puts the policy together: the profile or the file of `--policy` (else the organisation's file,
/// else `hardened`), the repository's file, the command line.
pub(crate) fn effective(args: &PolicyArgs, context: &Path) -> Result<Policy, Stop> {
    // Told before the work, not after it.
    for pair in &args.report {
        if !is_format(&pair.key) {
            return Err(unknown_format(&pair.key));
        }
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

fn stop(error: PolicyError) -> Stop {
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
    for pair in &args.report {
        let text = rendered(&pair.key, report, sources, policy)?;
        write_file(Path::new(&pair.value), &text)
            .map_err(|error| Stop::usage(format!("cannot write `{}`: {error}", pair.value)))?;
    }
    Ok(())
}

/// A report in one of the formats, with a newline at its end.
pub(crate) fn rendered(
    format: &str,
    report: &Report,
    sources: &Sources,
    policy: &Policy,
) -> Result<String, Stop> {
    match format {
        "human" => Ok(format!("{}\n", report.human(sources, policy, false))),
        "json" => Ok(format!("{:#}\n", report.json(sources, policy, environment::VERSION))),
        other => match Format::parse(other) {
            Some(format) => Ok(report.formatted(format, sources, policy, environment::VERSION)),
            None => Err(unknown_format(other)),
        },
    }
}

fn is_format(name: &str) -> bool {
    matches!(name, "human" | "json") || Format::parse(name).is_some()
}

fn unknown_format(name: &str) -> Stop {
    let others = Format::ALL.iter().map(|(name, _)| *name);
    let names: Vec<&str> = ["human", "json"].into_iter().chain(others).collect();
    Stop::usage(format!("unknown report format `{name}`; there are {}", names.join(", ")))
}
