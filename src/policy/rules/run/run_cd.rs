//! `run-cd`: a step that goes somewhere first.

use crate::facts::shell::Join;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-cd",
    title: "WORKDIR shows where a step works.",
    text: "Finds a RUN in shell form that begins with `cd` to an absolute path and goes on with \
          `&&`. A sub-shell, `cd -`, a cd in the middle, and a folder that the step itself makes \
          are fine.",
    aliases: &[Alias::of("DL3003"), Alias::of("DS-0013")],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN cd /opt && make\n"],
    good: &[
        "FROM busybox\nWORKDIR /opt\nRUN make\nRUN tar xf a.tar && (cd a && make)\n",
        "FROM busybox\nRUN mkdir -p /opt/a && cd /opt/a && make\n",
        "FROM busybox\nRUN (cd /opt && make)\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let commands = &item.script().commands;
        let Some(first) = commands.first() else { continue };
        let path = match first.args() {
            [path] => path.known().unwrap_or(""),
            _ => continue,
        };
        let follows = commands.get(1).is_some_and(|next| next.join == Join::And);
        let whole = commands.iter().filter(|command| command.depth == 0);
        let one = whole.clone().all(|command| !command.status.lost);
        let back = commands.iter().skip(1).any(|command| command.name() == Some("cd"));
        if first.name() != Some("cd") || first.status.subshell || !path.starts_with('/') {
            continue;
        }
        if follows && one && !back && first.wrapped_by.is_empty() {
            let message = format!("the step works in `{path}`, and WORKDIR does not say so");
            let help = format!("WORKDIR {path} before it");
            found.tell(item.place, first.span, message, "WORKDIR shows it", help);
        }
    }
}
