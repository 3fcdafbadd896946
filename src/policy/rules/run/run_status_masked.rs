//! `run-status-masked`: a failure that is taken for success.

use crate::facts::shell::{Command, Join};
use crate::instruction::{Instruction, RunForm};
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-status-masked",
    title: "`|| true` and `;` let a failed step pass for a good one.",
    text: "Finds `|| true` (or `|| :`) after an installation, a download, a check or a test, and, \
          in a RUN in shell form without `set -e`, a command whose failure is lost by \
          `;`.\n\nNot found: what cannot fail or may (echo, set, export, rm -f …), and the \
          conditions of if and while.",
    aliases: &[Alias::of("SC2015"), Alias::of("SC2155")],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN make test; echo done\n",
        "FROM busybox\nRUN sha256sum -c sums || true\n",
        "FROM debian\nRUN apt-get update; apt-get install -y curl\n",
    ],
    good: &[
        "FROM busybox\nRUN set -e; sha256sum -c sums; true\n",
        "FROM busybox\nRUN rm -rf /x || true; for f in a b; do echo $f; done\n",
        "FROM busybox\nRUN echo a; if [ -f /x ]; then make; fi\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let Instruction::Run(run) = item.instruction else { continue };
        let heredoc = matches!(&run.form, RunForm::Shell { heredocs, .. } if !heredocs.is_empty());
        let commands = &item.script().commands;
        for (at, command) in commands.iter().enumerate() {
            let nothing = matches!(command.name(), Some("true" | ":")) && command.args().is_empty();
            if command.join != Join::Or || !nothing {
                continue;
            }
            let before = commands[..at].iter().rev().take_while(|other| other.list == command.list);
            let masked =
                before.filter(|other| other.list == command.list).find(|other| matters(other));
            if let Some(masked) = masked {
                let name = masked.name().unwrap_or("it");
                let message = format!("`|| true` hides that `{name}` has failed");
                let help = "leave it out, or handle the failure";
                found.tell(
                    item.place,
                    masked.span.to(command.span),
                    message,
                    "always succeeds",
                    help,
                );
            }
        }
        // A heredoc is another rule's.
        if heredoc {
            continue;
        }
        let lost = commands.iter().find(|command| {
            command.status.lost
                && !command.status.errexit
                && !command.status.asked
                && command.depth == 0
                && !command.status.subshell
                && may_matter(command)
                && command.join != Join::Background
        });
        if let Some(command) = lost {
            let name = command.name().unwrap_or("it");
            let message = format!("the step goes on when `{name}` fails");
            let help = "write `&&` for `;`, or begin with `set -e`";
            found.tell(item.place, command.span, message, "its failure is lost by `;`", help);
        }
    }
}

fn matters(command: &Command) -> bool {
    let args: Vec<&str> = command.args().iter().map(|arg| arg.prefix()).collect();
    let test = match command.name() {
        Some("make" | "npm" | "yarn" | "pnpm" | "cargo" | "go" | "mvn" | "gradle") => {
            args.iter().any(|arg| matches!(*arg, "test" | "check" | "ci" | "build"))
        }
        Some("pytest" | "tox" | "ctest" | "phpunit" | "rspec") => true,
        Some("gpg" | "gpgv" | "cosign" | "minisign") => true,
        Some(name) => {
            name.ends_with("sum")
                && args.iter().any(|a| *a == "--check" || (a.starts_with('-') && a.contains('c')))
        }
        None => false,
    };
    test || command.install().is_some() || command.fetches()
}

fn may_matter(command: &Command) -> bool {
    !matches!(
        command.name(),
        None | Some(
            "echo"
                | "printf"
                | "set"
                | "export"
                | "true"
                | ":"
                | "exit"
                | "return"
                | "cd"
                | "umask"
                | "trap"
                | "unset"
                | "shift"
                | "local"
                | "readonly"
                | "sleep"
                | "["
                | "test"
                | "[["
                | "rm"
                | "pkill"
                | "killall"
                | "kill"
                | "wait"
                | "pwd"
                | "date"
                | "ls"
                | "shopt"
                | "alias"
                | "break"
                | "continue"
                | "false"
                | "read"
                | "source"
                | "."
                | "eval"
                | "declare"
                | "typeset"
                | "env"
                | "id"
                | "whoami"
                | "uname"
        )
    )
}
