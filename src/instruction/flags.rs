//! The `--name=value` words in front of the arguments.

use crate::diag::{Code, Diagnostic, nearest};
use crate::dockerfile::{Flag, Line, Word};

// Takes the flags of a line one by one; what is wrong gathers in `errors`.
pub(super) struct Flags<'a> {
    line: &'a Line,
    pub(super) errors: Vec<Diagnostic>,
}

// Refuses all flags.
pub(super) fn none(line: &Line) -> Result<(), Vec<Diagnostic>> {
    Flags::new(line, &[], &[]).finish()
}

impl<'a> Flags<'a> {
    // `once` may be given once, `many` again and again; others are unknown.
    pub(super) fn new(line: &'a Line, once: &[&str], many: &[&str]) -> Self {
        let mut errors = Vec::new();
        let mut seen: Vec<&Flag> = Vec::new();
        for flag in &line.flags {
            let name = flag.name.as_str();
            if once.contains(&name) {
                match seen.iter().find(|before| before.name == name) {
                    Some(before) => errors.push(
                        Diagnostic::error(
                            Code("duplicate-flag"),
                            format!("flag `--{name}` is given twice"),
                        )
                        .at(flag.span)
                        .also(before.span, "first here"),
                    ),
                    None => seen.push(flag),
                }
            } else if !many.contains(&name) {
                let shown: String = name.chars().take(40).collect();
                let word = line.keyword.upper();
                let error = Diagnostic::error(
                    Code("unknown-flag"),
                    format!("unknown flag `--{shown}` of {word}"),
                )
                .at(flag.span);
                let known = once.iter().chain(many).copied();
                errors.push(match nearest(name, known) {
                    Some(near) => error.help(format!("did you mean `--{near}`?")),
                    None => error,
                });
            }
        }
        Flags { line, errors }
    }

    fn all<'b>(&self, name: &'b str) -> impl Iterator<Item = &'a Flag> + use<'a, 'b> {
        self.line.flags.iter().filter(move |flag| flag.name == name)
    }

    fn value(&mut self, flag: &Flag) -> Option<Word> {
        match &flag.value {
            Some(text) => Some(Word { raw: text.as_str().to_owned(), span: text.whole() }),
            None => {
                self.errors.push(
                    Diagnostic::error(
                        Code("flag-value"),
                        format!("flag `--{}` needs a value", flag.name),
                    )
                    .at(flag.span),
                );
                None
            }
        }
    }

    // The value of a flag.
    pub(super) fn word(&mut self, name: &str) -> Option<Word> {
        let flag = self.all(name).next()?;
        self.value(flag)
    }

    // The values of a flag that may be repeated.
    pub(super) fn words(&mut self, name: &str) -> Vec<Word> {
        let flags: Vec<&Flag> = self.all(name).collect();
        flags.into_iter().filter_map(|flag| self.value(flag)).collect()
    }

    // `--name`, `--name=true`, `--name=false`; `None` when it is not there.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        let flag = self.all(name).next()?;
        let Some(text) = &flag.value else { return Some(true) };
        match text.as_str().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.errors.push(
                    Diagnostic::error(
                        Code("flag-value"),
                        format!("flag `--{name}` is a boolean: write `true` or `false`"),
                    )
                    .at(flag.span),
                );
                None
            }
        }
    }

    // Ends in all errors, if there are any.
    pub(super) fn finish(self) -> Result<(), Vec<Diagnostic>> {
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}
