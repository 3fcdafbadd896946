//! `brush-parser`'s tree to the flat list of commands, in the order in which they run.

use std::collections::BTreeMap;
use std::rc::Rc;

use brush_parser::ParserOptions;
use brush_parser::ast::{
    AndOr, AssignmentName, AssignmentValue, Command as Node, CommandPrefixOrSuffixItem as Item,
    CompoundCommand, CompoundList, IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, Pipeline,
    ProcessSubstitutionKind, SeparatorOperator, SimpleCommand, SourceLocation, Word,
};

use super::body::Body;
use super::word::{fold, fold_heredoc, fold_one, literal};
use super::{
    Arg, Command, Dialect, HOLE, Join, LIMIT, Note, NoteKind, Pipe, Redirect, RedirectKind, Script,
    Start, Status, effective, fallback,
};
use crate::base::Span;

/// How often texts may run texts (`sh -c 'sh -c …'`, functions that call functions).
const DEEPEST: u8 = 8;
/// The most commands that are listed: inlined functions multiply.
const MOST_COMMANDS: usize = 10_000;
/// Brackets and keywords that may nest, in one text. Scripts of thousands of lines have fewer.
const MOST_OPENERS: usize = 4_000;
/// `((` (tried as arithmetic and, on failure, as two groups) and `case` (its end too): nested, the
/// attempts of the grammar double with each.
const MOST_DOUBLING: usize = 10;
/// The same in one word, whose grammar backtracks.
const MOST_WORD_OPENERS: usize = 24;
/// Above this many, the parse gets a stack of its own.
const OPENERS_ON_STACK: usize = 40;
const BIG_STACK: usize = 512 * 1024 * 1024;

pub(super) fn analyse(body: &Body, values: &BTreeMap<String, String>, start: Start) -> Script {
    if openers(body.text()) <= OPENERS_ON_STACK {
        return Walk::new(values, start).body(body);
    }
    std::thread::scope(|scope| {
        let run = || Walk::new(values, start).body(body);
        match std::thread::Builder::new().stack_size(BIG_STACK).spawn_scoped(scope, run) {
            Ok(thread) => thread.join().unwrap_or_default(),
            Err(_) => Walk::new(values, start).fallback_only(body),
        }
    })
}

pub(super) fn analyse_exec(
    words: &[(String, Span)],
    values: &BTreeMap<String, String>,
    dialect: Dialect,
) -> Script {
    let run = || {
        let mut walk = Walk::new(values, Start::plain(dialect));
        let argv = words
            .iter()
            .map(|(word, span)| {
                let mut body = Body::new();
                // JSON escapes move bytes: a word without any maps byte by byte.
                let length = (span.end - span.start) as usize;
                if length == word.len() + 2 {
                    body.push(word, |range| {
                        let start = span.start as usize + 1;
                        Span::new(span.source, start + range.start, start + range.end)
                    });
                } else {
                    body.push_at(word, *span);
                }
                let mut arg = literal(&body, 0..word.len());
                arg.span = *span;
                arg
            })
            .collect();
        let span = match (words.first(), words.last()) {
            (Some(first), Some(last)) => first.1.to(last.1),
            _ => Span::default(),
        };
        walk.simple(argv, Vec::new(), Vec::new(), &Io::default(), span);
        walk.script()
    };
    if words.iter().map(|(word, _)| openers(word)).sum::<usize>() <= OPENERS_ON_STACK {
        return run();
    }
    std::thread::scope(|scope| {
        match std::thread::Builder::new().stack_size(BIG_STACK).spawn_scoped(scope, run) {
            Ok(thread) => thread.join().unwrap_or_default(),
            Err(_) => Script::default(),
        }
    })
}

// An upper bound of how deep a text can nest.
fn openers(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut count = 0;
    for at in 0..bytes.len() {
        match bytes[at] {
            b'(' | b'{' | b'`' | b'[' | b'!' => count += 1,
            b'i' if bytes[at..].starts_with(b"if") => count += 1,
            b'f' if bytes[at..].starts_with(b"for") || bytes[at..].starts_with(b"function") => {
                count += 1;
            }
            b'w' if bytes[at..].starts_with(b"while") => count += 1,
            b'u' if bytes[at..].starts_with(b"until") => count += 1,
            b'c' if bytes[at..].starts_with(b"case") || bytes[at..].starts_with(b"coproc") => {
                count += 1;
            }
            _ => {}
        }
    }
    count
}

fn doubling(text: &str) -> usize {
    let groups = text.as_bytes().windows(2).filter(|pair| pair == b"((").count();
    let cases = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| *word == "case");
    groups.max(cases.count())
}

/// Where a command's input and output are.
#[derive(Clone, Default)]
struct Io {
    reads: Vec<Pipe>,
    feeds: Vec<Pipe>,
}

/// A body with the byte of each character, since the parser counts characters.
struct Text {
    body: Body,
    characters: Option<Vec<usize>>,
}

impl Text {
    fn new(body: Body) -> Self {
        let characters = (!body.text().is_ascii()).then(|| {
            let mut bytes: Vec<usize> = body.text().char_indices().map(|(at, _)| at).collect();
            bytes.push(body.text().len());
            bytes
        });
        Text { body, characters }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.characters {
            None => character.min(self.body.text().len()),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.body.text().len()),
        }
    }

    fn range(&self, span: &brush_parser::SourceSpan) -> std::ops::Range<usize> {
        let start = self.byte(span.start.index);
        start..self.byte(span.end.index).max(start)
    }

    fn span(&self, span: Option<&brush_parser::SourceSpan>) -> Span {
        match span {
            Some(span) => self.body.span(self.range(span)),
            None => self.body.span(0..self.body.text().len()),
        }
    }

    fn start(&self, word: &Word) -> usize {
        word.loc.as_ref().map_or(0, |span| self.byte(span.start.index))
    }
}

/// A function's body, with the text that it is written in.
#[derive(Clone)]
struct Function(Rc<(Rc<Text>, CompoundCommand)>);

/// The state of a walk through a script.
pub(super) struct Walk<'v> {
    out: Vec<Command>,
    given: &'v BTreeMap<String, String>,
    set: BTreeMap<String, (String, Vec<Pipe>)>,
    functions: BTreeMap<String, Function>,
    dialect: Dialect,
    pipes: u32,
    depth: u8,
    budget: usize,
    wrapped: Vec<String>,
    join: Join,
    parsed: bool,
    error: Option<String>,
    status: Status,
    lists: u32,
    list: u32,
    // The number of the simple command that was walked last.
    last: Option<usize>,
    pipelines: Vec<super::Pipeline>,
    notes: Vec<Note>,
    // Words that are folded now are arguments: what is not quoted is split.
    arguments: bool,
}

impl<'v> Walk<'v> {
    fn new(given: &'v BTreeMap<String, String>, start: Start) -> Self {
        Walk {
            out: Vec::new(),
            given,
            set: BTreeMap::new(),
            functions: BTreeMap::new(),
            dialect: start.dialect,
            pipes: 0,
            depth: 0,
            budget: LIMIT,
            wrapped: Vec::new(),
            join: Join::First,
            parsed: true,
            error: None,
            status: Status {
                errexit: start.errexit,
                pipefail: start.pipefail,
                ..Status::default()
            },
            lists: 0,
            list: 0,
            last: None,
            pipelines: Vec::new(),
            notes: Vec::new(),
            arguments: false,
        }
    }

    fn body(mut self, body: &Body) -> Script {
        self.text(body, &Io::default());
        self.script()
    }

    fn fallback_only(mut self, body: &Body) -> Script {
        self.split(body, &Io::default());
        self.script()
    }

    fn script(self) -> Script {
        Script {
            commands: self.out,
            parsed: self.parsed,
            error: self.error,
            pipelines: self.pipelines,
            notes: self.notes,
        }
    }

    pub(super) fn note(&mut self, kind: NoteKind, span: Span) {
        if self.notes.len() < MOST_COMMANDS {
            self.notes.push(Note { kind, span, dialect: self.dialect });
        }
    }

    /// Notes an expansion outside quotes, where that matters.
    pub(super) fn unquoted(&mut self, what: &str, span: Span) {
        if self.arguments {
            self.note(NoteKind::Unquoted(what.to_owned()), span);
        }
    }

    pub(super) fn options(&self) -> ParserOptions {
        ParserOptions { sh_mode: self.dialect == Dialect::Posix, ..ParserOptions::default() }
    }

    pub(super) fn too_deep(&self, word: &str) -> bool {
        word.bytes().filter(|byte| matches!(byte, b'$' | b'`' | b'(')).count() > MOST_WORD_OPENERS
    }

    pub(super) fn variable(&self, name: &str) -> Option<(&str, &[Pipe])> {
        match self.set.get(name) {
            Some((text, from)) => Some((text, from)),
            None => self.given.get(name).map(|text| (text.as_str(), &[][..])),
        }
    }

    fn pipe(&mut self) -> Pipe {
        self.pipes += 1;
        Pipe(self.pipes)
    }

    /// Walks a command substitution; returns the stream that its output is.
    pub(super) fn substitution(&mut self, body: &Body) -> Pipe {
        let pipe = self.pipe();
        let io = Io { reads: Vec::new(), feeds: vec![pipe] };
        let (join, set) = (self.join, self.set.clone());
        let (status, list, arguments) = (self.status, self.list, self.arguments);
        self.join = Join::First;
        self.arguments = false;
        self.status =
            Status { asked: false, lost: false, subshell: true, substituted: true, ..status };
        self.nested(body, &io);
        (self.join, self.set) = (join, set);
        (self.status, self.list, self.arguments) = (status, list, arguments);
        pipe
    }

    fn nested(&mut self, body: &Body, io: &Io) {
        if self.depth < DEEPEST {
            self.depth += 1;
            self.text(body, io);
            self.depth -= 1;
        }
    }

    fn text(&mut self, body: &Body, io: &Io) {
        let text = body.text();
        if text.len() > self.budget {
            self.parsed = false;
            return;
        }
        self.budget -= text.len();
        if openers(text) > MOST_OPENERS || doubling(text) > MOST_DOUBLING {
            self.split(body, io);
            return;
        }
        let parse = |options| {
            let mut parser = brush_parser::Parser::new(text.as_bytes(), &options);
            parser.parse_program().map_err(|error| error.to_string())
        };
        // Where `sh` is bash in disguise, it takes some of bash's additions.
        let bash = ParserOptions::default();
        match parse(self.options()).or_else(|error| parse(bash).map_err(|_| error)) {
            Ok(program) => {
                let text = Rc::new(Text::new(body.clone()));
                let lost = self.status.lost;
                let count = program.complete_commands.len();
                for (at, list) in program.complete_commands.iter().enumerate() {
                    self.status.lost = lost || at + 1 < count;
                    self.list(&text, list, io);
                }
                self.status.lost = lost;
            }
            Err(error) => {
                self.error.get_or_insert(error);
                self.split(body, io);
            }
        }
    }

    fn split(&mut self, body: &Body, io: &Io) {
        self.parsed = false;
        for pipeline in fallback::pipelines(body.text()) {
            let mut reads = io.reads.clone();
            let count = pipeline.len();
            for (at, words) in pipeline.into_iter().enumerate() {
                let feeds = if at + 1 == count { io.feeds.clone() } else { vec![self.pipe()] };
                let span = body.span(words[0].start..words[words.len() - 1].end);
                let argv = words
                    .into_iter()
                    .map(|range| {
                        let quotes: &[char] = &['"', '\''];
                        let mut arg = literal(body, range);
                        arg.text = arg.text.replace(quotes, "");
                        arg
                    })
                    .collect();
                let here = Io { reads, feeds: feeds.clone() };
                self.simple(argv, Vec::new(), Vec::new(), &here, span);
                reads = feeds;
            }
        }
    }

    fn list(&mut self, text: &Rc<Text>, list: &CompoundList, io: &Io) {
        let before = (self.status, self.list);
        let count = list.0.len();
        for (at, item) in list.0.iter().enumerate() {
            self.lists += 1;
            self.list = self.lists;
            self.status.lost = before.0.lost || at + 1 < count;
            let more = &item.0.additional;
            self.pipeline(text, &item.0.first, io, more.iter().any(or));
            for (at, next) in more.iter().enumerate() {
                let (join, pipeline) = match next {
                    AndOr::And(pipeline) => (Join::And, pipeline),
                    AndOr::Or(pipeline) => (Join::Or, pipeline),
                };
                self.join = join;
                self.pipeline(text, pipeline, io, more[at + 1..].iter().any(or));
            }
            self.join = match item.1 {
                SeparatorOperator::Async => Join::Background,
                SeparatorOperator::Sequence => Join::Then,
            };
        }
        // What `set` has set stays.
        self.status.lost = before.0.lost;
        self.list = before.1;
    }

    // `asked`: a `||` stands behind it.
    fn pipeline(&mut self, text: &Rc<Text>, pipeline: &Pipeline, io: &Io, asked: bool) {
        let before = self.status.asked;
        self.status.asked |= asked || pipeline.bang;
        let status = self.status;
        let mut reads = io.reads.clone();
        let count = pipeline.seq.len();
        let mut left = Vec::new();
        for (at, node) in pipeline.seq.iter().enumerate() {
            let feeds = if at + 1 == count { io.feeds.clone() } else { vec![self.pipe()] };
            if at > 0 {
                self.join = Join::Pipe;
            }
            self.last = None;
            self.node(text, node, &Io { reads, feeds: feeds.clone() });
            left.push(self.last.filter(|_| matches!(node, Node::Simple(_))));
            reads = feeds;
        }
        if count > 1 {
            let right = left.pop().flatten();
            let ends = (pipeline.seq.first(), pipeline.seq.last());
            let span = match (ends.0.and_then(Node::location), ends.1.and_then(Node::location)) {
                (Some(first), Some(last)) => {
                    let (first, last) = (text.span(Some(&first)), text.span(Some(&last)));
                    if first.source == last.source { first.to(last) } else { first }
                }
                _ => text.span(None),
            };
            let dialect = self.dialect;
            self.pipelines.push(super::Pipeline { span, left, right, status, dialect });
        }
        self.status.asked = before;
    }

    fn node(&mut self, text: &Rc<Text>, node: &Node, io: &Io) {
        if self.out.len() >= MOST_COMMANDS {
            self.parsed = false;
            return;
        }
        match node {
            Node::Simple(simple) => self.simple_node(text, simple, io),
            Node::Compound(compound, redirects) => {
                let mut io = io.clone();
                for redirect in redirects.iter().flat_map(|list| &list.0) {
                    if let Some(redirect) = self.redirect(text, redirect, &mut io) {
                        cut(&redirect, &mut io);
                    }
                }
                self.compound(text, compound, &io);
            }
            Node::Function(function) => {
                let name = text.start(&function.fname);
                let head = text.body.text().get(..name).unwrap_or("").trim_end();
                if head.ends_with("function") {
                    let span = text.body.span(head.len() - "function".len()..head.len());
                    self.note(NoteKind::Bash("function"), span);
                }
                let body = Function(Rc::new((text.clone(), function.body.0.clone())));
                self.functions.insert(function.fname.value.clone(), body);
            }
            Node::ExtendedTest(test, _) => {
                let span = text.span(Some(&test.loc));
                self.note(NoteKind::Bash("[["), span);
            }
        }
    }

    fn compound(&mut self, text: &Rc<Text>, compound: &CompoundCommand, io: &Io) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                self.note(NoteKind::Bash("(( … ))"), text.span(Some(&arithmetic.loc)));
            }
            CompoundCommand::BraceGroup(group) => self.list(text, &group.list, io),
            CompoundCommand::Subshell(group) => {
                let (set, status) = (self.set.clone(), self.status);
                self.status.subshell = true;
                self.list(text, &group.list, io);
                (self.set, self.status) = (set, status);
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                self.note(NoteKind::Bash("for (( … ))"), text.span(Some(&clause.loc)));
                self.branch(|walk| walk.list(text, &clause.body.list, io));
            }
            CompoundCommand::ForClause(clause) => {
                let mut values = Vec::new();
                for word in clause.values.iter().flatten() {
                    values.extend(fold(self, &text.body, &word.value, text.start(word), true));
                }
                self.branch(|walk| {
                    let value = match values.as_slice() {
                        [one] => (one.text.clone(), one.from.clone()),
                        many => (
                            HOLE.to_string(),
                            many.iter().flat_map(|arg| arg.from.iter().copied()).collect(),
                        ),
                    };
                    walk.set.insert(clause.variable_name.clone(), value);
                    walk.list(text, &clause.body.list, io);
                });
            }
            CompoundCommand::CaseClause(clause) => {
                fold_one(self, &text.body, &clause.value.value, text.start(&clause.value));
                for case in &clause.cases {
                    if let Some(list) = &case.cmd {
                        self.join = Join::Then;
                        self.branch(|walk| walk.list(text, list, io));
                    }
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.condition(text, &clause.condition, io);
                self.join = Join::And;
                self.branch(|walk| walk.list(text, &clause.then, io));
                for more in clause.elses.iter().flatten() {
                    self.join = Join::Or;
                    self.branch(|walk| {
                        if let Some(condition) = &more.condition {
                            walk.condition(text, condition, io);
                            walk.join = Join::And;
                        }
                        walk.list(text, &more.body, io);
                    });
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.condition(text, &clause.0, io);
                self.branch(|walk| walk.list(text, &clause.1.list, io));
            }
            CompoundCommand::Coprocess(clause) => self.node(text, &clause.body, io),
        }
    }

    // The status of its last command is what is asked for.
    fn condition(&mut self, text: &Rc<Text>, list: &CompoundList, io: &Io) {
        let asked = std::mem::replace(&mut self.status.asked, true);
        self.list(text, list, io);
        self.status.asked = asked;
    }

    // What a branch sets may or may not be so afterwards.
    fn branch(&mut self, run: impl FnOnce(&mut Self)) {
        let before = self.set.clone();
        run(self);
        for (name, (text, _)) in &mut self.set {
            if before.get(name).is_none_or(|(old, _)| old != text) {
                *text = HOLE.to_string();
            }
        }
    }

    fn simple_node(&mut self, text: &Rc<Text>, simple: &SimpleCommand, io: &Io) {
        let mut io = io.clone();
        let span = text.span(simple.location().as_ref());
        let (mut argv, mut assignments, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        let body = &text.body;
        for item in simple.prefix.iter().flat_map(|prefix| &prefix.0) {
            match item {
                Item::AssignmentWord(assignment, _) => {
                    let value = match &assignment.value {
                        AssignmentValue::Scalar(word) => {
                            // The value's word has no place of its own: it ends the assignment.
                            let end = text.range(&assignment.loc).end;
                            fold_one(self, body, &word.value, end.saturating_sub(word.value.len()))
                        }
                        AssignmentValue::Array(_) => {
                            let span = text.span(Some(&assignment.loc));
                            self.note(NoteKind::Bash("NAME=( … )"), span);
                            hole(span)
                        }
                    };
                    if let AssignmentName::VariableName(name) = &assignment.name {
                        let value = if assignment.append { hole(value.span) } else { value };
                        assignments.push((name.clone(), value));
                    }
                }
                Item::IoRedirect(redirect) => {
                    redirects.extend(self.redirect(text, redirect, &mut io));
                }
                Item::ProcessSubstitution(kind, group) => {
                    argv.push(self.process(text, kind, &group.list, &group.loc, &mut io));
                }
                Item::Word(word) => {
                    argv.extend(fold(self, body, &word.value, text.start(word), true));
                }
            }
        }
        if let Some(word) = &simple.word_or_name {
            argv.extend(fold(self, body, &word.value, text.start(word), true));
        }
        let outer = std::mem::replace(&mut self.arguments, false);
        for item in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            match item {
                Item::Word(word) => {
                    self.arguments = true;
                    if braces(&word.value) {
                        let start = text.start(word);
                        let span = body.span(start..start + word.value.len());
                        self.note(NoteKind::Bash("{a,b}"), span);
                    }
                    argv.extend(fold(self, body, &word.value, text.start(word), true));
                    self.arguments = false;
                }
                // `export A=b`, or just `dd if=x`.
                Item::AssignmentWord(assignment, word) => {
                    let start = text.range(&assignment.loc).start;
                    argv.push(fold_one(self, body, &word.value, start));
                }
                Item::IoRedirect(redirect) => {
                    redirects.extend(self.redirect(text, redirect, &mut io));
                }
                Item::ProcessSubstitution(kind, group) => {
                    argv.push(self.process(text, kind, &group.list, &group.loc, &mut io));
                }
            }
        }
        self.arguments = outer;
        // The parser ends a command before its last redirection.
        let span = match argv.last() {
            Some(last) if last.span.source == span.source && last.span.end > span.end => {
                span.to(last.span)
            }
            _ => span,
        };
        self.simple(argv, assignments, redirects, &io, span);
    }

    // `<(…)` and `>(…)` as a word: a file name that is a stream.
    fn process(
        &mut self,
        text: &Rc<Text>,
        kind: &ProcessSubstitutionKind,
        list: &CompoundList,
        loc: &brush_parser::SourceSpan,
        io: &mut Io,
    ) -> Arg {
        let pipe = self.pipe();
        let mut arg = hole(text.span(Some(loc)));
        self.note(NoteKind::Bash("<( … )"), text.span(Some(loc)));
        let (join, status) = (self.join, self.status);
        self.join = Join::First;
        match kind {
            ProcessSubstitutionKind::Read => {
                self.list(text, list, &Io { reads: Vec::new(), feeds: vec![pipe] });
                arg.from.push(pipe);
            }
            ProcessSubstitutionKind::Write => {
                self.list(text, list, &Io { reads: vec![pipe], feeds: Vec::new() });
                io.feeds.push(pipe);
            }
        }
        (self.join, self.status) = (join, status);
        arg
    }

    fn redirect(
        &mut self,
        text: &Rc<Text>,
        redirect: &IoRedirect,
        io: &mut Io,
    ) -> Option<Redirect> {
        let body = &text.body;
        let one =
            |walk: &mut Self, word: &Word| fold_one(walk, body, &word.value, text.start(word));
        let redirect = match redirect {
            IoRedirect::File(fd, kind, target) => {
                let (kind, input) = match kind {
                    IoFileRedirectKind::Read => (RedirectKind::Read, true),
                    IoFileRedirectKind::Append => (RedirectKind::Append, false),
                    IoFileRedirectKind::Write
                    | IoFileRedirectKind::ReadAndWrite
                    | IoFileRedirectKind::Clobber => (RedirectKind::Write, false),
                    IoFileRedirectKind::DuplicateInput => (RedirectKind::Duplicate, true),
                    IoFileRedirectKind::DuplicateOutput => (RedirectKind::Duplicate, false),
                };
                let target = match target {
                    IoFileRedirectTarget::Filename(word)
                    | IoFileRedirectTarget::Duplicate(word) => one(self, word),
                    IoFileRedirectTarget::Fd(_) => return None,
                    IoFileRedirectTarget::ProcessSubstitution(sub, group) => {
                        let arg = self.process(text, sub, &group.list, &group.loc, io);
                        if input {
                            io.reads.clone_from(&arg.from);
                        }
                        return None;
                    }
                };
                Redirect { fd: *fd, kind, target }
            }
            IoRedirect::HereDocument(fd, document) => {
                let raw = &document.doc.value;
                let start = match &document.doc.loc {
                    Some(loc) => text.byte(loc.start.index),
                    None => body.text().find(raw.as_str()).unwrap_or(0),
                };
                let target = if document.requires_expansion {
                    fold_heredoc(self, body, raw, start)
                } else {
                    literal(body, start..(start + raw.len()).min(body.text().len()))
                };
                Redirect { fd: *fd, kind: RedirectKind::Here, target }
            }
            IoRedirect::HereString(fd, word) => {
                let start = text.start(word);
                self.note(NoteKind::Bash("<<<"), body.span(start..start + word.value.len()));
                Redirect { fd: *fd, kind: RedirectKind::Here, target: one(self, word) }
            }
            IoRedirect::OutputAndError(word, append) => {
                let kind = if *append { RedirectKind::Append } else { RedirectKind::Write };
                let start = text.start(word);
                self.note(NoteKind::Bash("&>"), body.span(start..start + word.value.len()));
                Redirect { fd: Some(1), kind, target: one(self, word) }
            }
        };
        Some(redirect)
    }

    /// Takes a finished command: unwraps it, records it, and walks what it runs in turn.
    fn simple(
        &mut self,
        argv: Vec<Arg>,
        assignments: Vec<(String, Arg)>,
        redirects: Vec<Redirect>,
        io: &Io,
        span: Span,
    ) {
        if self.out.len() >= MOST_COMMANDS {
            self.parsed = false;
            return;
        }
        let mut io = io.clone();
        for redirect in &redirects {
            cut(redirect, &mut io);
        }
        let (argv, mut wrapped_by) = effective::unwrap(argv);
        wrapped_by.splice(0..0, self.wrapped.iter().cloned());
        let name = argv.first().and_then(Arg::name).map(str::to_owned);
        if argv.is_empty() {
            for (name, value) in &assignments {
                self.set.insert(name.clone(), (value.text.clone(), value.from.clone()));
            }
        }
        if let Some("export" | "readonly" | "local" | "declare" | "typeset") = name.as_deref() {
            for arg in &argv[1..] {
                if let Some((name, value)) = arg.text.split_once('=') {
                    self.set.insert(name.to_owned(), (value.to_owned(), arg.from.clone()));
                }
            }
        }
        if name.as_deref() == Some("read") {
            for arg in argv[1..].iter().filter_map(Arg::known) {
                self.set.insert(arg.to_owned(), (HOLE.to_string(), io.reads.clone()));
            }
        }
        if name.as_deref() == Some("set") {
            let mut start = Start {
                dialect: self.dialect,
                errexit: self.status.errexit,
                pipefail: self.status.pipefail,
            };
            start.flags(argv[1..].iter().filter_map(Arg::known));
            (self.status.errexit, self.status.pipefail) = (start.errexit, start.pipefail);
        }
        let runs = effective::runs(&argv, &redirects);
        let flags: Vec<String> =
            argv.iter().skip(1).map_while(Arg::known).map(str::to_owned).collect();
        let number = self.out.len();
        let function = name.as_ref().and_then(|name| self.functions.get(name)).cloned();
        self.out.push(Command {
            argv,
            wrapped_by: wrapped_by.clone(),
            assignments,
            redirects,
            reads: io.reads.clone(),
            feeds: io.feeds.clone(),
            join: self.join,
            span,
            status: self.status,
            list: self.list,
            dialect: self.dialect,
            depth: self.depth,
            renamed: None,
        });
        self.last = Some(number);
        if let Some(function) = function
            && self.depth < DEEPEST
        {
            self.depth += 1;
            self.compound(&function.0.0, &function.0.1, &io);
            self.depth -= 1;
            self.last = Some(number);
            return;
        }
        let (outer, join) = (std::mem::take(&mut self.wrapped), self.join);
        for run in runs {
            self.wrapped.clone_from(&wrapped_by);
            self.wrapped.push(run.by);
            self.join = Join::First;
            match run.what {
                effective::What::Text { text, in_place } => {
                    let body = Body::with_map(&text.text, &text.map);
                    let set = self.set.clone();
                    let (status, list, dialect) = (self.status, self.list, self.dialect);
                    if !in_place {
                        if matches!(self.wrapped.last().map(String::as_str), Some(by) if by != "su")
                        {
                            self.dialect = dialect_of(self.wrapped.last());
                        }
                        let start =
                            Start::with_flags(self.dialect, flags.iter().map(String::as_str));
                        let (errexit, pipefail) = (start.errexit, start.pipefail);
                        self.status = Status { errexit, pipefail, lost: false, ..status };
                    }
                    self.nested(&body, &io);
                    if !in_place {
                        self.set = set;
                        (self.status, self.dialect) = (status, dialect);
                    }
                    self.list = list;
                }
                effective::What::Words(words) if self.depth < DEEPEST => {
                    self.depth += 1;
                    let span = match (words.first(), words.last()) {
                        (Some(first), Some(last)) => first.span.to(last.span),
                        _ => span,
                    };
                    self.simple(words, Vec::new(), Vec::new(), &io, span);
                    self.depth -= 1;
                }
                effective::What::Words(_) => {}
            }
        }
        (self.wrapped, self.join) = (outer, join);
        self.last = Some(number);
    }
}

fn or(next: &AndOr) -> bool {
    matches!(next, AndOr::Or(_))
}

fn dialect_of(shell: Option<&String>) -> Dialect {
    match shell.map(String::as_str) {
        Some("bash" | "zsh" | "ksh" | "mksh" | "rbash") => Dialect::Bash,
        _ => Dialect::Posix,
    }
}

// `{a,b}` and `{1..3}` outside quotes: several words to bash, one to a plain shell.
fn braces(word: &str) -> bool {
    if word.contains(['\'', '"', '`']) {
        return false;
    }
    word.match_indices('{').any(|(at, _)| {
        let dollar = word[..at].ends_with(['$', '\\']);
        let inner = word[at + 1..].split('}').next().unwrap_or("");
        let closed = word[at + 1..].contains('}');
        !dollar && closed && !inner.contains(' ') && (inner.contains(',') || inner.contains(".."))
    })
}

// What a redirection takes away from the streams of a command.
fn cut(redirect: &Redirect, io: &mut Io) {
    match (redirect.kind, redirect.fd) {
        (RedirectKind::Read, None | Some(0)) => io.reads.clear(),
        (RedirectKind::Here, None | Some(0)) => io.reads.clone_from(&redirect.target.from),
        (RedirectKind::Write | RedirectKind::Append, None | Some(1))
            if !matches!(redirect.target.known(), Some("/dev/stdout" | "/dev/fd/1")) =>
        {
            io.feeds.clear();
        }
        _ => {}
    }
}

fn hole(span: Span) -> Arg {
    Arg { text: HOLE.to_string(), span, from: Vec::new(), map: Vec::new() }
}
