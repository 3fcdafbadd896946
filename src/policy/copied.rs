//! Scripts that come with the context and are run by a step: what they run counts as the step's.

use super::context::{ContextFiles, clean, under};
use super::look::absolute;
use super::outline::{BaseName, Outline};
use crate::base::Span;
use crate::facts::shell::{Arg, Command, Program};

/// The longest script that is read, in bytes.
const LONGEST: u64 = 256 * 1024;
/// The most scripts that are read for one file: each RUN may name one again.
const MOST: usize = 200;

/// The most commands that are looked up, each among all that was copied.
const MOST_TRIED: usize = 2_000;

/// A file or folder of the context, and where a stage has it.
struct Copied {
    to: String,
    source: String,
}

/// Reads the scripts, and adds their commands to those of the steps that run them, at the place of
/// the command that does. Returns these places, with the script's name in the context.
pub(super) fn follow(outline: &mut Outline<'_>, context: &dyn ContextFiles) -> Vec<(Span, String)> {
    let mut followed = Vec::new();
    let mut tried = 0;
    let mut ends: Vec<Vec<Copied>> = Vec::new();
    for stage in &mut outline.stages {
        let mut copied: Vec<Copied> = Vec::new();
        for item in &mut stage.items {
            if let Some(transfer) = item.transfer().filter(|transfer| transfer.from_context()) {
                for (_, source) in &transfer.sources {
                    let places = transfer.places(source, item.workdir.as_deref());
                    let source = clean(source);
                    copied
                        .extend(places.into_iter().map(|to| Copied { to, source: source.clone() }));
                }
            }
            if !item.is_run() || followed.len() >= MOST || tried >= MOST_TRIED {
                continue;
            }
            let lower = match stage.base {
                BaseName::Stage(below) => ends.get(below),
                _ => None,
            };
            let known = || copied.iter().rev().chain(lower.into_iter().flatten());
            let mut more = Vec::new();
            for command in &item.script().commands {
                let Some(path) =
                    runs(command).and_then(|arg| absolute(arg.known()?, item.workdir.as_deref()))
                else {
                    continue;
                };
                tried += 1;
                let found = known().find_map(|copied| {
                    let rest = path.strip_prefix(copied.to.trim_end_matches('/'))?;
                    let source = clean(&format!("{}/{rest}", copied.source));
                    under(&path, copied.to.trim_end_matches('/')).then_some(source)
                });
                let Some(source) = found else { continue };
                let Some(text) = context.text(&source, LONGEST) else { continue };
                if let Some(script) = item.read_script(&text, command.span) {
                    followed.push((command.span, source));
                    more.extend(script.commands.into_iter().map(|mut inner| {
                        inner.depth = inner.depth.saturating_add(command.depth + 1);
                        inner.wrapped_by.splice(0..0, command.wrapped_by.iter().cloned());
                        inner
                    }));
                }
            }
            item.add_commands(more);
        }
        ends.push(copied);
    }
    followed
}

// The file that a command runs: itself, or what it gives a shell.
fn runs(command: &Command) -> Option<&Arg> {
    if let Some(Program::File(file)) = command.program() {
        return Some(file);
    }
    command.argv.first().filter(|arg| arg.text.contains('/'))
}

#[cfg(test)]
mod tests {
    use crate::policy::Around;
    use crate::policy::tests::{Text, lines};

    #[test]
    fn what_a_copied_script_runs_counts() {
        let around = Around {
            files: &[
                ("build/setup.sh", "#!/bin/sh\nset -e\napk add curl\n"),
                ("build/x.py", "#!/usr/bin/env python3\nprint('apk add curl')\n"),
            ],
            ..Around::NONE
        };
        let check = |file: &str, want: &[usize]| {
            let text = Text { around, ..Text::new("package-install-in-final", file) };
            assert_eq!(lines(&text), want, "{file}");
        };
        check("FROM a\nCOPY build /build\nRUN sh /build/setup.sh\n", &[3]);
        check("FROM a\nWORKDIR /w\nCOPY build/setup.sh .\nRUN ./setup.sh\n", &[4]);
        check("FROM a AS b\nCOPY build/setup.sh /s\nFROM b\nRUN sudo /s\n", &[4]);
        check("FROM a\nCOPY build /build\nRUN /build/x.py && cat /build/setup.sh\n", &[]);
        check("FROM a\nRUN sh /build/setup.sh\n", &[]);
    }
}
