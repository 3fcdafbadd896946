//! `COPY`: files from the context, a stage or an image.

use super::{flags::Flags, transfer, transfer::Source};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `COPY [flags] source… destination`.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The sources; at least one.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// `--from`: a stage, a named context or an image; never expanded.
    pub from: Option<Word>,
    /// `--chown=user[:group]`.
    pub chown: Option<Word>,
    /// `--chmod`, octal or symbolic.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Copy {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        let once = ["from", "chown", "chmod", "link", "parents"];
        let mut flags = Flags::new(line, &once, &["exclude"]);
        let from = flags.word("from");
        let chown = flags.word("chown");
        let chmod = flags.word("chmod");
        let link = flags.switch("link").unwrap_or(false);
        let parents = flags.switch("parents").unwrap_or(false);
        let exclude = flags.words("exclude");
        transfer::literal(from.as_ref(), "--from", &mut flags.errors);
        let parsed = transfer::parse(line, &mut flags.errors);
        flags.finish()?;
        // An error was pushed when nothing was parsed.
        let (sources, destination) = parsed.ok_or_else(Vec::new)?;
        Ok(Copy {
            sources,
            destination,
            from,
            chown,
            chmod,
            link,
            parents,
            exclude,
            span: line.span,
            keyword: line.keyword.span,
        })
    }
}
