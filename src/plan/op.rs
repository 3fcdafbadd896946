//! What steps do, complete: all words expanded, all names resolved.

use std::sync::Arc;

use super::{BaseId, Environment};
use crate::base::{ImagePath, Span, StageId};
use crate::instruction::{Network, Security};

/// What a step does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Runs a command.
    Run(Run),
    /// COPY and ADD.
    Copy(Copy),
    /// Makes the directory of a WORKDIR, if it is not there.
    Workdir(Workdir),
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Program and arguments, the shell included. A program without a slash is looked up in PATH.
    pub args: Vec<String>,
    /// Files to lay into the step, read-only: scripts with their own interpreter.
    pub files: Vec<StepFile>,
    /// The environment: the config's and the build arguments. `HOME` is not in it unless it was set.
    pub env: Environment,
    /// Proxy variables of the build, in both spellings. Part of the environment (where it does not
    /// set them itself), not of the cache key, not of the image.
    pub proxy: Arc<Vec<(String, String)>>,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Where it starts.
    pub workdir: ImagePath,
    /// The mounts, in the order in which they are made.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`, expanded.
    pub devices: Vec<String>,
}

/// A file that is there during one step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepFile {
    /// Where.
    pub path: ImagePath,
    /// What.
    pub content: String,
    /// The permission bits.
    pub mode: u32,
}

/// A mount of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// The flag.
    pub span: Span,
}

/// The types of mounts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MountKind {
    /// Files from elsewhere.
    Bind {
        /// Where.
        target: ImagePath,
        /// From what; [`From::Context`] if nothing was said.
        from: From,
        /// What of it; `/` is all.
        source: ImagePath,
        /// Writable; what is written is thrown away.
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Where.
        target: ImagePath,
        /// Its name; the target as written if none was given.
        id: String,
        /// How steps share it.
        sharing: Sharing,
        /// What a new cache begins with.
        from: Option<From>,
        /// What of it.
        source: ImagePath,
        /// It cannot be written.
        readonly: bool,
        /// Permission bits of a new cache.
        mode: u32,
        /// Owner of a new cache.
        uid: u32,
        /// Group of a new cache.
        gid: u32,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Where.
        target: ImagePath,
        /// The limit in bytes.
        size: Option<u64>,
    },
    /// A secret, as a file, a variable or both.
    Secret {
        /// Which.
        id: String,
        /// The file; `None` if it is a variable only.
        target: Option<ImagePath>,
        /// The variable.
        env: Option<String>,
        /// The step fails without it.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The socket of an ssh agent, told by `SSH_AUTH_SOCK`.
    Ssh {
        /// Which.
        id: String,
        /// The socket.
        target: ImagePath,
        /// The step fails without it.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// How steps that run at once share a cache mount; the strictest last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Sharing {
    /// At once.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// Where files come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// The build context.
    Context,
    /// The tree of a stage, at its end.
    Stage(StageId),
    /// The files of a named context.
    Named(String),
    /// An image.
    Image(BaseId),
    /// Nothing: `scratch`.
    Scratch,
}

/// COPY or ADD.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Where paths are looked up.
    pub from: From,
    /// The sources, in order.
    pub sources: Vec<Source>,
    /// Where to: absolute.
    pub destination: ImagePath,
    /// The destination is a directory: it was written with a slash at its end, or as `.`.
    pub directory: bool,
    /// `user[:group]`; root if there is none.
    pub chown: Option<String>,
    /// The mode, octal or symbolic; its syntax was checked.
    pub chmod: Option<String>,
    /// Does not look at the tree below.
    pub link: bool,
    /// Keeps the directories of sources.
    pub parents: bool,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// ADD: local archives are unpacked.
    pub unpack: bool,
    /// ADD `--unpack`: archives of URLs are unpacked as well.
    pub unpack_remote: bool,
    /// ADD `--checksum`: of the one remote source.
    pub checksum: Option<String>,
    /// ADD `--keep-git-dir`.
    pub keep_git_dir: bool,
}

/// One source of COPY or ADD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A path or pattern in [`Copy::from`].
    Path {
        /// As written, expanded.
        path: String,
        /// Where it is written.
        span: Span,
    },
    /// A file of the Dockerfile.
    Inline(InlineFile),
    /// An URL.
    Url {
        /// `http://…`, `https://…`.
        url: String,
        /// Where it is written.
        span: Span,
    },
    /// A repository.
    Git {
        /// As written, expanded.
        remote: String,
        /// Where it is written.
        span: Span,
    },
}

/// A here-document that becomes a file: 0644, root's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InlineFile {
    /// The delimiter: its name below a destination that is a directory.
    pub name: String,
    /// The content, expanded.
    pub content: String,
    /// The marker.
    pub span: Span,
}

/// The directory of a WORKDIR.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workdir {
    /// The directory. Missing ones on the way are made too, all 0755.
    pub path: ImagePath,
    /// `user[:group]` that new directories belong to; empty is root.
    pub user: String,
}
