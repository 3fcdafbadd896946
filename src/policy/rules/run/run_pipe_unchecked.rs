//! `run-pipe-unchecked`: the left side of a pipe may fail.

use crate::facts::shell::{Command, Side};
use crate::policy::{Alias, Found, Level, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-pipe-unchecked",
    title: "The left side of a pipe may fail unnoticed.",
    text: "Finds a pipe in a RUN whose left side can fail, under a shell without pipefail: \
          neither `SHELL [… \"-o\", \"pipefail\" …]` nor `set -o pipefail` before it. \
          echo, printf, yes, true and `cat` of a literal do not fail; a pipe with `||` behind \
          it, or whose status `if` asks for, is meant so.",
    aliases: &[Alias::of("DL4006")],
    text_check: Some(check),
    bad: &[
        "FROM debian:12\nRUN { echo a; cat /y; } | tee /x\n",
        "FROM debian:12\nRUN wget -qO- https://example.org/a.tgz | tar xz\n",
        "FROM debian:12\nRUN [\"sh\", \"-c\", \"wget -qO- https://example.org/a.tgz | tar xz\"]\n",
    ],
    good: &[
        "FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\nRUN set -o pipefail; wget -qO- https://example.org/a.tgz | tar xz\n",
        "FROM debian:12\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN wget -qO- https://example.org/a.tgz | tar xz\n",
        "FROM debian:12\nRUN echo a | tee /x && yes | head -1\n",
        "FROM debian:12\nRUN { echo a; echo \"$(id)\"; } | tee /x\n",
        "FROM debian:12\nRUN for x in a b; do printf '%s\\n' \"$x\"; done | sort > /x\n",
        "FROM debian:12\nRUN git rev-parse HEAD | grep -qx 17025dd88227cd9532c33fa78f5250d548d87e9a\n",
        "FROM debian:12\nRUN if ldd --version 2>&1 | grep -q musl; then true; fi\n",
        "FROM debian:12\nSHELL [\"pwsh\", \"-Command\"]\nRUN Get-Item x | Remove-Item\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let script = item.script();
        for pipeline in &script.pipelines {
            if pipeline.status.pipefail || pipeline.status.asked {
                continue;
            }
            let may_fail = pipeline.left.iter().any(|left| match left {
                Side::Command(index) => script.commands.get(*index).is_none_or(fails),
                Side::Compound(range) => {
                    let commands = script.commands.get(range.clone()).unwrap_or(&[]);
                    // What a word is made of is the word's, unless all of it is.
                    let mut own = commands.iter().filter(|command| {
                        !command.status.asked
                            && (pipeline.status.substituted || !command.status.substituted)
                    });
                    commands.is_empty() || own.any(fails)
                }
            });
            if !may_fail {
                continue;
            }
            // A check of nothing fails: what stands before it need not.
            let right = pipeline.right.and_then(|index| script.commands.get(index));
            let checks = right.is_some_and(|command| match command.name() {
                Some("gpg" | "gpgv") => !command.args().is_empty(),
                Some("grep" | "egrep" | "fgrep") => command.args().iter().any(|arg| {
                    let text = arg.prefix();
                    matches!(text, "--quiet" | "--silent")
                        || (text.starts_with('-') && !text.starts_with("--") && text.contains('q'))
                }),
                Some(name) => name.ends_with("sum") && !command.args().is_empty(),
                None => false,
            });
            if checks {
                continue;
            }
            let finding = found
                .finding("the left side of the pipe may fail, and nobody sees it")
                .at(pipeline.span, "only the last command's status counts")
                .of(item.place)
                .help("SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"], or `set -o pipefail` before it");
            // What becomes part of a word is mostly a question to the system.
            let level = if pipeline.status.substituted { Level::Warn } else { Level::Error };
            found.add_at(level, finding);
        }
    }
}

fn fails(command: &Command) -> bool {
    match command.name() {
        Some("echo" | "printf" | "yes" | "true" | ":" | "pwd") => false,
        // What is written here is there.
        Some("cat") => !command.args().is_empty(),
        _ => true,
    }
}
