//! Says what is wrong, where, and what to do about it.
//!
//! A [`Diagnostic`] is for people; code that has to decide matches on the error enum of the module
//! that failed and turns it into a diagnostic where the place is known ([`At`]).

mod render;
mod suggest;

pub use render::render;
pub use suggest::nearest;

use crate::base::{SourceId, Span};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Told; nothing else happens.
    Note,
    /// Reported; the build goes on.
    Warning,
    /// The build stops.
    Error,
}

/// A stable name for a kind of finding: `unknown-instruction`, `final-user-root`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub &'static str);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// A second place that explains the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// A few words, small letters, no full stop.
    pub text: String,
}

/// One thing to tell a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The kind of finding.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The fact: small letters, no full stop, names in backticks.
    pub message: String,
    /// Where; `None` when no text is to blame.
    pub span: Option<Span>,
    /// What stands at the span, in a few words; may be empty.
    pub label: String,
    /// Other places.
    pub labels: Vec<Label>,
    /// The remedy: a command or a line that can be pasted.
    pub help: Option<String>,
    /// Background.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// Makes an error with no place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// Makes a warning with no place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// Makes a diagnostic of any severity with no place yet.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity,
            message: message.into(),
            span: None,
            label: String::new(),
            labels: Vec::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the words at the place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds background.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }
}

/// Gives an error a place where the place is known: `store.open(d).at(CODE, line.span)?`.
pub trait At<T> {
    /// Turns the error into a diagnostic with this code at this span.
    fn at(self, code: Code, span: Span) -> Result<T, Diagnostic>;
}

impl<T, E: std::error::Error> At<T> for Result<T, E> {
    fn at(self, code: Code, span: Span) -> Result<T, Diagnostic> {
        self.map_err(|error| Diagnostic::error(code, chain(&error)).at(span))
    }
}

/// Writes an error with all its causes, joined by `: `, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = cause.source();
    }
    out
}

/// The texts that spans point into.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    list: Vec<Source>,
}

/// A text with its name.
#[derive(Debug, Clone)]
pub struct Source {
    /// What a person calls it: a path, `<stdin>`, `ONBUILD of debian:12`.
    pub name: String,
    /// The text. Bytes that were not UTF-8 have been replaced, one `?` for each, so that offsets
    /// stay.
    pub text: String,
}

impl Sources {
    /// Starts with none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u16::try_from(self.list.len()).expect("a build has few texts"));
        self.list.push(Source { name: name.into(), text: text.into() });
        id
    }

    /// Returns a text.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.list[usize::from(id.0)]
    }

    /// Returns the text under a span; empty if the span is out of it.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source).text.get(span.range()).unwrap_or("")
    }

    /// Returns line and column of a byte, both from 1; the column counts characters.
    pub fn line_column(&self, source: SourceId, byte: u32) -> (usize, usize) {
        let text = &self.get(source).text;
        let mut at = (byte as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    /// Returns `name:line:column` of a span's start.
    pub fn place(&self, span: Span) -> String {
        let (line, column) = self.line_column(span.source, span.start);
        format!("{}:{line}:{column}", self.get(span.source).name)
    }
}
