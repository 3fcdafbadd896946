//! What instructions run, read as shell.

use std::collections::BTreeMap;

use super::values::Snapshot;
use crate::base::Span;
use crate::dockerfile::{Heredoc, Text};
use crate::facts::shell::{self, Body, Dialect, Script, Start};
use crate::instruction::{Form, Instruction, RunForm};

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn dialect(name: &str) -> Dialect {
    match name {
        "bash" | "zsh" | "ksh" | "mksh" => Dialect::Bash,
        _ => Dialect::Posix,
    }
}

/// Tells whether a program is a shell that scripts are read for.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&name(program))
}

/// Returns what an instruction runs; nothing where it runs nothing, or no shell.
pub(super) fn script(instruction: &Instruction, values: &Snapshot, shell: &[String]) -> Script {
    let form = |form: &Form| match form {
        Form::Exec(words) => exec(words, values),
        Form::Shell(text) => shell_form(text, &[], values, shell, instruction.keyword()),
    };
    match instruction {
        Instruction::Run(run) => match &run.form {
            RunForm::Exec(words) => exec(words, values),
            RunForm::Shell { text, heredocs } => {
                shell_form(text, heredocs, values, shell, run.keyword)
            }
        },
        Instruction::Cmd(cmd) => form(&cmd.form),
        Instruction::Entrypoint(entrypoint) => form(&entrypoint.form),
        Instruction::Healthcheck(health) => match &health.check {
            Some(check) => form(&check.form),
            None => nothing(),
        },
        _ => nothing(),
    }
}

fn nothing() -> Script {
    Script { parsed: true, ..Script::default() }
}

fn exec(words: &[crate::dockerfile::Word], values: &Snapshot) -> Script {
    let words: Vec<(String, Span)> =
        words.iter().map(|word| (word.raw.clone(), word.span)).collect();
    let known: String = words.iter().flat_map(|(word, _)| [word, "\n"]).collect();
    shell::analyse_exec(&words, &values.mentioned(&known), Dialect::Posix)
}

fn shell_form(
    text: &Text,
    heredocs: &[Heredoc],
    values: &Snapshot,
    shell: &[String],
    keyword: Span,
) -> Script {
    let program = shell.first().map(|program| name(program)).unwrap_or_default();
    let flags = || shell.iter().skip(1).map(String::as_str);
    let mut body = Body::new();
    // `RUN <<EOF` alone: the content is the script, for the shell or for its own `#!`.
    if let Some(only) = alone(text, heredocs) {
        let start = only.span.start as usize;
        body.push(&only.content, only.span.source, start);
        let first = only.content.lines().next().unwrap_or("");
        let start = match interpreter(first) {
            Some((interpreter, flags)) => {
                if !SHELLS.contains(&interpreter) {
                    return nothing();
                }
                Start::with_flags(dialect(interpreter), flags)
            }
            None if SHELLS.contains(&program) => Start::with_flags(dialect(program), flags()),
            None => return nothing(),
        };
        return shell::analyse(&body, &values.mentioned(&only.content), start);
    }
    if !SHELLS.contains(&program) {
        return nothing();
    }
    body.push_text(text);
    for heredoc in heredocs {
        let start = heredoc.span.start as usize;
        body.push_at("\n", heredoc.marker);
        body.push(&heredoc.content, heredoc.span.source, start);
        body.push_at(&heredoc.name, heredoc.marker);
    }
    if !heredocs.is_empty() {
        body.push_at("\n", keyword);
    }
    let known = values.mentioned(body.text());
    shell::analyse(&body, &known, Start::with_flags(dialect(program), flags()))
}

/// Returns the heredoc that is a script by itself: `RUN <<EOF` and nothing else.
pub(super) fn alone<'a>(text: &Text, heredocs: &'a [Heredoc]) -> Option<&'a Heredoc> {
    let marker = crate::dockerfile::marker(text.as_str().trim());
    match (heredocs, marker) {
        ([only], Some(_)) => Some(only),
        _ => None,
    }
}

/// Returns the interpreter of a `#!` line and its flags.
pub(super) fn interpreter(line: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    let mut program = name(words.next()?);
    if program == "env" {
        program = words.find(|word| !word.starts_with('-'))?;
    }
    Some((program, words))
}

/// Reads a command line that stands in no file, such as that of a history.
pub(super) fn text(text: &str) -> Script {
    let mut body = Body::new();
    body.push_at(text, Span::default());
    shell::analyse(&body, &BTreeMap::new(), Start::plain(Dialect::Bash))
}

/// Reads a file that a step runs, as if it stood in the step: everything in it is at `span`.
pub(super) fn file(text: &str, values: &Snapshot, span: Span) -> Option<Script> {
    let (program, flags) = interpreter(text.lines().next().unwrap_or(""))
        .map(|(program, flags)| (program, flags.collect::<Vec<_>>()))
        .unwrap_or(("sh", Vec::new()));
    if !SHELLS.contains(&program) {
        return None;
    }
    let mut body = Body::new();
    body.push_at(text, span);
    let known = values.mentioned(text);
    Some(shell::analyse(&body, &known, Start::with_flags(dialect(program), flags)))
}
