//! Patterns of `case` with the parenthesis that a script may leave out.
//!
//! `$(case x in a) … esac)` is right, and the parser takes the first `)` for the end of the
//! substitution. With `(a)`, which means the same, it does not.

use crate::facts::shell::body::Body;

/// What is open while a text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `( … )` and `$( … )`.
    Group,
    /// `" … "`.
    Quote,
    /// `case WORD`, before its `in`.
    CaseWord,
    /// A pattern of a `case`.
    Pattern,
    /// The commands behind a pattern.
    Commands,
}

/// Words after which a command may stand.
const BEFORE_COMMANDS: &[&str] =
    &["then", "do", "else", "elif", "if", "while", "until", "{", "!", "time"];

/// Returns the body with each pattern in parentheses; `None` if there is none to add, or the text
/// is not understood so far. One pass.
pub(super) fn closed(body: &Body) -> Option<Body> {
    let text = body.text();
    if !text.contains("case") || !text.contains("$(") {
        return None;
    }
    let places = places(text)?;
    (!places.is_empty()).then(|| body.inserted(&places, "("))
}

fn places(text: &str) -> Option<Vec<usize>> {
    let bytes = text.as_bytes();
    let mut places = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    // A command may begin here; a pattern has to.
    let (mut command, mut pattern) = (true, false);
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let rest = &text[at..];
        if open.last() == Some(&Open::Quote) {
            match byte {
                b'\\' => at += 1,
                b'"' => {
                    open.pop();
                }
                b'$' if rest.starts_with("$(") => {
                    open.push(Open::Group);
                    (command, at) = (true, at + 1);
                }
                _ => {}
            }
            at += 1;
            continue;
        }
        if pattern && !byte.is_ascii_whitespace() && byte != b'#' {
            pattern = false;
            let word = word(rest);
            if word == "esac" {
                open.pop();
                (command, at) = (false, at + word.len());
                continue;
            }
            match byte {
                b'(' => at += 1,
                _ => places.push(at),
            }
            continue;
        }
        match byte {
            b'\\' => (command, at) = (false, at + 2),
            b'\'' => {
                let length = rest[1..].find('\'')?;
                (command, at) = (false, at + length + 2);
            }
            b'"' => {
                open.push(Open::Quote);
                (command, at) = (false, at + 1);
            }
            // What a heredoc holds is no shell.
            b'<' if rest.starts_with("<<") && !rest.starts_with("<<<") => return None,
            b'$' if rest.starts_with("$(") => {
                open.push(Open::Group);
                (command, at) = (true, at + 2);
            }
            b'$' if rest.starts_with("${") => {
                // Quotes in braces are seldom: leave them alone.
                let length = rest.find('}')?;
                (command, at) = (false, at + length + 1);
            }
            b'(' => {
                open.push(Open::Group);
                (command, at) = (true, at + 1);
            }
            b')' => {
                match open.last_mut() {
                    Some(last @ Open::Pattern) => {
                        *last = Open::Commands;
                        command = true;
                    }
                    Some(Open::Group) => {
                        open.pop();
                        command = false;
                    }
                    _ => return None,
                }
                at += 1;
            }
            b';' if open.last() == Some(&Open::Commands)
                && (rest.starts_with(";;") || rest.starts_with(";&")) =>
            {
                *open.last_mut()? = Open::Pattern;
                pattern = true;
                at += if rest.starts_with(";;&") { 3 } else { 2 };
            }
            b';' | b'&' | b'|' | b'\n' => (command, at) = (true, at + 1),
            b' ' | b'\t' | b'\r' => at += 1,
            b'#' if at == 0 || bytes[at - 1].is_ascii_whitespace() => {
                at += rest.find('\n').unwrap_or(rest.len());
            }
            _ => {
                let word = word(rest);
                let begins = at == 0 || !is_word(bytes[at - 1]);
                match (open.last(), word) {
                    (_, "case") if command && begins => open.push(Open::CaseWord),
                    (Some(Open::CaseWord), "in") if begins => {
                        *open.last_mut()? = Open::Pattern;
                        pattern = true;
                    }
                    (Some(Open::Commands), "esac") if command && begins => {
                        open.pop();
                    }
                    _ => {}
                }
                command = command && begins && BEFORE_COMMANDS.contains(&word);
                at += word.len().max(1);
                while !text.is_char_boundary(at) {
                    at += 1;
                }
            }
        }
    }
    open.is_empty().then_some(places)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_-./*?[]{}!=:,+@%~^".contains(&byte)
}

/// The run of plain characters that a text begins with.
fn word(text: &str) -> &str {
    let end = text.bytes().position(|byte| !is_word(byte)).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<&str>) {
        let mut body = Body::new();
        body.push_at(text, Default::default());
        let have = closed(&body);
        assert_eq!(have.as_ref().map(Body::text), want, "{text}");
    }

    #[test]
    fn patterns_get_what_they_lack() {
        check("a=$(case $x in b) c;; esac)", Some("a=$(case $x in (b) c;; esac)"));
        check(
            "a=\"$(case \"$x\" in b|c) d;; 'e f'*) if g; then case h in i) j; esac; fi;; esac)\"; k",
            Some(
                "a=\"$(case \"$x\" in (b|c) d;; ('e f'*) if g; then case h in (i) j; esac; fi;; esac)\"; k",
            ),
        );
        check(
            "a=$(case b in (c) d ;& e) f;;& esac)",
            Some("a=$(case b in (c) d ;& (e) f;;& esac)"),
        );
        // No `case`, or none that is one.
        check("echo $(in case) esac", None);
        check("a=$(echo case in b)", None);
        check("$(case a in (b) c;; esac)", None);
        // Not understood.
        check("$(case a in b) c;; esac", None);
        check("$(case a in b) cat <<E;; esac)", None);
        check("$(case a in 'b) c;; esac)", None);
    }
}
