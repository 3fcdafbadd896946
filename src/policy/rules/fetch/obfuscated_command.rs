//! `obfuscated-command`: a command that does not want to be read.

use crate::facts::shell::{Pipe, Program, RedirectKind, Script};
use crate::policy::{Found, Outline, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "obfuscated-command",
    title: "Nobody writes this by hand for an honest reason.",
    text: "Finds a decoder (base64 -d, xxd -r, openssl enc -d, tr, rev, gunzip, printf of \
          `\\\\x…`) whose input is written in the file and whose output a shell or another \
          interpreter runs; an interpreter that is given `exec(… decode …)`; a command whose \
          name is written in `$'\\\\x…'`.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN echo d2dldCBodHRwOi8vZXhhbXBsZS5vcmcvcA== | base64 -d | sh\n",
        "FROM python:3\nRUN python3 -c \"import base64;exec(base64.b64decode('cHJpbnQoMSk='))\"\n",
        "FROM debian\nSHELL [\"/bin/bash\", \"-c\"]\nRUN $'\\x63url' https://example.org\n",
    ],
    good: &[
        "FROM busybox\nRUN echo aGVsbG8= | base64 -d > /greeting\n",
        "FROM debian\nRUN echo aGVsbG8= | base64 -d | tee /x && curl -f https://example.org | base64 -d > /y\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let script = item.script();
        let hidden = decoded(script);
        for command in &script.commands {
            let from = |pipes: &[Pipe]| pipes.iter().any(|pipe| hidden.contains(pipe));
            let xargs = command.wrapped_by.iter().any(|name| name == "xargs");
            let runs = match command.program() {
                Some(Program::Stdin) => from(&command.reads),
                Some(Program::Words(words)) => {
                    words.iter().any(|word| from(&word.from)) || (xargs && from(&command.reads))
                }
                Some(Program::File(file)) => from(&file.from),
                None => false,
            };
            let evaluates = command.name().is_some_and(|name| {
                name.starts_with("python") || matches!(name, "perl" | "ruby" | "node" | "php")
            }) && command.args().iter().any(|arg| {
                let text = arg.text.to_ascii_lowercase();
                (text.contains("exec(") || text.contains("eval(") || text.contains("eval "))
                    && (text.contains("b64decode")
                        || text.contains("base64")
                        || text.contains("fromhex")
                        || text.contains("decode("))
            });
            let masked = command.argv.first().is_some_and(|name| {
                let written = outline.written(name.span);
                written.contains("$'")
                    && (written.contains("\\x")
                        || written.contains("\\0")
                        || written.contains("\\1"))
            });
            if runs || evaluates || masked {
                let message = "what this runs is written so that nobody reads it";
                let help = "write the command itself";
                found.tell(item.place, command.span, message, "decoded, then run", help);
            }
        }
    }
}

// Streams of what a decoder makes of words that are written in the file.
fn decoded(script: &Script) -> BTreeSet<Pipe> {
    let mut literal: BTreeSet<Pipe> = BTreeSet::new();
    let mut hidden: BTreeSet<Pipe> = BTreeSet::new();
    loop {
        let before = (literal.len(), hidden.len());
        for command in &script.commands {
            let args = || command.args().iter().map(|arg| arg.text.as_str());
            let has = |words: &[&str]| args().any(|arg| words.contains(&arg));
            let decodes = match command.name() {
                Some("base64" | "base32") => has(&["-d", "-D", "--decode", "-di", "-id"]),
                Some("xxd") => args().any(|arg| arg.starts_with("-r") || arg == "-p"),
                Some("openssl") => has(&["-d"]) || has(&["base64"]),
                Some("rev" | "gunzip" | "zcat" | "uudecode") => true,
                Some("gzip") => has(&["-d", "-dc", "-cd"]),
                Some("tr") => args().len() >= 2 && !args().any(|arg| arg.starts_with('-')),
                _ => false,
            };
            let says = matches!(command.name(), Some("echo" | "printf"));
            let escapes = says && args().any(|arg| arg.contains("\\x") || arg.contains("\\0"));
            let here = command.redirects.iter().any(|redirect| {
                redirect.kind == RedirectKind::Here && redirect.target.known().is_some()
            });
            let reads_literal = here || command.reads.iter().any(|pipe| literal.contains(pipe));
            let reads_hidden = command.reads.iter().any(|pipe| hidden.contains(pipe))
                || command.argv.iter().flat_map(|arg| &arg.from).any(|pipe| hidden.contains(pipe));
            for feed in &command.feeds {
                if says && command.args().iter().all(|arg| arg.known().is_some()) {
                    literal.insert(*feed);
                }
                if escapes || reads_hidden || (decodes && reads_literal) {
                    hidden.insert(*feed);
                }
            }
        }
        if before == (literal.len(), hidden.len()) {
            return hidden;
        }
    }
}
