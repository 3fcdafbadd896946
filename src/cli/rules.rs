//! `rbuild policy`: what is demanded, and why; files to begin with, and cases to try them on.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rbuild::policy::{FAILED, Foreign, Imported, PROFILES, explain, rule, template};

use super::cases;
use super::exit::Exit;
use super::policy::{REPOSITORY, effective, foreign_files, import, import_found};
use super::shared::{PolicyArgs, Stop, StoreArgs, say};

/// Show the policy that is in force, explain a rule, begin or try a policy file.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print every value that is set and each rule with its level, with who said so
    Show {
        /// The folder where a repository's policy is looked for
        #[arg(value_name = "CONTEXT", default_value = ".")]
        context: PathBuf,
        /// human, or json: the document that the policy's digest is of, with origins
        #[arg(long, value_name = "FORMAT", default_value = "human", value_parser = ["human", "json"])]
        format: String,
        #[command(flatten)]
        policy: Box<PolicyArgs>,
        #[command(flatten)]
        store: Box<StoreArgs>,
    },
    /// Print what a rule finds, why it matters, and how to mend it
    Explain {
        /// A rule's id, or another tool's id for it (`DL3002`); that of a custom rule
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        policy: Box<PolicyArgs>,
        #[command(flatten)]
        store: Box<StoreArgs>,
    },
    /// Judge cases and compare with what each expects (docs/policy.md tells their form)
    ///
    /// A case is a folder with `Dockerfile` or `image.json`, `expected.json` and, if need be,
    /// `case.json`; or an entry `[[case]]` of a TOML file. Ends with 1 if one is not judged as expected.
    Test(Box<cases::Args>),
    /// Write a policy file to start from: every key, commented out; never over a file
    Init {
        /// The file [default: .rbuild/policy.toml, which is the repository's]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The profile that the file extends, for a file that `--policy` names
        #[arg(long, value_name = "PROFILE")]
        policy: Option<String>,
    },
    /// Make a policy file of hadolint.yaml, .trivyignore, .dockleignore and .dive-ci; print it
    ///
    /// What cannot be carried over is told on stderr, and stands in the file as a comment.
    Import {
        /// The files, or folders that hold them
        #[arg(value_name = "PATH", default_value = ".")]
        paths: Vec<PathBuf>,
        /// Write the policy to this file, never over one
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let text = match args.command {
        Command::Show { context, format, policy, store } => effective(&policy, &store, &context)
            .map(|policy| match format.as_str() {
                "json" => format!("{:#}", policy.to_json()),
                _ => policy.show(),
            }),
        Command::Explain { id, policy, store } => explained(&id, &policy, &store),
        Command::Test(args) => return cases::run(&args),
        Command::Init { file, policy } => init(file, policy.as_deref()),
        Command::Import { paths, to } => imported(&paths, to.as_deref()),
    };
    match text {
        Ok(text) if text.is_empty() => Exit::Success,
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            Exit::Success
        }
        Err(stop) => stop.tell(),
    }
}

fn explained(id: &str, policy: &PolicyArgs, store: &StoreArgs) -> Result<String, Stop> {
    if let Some(rule) = rule(id) {
        return Ok(explain(rule));
    }
    if id == FAILED {
        return Ok(format!(
            "{FAILED}\n\nRules in Rego gave no verdict.\n\nA file has a mistake, which the message names with \
             its line; or together the rules took more than 2 s of CPU time or 256 MiB of memory. Mend \
             the rule, or leave it out with --skip ID. See docs/rego.md.\n"
        ));
    }
    // Only now: an explanation of a rule of ours needs no policy.
    let policy = effective(policy, store, Path::new("."))?;
    if let Some(custom) = policy.custom.rule(id) {
        let help = custom.help.as_ref().map_or(String::new(), |help| format!("\n{help}\n"));
        let level = policy.setting(custom.id).level.word();
        return Ok(format!(
            "{}\n\n{}\n{help}\nA rule of `{}`, package `{}`; in this policy: {level}.\n",
            custom.id, custom.title, custom.file, custom.package
        ));
    }
    let ids = policy.rules.keys().copied();
    let mut stop = Stop::usage(format!("there is no rule `{id}`"));
    stop.help = rbuild::diag::nearest(id, ids).map(|near| format!("did you mean `{near}`?"));
    Err(stop)
}

fn init(file: Option<PathBuf>, profile: Option<&str>) -> Result<String, Stop> {
    if let Some(name) = profile
        && PROFILES.iter().all(|(known, _)| *known != name)
    {
        let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
        let stop = Stop::usage(format!("there is no profile `{name}`"));
        return Err(stop.help(format!("one of {}", names.join(", "))));
    }
    let path = file.unwrap_or_else(|| PathBuf::from(REPOSITORY));
    write_new(&path, &template(profile))?;
    Ok(String::new())
}

fn imported(paths: &[PathBuf], to: Option<&Path>) -> Result<String, Stop> {
    let mut parts = Vec::new();
    for path in paths {
        let files = match path.is_dir() {
            true => foreign_files(path),
            false => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let names: Vec<&str> = Foreign::NAMES.iter().map(|(name, _)| *name).collect();
                let foreign = Foreign::of(&name).ok_or_else(|| {
                    Stop::usage(format!("`{}` is no file that is known", path.display()))
                        .help(format!("one of {}", names.join(", ")))
                })?;
                vec![(path.clone(), foreign)]
            }
        };
        let read = if path.is_dir() { import_found } else { import };
        for (path, foreign) in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            parts.push((name, read(&path, foreign)?));
        }
    }
    if parts.is_empty() {
        return Err(Stop::usage("there is no configuration file of another tool")
            .help("name one, or the folder that holds it"));
    }
    let all = Imported::join(&parts);
    for note in &all.notes {
        say(&format!("note: {}\n", super::shared::printable(note)));
    }
    match to {
        Some(path) => {
            write_new(path, &all.text)?;
            Ok(String::new())
        }
        None => Ok(all.text),
    }
}

/// Writes a file that is not there yet, and the folder that it lies in.
fn write_new(path: &Path, text: &str) -> Result<(), Stop> {
    let fail = |error: std::io::Error| {
        let stop = Stop::usage(format!("cannot write `{}`: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                stop.help("move it away first: nothing is overwritten")
            }
            _ => stop,
        }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    say(&format!("wrote {}\n", path.display()));
    Ok(())
}
