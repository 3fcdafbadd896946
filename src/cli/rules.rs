//! `rbuild policy`: what is demanded, and why.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use rbuild::policy::{explain, rule};

use super::exit::Exit;
use super::policy::effective;
use super::shared::{PolicyArgs, Stop};

/// Show the policy that is in force, or explain a rule.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print each rule with its level and who said so
    Show {
        /// The folder where a repository's policy is looked for
        #[arg(value_name = "CONTEXT", default_value = ".")]
        context: PathBuf,
        #[command(flatten)]
        policy: Box<PolicyArgs>,
    },
    /// Print what a rule finds, why it matters, and how to mend it
    Explain {
        /// A rule's id, or another tool's id for it (`DL3002`)
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let text = match args.command {
        Command::Show { context, policy } => effective(&policy, &context).map(|p| p.show()),
        Command::Explain { id } => match rule(&id) {
            Some(rule) => Ok(explain(rule)),
            None => {
                let ids = rbuild::policy::RULES.iter().map(|rule| rule.id);
                let mut stop = Stop::usage(format!("there is no rule `{id}`"));
                stop.help =
                    rbuild::diag::nearest(&id, ids).map(|near| format!("did you mean `{near}`?"));
                Err(stop)
            }
        },
    };
    match text {
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            Exit::Success
        }
        Err(stop) => stop.tell(),
    }
}
