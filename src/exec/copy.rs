//! COPY, ADD and WORKDIR: entries from a context or a tree, streamed into a layer, and put into a
//! tree when a later step will look.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use super::key::{CONTENT, Files, Request};
use super::mounts::no_context;
use super::pack::Job;
use super::stack::{Cell, Stack};
use super::stage::{Execution, Packers};
use super::{Cause, Failure};
use crate::base::{Digest, Hasher, ImagePath, Span, StepId};
use crate::diag::chain;
use crate::input::{self, http, Chmod, Context, Part, Pick, Placement, Selection};
use crate::plan::{Copy, From, Source, Step, Workdir};
use crate::rootfs::{self, Change, Lookup, Nothing, passwd};
use crate::store::TreeId;
use crate::sys::Root;

/// The kind of facts under which a copy's list of files is kept, by the layer's diff id.
pub(super) const FILES: &str = "copied-1";

/// One source, found.
enum Taken {
    Selection(Selection),
    Inline { name: String, content: Arc<[u8]> },
    Fetched { file: http::Fetched, content: Arc<File>, unpack: bool },
}

impl Execution<'_> {
    pub(super) fn copy_step<'scope>(
        &'scope self,
        id: StepId,
        step: &Step,
        copy: &Copy,
        parents: &Stack,
        packers: Packers<'scope, '_>,
    ) -> Result<Cell, Failure> {
        let since = Instant::now();
        let mut request = self.copy_request(copy);
        let taken = self.take(copy, step.span)?;
        let (digest, files) = self.digest(&taken)?;
        request.input(CONTENT, digest);
        if let Some(cell) = self.cached(id, step, &mut request, parents, Some(&files))? {
            return Ok(cell);
        }
        let _slot = self.jobs.take();
        let lower = self.lower(parents)?;
        let chmod = match &copy.chmod {
            Some(text) => Some(Chmod::parse(text).map_err(input_failure)?),
            None => None,
        };
        let chown = match &copy.chown {
            Some(text) => Some(passwd::owner(&lower, text).map_err(|error| {
                Failure::new(Cause::Input, "chown", format!("--chown={text}: {}", chain(&error)))
            })?),
            None => None,
        };
        let placement = Placement {
            dest: &copy.destination,
            directory: copy.directory,
            chown,
            chmod: chmod.as_ref(),
            unpack: copy.unpack,
            made: self.options.times.created().seconds(),
        };
        let parts: Vec<Part<'_>> = taken
            .iter()
            .map(|taken| match taken {
                Taken::Selection(selection) => Part::Selected(selection),
                Taken::Inline { name, content } => {
                    Part::Inline { name, content: Arc::clone(content) }
                }
                Taken::Fetched { file, content, unpack } => Part::Fetched {
                    name: file.name.as_deref().unwrap_or(""),
                    file: Arc::clone(content),
                    size: file.size,
                    mtime: file.mtime,
                    unpack: *unpack,
                },
            })
            .collect();
        let under: &dyn Lookup = if copy.link { &Nothing } else { &lower };
        let changes =
            input::place(&parts, under, &placement, self.services.store).map_err(input_failure)?;
        self.finish_copy(id, request, parents, packers, changes, Some(files), under, since)
    }

    pub(super) fn workdir_step<'scope>(
        &'scope self,
        id: StepId,
        step: &Step,
        workdir: &Workdir,
        parents: &Stack,
        packers: Packers<'scope, '_>,
    ) -> Result<Cell, Failure> {
        let since = Instant::now();
        let mut request = Request::new("WORKDIR");
        request.operation("path", workdir.path.to_string());
        request.operation("user", workdir.user.as_str());
        request.operation("times", super::run::times_part(self.options.times));
        if let Some(cell) = self.cached(id, step, &mut request, parents, None)? {
            return Ok(cell);
        }
        let _slot = self.jobs.take();
        let lower = self.lower(parents)?;
        let owner = passwd::owner(&lower, &workdir.user)
            .map_err(|error| Failure::new(Cause::Input, "user", chain(&error)))?;
        let made = self.options.times.created().seconds();
        let changes = rootfs::make_dirs(&lower, &workdir.path, owner, made)?;
        self.finish_copy(id, request, parents, packers, changes, None, &lower, since)
    }

    /// Puts changes into a tree if somebody will look, and has them packed.
    #[expect(clippy::too_many_arguments, reason = "one step's whole state, used once")]
    fn finish_copy<'scope>(
        &'scope self,
        id: StepId,
        request: Request,
        parents: &Stack,
        packers: Packers<'scope, '_>,
        changes: Vec<Change>,
        files: Option<Files>,
        lower: &dyn Lookup,
        since: Instant,
    ) -> Result<Cell, Failure> {
        let tree = match self.needs[id.index()].tree {
            true => Some(self.materialise(&changes, lower)?),
            false => None,
        };
        let path = tree.as_ref().map(|tree| self.services.store.tree_path(tree));
        let cell = Cell::fresh(id, path);
        self.done(id, since);
        let job = Job {
            step: id,
            request,
            parents: parents.clone(),
            cell: cell.clone(),
            changes,
            tree,
            from_tree: false,
            files,
        };
        self.pack(packers, job);
        Ok(cell)
    }

    fn materialise(&self, changes: &[Change], lower: &dyn Lookup) -> Result<TreeId, Failure> {
        let draft = self.services.store.tree_draft()?;
        let root = Root::open_host(draft.path()).map_err(|error| {
            Failure::new(Cause::Internal, "store", format!("cannot open a tree: {error}"))
        })?;
        rootfs::materialise(changes, &root, self.services.id_mode, lower)?;
        Ok(draft.commit()?)
    }

    fn copy_request(&self, copy: &Copy) -> Request {
        let mut request = Request::new("COPY");
        for source in &copy.sources {
            let text = match source {
                Source::Path { path, .. } => path.as_str(),
                Source::Inline(file) => file.name.as_str(),
                Source::Url { url, .. } => url.as_str(),
                Source::Git { remote, .. } => remote.as_str(),
            };
            request.operation("source", text);
        }
        request.operation("destination", format!("{} dir={}", copy.destination, copy.directory));
        request.operation("chown", copy.chown.as_deref().unwrap_or(""));
        request.operation("chmod", copy.chmod.as_deref().unwrap_or(""));
        request.operation("link", copy.link.to_string());
        request.operation("parents", copy.parents.to_string());
        for pattern in &copy.exclude {
            request.operation("exclude", pattern.as_str());
        }
        request.operation("unpack", format!("{} {}", copy.unpack, copy.unpack_remote));
        request.operation("times", super::run::times_part(self.options.times));
        request
    }

    /// Finds what each source means.
    fn take(&self, copy: &Copy, span: Span) -> Result<Vec<Taken>, Failure> {
        let held;
        let context: Option<&Context> = match &copy.from {
            From::Context => self.services.context,
            From::Named(name) => self.services.named.get(name),
            From::Stage(stage) => {
                held = self.context_of(&self.wait(*stage)?)?;
                Some(&held)
            }
            From::Image(base) => {
                held = self.context_of(&self.base_stack(*base)?)?;
                Some(&held)
            }
            From::Scratch => {
                held = self.context_of(&Stack::new())?;
                Some(&held)
            }
        };
        copy.sources
            .iter()
            .map(|source| match source {
                Source::Path { path, span } => {
                    let context = context.ok_or_else(|| no_context(*span))?;
                    let pick = Pick {
                        sources: vec![path.clone()],
                        exclude: copy.exclude.clone(),
                        parents: copy.parents,
                    };
                    let selection = input::select(context, &pick)
                        .map_err(|error| located(input_failure(error), *span))?;
                    Ok(Taken::Selection(selection))
                }
                Source::Inline(file) => Ok(Taken::Inline {
                    name: file.name.clone(),
                    content: file.content.clone().into_bytes().into(),
                }),
                Source::Url { url, span } => {
                    self.fetch_url(url, copy).map_err(|failure| located(failure, *span))
                }
                Source::Git { span, .. } => {
                    let failure = Failure::new(
                        Cause::Input,
                        "remote-source",
                        "ADD of repositories is not available in this version",
                    );
                    Err(located(failure, *span))
                }
            })
            .collect::<Result<_, _>>()
            .map_err(|failure: Failure| located(failure, span))
    }

    fn fetch_url(&self, url: &str, copy: &Copy) -> Result<Taken, Failure> {
        let services = self.services;
        let checksum = match &copy.checksum {
            Some(text) => Some(Digest::parse(text).map_err(|error| {
                Failure::new(Cause::Input, "checksum", format!("--checksum={text}: {error}"))
            })?),
            None => None,
        };
        let fetched =
            http::fetch(url, checksum, http::LIMIT, services.registry, services.store);
        let file = fetched.map_err(|error| {
            let cause = match &error {
                http::Error::Checksum { .. } => Cause::Tampered,
                http::Error::Store(_) => Cause::Internal,
                _ => Cause::Network,
            };
            let failure = Failure::new(cause, "source-unavailable", chain(&error));
            match error.help() {
                Some(help) => failure.help(help),
                None => failure,
            }
        })?;
        let content = file.file.try_clone().map_err(|error| {
            Failure::new(Cause::Internal, "store", format!("cannot open a fetched file: {error}"))
        })?;
        Ok(Taken::Fetched { file, content: Arc::new(content), unpack: copy.unpack_remote })
    }

    /// Layers as a place to take files from.
    pub(super) fn context_of(&self, stack: &Stack) -> Result<Context, Failure> {
        let mode = self.services.id_mode;
        let root = match self.lower(stack)?.root {
            Some(root) => root.try_clone().map_err(|error| {
                Failure::new(Cause::Internal, "store", format!("cannot open a tree: {error}"))
            })?,
            None => {
                let empty = self.services.store.tmp_path()?;
                std::fs::create_dir(&empty).and_then(|()| Root::open_host(&empty)).map_err(
                    |error| {
                        Failure::new(
                            Cause::Internal,
                            "store",
                            format!("cannot make a folder: {error}"),
                        )
                    },
                )?
            }
        };
        Ok(Context::tree(root, mode))
    }

    /// The digest over everything that is taken, and the files by name.
    fn digest(&self, taken: &[Taken]) -> Result<(String, Files), Failure> {
        let mut hasher = Hasher::new();
        let mut files = Files::new();
        for taken in taken {
            match taken {
                Taken::Selection(selection) => {
                    let mut seen = |path: &ImagePath, mark: String| {
                        files.insert(path.display().trim_start_matches('/').to_owned(), mark);
                    };
                    let digest = selection
                        .digest_with(self.services.store, &mut seen)
                        .map_err(input_failure)?;
                    hasher.field(digest.as_bytes());
                }
                Taken::Inline { name, content } => {
                    hasher.field(name.as_bytes());
                    hasher.field(content);
                }
                Taken::Fetched { file, .. } => {
                    let name = file.name.as_deref().unwrap_or("");
                    hasher.field(name.as_bytes());
                    hasher.field(file.digest.as_bytes());
                    files.insert(name.to_owned(), file.digest.hex());
                }
            }
        }
        Ok((hasher.finish::<crate::base::Cache>().to_string(), files))
    }
}

fn located(mut failure: Failure, span: Span) -> Failure {
    failure.diagnostic.span.get_or_insert(span);
    failure
}

/// What is wrong with a source or a destination, as the end of a build.
pub(super) fn input_failure(error: input::Error) -> Failure {
    let text = chain(&error);
    match error {
        input::Error::Store(error) => error.into(),
        input::Error::Tree(error) => error.into(),
        input::Error::NotFound { .. } => Failure::new(Cause::Input, "source-missing", text),
        _ => Failure::new(Cause::Input, "copy", text),
    }
}
