//! Variables, quotes and escapes in words.
//!
//! The rules are BuildKit's (`frontend/dockerfile/shell`), which are those of a shell in the parts
//! that they share. Every operator of `${…}` is there: `-`, `+`, `?` with and without a colon, `#`,
//! `##`, `%`, `%%`, `/`, `//`.

use std::collections::BTreeMap;

use super::{EXPANSION_LIMIT, NESTING_LIMIT};

/// Names and their values, as one instruction sees them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    values: BTreeMap<String, String>,
}

impl Scope {
    /// Starts with none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value; a later one replaces an earlier one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Returns the value of a name; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns all names with their values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote without its partner.
    #[error("unterminated quote: no matching {0}")]
    OpenQuote(char),
    /// `${` without `}`.
    #[error("syntax error: missing `}}` in a substitution")]
    OpenBrace,
    /// `${}`, `${:x}`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// An operator that does not exist.
    #[error("unsupported modifier `{0}` in a substitution")]
    Modifier(String),
    /// `${name?text}` of a name that is not set.
    #[error("{name}: {message}")]
    Required {
        /// The name.
        name: String,
        /// The text of the file, or a fixed one.
        message: String,
    },
    /// More than [`NESTING_LIMIT`] levels.
    #[error("substitutions are nested more than {NESTING_LIMIT} deep")]
    TooDeep,
    /// More than [`EXPANSION_LIMIT`] bytes, or too much work for all words together.
    #[error("the expansion is too long")]
    TooLong,
}

/// Expands words, and keeps count of the work, so that no file can make it endless.
#[derive(Debug)]
pub struct Expander {
    escape: char,
    // Bytes that may still be produced or looked at.
    budget: u64,
}

/// Returns what a word is in every scope, where that is plain: it has neither variables nor escapes,
/// and no quotes but a pair around it.
pub fn constant(raw: &str, escape: char) -> Option<&str> {
    let quoted = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(raw);
    let special = |byte: u8| matches!(byte, b'$' | b'"' | b'\'') || char::from(byte) == escape;
    let long = quoted.is_some() && text.len() > EXPANSION_LIMIT;
    (!long && !text.bytes().any(special)).then_some(text)
}

// For all words of one build: real files stay under a few MiB.
const BUDGET: u64 = 1 << 27;

impl Expander {
    /// Makes one for a file with this escape character.
    pub fn new(escape: char) -> Self {
        Expander { escape, budget: BUDGET }
    }

    /// Expands to one string: variables replaced, quotes removed, escapes resolved. Blanks stay.
    pub fn word(&mut self, raw: &str, scope: &Scope) -> Result<String, ExpandError> {
        // By far the most words have nothing to expand.
        if let Some(text) = constant(raw, self.escape) {
            self.pay(raw.len())?;
            return Ok(text.to_owned());
        }
        self.run(raw, scope, self.escape, true).map(|(text, _)| text)
    }

    /// Expands to a list: white space outside of quotes splits, also that of variables.
    pub fn list(&mut self, raw: &str, scope: &Scope) -> Result<Vec<String>, ExpandError> {
        self.run(raw, scope, self.escape, true).map(|(_, words)| words)
    }

    /// Expands the content of a here-document: quotes are text, a backslash escapes.
    pub fn heredoc(&mut self, content: &str, scope: &Scope) -> Result<String, ExpandError> {
        self.run(content, scope, '\\', false).map(|(text, _)| text)
    }

    fn pay(&mut self, bytes: usize) -> Result<(), ExpandError> {
        self.budget = self.budget.checked_sub(bytes as u64).ok_or(ExpandError::TooLong)?;
        Ok(())
    }

    fn run(
        &mut self,
        raw: &str,
        scope: &Scope,
        escape: char,
        quotes: bool,
    ) -> Result<(String, Vec<String>), ExpandError> {
        let mut walk = Walk { rest: raw.chars(), scope, escape, quotes, depth: 0, payer: self };
        let mut out = Out { words: Some(Vec::new()), ..Out::default() };
        walk.until(None, false, &mut out)?;
        out.end_word();
        Ok((out.text, out.words.unwrap_or_default()))
    }
}

// The text so far; at the top also as words.
#[derive(Default)]
struct Out {
    text: String,
    words: Option<Vec<String>>,
    word: String,
    in_word: bool,
}

impl Out {
    // Text that can split.
    fn open(&mut self, c: char) {
        self.text.push(c);
        if self.words.is_some() {
            if c.is_whitespace() {
                self.end_word();
            } else {
                self.in_word = true;
                self.word.push(c);
            }
        }
    }

    // Text that was quoted or escaped.
    fn closed(&mut self, text: &str) {
        self.text.push_str(text);
        if self.words.is_some() {
            self.in_word = true;
            self.word.push_str(text);
        }
    }

    fn end_word(&mut self) {
        if let Some(words) = self.words.as_mut().filter(|_| self.in_word) {
            words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }
}

struct Walk<'a, 'b> {
    rest: std::str::Chars<'a>,
    scope: &'a Scope,
    escape: char,
    quotes: bool,
    depth: usize,
    payer: &'b mut Expander,
}

impl Walk<'_, '_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn check(&mut self, added: usize, total: usize) -> Result<(), ExpandError> {
        self.payer.pay(added)?;
        if total > EXPANSION_LIMIT { Err(ExpandError::TooLong) } else { Ok(()) }
    }

    // Goes to `stop`, which is eaten, or to the end. With `keep_escapes`, for patterns, an escape
    // stays in front of its character.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
        out: &mut Out,
    ) -> Result<(), ExpandError> {
        while let Some(c) = self.rest.next() {
            if Some(c) == stop {
                return Ok(());
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| out.open(c));
                    self.check(value.len(), out.text.len())?;
                }
                '\'' if self.quotes => {
                    let value = self.single()?;
                    out.closed(&value);
                    self.check(value.len(), out.text.len())?;
                }
                '"' if self.quotes => {
                    let value = self.double(keep_escapes)?;
                    out.closed(&value);
                    self.check(value.len(), out.text.len())?;
                }
                c if c == self.escape => {
                    let Some(next) = self.rest.next() else { break };
                    if keep_escapes {
                        // Patterns know the backslash alone.
                        out.closed("\\");
                    }
                    out.closed(next.encode_utf8(&mut [0; 4]));
                    self.check(1, out.text.len())?;
                }
                c => {
                    out.open(c);
                    self.check(1, out.text.len())?;
                }
            }
        }
        if stop.is_some() { Err(ExpandError::OpenBrace) } else { Ok(()) }
    }

    fn single(&mut self) -> Result<String, ExpandError> {
        let text = self.rest.as_str();
        let end = text.find('\'').ok_or(ExpandError::OpenQuote('\''))?;
        self.rest = text[end + 1..].chars();
        Ok(text[..end].to_owned())
    }

    fn double(&mut self, keep_escapes: bool) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            match self.rest.next() {
                None => return Err(ExpandError::OpenQuote('"')),
                Some('"') => return Ok(out),
                Some('$') => {
                    let value = self.dollar()?;
                    out.push_str(&value);
                    self.check(value.len(), out.len())?;
                }
                Some(c) if c == self.escape => {
                    // Only these can be escaped here; before others the escape is text.
                    match self.peek() {
                        Some(next) if next == '"' || next == '$' || next == self.escape => {
                            self.rest.next();
                            if keep_escapes {
                                out.push('\\');
                            }
                            out.push(next);
                        }
                        Some(_) => out.push(c),
                        None => {}
                    }
                    self.check(1, out.len())?;
                }
                Some(c) => {
                    out.push(c);
                    self.check(1, out.len())?;
                }
            }
        }
    }

    // A name, a number, or one of the shell's special parameters; empty if none begins here.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let digits = self.peek().is_some_and(|c| c.is_ascii_digit());
        if let Some(c) = self.peek().filter(|c| "@*#?-$!".contains(*c)) {
            self.rest.next();
            return c.to_string();
        }
        while let Some(c) = self.peek() {
            let fits = if digits { c.is_ascii_digit() } else { c.is_alphanumeric() || c == '_' };
            if !fits {
                break;
            }
            name.push(c);
            self.rest.next();
        }
        name
    }

    fn inner(&mut self, stop: char, keep_escapes: bool) -> Result<String, ExpandError> {
        if self.depth >= NESTING_LIMIT {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let mut out = Out::default();
        let result = self.until(Some(stop), keep_escapes, &mut out);
        self.depth -= 1;
        result.map(|()| out.text)
    }

    // After `$`.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.scope.get(&name).unwrap_or_default().to_owned());
        }
        self.rest.next();
        match self.peek() {
            None => return Err(ExpandError::OpenBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        if name.is_empty() {
            return Err(ExpandError::BadSubstitution);
        }
        let scope = self.scope;
        let value = scope.get(&name);
        match self.rest.next() {
            None => Err(ExpandError::OpenBrace),
            Some('}') => Ok(value.unwrap_or_default().to_owned()),
            Some(':') => match self.rest.next() {
                None => Err(ExpandError::OpenBrace),
                Some(operator @ ('-' | '+' | '?')) => {
                    self.default(operator, &name, value.filter(|value| !value.is_empty()), value)
                }
                Some(other) => Err(ExpandError::Modifier(format!(":{other}"))),
            },
            Some(operator @ ('-' | '+' | '?')) => self.default(operator, &name, value, value),
            Some(operator @ ('#' | '%')) => {
                let longest = self.peek() == Some(operator);
                if longest {
                    self.rest.next();
                }
                let pattern = Pattern::new(&self.inner('}', true)?);
                let value = value.unwrap_or_default();
                let kept = match operator {
                    '#' => &value[pattern.prefix(value, longest, self.payer)?.unwrap_or(0)..],
                    _ => {
                        let end = pattern.suffix(value, longest, self.payer)?;
                        &value[..end.unwrap_or(value.len())]
                    }
                };
                Ok(kept.to_owned())
            }
            Some('/') => {
                let all = self.peek() == Some('/');
                if all {
                    self.rest.next();
                }
                let pattern = Pattern::new(&self.inner('/', true)?);
                let with = self.inner('}', false)?;
                pattern.replace(value.unwrap_or_default(), &with, all, self.payer)
            }
            Some(other) => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    // `-`, `+`, `?`: `set` is the value if it counts as set. The word is expanded in any case, so
    // that a mistake in it shows.
    fn default(
        &mut self,
        operator: char,
        name: &str,
        set: Option<&str>,
        value: Option<&str>,
    ) -> Result<String, ExpandError> {
        let word = self.inner('}', false)?;
        match (operator, set) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(set)) => Ok(set.to_owned()),
            (_, None) => Err(ExpandError::Required {
                name: name.to_owned(),
                message: match (word.is_empty(), value) {
                    (false, _) => word,
                    (true, None) => "is not allowed to be unset".to_owned(),
                    (true, Some(_)) => "is not allowed to be empty".to_owned(),
                },
            }),
        }
    }
}

// A pattern of `*`, `?` and text: the pieces between stars. `None` in a piece is `?`.
struct Pattern {
    pieces: Vec<Vec<Option<char>>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut pieces = vec![Vec::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                '*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '?' => None,
                '\\' => Some(chars.next().unwrap_or('\\')),
                c => Some(c),
            };
            if let Some(last) = pieces.last_mut() {
                last.push(piece);
            }
        }
        Pattern { pieces }
    }

    fn reversed(&self) -> Self {
        let mut pieces: Vec<Vec<Option<char>>> = self.pieces.iter().rev().cloned().collect();
        pieces.iter_mut().for_each(|piece| piece.reverse());
        Pattern { pieces }
    }

    // Whether `piece` stands at `text[at..]`.
    fn at(
        piece: &[Option<char>],
        text: &[char],
        at: usize,
        payer: &mut Expander,
    ) -> Result<bool, ExpandError> {
        let Some(window) = text.get(at..at + piece.len()) else { return Ok(false) };
        for (index, (want, have)) in piece.iter().zip(window).enumerate() {
            if want.is_some_and(|want| want != *have) {
                payer.pay(index + 1)?;
                return Ok(false);
            }
        }
        payer.pay(piece.len())?;
        Ok(true)
    }

    // The end of a match that begins at `from`: the first or the last possible one. Leftmost pieces
    // are enough: if anything fits, they do.
    fn end(
        &self,
        text: &[char],
        from: usize,
        longest: bool,
        payer: &mut Expander,
    ) -> Result<Option<usize>, ExpandError> {
        let (first, rest) = self.pieces.split_first().expect("a pattern has at least one piece");
        if !Self::at(first, text, from, payer)? {
            return Ok(None);
        }
        let mut at = from + first.len();
        for (index, piece) in rest.iter().enumerate() {
            let last = index + 1 == rest.len();
            let latest = text.len().checked_sub(piece.len()).filter(|latest| *latest >= at);
            let Some(latest) = latest else { return Ok(None) };
            let mut found = None;
            for step in 0..=latest - at {
                let place = if last && longest { latest - step } else { at + step };
                if Self::at(piece, text, place, payer)? {
                    found = Some(place);
                    break;
                }
                payer.pay(1)?;
            }
            let Some(place) = found else { return Ok(None) };
            at = place + piece.len();
        }
        Ok(Some(at))
    }

    // How many bytes of the front match.
    fn prefix(
        &self,
        value: &str,
        longest: bool,
        payer: &mut Expander,
    ) -> Result<Option<usize>, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        payer.pay(value.len())?;
        let end = self.end(&chars, 0, longest, payer)?;
        Ok(end.map(|end| chars[..end].iter().map(|c| c.len_utf8()).sum()))
    }

    // Where the matching end begins, in bytes.
    fn suffix(
        &self,
        value: &str,
        longest: bool,
        payer: &mut Expander,
    ) -> Result<Option<usize>, ExpandError> {
        let chars: Vec<char> = value.chars().rev().collect();
        payer.pay(value.len())?;
        let end = self.reversed().end(&chars, 0, longest, payer)?;
        Ok(end.map(|end| value.len() - chars[..end].iter().map(|c| c.len_utf8()).sum::<usize>()))
    }

    // Replaces the first match, or all; each match is the leftmost and longest.
    fn replace(
        &self,
        value: &str,
        with: &str,
        all: bool,
        payer: &mut Expander,
    ) -> Result<String, ExpandError> {
        let chars: Vec<char> = value.chars().collect();
        payer.pay(value.len())?;
        let first = self.pieces.first().expect("a pattern has at least one piece");
        let (mut out, mut at, mut done) = (String::new(), 0, false);
        while at < chars.len() {
            payer.pay(1)?;
            if !done && Self::at(first, &chars, at, payer)? {
                match self.end(&chars, at, true, payer)? {
                    Some(end) if end > at => {
                        payer.pay(with.len())?;
                        out.push_str(with);
                        if out.len() > EXPANSION_LIMIT {
                            return Err(ExpandError::TooLong);
                        }
                        at = end;
                        done = !all;
                        continue;
                    }
                    // What does not follow here does not follow further on either.
                    None => done = true,
                    Some(_) => {}
                }
            }
            out.push(chars[at]);
            at += 1;
        }
        if out.len() > EXPANSION_LIMIT { Err(ExpandError::TooLong) } else { Ok(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::new();
        for (name, value) in [("V", "value"), ("E", ""), ("F", "foobarbaz"), ("W", "a b")] {
            scope.set(name, value);
        }
        scope
    }

    fn check(raw: &str, want: &str) {
        let have = match Expander::new('\\').word(raw, &scope()) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(have, want, "{raw}");
    }

    #[test]
    fn operators() {
        for (raw, want) in [
            ("${U:-${V}}x", "valuex"),
            ("[${E:-w}][${E-w}][${E:+w}][${E+w}]", "[w][][][w]"),
            ("${U:-'q $V'}${U:-\"d $V\"}", "q $Vd value"),
            ("${F#f*b}|${F##f*b}|${F%b*}|${F%%b*}", "arbaz|az|foobar|foo"),
            ("${F#?oo}|${F%???}|${F#x}|${F#*}|${F##*}", "barbaz|foobar|foobarbaz|foobarbaz|"),
            ("${F/ba/X}|${F//ba/X}|${F/o*b/-}|${F//o/}", "fooXrbaz|fooXrXz|f-az|fbarbaz"),
            ("${F/ba?/<$V>}|${F/b*q/x}", "foo<value>baz|foobarbaz"),
            ("$V.x$Vx${V}x$$V$1[$]a$", "value.xvaluexV[$]a$"),
            (r#"\$V "\$V" '\$V' "a\nb" a\nb \\$V"#, r"$V $V \$V a\nb anb \value"),
            ("${V:xyz}", "error: unsupported modifier `:x` in a substitution"),
            ("${V^}", "error: unsupported modifier `^` in a substitution"),
            ("${V", "error: syntax error: missing `}` in a substitution"),
            ("${}", "error: syntax error: bad substitution"),
            ("\"x", "error: unterminated quote: no matching \""),
            ("${U:?set it}", "error: U: set it"),
            ("${U?}", "error: U: is not allowed to be unset"),
            ("${E:?}", "error: E: is not allowed to be empty"),
        ] {
            check(raw, want);
        }
    }

    #[test]
    fn lists_split_outside_of_quotes() {
        let words = Expander::new('\\').list(r#"$W "$W" x\ y '' z"#, &scope()).unwrap();
        assert_eq!(words, ["a", "b", "a b", "x y", "", "z"]);
    }

    #[test]
    fn quotes_are_text_in_heredocs() {
        let text = Expander::new('`').heredoc("'$V' \"${U:-d}\" \\$V \\\\s\n", &scope());
        assert_eq!(text.unwrap(), "'value' \"d\" $V \\s\n");
    }

    #[test]
    fn attack_86_doubling_and_nesting_end_soon() {
        let mut scope = Scope::new();
        let mut expander = Expander::new('\\');
        scope.set("a", "x");
        let mut failed = false;
        for _ in 0..64 {
            match expander.word("$a$a", &scope) {
                Ok(text) => scope.set("a", text),
                Err(error) => {
                    assert_eq!(error, ExpandError::TooLong);
                    failed = true;
                    break;
                }
            }
        }
        assert!(failed);
        let deep = "${b:-".repeat(100_000);
        assert_eq!(expander.word(&deep, &scope), Err(ExpandError::TooDeep));
        let stars = format!("${{a//{}y/z}}", "*?".repeat(10_000));
        let _ = expander.word(&stars, &scope);
    }
}
