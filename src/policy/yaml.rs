//! A small YAML: what configuration files of other tools and the metadata of Rego files are made of.
//!
//! Blocks and flows of mappings and sequences, plain and quoted scalars, block scalars, comments.
//! What is rare there and hard to get right is an error with its line: anchors, tags, complex keys,
//! several documents. Depth and size are bounded.

use serde_json::{Map, Value};

// Deeper than any configuration.
const DEEPEST: usize = 24;
const LONGEST: usize = 1 << 20;

/// Reads a document. The error names the line.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > LONGEST {
        return Err("it is longer than 1 MiB".into());
    }
    let mut lines = Vec::new();
    for (at, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let body = raw.trim_start_matches(' ');
        let indent = raw.len() - body.len();
        match body.trim_end() {
            "---" if indent == 0 && lines.iter().all(|line: &Line<'_>| line.blank) => continue,
            "---" if indent == 0 => return Err(format!("line {}: a second document", at + 1)),
            "..." if indent == 0 => break,
            _ => {}
        }
        let blank = body.trim().is_empty() || body.starts_with('#');
        if !blank && body.starts_with('\t') {
            return Err(format!("line {}: a tab where blanks indent", at + 1));
        }
        lines.push(Line { number: at + 1, indent, body, raw, blank });
    }
    let mut reader = Reader { lines, at: 0 };
    reader.skip();
    let Some(first) = reader.peek() else { return Ok(Value::Null) };
    let value = reader.block(first.indent, 0)?;
    reader.skip();
    match reader.peek() {
        Some(line) => Err(format!("line {}: indented unlike what is above it", line.number)),
        None => Ok(value),
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    body: &'a str,
    raw: &'a str,
    blank: bool,
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<Line<'a>> {
        self.lines.get(self.at).copied()
    }

    fn skip(&mut self) {
        while self.peek().is_some_and(|line| line.blank) {
            self.at += 1;
        }
    }

    // What begins on this line, at this indentation. The depth bounds the recursion.
    fn block(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let Some(line) = self.peek() else { return Ok(Value::Null) };
        if depth > DEEPEST {
            return Err(format!("line {}: nested too deep", line.number));
        }
        if is_item(line.body) {
            return self.sequence(indent, depth);
        }
        if key(line.body).is_some() {
            return self.mapping(indent, depth);
        }
        self.at += 1;
        self.scalar(line.body, line, indent)
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let mut out = Vec::new();
        loop {
            self.skip();
            let Some(line) = self.peek() else { break };
            if line.indent != indent || !is_item(line.body) {
                break;
            }
            let rest = line.body[1..].trim_start();
            let inner = indent + (line.body.len() - rest.len());
            if rest.is_empty() || rest.starts_with('#') {
                self.at += 1;
                out.push(self.nested(indent + 1, depth)?);
            } else {
                // `- key: value` opens a block that stands where its first key does.
                self.lines[self.at] = Line { indent: inner, body: rest, ..line };
                out.push(self.block(inner, depth + 1)?);
            }
        }
        Ok(Value::Array(out))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, String> {
        let mut out = Map::new();
        loop {
            self.skip();
            let Some(line) = self.peek() else { break };
            if line.indent != indent || is_item(line.body) {
                break;
            }
            let Some((name, rest)) = key(line.body) else {
                return Err(format!("line {}: neither `key:` nor `- item`", line.number));
            };
            let name = match plain_or_quoted(name) {
                Some(Value::String(name)) => name,
                Some(other) => other.to_string(),
                None => return Err(format!("line {}: such a key is not read", line.number)),
            };
            self.at += 1;
            let rest = without_comment(rest);
            let value = if rest.is_empty() {
                // A sequence may stand at the indentation of its key.
                self.skip();
                match self.peek() {
                    Some(next) if next.indent == indent && is_item(next.body) => {
                        self.sequence(indent, depth + 1)?
                    }
                    _ => self.nested(indent + 1, depth)?,
                }
            } else {
                self.scalar(rest, line, indent)?
            };
            if out.insert(name.clone(), value).is_some() {
                return Err(format!("line {}: `{name}` is there twice", line.number));
            }
        }
        Ok(Value::Object(out))
    }

    // The block of deeper lines that follows, if there is one.
    fn nested(&mut self, least: usize, depth: usize) -> Result<Value, String> {
        self.skip();
        match self.peek() {
            Some(next) if next.indent >= least => self.block(next.indent, depth + 1),
            _ => Ok(Value::Null),
        }
    }

    // A value that begins on a line already taken.
    fn scalar(&mut self, text: &str, line: Line<'a>, indent: usize) -> Result<Value, String> {
        let fail = |what: &str| Err(format!("line {}: {what}", line.number));
        let text = without_comment(text);
        match text.as_bytes().first() {
            Some(b'&' | b'*') => fail("anchors are not read"),
            Some(b'!') => fail("tags are not read"),
            Some(b'|' | b'>') => Ok(Value::String(self.block_scalar(text, indent))),
            Some(b'[' | b'{') => {
                let mut all = text.to_owned();
                // Where each line ends in it, and the line that follows.
                let mut ends = vec![(all.len(), self.at)];
                loop {
                    let mut flow = Flow { text: &all, at: 0 };
                    #[cfg(test)]
                    tests::LOOKED.set(tests::LOOKED.get() + all.len());
                    match flow.value(0) {
                        Ok(value) => {
                            let end = ends.partition_point(|(end, _)| *end < flow.at);
                            let (end, next) = ends[end];
                            if !all[flow.at..end].trim().is_empty() {
                                return fail("something follows the closing bracket");
                            }
                            self.at = next;
                            return Ok(value);
                        }
                        Err(Some(error)) => return fail(&error),
                        // It goes on below. Twice as much each time, or many lines are read often.
                        Err(None) => {
                            let enough = 2 * all.len();
                            while all.len() <= enough {
                                self.skip();
                                let Some(next) = self.peek() else { break };
                                self.at += 1;
                                all.push(' ');
                                all.push_str(without_comment(next.body));
                                ends.push((all.len(), self.at));
                            }
                            if all.len() <= enough / 2 {
                                return fail("a bracket is not closed");
                            }
                        }
                    }
                }
            }
            _ => {
                let mut all = text.to_owned();
                let quoted = text.starts_with(['"', '\'']);
                let mut quote = Quote { single: text.starts_with('\''), escaped: false };
                let mut closed = quoted && quote.closes(&text[1..]);
                // A plain scalar may go on in deeper lines.
                while let Some(next) = self.peek() {
                    if next.blank || next.indent <= indent || closed {
                        break;
                    }
                    if !quoted && (key(next.body).is_some() || is_item(next.body)) {
                        break;
                    }
                    self.at += 1;
                    let before = all.len();
                    all.push(' ');
                    all.push_str(without_comment(next.body));
                    closed = quoted && quote.closes(&all[before..]);
                }
                match plain_or_quoted(&all) {
                    Some(value) => Ok(value),
                    None => fail("a quote is not closed"),
                }
            }
        }
    }

    fn block_scalar(&mut self, head: &str, indent: usize) -> String {
        let folded = head.starts_with('>');
        let mut lines: Vec<&str> = Vec::new();
        let mut own = None;
        while let Some(line) = self.peek() {
            let empty = line.raw.trim().is_empty();
            if !empty && line.indent <= indent {
                break;
            }
            self.at += 1;
            let own = *own.get_or_insert(line.indent.max(indent + 1));
            lines.push(if empty { "" } else { line.raw.get(own..).unwrap_or("") });
        }
        while lines.last() == Some(&"") {
            lines.pop();
        }
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push(if folded && !line.is_empty() { ' ' } else { '\n' });
            }
            text.push_str(line);
        }
        if !head.contains('-') && !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

fn is_item(body: &str) -> bool {
    body == "-" || body.starts_with("- ")
}

// `key: rest`, where the key is plain or quoted and no flow.
fn key(body: &str) -> Option<(&str, &str)> {
    let end = match body.as_bytes().first()? {
        quote @ (b'"' | b'\'') => {
            let close = body[1..].find(*quote as char)? + 2;
            close + body[close..].find(|c: char| c != ' ')?
        }
        b'[' | b'{' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'%' | b'@' => return None,
        _ => body
            .match_indices(':')
            .map(|(at, _)| at)
            .find(|at| body[at + 1..].is_empty() || body[at + 1..].starts_with([' ', '\t']))?,
    };
    let rest = body[end..].strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t']))
        .then(|| (body[..end].trim_end(), rest.trim()))
}

// Cuts ` # …` off, outside quotes.
fn without_comment(text: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' || before == '\t' => return text[..at].trim(),
            (None, '"' | '\'') if matches!(before, ' ' | '[' | '{' | ',' | ':') => quote = Some(c),
            (Some(open), c) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    text.trim()
}

// What is open behind a quote, line by line.
struct Quote {
    single: bool,
    escaped: bool,
}

impl Quote {
    // Whether the quote is closed in the next piece: what follows it there is for others to judge.
    fn closes(&mut self, piece: &str) -> bool {
        #[cfg(test)]
        tests::LOOKED.set(tests::LOOKED.get() + piece.len());
        let mut bytes = piece.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if !self.single => self.escaped = true,
                b'"' if !self.single => return true,
                // Two of them are one.
                b'\'' if self.single && bytes.next_if_eq(&b'\'').is_none() => return true,
                _ => {}
            }
        }
        false
    }
}

fn plain_or_quoted(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('\'') {
        let inner = inner.strip_suffix('\'')?;
        let single = inner.replace("''", "");
        return (!single.contains('\'')).then(|| Value::String(inner.replace("''", "'")));
    }
    if text.starts_with('"') {
        // Its escapes are those of JSON, as far as anybody writes them.
        return (text.len() > 1).then(|| serde_json::from_str(text).ok().map(Value::String))?;
    }
    Some(plain(text))
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let number = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.' | b'e'));
            match number.then(|| serde_json::from_str(text).ok()).flatten() {
                Some(value @ Value::Number(_)) => value,
                _ => Value::String(text.to_owned()),
            }
        }
    }
}

// `[a, "b", {c: d}]`. An error of `None` is the end of the text.
struct Flow<'a> {
    text: &'a str,
    at: usize,
}

impl Flow<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn next(&mut self) -> Result<char, Option<String>> {
        self.blanks();
        self.rest().chars().next().ok_or(None)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Option<String>> {
        if depth > DEEPEST {
            return Err(Some("nested too deep".into()));
        }
        match self.next()? {
            '[' => {
                self.at += 1;
                let mut out = Vec::new();
                loop {
                    match self.next()? {
                        ']' => break,
                        ',' => self.at += 1,
                        _ => out.push(self.value(depth + 1)?),
                    }
                }
                self.at += 1;
                Ok(Value::Array(out))
            }
            '{' => {
                self.at += 1;
                let mut out = Map::new();
                loop {
                    match self.next()? {
                        '}' => break,
                        ',' => self.at += 1,
                        _ => {
                            let name = match self.word()? {
                                Value::String(name) => name,
                                other => other.to_string(),
                            };
                            let value = match self.next()? {
                                ':' => {
                                    self.at += 1;
                                    match self.next()? {
                                        ',' | '}' => Value::Null,
                                        _ => self.value(depth + 1)?,
                                    }
                                }
                                _ => Value::Null,
                            };
                            out.insert(name, value);
                        }
                    }
                }
                self.at += 1;
                Ok(Value::Object(out))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Option<String>> {
        let first = self.next()?;
        let rest = self.rest();
        let end = if matches!(first, '"' | '\'') {
            let mut escaped = false;
            let close = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == first && !escaped;
                escaped = first == '"' && *c == '\\' && !escaped;
                ends
            });
            close.ok_or(None)?.0 + 1
        } else {
            let ends = |(at, c): &(usize, char)| {
                matches!(c, ',' | ']' | '}' | '[' | '{')
                    || (*c == ':' && rest[at + 1..].starts_with([' ', ',', '}', ']']))
                    || (*c == ':' && rest.len() == at + 1)
            };
            rest.char_indices().find(ends).ok_or(None)?.0
        };
        if end == 0 {
            return Err(Some(format!("`{first}` where a value should be")));
        }
        let value = plain_or_quoted(&rest[..end])
            .ok_or_else(|| Some("a quote that cannot be read".to_owned()))?;
        self.at += end;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    thread_local! {
        // Bytes of what goes on over lines that were looked at.
        pub(super) static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn what_goes_on_over_many_lines_is_read_a_bounded_number_of_times() {
        let lines = |line: &str| line.repeat(20_000);
        let quote = |end: &str| format!("a: \"b\n{}{end}", lines("  c \\\"\n"));
        let single = |end: &str| format!("a: 'b\n{}{end}", lines("  c ''\n"));
        let flow = |end: &str| format!("a: [b,\n{}{end}", lines("  [c, \"]\"],\n"));
        for (text, good) in [
            (flow("]\nd: 1\n"), true),
            (flow(""), false),
            (flow("] x\n"), false),
            (quote("  \"\nd: 1\n"), true),
            (quote(""), false),
            (single("  '\nd: 1\n"), true),
            (single(""), false),
        ] {
            LOOKED.set(0);
            let read = parse(&text);
            assert_eq!(read.is_ok(), good, "{:?}", read.err());
            if let Ok(value) = read {
                assert_eq!(value["d"], 1);
            }
            let looked = LOOKED.get();
            assert!(
                looked > text.len() / 2 && looked <= 4 * text.len(),
                "{looked} of {}",
                text.len()
            );
        }
    }

    #[test]
    fn a_value_ends_on_its_own_line() {
        for head in [
            "[\n1\n]",
            "[1,\n  2,\n\n  # 3\n  {x: y}\n  ]",
            "{\n a:\n  b}",
            "'x\n  y'",
            "\"x\n  y\"",
        ] {
            for follows in 0..6 {
                let rest: String = (0..follows).map(|at| format!("k{at}: [\n{at}]\n")).collect();
                let value = parse(&format!("v: {head} # why\n{rest}")).unwrap();
                assert_eq!(value.as_object().unwrap().len(), follows + 1, "{head}");
                assert_eq!(value["v"], parse(head).unwrap(), "{head}");
                for at in 0..follows {
                    assert_eq!(value[format!("k{at}")], json!([at]));
                }
            }
        }
        check("a: 'it''s\n  ''x'' '\nb: 1\n", &json!({"a": "it's 'x' ", "b": 1}));
        check("a: \"\\\\\"\nb: 1\n", &json!({"a": "\\", "b": 1}));
        assert!(
            parse("a: [1,\n 2] x\nb: [1]\n").unwrap_err().contains("line 1: something follows")
        );
    }

    fn check(text: &str, want: &Value) {
        assert_eq!(parse(text).as_ref(), Ok(want), "{text}");
    }

    #[test]
    fn what_tools_write_is_read() {
        check(
            "# a comment\nignored:\n  - DL3000 # why\n  - SC1010\noverride:\n  error: [DL3001,\n    \
             'DL3002']\nstrict-labels: true\nlabel-schema:\n  author: text\n  \"git-revision\": hash\n",
            &json!({
                "ignored": ["DL3000", "SC1010"], "override": {"error": ["DL3001", "DL3002"]},
                "strict-labels": true, "label-schema": {"author": "text", "git-revision": "hash"},
            }),
        );
        check(
            "misconfigurations:\n- id: AVD-DS-0002\n  paths:\n    - \"docs/*\"\n  expired_at: 2027-01-02\n\
             - id: DS-1\n",
            &json!({"misconfigurations": [
                {"id": "AVD-DS-0002", "paths": ["docs/*"], "expired_at": "2027-01-02"}, {"id": "DS-1"},
            ]}),
        );
        check(
            "---\nrules:\n  lowestEfficiency: 0.95\n  'highestWastedBytes': 20MB\n  x: {a: 1, b: [c, d]}\n",
            &json!({"rules": {
                "lowestEfficiency": 0.95, "highestWastedBytes": "20MB", "x": {"a": 1, "b": ["c", "d"]},
            }}),
        );
        check(
            "title: Use: a thing\ntext: |\n  one\n   two\n\nurl: https://a.example/b#c\nfold: >-\n  a\n  b\n",
            &json!({
                "title": "Use: a thing", "text": "one\n two\n", "url": "https://a.example/b#c",
                "fold": "a b",
            }),
        );
        check("a:\n-\n  - 1\n  - 2\n- x\n", &json!({"a": [[1, 2], "x"]}));
        check("plain text\n  goes on\n", &json!("plain text goes on"));
        check("", &Value::Null);
        check("a:\nb: ~\nc: ''\nd: '#x'\n", &json!({"a": null, "b": null, "c": "", "d": "#x"}));
    }

    proptest::proptest! {
        // Whatever comes, there is an answer.
        #[test]
        fn any_text_is_read_or_refused(text in "([-:#'\"{}\\[\\], \n|>&*!\\\\ab\u{e4}\u{20ac}]){0,60}") {
            let _ = parse(&text);
            for (_, foreign) in crate::policy::Foreign::NAMES {
                if let Ok(imported) = foreign.import(&text) {
                    imported.text.parse::<toml::Table>().unwrap();
                }
            }
        }
    }

    #[test]
    fn what_is_not_read_is_an_error_with_its_line() {
        for (text, want) in [
            ("a: 1\na: 2\n", "line 2: `a` is there twice"),
            ("a: &x 1\n", "line 1: anchors are not read"),
            ("a: !!str 1\n", "line 1: tags are not read"),
            ("a: [1, 2\n", "line 1: a bracket is not closed"),
            ("a: \"b\n", "line 1: a quote is not closed"),
            ("a: 1\n  b: 2\n", "line 2: indented unlike what is above it"),
            ("a:\n\t- b\n", "line 2: a tab where blanks indent"),
            ("a: 1\n---\nb: 2\n", "line 2: a second document"),
            ("a: 1\nb\n", "line 2: neither `key:` nor `- item`"),
        ] {
            assert_eq!(parse(text).unwrap_err(), want, "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
        let deep: String = (0..200).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
        assert!(parse(&deep).unwrap_err().contains("too deep"));
    }
}
