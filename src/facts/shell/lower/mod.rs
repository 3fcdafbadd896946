//! `brush-parser`'s tree to the flat list of commands, in the order in which they run.
//!
//! The tree's inner nodes here; a simple command in `command`, what it runs in turn in `run`.

mod cases;
mod command;
mod limits;
mod plain;
mod run;
mod text;

use std::collections::BTreeMap;
use std::rc::Rc;

use brush_parser::ParserOptions;
use brush_parser::ast::{
    AndOr, Command as Node, CompoundCommand, CompoundList, Pipeline, Program, SeparatorOperator,
    SourceLocation,
};

use self::command::cut;
pub(super) use self::limits::word_too_deep;
use self::limits::{DEEPEST, MOST_COMMANDS};
use self::text::Text;
use super::body::Body;
use super::word::{fold, fold_one, literal};
use super::{
    Command, Dialect, HOLE, Join, LIMIT, Note, NoteKind, Pipe, Script, Side, Start, Status,
    fallback,
};
use crate::base::Span;

pub(super) fn analyse(body: &Body, values: &BTreeMap<String, String>, start: Start) -> Script {
    let run = || Walk::new(values, start).body(body);
    limits::with_stack(limits::openers(body.text()), run)
        .unwrap_or_else(|| Walk::new(values, start).fallback_only(body))
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
                    body.push(word, span.source, span.start as usize + 1);
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
    let openers = words.iter().map(|(word, _)| limits::openers(word)).sum();
    limits::with_stack(openers, run).unwrap_or_default()
}

/// Where a command's input and output are.
#[derive(Clone, Default)]
struct Io {
    reads: Vec<Pipe>,
    feeds: Vec<Pipe>,
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

    fn script(mut self) -> Script {
        // It is kept as long as the text is judged.
        self.out.shrink_to_fit();
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
        if limits::too_deep(text) {
            self.split(body, io);
            return;
        }
        let options = self.options();
        let parsed =
            parse(text, &options).map(|program| (program, body.clone())).or_else(|error| {
                let body = cases::closed(body).ok_or_else(|| error.clone())?;
                parse(body.text(), &options).map(|program| (program, body)).map_err(|_| error)
            });
        match parsed {
            Ok((program, body)) => {
                let text = Rc::new(Text::new(body));
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
            let first = self.out.len();
            self.last = None;
            self.node(text, node, &Io { reads, feeds: feeds.clone() });
            left.push(match self.last {
                Some(last) if matches!(node, Node::Simple(_)) => Side::Command(last),
                _ => Side::Compound(first..self.out.len()),
            });
            reads = feeds;
        }
        if count > 1 {
            let right = left.pop().and_then(|side| match side {
                Side::Command(number) => Some(number),
                Side::Compound(_) => None,
            });
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
                    fold(self, &text.body, &word.value, text.start(word), true, &mut values);
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
}

fn parse(text: &str, options: &ParserOptions) -> Result<Program, String> {
    if let Some(program) = plain::program(text) {
        return Ok(program);
    }
    let parse = |options: &ParserOptions| {
        let mut parser = brush_parser::Parser::new(text.as_bytes(), options);
        parser.parse_program().map_err(|error| error.to_string())
    };
    // Where `sh` is bash in disguise, it takes some of bash's additions.
    parse(options).or_else(|error| parse(&ParserOptions::default()).map_err(|_| error))
}

fn or(next: &AndOr) -> bool {
    matches!(next, AndOr::Or(_))
}
