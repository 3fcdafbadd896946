//! `RUN --mount`: what is mounted, and its part in the key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copy::input_failure;
use super::key::Request;
use super::place::Loans;
use super::ssh::{Access, Agent, Proxy};
use super::stack::Stack;
use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::{ImagePath, Span, StepId};
use crate::input::{self, Context, Part, Pick, Placement};
use crate::layer::{Entry, EntryKind};
use crate::plan::{self, From, MountKind, Run};
use crate::rootfs::{self, Change, Nothing};
use crate::sandbox::{self, FileMount, Source};
use crate::store::{self, CacheMount, TreeDraft};
use crate::sys::Root;

/// What a mount shows, before anything was unpacked or copied for it.
pub(super) enum Shown {
    /// Layers of a stage or an image.
    Stack(Stack),
    /// Files of a context.
    Files(Vec<Change>),
    /// Nothing: `from=scratch`, or a mount that shows nothing of elsewhere.
    Nothing,
}

/// What has to live as long as the step runs: locks of caches, copies of contexts,
/// sockets.
#[derive(Default)]
pub(super) struct Held {
    /// By id.
    caches: BTreeMap<String, CacheMount>,
    copies: Vec<TreeDraft>,
    proxies: Vec<Proxy>,
    /// Copies of folders, on hosts that mount none.
    pub(super) loans: Loans,
}

impl Execution<'_> {
    /// Finds out what each mount of a step shows, and adds it to the key.
    pub(super) fn shown(&self, run: &Run, request: &mut Request) -> Result<Vec<Shown>, Failure> {
        let mut shown = Vec::with_capacity(run.mounts.len());
        for mount in &run.mounts {
            shown.push(match &mount.kind {
                MountKind::Bind { target, from, source, .. } => {
                    let (what, digest) = self.show(from, source, mount.span)?;
                    request.input(format!("mount {target}"), digest);
                    what
                }
                // What a new cache begins with is no input: an old one does not have it.
                MountKind::Cache { from: Some(from), source, .. } => {
                    self.show(from, source, mount.span)?.0
                }
                MountKind::Cache { from: None, .. }
                | MountKind::Tmpfs { .. }
                | MountKind::Secret { .. }
                | MountKind::Ssh { .. } => Shown::Nothing,
            });
        }
        Ok(shown)
    }

    fn show(
        &self,
        from: &From,
        source: &ImagePath,
        span: Span,
    ) -> Result<(Shown, String), Failure> {
        let digests = |stack: &Stack| -> Result<String, Failure> {
            let mut hasher = crate::base::Hasher::new();
            for cell in stack {
                hasher.field(cell.done()?.diff.as_bytes());
            }
            Ok(hasher.finish::<crate::base::Cache>().to_string())
        };
        let files = |context: Option<&Context>| -> Result<(Shown, String), Failure> {
            let Some(context) = context else { return Err(no_context(span)) };
            let pick = Pick {
                sources: vec![source.display().into_owned()],
                exclude: Vec::new(),
                parents: false,
            };
            let place = |error| {
                let mut failure = input_failure(error);
                failure.diagnostic.span = Some(span);
                failure
            };
            let selection = input::select(context, &pick, Some(self.services.store.stat_cache()))
                .map_err(place)?;
            let digest = selection.digest(self.services.store).map_err(place)?;
            // The files lie at the path that the mount names, so that a file's own name is kept.
            let dest = match source.parent() {
                Some(parent) if !selection.is_folder() => parent,
                _ => source.clone(),
            };
            let placement = Placement {
                dest: &dest,
                directory: true,
                chown: None,
                chmod: None,
                unpack: false,
                made: self.options.times.created().seconds(),
            };
            let parts = [Part::Selected(&selection)];
            let changes =
                input::place(&parts, &Nothing, &placement, self.services.store).map_err(place)?;
            Ok((Shown::Files(changes), digest.to_string()))
        };
        match from {
            From::Stage(stage) => {
                let stack = self.wait(*stage)?;
                let digest = digests(&stack)?;
                Ok((Shown::Stack(stack), digest))
            }
            From::Image(base) => {
                let stack = self.base_stack(*base)?;
                let digest = digests(&stack)?;
                Ok((Shown::Stack(stack), digest))
            }
            From::Context => files(self.services.context),
            From::Named(name) => files(self.services.named.get(name)),
            From::Scratch => Ok((Shown::Nothing, String::new())),
        }
    }

    /// Makes what the sandbox mounts.
    pub(super) fn mounts(
        &self,
        run: &Run,
        shown: Vec<Shown>,
        step: StepId,
    ) -> Result<(Vec<sandbox::Mount>, Held), Failure> {
        let mut held = Held { caches: self.caches(run, step)?, ..Held::default() };
        let mut mounts = Vec::new();
        for (mount, shown) in run.mounts.iter().zip(shown) {
            match &mount.kind {
                MountKind::Bind { target, source, writable, .. } => {
                    let layers = self.shown_trees(shown, &mut held)?;
                    let insecure = self.hardening(run) == sandbox::Hardening::Insecure;
                    let kind =
                        self.shown_mount(layers, source, (*writable, insecure), &mut held.loans)?;
                    mounts.push(sandbox::Mount { target: target.clone(), kind });
                }
                MountKind::Cache { target, id, from, source, readonly, mode, uid, gid, .. } => {
                    // A second mount of the same cache finds it seeded.
                    let taken = "all caches of the step were taken";
                    let cache = held.caches.get(id).expect(taken);
                    if cache.is_fresh() {
                        let folder = cache.path().to_owned();
                        self.seed(&folder, shown, source, (*mode, *uid, *gid), &mut held)?;
                        held.caches.get_mut(id).expect(taken).publish()?;
                    }
                    let folder = held.caches[id].path().to_owned();
                    let path = self.lent_cache(&folder, *readonly, &mut held.loans)?;
                    // What a cache begins with comes from `from`; without it, a part is meant.
                    let source = match from {
                        None if !source.is_root() => {
                            self.refuse_part(mount.span)?;
                            part_of_cache(id, &path, source, mount.span)?
                        }
                        _ => Source::Path(path),
                    };
                    let kind = sandbox::MountKind::Cache { source, readonly: *readonly };
                    mounts.push(sandbox::Mount { target: target.clone(), kind });
                }
                MountKind::Tmpfs { target, size } => mounts.push(sandbox::Mount {
                    target: target.clone(),
                    kind: sandbox::MountKind::Tmpfs { size: *size },
                }),
                MountKind::Secret { id, target, env: _, required, mode, uid, gid } => {
                    match (self.options.secrets.get(id), target) {
                        (Some(secret), Some(target)) => mounts.push(sandbox::Mount {
                            target: target.clone(),
                            kind: sandbox::MountKind::Secret(FileMount {
                                content: Arc::clone(secret),
                                uid: *uid,
                                gid: *gid,
                                mode: *mode,
                            }),
                        }),
                        (None, _) if *required => return Err(no_secret(id, mount.span)),
                        _ => {}
                    }
                }
                MountKind::Ssh { id, target, required, mode, uid, gid } => {
                    match self.options.ssh.get(id) {
                        Some(agent) => {
                            let ids = self.services.id_mode;
                            let access = Access { owner: (*uid, *gid), ids, mode: *mode };
                            let proxy = self.proxy(id, agent, access, mount.span)?;
                            mounts.push(sandbox::Mount {
                                target: target.clone(),
                                kind: sandbox::MountKind::Bind {
                                    source: Source::Path(proxy.socket()),
                                    writable: false,
                                },
                            });
                            held.proxies.push(proxy);
                        }
                        None if *required => return Err(no_agent(id, mount.span)),
                        None => {}
                    }
                }
            }
        }
        for file in &run.files {
            mounts.push(sandbox::Mount {
                target: file.path.clone(),
                kind: sandbox::MountKind::File(FileMount {
                    content: file.content.clone().into_bytes(),
                    uid: 0,
                    gid: 0,
                    mode: file.mode,
                }),
            });
        }
        Ok((mounts, held))
    }

    /// Takes the caches of a step: each once, however many mounts show it, and all steps in the
    /// order of the ids, so that no two wait for each other.
    fn caches(&self, run: &Run, step: StepId) -> Result<BTreeMap<String, CacheMount>, Failure> {
        let mut caches = BTreeMap::new();
        for (id, sharing) in wanted_caches(run) {
            caches.insert(id.to_owned(), self.cache_mount(id, sharing, step)?);
        }
        Ok(caches)
    }

    fn cache_mount(
        &self,
        id: &str,
        sharing: plan::Sharing,
        step: StepId,
    ) -> Result<CacheMount, Failure> {
        let sharing = match sharing {
            plan::Sharing::Shared => store::Sharing::Shared,
            plan::Sharing::Private => store::Sharing::Private,
            plan::Sharing::Locked => store::Sharing::Locked,
        };
        let mut waits = 0;
        let cache = self.services.store.cache_mount(id, sharing, &mut || {
            waits += 1;
            if waits == 20 {
                let name = &self.plan.steps[step].title;
                self.services
                    .events
                    .note(format!("waiting for the cache `{id}`, which another step uses: {name}"));
            }
            !self.cancel().is_cancelled()
        })?;
        Ok(cache)
    }

    fn proxy(&self, id: &str, agent: &Agent, access: Access, span: Span) -> Result<Proxy, Failure> {
        let folder = self.services.store.tmp_path()?;
        Proxy::start(folder, agent, access).map_err(|error| {
            let text = format!("cannot offer the ssh agent `{id}` to the step: {error}");
            let mut failure = Failure::new(Cause::Internal, "ssh-agent", text);
            failure.diagnostic.span = Some(span);
            failure
        })
    }

    // A step in a changed root works in a copy of a cache, which comes back as a whole.
    fn refuse_part(&self, span: Span) -> Result<(), Failure> {
        if !self.is_chroot() {
            return Ok(());
        }
        let text = "--isolation=chroot mounts a cache as a whole, without `source=`";
        let mut failure = Failure::new(Cause::Usage, "cache-source", text);
        failure.diagnostic.span = Some(span);
        Err(failure)
    }

    /// Gives a new cache its owner, mode and first content.
    fn seed(
        &self,
        cache: &Path,
        shown: Shown,
        source: &ImagePath,
        (mode, uid, gid): (u32, u32, u32),
        held: &mut Held,
    ) -> Result<(), Failure> {
        let root = Root::open_host(cache).map_err(|error| {
            Failure::new(Cause::Internal, "store", format!("cannot open a cache: {error}"))
        })?;
        let mut top = Entry::new(ImagePath::root(), EntryKind::Dir, mode);
        (top.uid, top.gid) = (uid, gid);
        let mut changes = vec![Change::bare(top)];
        if !matches!(shown, Shown::Nothing) {
            let tree = self.opened(self.shown_trees(shown, held)?)?;
            let pick = Pick {
                sources: vec![source.display().into_owned()],
                exclude: Vec::new(),
                parents: false,
            };
            let context = Context::tree(tree, self.services.id_mode);
            let selection = input::select(&context, &pick, None).map_err(input_failure)?;
            let placement = Placement {
                dest: &ImagePath::root(),
                directory: true,
                chown: None,
                chmod: None,
                unpack: false,
                made: self.options.times.created().seconds(),
            };
            let parts = [Part::Selected(&selection)];
            let filled = input::place(&parts, &Nothing, &placement, self.services.store)
                .map_err(input_failure)?;
            changes.extend(filled.into_iter().filter(|change| !change.entry.path.is_root()));
        }
        rootfs::materialise(&changes, &root, self.services.id_mode, &Nothing)?;
        Ok(())
    }

    /// The folders of what a mount shows; files of a context are copied into one.
    fn shown_trees(&self, shown: Shown, held: &mut Held) -> Result<Vec<PathBuf>, Failure> {
        let changes = match shown {
            Shown::Stack(stack) if !stack.is_empty() => return self.trees(&stack),
            Shown::Stack(_) | Shown::Nothing => Vec::new(),
            Shown::Files(changes) => changes,
        };
        let draft = self.services.store.tree_draft()?;
        let root = Root::open_host(draft.path()).map_err(|error| {
            Failure::new(Cause::Internal, "store", format!("cannot open a tree: {error}"))
        })?;
        rootfs::materialise(&changes, &root, self.services.id_mode, &Nothing)?;
        let path = draft.path().to_owned();
        held.copies.push(draft);
        Ok(vec![path])
    }
}

/// A folder in a cache. Steps write there, also at this very moment: a link would lead wherever one
/// of them wants, so none is followed, and what is mounted is the folder that was opened.
fn part_of_cache(
    id: &str,
    cache: &Path,
    source: &ImagePath,
    span: Span,
) -> Result<Source, Failure> {
    let opened = Root::open_host(cache).and_then(|root| root.open_dir_without_links(source));
    opened.map(|folder| Source::Handle(Arc::new(folder.into()))).map_err(|error| {
        let shown: String = id.chars().take(80).collect();
        let text = format!(
            "the cache `{shown}` has no folder `{source}` that is reached without a symlink: {error}"
        );
        let mut failure = Failure::new(Cause::Input, "cache-source", text)
            .help("make the folder in an earlier step that mounts the whole cache");
        failure.diagnostic.span = Some(span);
        failure
    })
}

/// The caches of a step, by id. Where its mounts differ in how they share one, the strictest counts.
fn wanted_caches(run: &Run) -> BTreeMap<&str, plan::Sharing> {
    let mut wanted = BTreeMap::new();
    for mount in &run.mounts {
        if let MountKind::Cache { id, sharing, .. } = &mount.kind {
            let strictest = wanted.entry(id.as_str()).or_insert(*sharing);
            *strictest = (*strictest).max(*sharing);
        }
    }
    wanted
}

/// A secret that a step asks for and nobody gave.
pub(super) fn no_secret(id: &str, span: Span) -> Failure {
    let mut failure = Failure::new(
        Cause::Input,
        "secret-missing",
        format!("secret {id}: not found, and the step requires it"),
    )
    .help(format!("build with --secret id={id},src=FILE or --secret id={id},env=VARIABLE"));
    failure.diagnostic.span = Some(span);
    failure
}

/// An ssh agent that a step asks for and nobody gave.
fn no_agent(id: &str, span: Span) -> Failure {
    let mut failure = Failure::new(
        Cause::Input,
        "ssh-missing",
        format!("ssh agent `{id}`: not forwarded, and the step requires it"),
    )
    .help(format!("start an ssh agent, give it the key with ssh-add, and build with --ssh {id}"));
    failure.diagnostic.span = Some(span);
    failure
}

/// A step that reads the context of a build without one.
pub(super) fn no_context(span: Span) -> Failure {
    let mut failure =
        Failure::new(Cause::Input, "no-context", "there is no build context to take files from");
    failure.diagnostic.span = Some(span);
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction::{Network, Security};
    use crate::plan::Sharing;

    #[test]
    fn a_step_takes_each_cache_once_and_in_order() {
        let mount = |id: &str, sharing| plan::Mount {
            kind: MountKind::Cache {
                target: ImagePath::root(),
                id: id.to_owned(),
                sharing,
                from: None,
                source: ImagePath::root(),
                readonly: false,
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
            span: Span::default(),
        };
        let run = Run {
            args: Vec::new(),
            files: Vec::new(),
            env: Default::default(),
            proxy: Arc::default(),
            user: String::new(),
            workdir: ImagePath::root(),
            mounts: vec![
                mount("y", Sharing::Private),
                mount("x", Sharing::Locked),
                mount("x", Sharing::Shared),
            ],
            network: Network::Default,
            security: Security::Sandbox,
            devices: Vec::new(),
        };
        let wanted: Vec<_> = wanted_caches(&run).into_iter().collect();
        assert_eq!(wanted, [("x", Sharing::Locked), ("y", Sharing::Private)]);
    }
}
