//! `ADD`: COPY that also fetches and unpacks.

use super::{flags::Flags, transfer, transfer::Source};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `ADD [flags] source… destination`.
#[derive(Clone, Debug)]
pub struct Add {
    /// The sources; at least one.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// `--checksum=sha256:…` of a remote source, or the commit of a repository.
    pub checksum: Option<Word>,
    /// `--chown=user[:group]`.
    pub chown: Option<Word>,
    /// `--chmod`, octal or symbolic.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`: yes, no, or as the kind of source has it.
    pub unpack: Option<bool>,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Add {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        let once = ["checksum", "chown", "chmod", "link", "keep-git-dir", "unpack"];
        let mut flags = Flags::new(line, &once, &["exclude"]);
        let checksum = flags.word("checksum");
        let chown = flags.word("chown");
        let chmod = flags.word("chmod");
        let link = flags.switch("link").unwrap_or(false);
        let keep_git_dir = flags.switch("keep-git-dir").unwrap_or(false);
        let unpack = flags.switch("unpack");
        let exclude = flags.words("exclude");
        let parsed = transfer::parse(line, &mut flags.errors);
        flags.finish()?;
        // An error was pushed when nothing was parsed.
        let (sources, destination) = parsed.ok_or_else(Vec::new)?;
        Ok(Add {
            sources,
            destination,
            checksum,
            chown,
            chmod,
            link,
            keep_git_dir,
            unpack,
            exclude,
            span: line.span,
            keyword: line.keyword.span,
        })
    }
}
