//! `heredoc-no-errexit`: a heredoc that goes on after a failure.

use crate::base::Span;
use crate::instruction::{Instruction, RunForm};
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "heredoc-no-errexit",
    title: "A heredoc RUN goes on after a failing line: only the last status counts.",
    text: "Finds a RUN whose heredoc is a script for the default shell, with two commands or \
          more, where the failure of one is lost: no `set -e` before it, no `&&` after it, no -e \
          in SHELL.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN <<EOF\nfalse\ntrue\nEOF\n",
        "FROM busybox\nRUN <<EOF\nmake\nmake install\nEOF\n",
    ],
    good: &[
        "FROM busybox\nRUN <<EOF\nset -eux\nfalse\ntrue\nEOF\n",
        "FROM busybox\nRUN <<EOF\nmake &&\n  make install\nEOF\n",
        "FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN <<EOF\nmake\nmake install\nEOF\n",
        "FROM python\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nprint(2)\nEOF\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("RUN") {
        let Instruction::Run(run) = item.instruction else { continue };
        let RunForm::Shell { text, heredocs } = &run.form else { continue };
        let Some(heredoc) = crate::policy::scripts::alone(text, heredocs) else { continue };
        if heredoc.content.starts_with("#!") {
            continue;
        }
        let lost = item.script().commands.iter().find(|command| {
            let quiet = matches!(
                command.name(),
                None | Some(
                    "echo" | "printf" | "set" | "export" | "true" | ":" | "exit" | "trap" | "umask"
                )
            );
            command.status.lost
                && !command.status.errexit
                && !command.status.asked
                && command.depth == 0
                && !quiet
        });
        if let Some(command) = lost {
            let finding = found
                .finding("the heredoc goes on after a line that fails")
                .at(run.keyword, "only the status of the last line counts")
                .of(item.place)
                .also(command.span, "may fail unnoticed")
                .help("begin it with `set -e`");
            let at = Span { end: heredoc.span.start, ..heredoc.span };
            found.add(finding.fix(at, "set -e\n"));
        }
    }
}
