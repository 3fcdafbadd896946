//! `RUN`: a command in the stage's tree.

use super::{Form, Mount, flags::Flags, missing};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{Heredoc, Line, Text, Word};

/// `RUN [flags] command`.
#[derive(Clone, Debug)]
pub struct Run {
    /// What runs.
    pub form: RunForm,
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`, in order.
    pub devices: Vec<Word>,
    /// The whole instruction, heredocs included.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

/// The command of RUN. Never expanded by the builder.
#[derive(Clone, Debug)]
pub enum RunForm {
    /// For the stage's shell.
    Shell {
        /// The text as the shell gets it, heredoc markers still in it.
        text: Text,
        /// The here-documents that belong to it.
        heredocs: Vec<Heredoc>,
    },
    /// Program and arguments.
    Exec(Vec<Word>),
}

/// `--network` of RUN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Network {
    /// What the build was given.
    #[default]
    Default,
    /// A loopback alone.
    None,
    /// The builder's own.
    Host,
}

/// `--security` of RUN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Security {
    /// Confined.
    #[default]
    Sandbox,
    /// With all privileges that the builder has.
    Insecure,
}

impl Run {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        let mut flags = Flags::new(line, &["network", "security"], &["mount", "device"]);
        let devices = flags.words("device");
        let network = choice(
            &mut flags,
            "network",
            &[("default", Network::Default), ("none", Network::None), ("host", Network::Host)],
        );
        let security = choice(
            &mut flags,
            "security",
            &[("sandbox", Security::Sandbox), ("insecure", Security::Insecure)],
        );
        let mut mounts = Vec::new();
        // Says that `--mount` without a value is wrong.
        flags.words("mount");
        for flag in line.flags.iter().filter(|flag| flag.name == "mount") {
            if let Some(value) = &flag.value {
                mounts.push(Mount::parse(value, flag.span, &mut flags.errors));
            }
        }
        let form = match Form::parse(&line.body) {
            Ok(Form::Exec(words)) => RunForm::Exec(words),
            Ok(Form::Shell(text)) => RunForm::Shell { text, heredocs: line.heredocs.clone() },
            Err(errors) => {
                flags.errors.extend(errors);
                RunForm::Exec(Vec::new())
            }
        };
        let empty = match &form {
            RunForm::Shell { text, .. } => text.is_empty(),
            RunForm::Exec(words) => words.is_empty(),
        };
        if empty && flags.errors.is_empty() {
            flags.errors.push(missing(line, "requires at least one argument"));
        }
        flags.finish()?;
        Ok(Run {
            form,
            mounts,
            network,
            security,
            devices,
            span: line.span,
            keyword: line.keyword.span,
        })
    }
}

fn choice<T: Copy + Default>(flags: &mut Flags<'_>, name: &str, known: &[(&str, T)]) -> T {
    let Some(word) = flags.word(name) else { return T::default() };
    match known.iter().find(|(text, _)| text.eq_ignore_ascii_case(&word.raw)) {
        Some((_, value)) => *value,
        None => {
            let shown: String = word.raw.chars().take(40).collect();
            let words: Vec<String> = known.iter().map(|(text, _)| format!("`{text}`")).collect();
            flags.errors.push(
                Diagnostic::error(Code("flag-value"), format!("unknown --{name} `{shown}`"))
                    .at(word.span)
                    .help(format!("write one of {}", words.join(", "))),
            );
            T::default()
        }
    }
}
