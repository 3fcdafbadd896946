//! A finished command: unwrapped, recorded, and what it runs in turn walked too.

use super::command::cut;
use super::limits::{DEEPEST, MOST_COMMANDS};
use super::{Io, Walk};
use crate::base::Span;
use crate::facts::shell::body::Body;
use crate::facts::shell::{
    Arg, Command, Dialect, HOLE, Join, Known, Redirect, Start, Status, effective,
};

impl Walk<'_> {
    /// Takes a finished command: unwraps it, records it, and walks what it runs in turn.
    pub(super) fn simple(
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
        let name = argv.first().and_then(Arg::name);
        if argv.is_empty() {
            for (name, value) in &assignments {
                self.set.insert(name.clone(), (value.text.clone(), value.from.clone()));
            }
        }
        if let Some("export" | "readonly" | "local" | "declare" | "typeset") = name {
            for arg in &argv[1..] {
                if let Some((name, value)) = arg.text.split_once('=') {
                    self.set.insert(name.to_owned(), (value.to_owned(), arg.from.clone()));
                }
            }
        }
        if name == Some("read") {
            for arg in argv[1..].iter().filter_map(Arg::known) {
                self.set.insert(arg.to_owned(), (HOLE.to_string(), io.reads.clone()));
            }
        }
        if name == Some("set") {
            let mut start = Start {
                dialect: self.dialect,
                errexit: self.status.errexit,
                pipefail: self.status.pipefail,
            };
            start.flags(argv[1..].iter().filter_map(Arg::known));
            (self.status.errexit, self.status.pipefail) = (start.errexit, start.pipefail);
        }
        let runs = effective::runs(&argv, &redirects);
        let flags: Vec<String> = match runs.is_empty() {
            true => Vec::new(),
            false => argv.iter().skip(1).map_while(Arg::known).map(str::to_owned).collect(),
        };
        let number = self.out.len();
        let function = name.and_then(|name| self.functions.get(name)).cloned();
        let mut command = Command {
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
            known: Known::default(),
        };
        command.look_up();
        self.out.push(command);
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

fn dialect_of(shell: Option<&String>) -> Dialect {
    match shell.map(String::as_str) {
        Some("bash" | "zsh" | "ksh" | "mksh" | "rbash") => Dialect::Bash,
        _ => Dialect::Posix,
    }
}
