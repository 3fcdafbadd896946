//! Here-documents: their markers and their contents.

use std::sync::Arc;

use crate::base::Span;

/// A here-document with its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heredoc {
    /// The delimiter, without quotes: also the name of the file that COPY makes.
    pub name: String,
    /// Whether variables in the content are expanded: no part of the delimiter was quoted.
    pub expand: bool,
    /// `<<-`: leading tabs are dropped.
    pub strip_tabs: bool,
    /// The number in front of `<<`.
    pub fd: Option<u32>,
    /// The lines up to the delimiter as they stand in the file, tabs included. It is one piece of
    /// the file: byte `n` of it is byte `span.start + n`. Shared, because a line may name it often.
    pub content: Arc<str>,
    /// The place of the content.
    pub span: Span,
    /// The marker in the joined line, as a place in the file.
    pub marker: Span,
}

impl Heredoc {
    /// Returns the content as a reader gets it: without leading tabs if the marker was `<<-`.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.to_string();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// What a marker says: `3<<-"EOF"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The delimiter without quotes.
    pub name: String,
    /// No part of it was quoted.
    pub expand: bool,
    /// `<<-`.
    pub strip_tabs: bool,
    /// The number in front.
    pub fd: Option<u32>,
}

/// Reads one word as a marker; `None` if it is none.
pub fn marker(word: &str) -> Option<Marker> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    // A shell keeps to small numbers here as well.
    let fd = if digits == 0 { None } else { Some(word[..digits].parse().ok()?) };
    let name = dequote(rest)?;
    (!name.is_empty()).then(|| Marker { expand: name == rest, name, strip_tabs, fd })
}

// Takes quotes and backslashes off; `None` for several words or an open quote. The escape character
// of markers is always the backslash, as in BuildKit.
fn dequote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => loop {
                match chars.next()? {
                    '\'' => break,
                    c => out.push(c),
                }
            },
            '"' => loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => match chars.next()? {
                        c @ ('"' | '$' | '\\') => out.push(c),
                        c => out.extend(['\\', c]),
                    },
                    c => out.push(c),
                }
            },
            '\\' => out.extend(chars.next()),
            c if c.is_whitespace() => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Finds the markers in a joined line, as ranges of it. A line with an open quote has none.
pub(super) fn markers(line: &str) -> Vec<(Marker, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    if !line.contains("<<") {
        return found;
    }
    let bytes = line.as_bytes();
    // All that matters is ASCII, so bytes will do: no byte of a longer character looks like it.
    let (mut at, mut start, mut quote, mut braces) = (0, None, 0u8, 0usize);
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            b'\'' => {
                if byte == b'\'' {
                    quote = 0;
                }
            }
            b'"' => match byte {
                b'"' => quote = 0,
                b'\\' => at += 1,
                _ => {}
            },
            _ => match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c if braces == 0 => {
                    if let Some(start) = start.take() {
                        push(line, start..at, &mut found);
                    }
                }
                _ => {
                    start.get_or_insert(at);
                    match byte {
                        b'\'' | b'"' => quote = byte,
                        b'\\' => at += 1,
                        b'$' if bytes.get(at + 1) == Some(&b'{') => {
                            braces += 1;
                            at += 1;
                        }
                        b'}' => braces = braces.saturating_sub(1),
                        _ => {}
                    }
                }
            },
        }
        at += 1;
    }
    if quote != 0 || braces != 0 {
        return Vec::new();
    }
    if let Some(start) = start {
        push(line, start..line.len(), &mut found);
    }
    found
}

fn push(
    line: &str,
    range: std::ops::Range<usize>,
    found: &mut Vec<(Marker, std::ops::Range<usize>)>,
) {
    if let Some(marker) = line.get(range.clone()).and_then(marker) {
        found.push((marker, range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: &[&str]) {
        let names: Vec<String> = markers(line).into_iter().map(|(marker, _)| marker.name).collect();
        assert_eq!(names, want, "{line}");
    }

    #[test]
    fn markers_are_whole_words() {
        check("<<EOF", &["EOF"]);
        check("cat <<A > /a && <<-'B' cat", &["A", "B"]);
        check("3<<EOF", &["EOF"]);
        check(r#"echo "a <<EOF b""#, &[]);
        check("echo $((1<<3))", &[]);
        check("cat <<<word", &[]);
        check("echo ${x:-<<EOF y}", &[]);
        check("x <<E\"O\"F", &["EOF"]);
        check("x <<EOF it's", &[]);
        check("<<", &[]);
    }

    #[test]
    fn a_quoted_delimiter_keeps_the_text() {
        for (word, expand) in [("<<EOF", true), ("<<'EOF'", false), ("<<E\"O\"F", false)] {
            assert_eq!(marker(word).unwrap().expand, expand, "{word}");
        }
    }
}
