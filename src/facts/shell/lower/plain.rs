//! Texts of nothing but simple commands, as most are: read in one pass, where the parser's grammar tries
//! each of its rules at each word.
//!
//! Taken is a text only where nothing in it can mean anything else, and the tree is the parser's own to
//! the last place: a test compares them. All other texts are the parser's.

use std::ops::Range;
use std::sync::Arc;

use brush_parser::ast::{
    AndOr, AndOrList, Assignment, AssignmentName, AssignmentValue, Command, CommandPrefix,
    CommandPrefixOrSuffixItem as Item, CommandSuffix, CompoundList, CompoundListItem, Pipeline,
    Program, SeparatorOperator, SimpleCommand, Word,
};
use brush_parser::{SourcePosition, SourceSpan};

/// Reads a text of one line: words, quotes without escapes, `$NAME`, `${NAME}`, `$(WORD …)`, and `&&`,
/// `||`, `|`, `;` between commands. `None` where there is anything else, a mistake included.
pub(super) fn program(text: &str) -> Option<Program> {
    let mut reader = Reader { text, at: 0 };
    let mut items = Vec::new();
    loop {
        let (list, end) = reader.list()?;
        items.push(CompoundListItem(list, SeparatorOperator::Sequence));
        reader.blanks();
        if end == Mark::End || reader.at == text.len() {
            return Some(Program { complete_commands: vec![CompoundList(items)] });
        }
    }
}

#[derive(PartialEq, Eq)]
enum Mark {
    And,
    Or,
    Pipe,
    Then,
    End,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    // Up to `;`, or to the end.
    fn list(&mut self) -> Option<(AndOrList, Mark)> {
        let (first, mut mark) = self.pipeline()?;
        let mut additional = Vec::new();
        loop {
            let join = match mark {
                Mark::And => AndOr::And,
                Mark::Or => AndOr::Or,
                _ => return Some((AndOrList { first, additional }, mark)),
            };
            let (next, after) = self.pipeline()?;
            additional.push(join(next));
            mark = after;
        }
    }

    fn pipeline(&mut self) -> Option<(Pipeline, Mark)> {
        let mut seq = Vec::with_capacity(1);
        loop {
            let (command, mark) = self.command()?;
            seq.push(Command::Simple(command));
            if mark != Mark::Pipe {
                return Some((Pipeline { timed: None, bang: false, seq }, mark));
            }
        }
    }

    fn command(&mut self) -> Option<(SimpleCommand, Mark)> {
        let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
        let mut name = None;
        loop {
            self.blanks();
            let mark = match self.byte() {
                None => Mark::End,
                Some(b';') => Mark::Then,
                Some(b'|') => Mark::Pipe,
                Some(b'&') => Mark::And,
                Some(_) => {
                    let range = self.word()?;
                    let text = &self.text[range.clone()];
                    let assignment = assignment(text)?;
                    let word = self.place(range.clone());
                    match (assignment, &name) {
                        (Some((name_end, value)), known) => {
                            let item = self.assigned(range, name_end, value, word);
                            if known.is_none() { prefix.push(item) } else { suffix.push(item) }
                        }
                        (None, None) if special(text) => return None,
                        (None, None) => name = Some(word),
                        (None, Some(_)) => suffix.push(Item::Word(word)),
                    }
                    continue;
                }
            };
            if prefix.is_empty() && name.is_none() {
                return None;
            }
            let mark = self.operator(mark)?;
            let prefix = (!prefix.is_empty()).then_some(CommandPrefix(prefix));
            let suffix = (!suffix.is_empty()).then_some(CommandSuffix(suffix));
            return Some((SimpleCommand { prefix, word_or_name: name, suffix }, mark));
        }
    }

    // Takes an operator that begins as this one does.
    fn operator(&mut self, mark: Mark) -> Option<Mark> {
        let next = self.text.as_bytes().get(self.at + 1);
        let (mark, length) = match (mark, next) {
            (Mark::Pipe, Some(b'|')) => (Mark::Or, 2),
            (Mark::And, Some(b'&')) => (Mark::And, 2),
            // `&`, `|&`, `;;`, `;&`.
            (Mark::And, _) | (Mark::Pipe | Mark::Then, Some(b'&' | b';')) => return None,
            (mark @ (Mark::Pipe | Mark::Then), _) => (mark, 1),
            (mark, _) => (mark, 0),
        };
        self.at += length;
        Some(mark)
    }

    fn word(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while let Some(byte) = self.byte() {
            match byte {
                b' ' | b'\t' | b';' | b'|' | b'&' => break,
                b'\'' => {
                    let rest = &self.text.as_bytes()[self.at + 1..];
                    let length = rest.iter().position(|byte| *byte == b'\'')?;
                    if !rest[..length].iter().all(|byte| matches!(byte, b' '..=b'~')) {
                        return None;
                    }
                    self.at += length + 2;
                }
                b'"' => self.quoted()?,
                b'$' => self.value()?,
                _ if letter(byte) => self.at += 1,
                _ => return None,
            }
        }
        Some(start..self.at)
    }

    fn quoted(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'$' => self.value()?,
                b'\\' | b'`' => return None,
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    fn value(&mut self) -> Option<()> {
        self.at += 1;
        let rest = &self.text.as_bytes()[self.at..];
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = match rest.first()? {
            b'{' => {
                let name = rest[1..].iter().take_while(|byte| named(byte)).count();
                let closed =
                    name > 0 && !rest[1].is_ascii_digit() && rest.get(name + 1) == Some(&b'}');
                closed.then_some(name + 2)?
            }
            b'(' => {
                let within = |byte: &u8| named(byte) || matches!(byte, b' ' | b'.' | b'/' | b'-');
                let length = rest[1..].iter().take_while(|byte| within(byte)).count();
                let text = std::str::from_utf8(&rest[1..=length]).ok()?;
                let plain = text.split(' ').all(|word| !word.is_empty() && !special(word));
                (plain && rest.get(length + 1) == Some(&b')')).then_some(length + 2)?
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => 1,
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    fn place(&self, range: Range<usize>) -> Word {
        // Lines and columns count from 1.
        let at = |index| Arc::new(SourcePosition { index, line: 1, column: index + 1 });
        let loc = SourceSpan { start: at(range.start), end: at(range.end) };
        Word { value: self.text[range].to_owned(), loc: Some(loc) }
    }

    fn assigned(&self, range: Range<usize>, name_end: usize, value: usize, word: Word) -> Item {
        let text = &self.text[range];
        let assignment = Assignment {
            name: AssignmentName::VariableName(text[..name_end].to_owned()),
            value: AssignmentValue::Scalar(Word { value: text[value..].to_owned(), loc: None }),
            append: value > name_end + 1,
            loc: word.loc.clone().unwrap_or_default(),
        };
        Item::AssignmentWord(assignment, word)
    }
}

// What means itself wherever it stands in a word.
fn letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'.'
                | b'/'
                | b':'
                | b','
                | b'+'
                | b'-'
                | b'='
                | b'%'
                | b'@'
                | b'^'
                | b'~'
                | b'*'
                | b'?'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'!'
        )
}

// Words that begin something else than a simple command, in one dialect or another.
fn special(word: &str) -> bool {
    matches!(
        word,
        "!" | "{"
            | "}"
            | "[["
            | "]]"
            | "case"
            | "coproc"
            | "do"
            | "done"
            | "elif"
            | "else"
            | "esac"
            | "fi"
            | "for"
            | "function"
            | "if"
            | "in"
            | "select"
            | "then"
            | "time"
            | "until"
            | "while"
    )
}

// Where the name ends and the value begins, if a word is an assignment; `None` if it may be one to an
// element of an array.
#[allow(clippy::option_option)]
fn assignment(word: &str) -> Option<Option<(usize, usize)>> {
    let Some(equals) = word.find('=') else { return Some(None) };
    let head = &word[..equals];
    let name = head.strip_suffix('+').unwrap_or(head).as_bytes();
    if head.contains('[') {
        return None;
    }
    let fits = name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    Some(fits.then_some((name.len(), equals + 1)))
}

#[cfg(test)]
mod tests {
    use brush_parser::{Parser, ParserOptions};
    use proptest::prelude::*;

    use super::*;

    // What is taken, and is as the parser has it, in each dialect.
    fn check(text: &str) -> bool {
        let Some(own) = program(text) else { return false };
        for sh_mode in [false, true] {
            let options = ParserOptions { sh_mode, ..ParserOptions::default() };
            let theirs = Parser::new(text.as_bytes(), &options).parse_program();
            let theirs = theirs.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(format!("{own:#?}"), format!("{theirs:#?}"), "{text:?}");
        }
        true
    }

    #[test]
    fn what_most_steps_say_is_taken() {
        for (text, want) in [
            (
                "apt-get update && apt-get install -y curl=7.88.1 && rm -rf /var/lib/apt/lists/*",
                true,
            ),
            ("set -eux; cd /src/3 && make -j\"$(nproc)\" && cp out /usr/local/bin/tool3", true),
            ("A=1 B+='x y' env C=\"$D ${E}\" f | g; h;", true),
            (" true ", true),
            ("", false),
            ("a &", false),
            ("a; ; b", false),
            ("a && ", false),
            ("a | ", false),
            ("a |& b", false),
            ("a ;; b", false),
            ("if true; then a; fi", false),
            ("time a", false),
            ("a > b", false),
            ("f() { a; }", false),
            ("a # b", false),
            ("a\nb", false),
            ("a \\\n b", false),
            ("x[1]=2 a", false),
            ("a=(b)", false),
            ("echo é", false),
            ("echo 'é'", false),
            ("echo $1 $?", false),
            ("echo \"a`b`\"", false),
            ("echo 'a", false),
            ("echo $(case x)", false),
        ] {
            assert_eq!(check(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_tree_is_the_parsers(parts in prop::collection::vec(prop::sample::select(vec![
            " ", " ", " ", "\t", "a", "b1", "_", "-", "--x=", "=", "+=", "A=", "&&", "||", "|", ";", "&",
            "\"", "'", "$a", "${b}", "${1}", "$(nproc)", "$(a b -c /d.e)", "$( a)", "$(", ")", "{", "}",
            "!", "[", "]", "[[", "*", "?", "~", "#", "@", "^", "%", ",", ".", "/", ":", "if", "case", "in",
            "time", "function", "select", "do", "2", ">", "<", "\\", "`", "é", "\n", "\"x y\"", "'x $y'",
        ]), 0..14)) {
            check(&parts.concat());
        }
    }
}
