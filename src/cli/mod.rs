//! The command line: arguments in, exit code out. The only place that prints, reads the environment
//! and looks at the clock.

pub(crate) mod arguments;
pub(crate) mod audit;
pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod cases;
pub(crate) mod context;
pub(crate) mod doctor;
pub(crate) mod environment;
pub(crate) mod exit;
pub(crate) mod lint;
pub(crate) mod policy;
pub(crate) mod progress;
pub(crate) mod push;
pub(crate) mod rules;
pub(crate) mod shared;
pub(crate) mod terms;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use exit::Exit;

/// Daemonless, rootless OCI image builder that enforces hardening rules.
///
/// `rbuild -f Dockerfile .` is `rbuild build -f Dockerfile .`: the word `build` may be left out.
#[derive(Parser, Debug)]
#[command(name = "rbuild", version, about, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The list of commands: one file each.
#[derive(Subcommand, Debug)]
enum Command {
    Audit(Box<audit::Args>),
    Build(Box<build::Args>),
    Context(context::Args),
    Doctor(doctor::Args),
    Lint(Box<lint::Args>),
    Policy(rules::Args),
    Push(push::Args),
}

const COMMANDS: &[&str] = &["audit", "build", "context", "doctor", "lint", "policy", "push"];

/// Runs the command line `argv` (with the program's name in front).
pub(crate) fn main(argv: Vec<OsString>) -> Exit {
    let cli = match Cli::try_parse_from(with_default_command(argv)) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // A broken pipe (`rbuild --help | head`) is not an error.
            let _ = error.print();
            return exit;
        }
    };
    match cli.command {
        Command::Audit(args) => audit::run(*args),
        Command::Build(args) => build::run(*args),
        Command::Context(args) => context::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Lint(args) => lint::run(*args),
        Command::Policy(args) => rules::run(args),
        Command::Push(args) => push::run(args),
    }
}

// `rbuild -f Dockerfile .` means `rbuild build -f Dockerfile .`; help and version stay the program's.
fn with_default_command(mut argv: Vec<OsString>) -> Vec<OsString> {
    let first = argv.get(1).and_then(|word| word.to_str());
    let own = match first {
        None => true,
        Some("-h" | "--help" | "-V" | "--version") => true,
        Some(word) => COMMANDS.contains(&word),
    };
    if !own {
        argv.insert(1, "build".into());
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let names: Vec<_> =
            Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        assert_eq!(names, COMMANDS);
    }

    #[test]
    fn build_may_be_left_out() {
        for (argv, want) in [
            (vec!["rbuild", "."], vec!["rbuild", "build", "."]),
            (vec!["rbuild", "-f", "x", "."], vec!["rbuild", "build", "-f", "x", "."]),
            (vec!["rbuild", "lint", "."], vec!["rbuild", "lint", "."]),
            (vec!["rbuild", "--version"], vec!["rbuild", "--version"]),
        ] {
            let argv = argv.into_iter().map(OsString::from).collect();
            let want: Vec<OsString> = want.into_iter().map(OsString::from).collect();
            assert_eq!(with_default_command(argv), want);
        }
    }
}
