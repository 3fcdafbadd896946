//! What COPY and ADD share: sources, a destination, inline files.

use super::{missing, not_strings};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{ExecForm, Heredoc, Line, Word, blank_words, exec_form, marker};

/// One source of COPY or ADD.
#[derive(Clone, Debug)]
pub enum Source {
    /// A path or pattern; of ADD also an URL or a repository.
    Path(Word),
    /// A here-document, with the place of its marker.
    Inline(Heredoc, Span),
}

// Splits the body into sources and destination.
pub(super) fn parse(line: &Line, errors: &mut Vec<Diagnostic>) -> Option<(Vec<Source>, Word)> {
    let (mut words, json) = match exec_form(&line.body) {
        ExecForm::Array(words) => (words, true),
        ExecForm::NotStrings(span) => {
            errors.push(not_strings(span));
            return None;
        }
        ExecForm::No => (blank_words(&line.body), false),
    };
    if words.len() < 2 {
        let word = line.keyword.upper();
        errors.push(
            missing(line, "requires at least two arguments: a source and a destination")
                .help(format!("write `{word} source… destination`")),
        );
        return None;
    }
    let destination = words.pop()?;
    let find = |word: &Word| {
        let name = marker(&word.raw).filter(|_| !json)?.name;
        line.heredocs.iter().find(|heredoc| heredoc.name == name)
    };
    if find(&destination).is_some() {
        let message = "a heredoc cannot be the destination";
        errors.push(Diagnostic::error(Code("heredoc-destination"), message).at(destination.span));
        return None;
    }
    let sources = words
        .into_iter()
        .map(|word| match find(&word) {
            Some(heredoc) => Source::Inline(heredoc.clone(), word.span),
            None => Source::Path(word),
        })
        .collect();
    Some((sources, destination))
}

// Refuses `$` where variables are not expanded.
pub(super) fn literal(word: Option<&Word>, flag: &str, errors: &mut Vec<Diagnostic>) {
    let Some(word) = word else { return };
    if has_variable(&word.raw) {
        let message = format!("`{flag}` does not support variable expansion");
        errors.push(
            Diagnostic::error(Code("no-variables"), message)
                .at(word.span)
                .help("name a stage with the variable: `FROM $VARIABLE AS name`, and use `name`"),
        );
    }
}

// `$` and any character.
pub(super) fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|at| at + 1 < text.len())
}
