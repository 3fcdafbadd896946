//! `--mount` of RUN: a list of `key=value`, with commas between.

use super::transfer;
use crate::base::Span;
use crate::diag::{Code, Diagnostic, nearest};
use crate::dockerfile::{Text, Word};

/// The types of mounts.
pub const MOUNT_TYPES: &[&str] = &["bind", "cache", "tmpfs", "secret", "ssh"];

/// The keys of mounts, in all spellings.
pub const MOUNT_KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

// These may stand without a value.
const SWITCHES: &[&str] = &["readonly", "ro", "readwrite", "rw", "required"];

/// One mount, unexpanded. Which keys go together is judged after expansion, in `plan`.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The keys as written, in order.
    pub fields: Vec<Field>,
    /// The whole flag.
    pub span: Span,
}

/// `key=value` or `key` of a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The key in its one spelling: `src` is `source`, `dst` and `destination` are `target`, `ro`
    /// is `readonly`, `rw` is `readwrite`.
    pub key: &'static str,
    /// The value; variables in it are expanded, except in `type` and `from`.
    pub value: Option<Word>,
    /// Key and value.
    pub span: Span,
}

impl Mount {
    /// Returns the last value of a key, unexpanded.
    pub fn value(&self, key: &str) -> Option<&Word> {
        self.fields.iter().rev().find(|field| field.key == key)?.value.as_ref()
    }

    /// Returns the type, `bind` if none is given. It may still hold a variable.
    pub fn kind(&self) -> &str {
        self.value("type").map_or("bind", |word| &word.raw)
    }

    pub(super) fn parse(text: &Text, span: Span, errors: &mut Vec<Diagnostic>) -> Self {
        let mut fields = Vec::new();
        for range in csv(text.as_str()) {
            let (raw, place) = unquote(text, range);
            let (key, value) = match raw.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
                None => (raw.to_ascii_lowercase(), None),
            };
            let Some(known) = canonical(&key) else {
                let shown: String = raw.chars().take(40).collect();
                let error = Diagnostic::error(
                    Code("mount-option"),
                    format!("unexpected option `{shown}` of --mount"),
                )
                .at(place);
                errors.push(match nearest(&key, MOUNT_KEYS.iter().copied()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error,
                });
                continue;
            };
            if value.is_none() && !SWITCHES.contains(&key.as_str()) {
                let message = format!("option `{key}` of --mount needs a value");
                errors.push(Diagnostic::error(Code("mount-option"), message).at(place));
                continue;
            }
            let value = value.map(|raw| Word { raw, span: place });
            if known == "from" {
                transfer::literal(value.as_ref(), "from", errors);
            }
            if let Some(word) = value.as_ref().filter(|word| {
                known == "type"
                    && !transfer::has_variable(&word.raw)
                    && !MOUNT_TYPES.contains(&word.raw.to_ascii_lowercase().as_str())
            }) {
                let shown: String = word.raw.chars().take(40).collect();
                let error = Diagnostic::error(
                    Code("mount-type"),
                    format!("unsupported mount type `{shown}`"),
                )
                .at(place);
                errors.push(match nearest(&word.raw, MOUNT_TYPES.iter().copied()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error,
                });
                continue;
            }
            fields.push(Field { key: known, value, span: place });
        }
        Mount { fields, span }
    }
}

fn canonical(key: &str) -> Option<&'static str> {
    Some(match key {
        "src" | "source" => "source",
        "dst" | "destination" | "target" => "target",
        "ro" | "readonly" => "readonly",
        "rw" | "readwrite" => "readwrite",
        _ => MOUNT_KEYS.iter().find(|known| **known == key)?,
    })
}

// Fields of one CSV record (RFC 4180): a field in quotes may hold commas.
fn csv(text: &str) -> Vec<std::ops::Range<usize>> {
    let (mut out, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if quoted || at == start => quoted = !quoted,
            b',' if !quoted => {
                out.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(start..text.len());
    out.retain(|range| !text[range.clone()].trim().is_empty());
    out
}

fn unquote(text: &Text, range: std::ops::Range<usize>) -> (String, Span) {
    let span = text.span(range.clone());
    let field = text.as_str()[range].trim();
    match field.strip_prefix('"') {
        Some(inner) => (inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\""), span),
        None => (field.to_owned(), span),
    }
}
