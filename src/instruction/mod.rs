//! The vocabulary: per instruction its flags, arguments and their syntax.
//!
//! One file an instruction, one word in the list below. An [`Instruction`] is still unexpanded: it
//! holds [`Word`]s with their places, so that `policy` can point at them and `plan` can expand
//! them. What an instruction does to a stage is for `plan`.

mod add;
mod arg;
mod cmd;
mod copy;
mod entrypoint;
mod env;
mod expose;
mod flags;
mod from;
mod healthcheck;
mod label;
mod maintainer;
mod mount;
mod onbuild;
mod pairs;
mod run;
mod shell;
mod stopsignal;
mod transfer;
mod user;
mod volume;
mod workdir;

pub use add::Add;
pub use arg::{Arg, Declared};
pub use cmd::Cmd;
pub use copy::Copy;
pub use entrypoint::Entrypoint;
pub use env::Env;
pub use expose::{Expose, ExposeError};
pub use from::From;
pub use healthcheck::{Check, Healthcheck};
pub use label::Label;
pub use maintainer::Maintainer;
pub use mount::{Field, MOUNT_KEYS, MOUNT_TYPES, Mount};
pub use onbuild::Onbuild;
pub use pairs::Pair;
pub use run::{Network, Run, RunForm, Security};
pub use shell::Shell;
pub use stopsignal::Stopsignal;
pub use transfer::Source;
pub use user::User;
pub use volume::Volume;
pub use workdir::Workdir;

use crate::base::Span;
use crate::diag::{Code, Diagnostic, nearest};
use crate::dockerfile::{Dockerfile, ExecForm, Line, Text, Word, exec_form};

macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// One instruction of a Dockerfile.
        #[derive(Clone, Debug)]
        pub enum Instruction {$(
            $(#[$doc])*
            $name($name),
        )*}

        /// The names of all instructions, in capitals.
        pub const KEYWORDS: &[&str] = &[$($word),*];

        impl Instruction {
            /// Returns the name in capitals.
            pub fn name(&self) -> &'static str {
                match self {$( Instruction::$name(_) => $word, )*}
            }

            /// Returns the place of the whole instruction, heredocs included.
            pub fn span(&self) -> Span {
                match self {$( Instruction::$name(it) => it.span, )*}
            }

            /// Returns the place of the keyword.
            pub fn keyword(&self) -> Span {
                match self {$( Instruction::$name(it) => it.keyword, )*}
            }
        }

        /// Parses one line. All that is wrong with it is reported at once.
        pub fn parse(line: &Line) -> Result<Instruction, Vec<Diagnostic>> {
            match line.keyword.upper().as_str() {
                $( $word => $name::parse(line).map(Instruction::$name), )*
                _ => Err(vec![unknown(line)]),
            }
        }
    };
}

instructions! {
    /// Copies files, fetches URLs and repositories, unpacks archives.
    Add = "ADD";
    /// Declares build arguments.
    Arg = "ARG";
    /// Sets the default command or arguments.
    Cmd = "CMD";
    /// Copies files.
    Copy = "COPY";
    /// Sets the program.
    Entrypoint = "ENTRYPOINT";
    /// Sets environment variables.
    Env = "ENV";
    /// Records ports.
    Expose = "EXPOSE";
    /// Begins a stage.
    From = "FROM";
    /// Sets or turns off the health check.
    Healthcheck = "HEALTHCHECK";
    /// Sets labels.
    Label = "LABEL";
    /// Sets the author.
    Maintainer = "MAINTAINER";
    /// Stores a trigger for images built on this one.
    Onbuild = "ONBUILD";
    /// Runs a command.
    Run = "RUN";
    /// Sets the shell of shell forms.
    Shell = "SHELL";
    /// Sets the signal that stops a container.
    Stopsignal = "STOPSIGNAL";
    /// Sets the user.
    User = "USER";
    /// Records mount points.
    Volume = "VOLUME";
    /// Sets the working directory.
    Workdir = "WORKDIR";
}

/// More errors than this help nobody; what comes after is not told.
pub const ERROR_LIMIT: usize = 100;

/// Parses all lines of a file: the instructions that are right, and all that is wrong, up to
/// [`ERROR_LIMIT`].
pub fn parse_all(file: &Dockerfile) -> (Vec<Instruction>, Vec<Diagnostic>) {
    let (mut good, mut bad) = (Vec::with_capacity(file.lines.len()), Vec::new());
    for line in &file.lines {
        match parse(line) {
            Ok(instruction) => good.push(instruction),
            Err(errors) => bad.extend(errors),
        }
        if bad.len() > ERROR_LIMIT {
            bad.truncate(ERROR_LIMIT);
            break;
        }
    }
    (good, bad)
}

/// The two forms of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// A text for the stage's shell, verbatim.
    Shell(Text),
    /// The words of a JSON array: program and arguments, verbatim.
    Exec(Vec<Word>),
}

impl Form {
    fn parse(text: &Text) -> Result<Form, Vec<Diagnostic>> {
        match exec_form(text) {
            ExecForm::Array(words) => Ok(Form::Exec(words)),
            ExecForm::NotStrings(span) => Err(vec![not_strings(span)]),
            ExecForm::No => Ok(Form::Shell(text.clone())),
        }
    }

    /// Tells whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        match self {
            Form::Shell(text) => text.is_empty(),
            Form::Exec(words) => words.is_empty(),
        }
    }
}

fn unknown(line: &Line) -> Diagnostic {
    let word = &line.keyword.text;
    let shown: String = word.chars().take(40).collect();
    let error =
        Diagnostic::error(Code("unknown-instruction"), format!("unknown instruction `{shown}`"))
            .at(line.keyword.span);
    match nearest(word, KEYWORDS.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.note("a line that belongs to the one before must follow a `\\` there"),
    }
}

fn not_strings(span: Span) -> Diagnostic {
    Diagnostic::error(Code("json-not-strings"), "a JSON array here must hold strings only").at(span)
}

fn missing(line: &Line, what: &str) -> Diagnostic {
    Diagnostic::error(Code("missing-argument"), format!("{} {what}", line.keyword.upper()))
        .at(line.keyword.span)
}

// The whole body as one word: USER, WORKDIR, STOPSIGNAL, MAINTAINER take the rest of the line.
fn rest(line: &Line) -> Result<Word, Vec<Diagnostic>> {
    flags::none(line)?;
    if line.body.is_empty() {
        return Err(vec![missing(line, "requires exactly one argument")]);
    }
    Ok(Word { raw: line.body.as_str().to_owned(), span: line.body.whole() })
}
