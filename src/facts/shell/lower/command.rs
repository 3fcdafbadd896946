//! A simple command of the tree: its words folded, its redirections, its process substitutions.

use std::rc::Rc;

use brush_parser::ast::{
    AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem as Item, CompoundList,
    IoFileRedirectKind, IoFileRedirectTarget, IoRedirect, ProcessSubstitutionKind, SimpleCommand,
    SourceLocation, Word,
};

use super::text::Text;
use super::{Io, Walk};
use crate::base::Span;
use crate::facts::shell::body::Map;
use crate::facts::shell::word::{fold, fold_heredoc, fold_one, literal};
use crate::facts::shell::{Arg, HOLE, Join, NoteKind, Redirect, RedirectKind};

impl Walk<'_> {
    pub(super) fn simple_node(&mut self, text: &Rc<Text>, simple: &SimpleCommand, io: &Io) {
        let mut io = io.clone();
        let span = text.span(simple.location().as_ref());
        let (mut assignments, mut redirects) = (Vec::new(), Vec::new());
        let words = simple.suffix.as_ref().map_or(0, |suffix| suffix.0.len());
        let mut argv = Vec::with_capacity(words + usize::from(simple.word_or_name.is_some()));
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
                    fold(self, body, &word.value, text.start(word), true, &mut argv);
                }
            }
        }
        if let Some(word) = &simple.word_or_name {
            fold(self, body, &word.value, text.start(word), true, &mut argv);
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
                    fold(self, body, &word.value, text.start(word), true, &mut argv);
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

    pub(super) fn redirect(
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

/// Takes what a redirection takes from the streams of a command.
pub(super) fn cut(redirect: &Redirect, io: &mut Io) {
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
    Arg { text: HOLE.to_string(), span, from: Vec::new(), map: Map::default() }
}
