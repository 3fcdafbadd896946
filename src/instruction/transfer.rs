//! What COPY and ADD share: sources, a destination, inline files.

use std::collections::BTreeMap;

use super::{missing, not_strings};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{ExecForm, Heredoc, Line, Marker, Word, blank_words, exec_form, marker};

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
    // As in BuildKit: of several with one name the last one counts, and the marker that stands for
    // the source says whether to expand and to strip.
    let by_name: BTreeMap<&str, &Heredoc> =
        line.heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
    let find = |word: &Word| {
        let Marker { name, expand, strip_tabs, fd } = marker(&word.raw).filter(|_| !json)?;
        let found = Heredoc::clone(by_name.get(name.as_str())?);
        Some(Heredoc { expand, strip_tabs, fd, ..found })
    };
    if find(&destination).is_some() {
        let message = "a heredoc cannot be the destination";
        errors.push(Diagnostic::error(Code("heredoc-destination"), message).at(destination.span));
        return None;
    }
    // BuildKit copies the files first and writes the here-documents over them.
    let (mut sources, mut inline) = (Vec::new(), Vec::new());
    for word in words {
        match find(&word) {
            Some(heredoc) => inline.push(Source::Inline(heredoc, word.span)),
            None => sources.push(Source::Path(word)),
        }
    }
    sources.append(&mut inline);
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
