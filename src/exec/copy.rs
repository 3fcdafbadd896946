//! COPY, ADD and WORKDIR: entries from a context or a tree, streamed into a layer, and put into a
//! tree when a later step will look.

use std::cell::OnceCell;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::copied::Files;
use super::key::{CONTENT, Request};
use super::mounts::no_context;
use super::pack::Job;
use super::stack::{Cell, Stack};
use super::stage::{Execution, Found, Packers};
use super::{Cause, Failure, Services, Times};
use crate::base::{Digest, Hasher, Span, StepId};
use crate::diag::chain;
use crate::input::git::{self, Remote, Resolved};
use crate::input::http::{self, Fetched};
use crate::input::{self, Chmod, Context, Part, Pick, Placement, Selection};
use crate::plan::{Copy, From, InlineFile, Source, Step, Workdir};
use crate::rootfs::{self, Change, Lookup, Nothing, passwd};
use crate::store::{Mark, Marks, TreeId};
use crate::sys::Root;

/// The name of a file whose URL has none, in a folder that was not written as one; as in BuildKit.
const UNNAMED: &str = "__unnamed__";

/// What is known of the files that a step copies.
pub(super) enum Reading {
    /// It copies none.
    Nothing,
    /// They were read, and are in the key.
    Done(Files),
    /// They are read once, when they are packed; then the key is known.
    WhenPacked(Vec<Taken>),
}

/// One source, found.
pub(super) enum Taken {
    Selection(Selection),
    Inline { name: String, content: Arc<[u8]> },
    Fetched(Fetched),
    Repository(Remote, Resolved),
}

impl Taken {
    /// A file whose content the instruction has.
    pub(super) fn inline(file: &InlineFile) -> Taken {
        let content = file.content.clone().into_bytes().into();
        Taken::Inline { name: file.name.clone(), content }
    }
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
        let place = self.place_of(copy);
        if self.may_be_known(step, &request)
            && let Some(digest) = place.as_ref().and_then(|place| self.remembered(place))
        {
            let mut request = request.clone();
            request.input(CONTENT, digest);
            if let Found::Cell(cell) = self.look_up(id, step, &mut request, parents)? {
                return Ok(cell);
            }
        }
        // It takes the time from which on changes of files may go unseen: before any is looked at.
        self.services.store.stat_cache();
        let taken = self.take(copy, step.span)?;
        // Where no record can match, the files are read for the first time when they are packed.
        let as_they_are = |taken: &Taken| !matches!(taken, Taken::Repository(..));
        let read_when_packed =
            !self.may_be_known(step, &request) && !copy.unpack && taken.iter().all(as_they_are);
        let mut files = None;
        if read_when_packed {
            self.missed(id, step, &request, None);
        } else {
            let (digest, read) = self.digest(&taken, &Marks::default())?;
            if let Some(place) = &place {
                self.take_down(place, &digest);
            }
            request.input(CONTENT, digest);
            let list = OnceCell::new();
            let named = || list.get_or_init(|| files_of(&taken, &read)).clone();
            if let Some(cell) = self.cached(id, step, &mut request, parents, Some(&named))? {
                return Ok(cell);
            }
            files = Some(named());
        }
        let _slot = self.jobs.take();
        let taken = self.lay_out(taken, copy).map_err(|failure| located(failure, step.span))?;
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
                Taken::Fetched(fetched) => Part::Fetched {
                    name: fetched.name.as_deref().unwrap_or(UNNAMED),
                    file: Arc::clone(&fetched.file),
                    size: fetched.size,
                    mtime: fetched.mtime,
                    unpack: copy.unpack_remote,
                },
                Taken::Repository(..) => unreachable!("it was laid out"),
            })
            .collect();
        let under: &dyn Lookup = if copy.link { &Nothing } else { &lower };
        let changes =
            input::place(&parts, under, &placement, self.services.store).map_err(input_failure)?;
        drop(parts);
        let reading = match files {
            Some(files) => Reading::Done(files),
            None => Reading::WhenPacked(taken),
        };
        self.finish_copy(id, request, parents, packers, changes, reading, under, since)
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
        let mut request = self.workdir_request(workdir);
        if let Some(cell) = self.cached(id, step, &mut request, parents, None)? {
            return Ok(cell);
        }
        let _slot = self.jobs.take();
        let lower = self.lower(parents)?;
        let owner = passwd::owner(&lower, &workdir.user)
            .map_err(|error| Failure::new(Cause::Input, "user", chain(&error)))?;
        let made = self.options.times.created().seconds();
        let changes = rootfs::make_dirs(&lower, &workdir.path, owner, made)?;
        self.finish_copy(id, request, parents, packers, changes, Reading::Nothing, &lower, since)
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
        reading: Reading,
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
            reading,
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

    pub(super) fn workdir_request(&self, workdir: &Workdir) -> Request {
        let mut request = Request::new("WORKDIR");
        request.operation("path", workdir.path.to_string());
        request.operation("user", workdir.user.as_str());
        request.operation("times", super::run::times_part(self.options.times));
        request
    }

    pub(super) fn copy_request(&self, copy: &Copy) -> Request {
        let mut request = Request::new("COPY");
        for source in &copy.sources {
            let text = match source {
                Source::Path { path, .. } => path.clone(),
                Source::Inline(file) => file.name.clone(),
                // What is fetched is part of the input; the address may hold a password.
                Source::Url { .. } => "an URL".to_owned(),
                Source::Git { .. } => "a repository".to_owned(),
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
        request.operation("checksum", copy.checksum.as_deref().unwrap_or(""));
        request.operation("unpack", format!("{} {}", copy.unpack, copy.unpack_remote));
        request.operation("times", super::run::times_part(self.options.times));
        request
    }

    /// Finds what each source means.
    pub(super) fn take(&self, copy: &Copy, span: Span) -> Result<Vec<Taken>, Failure> {
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
                    let selection =
                        input::select(context, &pick, Some(self.services.store.stat_cache()))
                            .map_err(|error| located(input_failure(error), *span))?;
                    Ok(Taken::Selection(selection))
                }
                Source::Inline(file) => Ok(Taken::inline(file)),
                Source::Url { url, span } => {
                    self.fetch_file(url, copy).map_err(|failure| located(failure, *span))
                }
                Source::Git { remote, span } => {
                    self.find_commit(remote, copy).map_err(|failure| located(failure, *span))
                }
            })
            .collect::<Result<_, _>>()
            .map_err(|failure: Failure| located(failure, span))
    }

    fn fetch_file(&self, url: &str, copy: &Copy) -> Result<Taken, Failure> {
        let checksum = match &copy.checksum {
            Some(text) => Some(Digest::parse(text).map_err(|error| {
                Failure::new(Cause::Input, "checksum", format!("--checksum: {error}"))
            })?),
            None => None,
        };
        let Services { registry, store, .. } = self.services;
        let fetched = http::fetch(url, checksum, http::LIMIT, registry, store)?;
        if fetched.name.is_none() && copy.directory {
            let text = "the URL has no file name, and the destination is a directory";
            return Err(Failure::new(Cause::Input, "url-without-name", text)
                .help("write the name of the file at the end of the destination"));
        }
        Ok(Taken::Fetched(fetched))
    }

    fn find_commit(&self, remote: &str, copy: &Copy) -> Result<Taken, Failure> {
        let mut remote = Remote::parse(remote)?;
        if let Some(checksum) = &copy.checksum {
            remote = remote.with_checksum(checksum)?;
        }
        if copy.keep_git_dir {
            remote = remote.with_git_dir()?;
        }
        let resolved = git::resolve(&remote, self.services.git, self.services.store)?;
        Ok(Taken::Repository(remote, resolved))
    }

    /// Checks out repositories. Their files stay until the build ends: they are packed later.
    fn lay_out(&self, taken: Vec<Taken>, copy: &Copy) -> Result<Vec<Taken>, Failure> {
        let lay_out = |taken| {
            let Taken::Repository(remote, resolved) = taken else { return Ok(taken) };
            let Services { git: tools, store, .. } = self.services;
            let checkout = git::checkout(&remote, &resolved, tools, store)?;
            if let Some(pointer) = checkout.pointer() {
                self.services.events.note(format!(
                    "{remote}: `{pointer}` is a pointer of Git LFS, and is copied as one: install \
                     git-lfs to have its files"
                ));
            }
            let context = Context::open(checkout.folder(), None).map_err(input_failure)?;
            self.checkouts.lock().unwrap_or_else(PoisonError::into_inner).push(checkout);
            let sources = vec!["/".to_owned()];
            let pick = Pick { sources, exclude: copy.exclude.clone(), parents: false };
            Ok(Taken::Selection(input::select(&context, &pick, None).map_err(input_failure)?))
        };
        taken.into_iter().map(lay_out).collect()
    }

    /// Layers as a place to take files from.
    pub(super) fn context_of(&self, stack: &Stack) -> Result<Context, Failure> {
        let mode = self.services.id_mode;
        let root = match self.trees(stack)? {
            layers if !layers.is_empty() => self.opened(layers)?,
            _ => {
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
    pub(super) fn digest(&self, taken: &[Taken], known: &Marks) -> Result<(String, Read), Failure> {
        let mut hasher = Hasher::new();
        let mut read = Vec::new();
        for taken in taken {
            let mut marks = Vec::new();
            match taken {
                Taken::Selection(selection) => {
                    let digest;
                    (digest, marks) =
                        selection.digest_with(self.services.store, known).map_err(input_failure)?;
                    hasher.field(digest.as_bytes());
                }
                Taken::Inline { name, content } => {
                    hasher.field(name.as_bytes());
                    hasher.field(content);
                }
                Taken::Fetched(fetched) => {
                    let name = fetched.name.as_deref().unwrap_or(UNNAMED);
                    hasher.field(name.as_bytes());
                    hasher.field(fetched.digest.as_bytes());
                    if let Times::Preserve(_) = self.options.times {
                        hasher.field(&fetched.mtime.to_le_bytes());
                    }
                }
                Taken::Repository(remote, resolved) => {
                    hasher.field(resolved.id.as_str().as_bytes());
                    hasher.field(remote.key().as_bytes());
                }
            }
            read.push(marks);
        }
        Ok((hasher.finish::<crate::base::Cache>().to_string(), read))
    }
}

/// The marks of all entries of each source.
pub(super) type Read = Vec<Vec<Option<Mark>>>;

/// What was taken, file by file: what a miss is told by. `read` is what [`Execution::digest`] gave.
pub(super) fn files_of(taken: &[Taken], read: &Read) -> Files {
    let mut files = Files::default();
    for (taken, marks) in taken.iter().zip(read) {
        match taken {
            Taken::Selection(selection) => selection.each_file(marks, &mut |entry, mark| {
                let path = entry.path.display();
                let mark = mark.map_or(String::new(), |mark| mark.hex()[..32].to_owned());
                files.add(path.trim_start_matches('/'), format_args!("{:o} {mark}", entry.mode));
            }),
            Taken::Inline { .. } => {}
            Taken::Fetched(fetched) => {
                let name = fetched.name.as_deref().unwrap_or(UNNAMED);
                files.add(name, format_args!("{}", fetched.digest.hex()));
            }
            Taken::Repository(remote, resolved) => {
                files.add(&remote.to_string(), format_args!("{}", resolved.id));
            }
        }
    }
    files
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
