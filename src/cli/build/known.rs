//! A build whose steps are all known, done before this process becomes anything: it needs neither a
//! namespace nor what is tried out in it.
//!
//! What is found on the way, and is not the end, is kept for the build that follows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rbuild::base::Masker;
use rbuild::build::{NamedSource, Prepared, Resolver, Work};
use rbuild::event::Event;
use rbuild::exec::{Options, Services};
use rbuild::input::BaseImage;
use rbuild::output::Target;
use rbuild::plan::BaseId;
use rbuild::policy::Policy;
use rbuild::rootfs::Stacking;
use rbuild::sandbox::{Isolation, Launcher};
use rbuild::store::Store;
use rbuild::sys;

use super::super::environment;
use super::super::exit::Exit;
use super::super::progress::Format;
use super::super::shared::Stop;
use super::Command;
use super::brought::Means;
use super::host::{Choice, Host};
use super::outcome::End;
use super::watch::{Signals, Stage};

/// What a build begins with.
#[derive(Default)]
pub(super) struct Begun {
    /// The store, in which nothing was to be removed.
    pub(super) store: Option<Store>,
    /// The plan, and what it stands on.
    pub(super) planned: Option<Planned>,
}

/// A plan whose bases are known without a network.
pub(super) struct Planned {
    pub(super) prepared: Prepared,
    pub(super) bases: BTreeMap<BaseId, Arc<BaseImage>>,
    /// What was told of the bases.
    pub(super) heard: Vec<Event>,
}

impl Command {
    /// Does the build, if all that it needs is known, and breaks off with its end. To be called with
    /// one thread; this process has one afterwards, too, where it goes on.
    pub(super) fn known(&mut self, policy: &Policy) -> Result<ControlFlow<Exit, Begun>, Stop> {
        let mut begun = Begun::default();
        match self.try_known(policy, &mut begun) {
            Some(ended) => ended.map(ControlFlow::Break),
            None => {
                sys::wait_for_threads();
                Ok(ControlFlow::Continue(begun))
            }
        }
    }

    /// Tells whether the build could be one whose end needs no powers, as far as its flags say.
    fn may_be_known(&self) -> bool {
        let is_near = |source: &NamedSource| !matches!(source, NamedSource::Address(_));
        self.args.isolation != Choice::Chroot
            && !self.args.no_cache
            && self.secrets.is_empty()
            && self.ssh.is_empty()
            && self.named.values().all(is_near)
            && self.outputs.iter().all(Target::is_plain)
    }

    // `None` is: not known, and nothing was said, nor done that the build would not do itself.
    fn try_known(&mut self, policy: &Policy, begun: &mut Begun) -> Option<Result<Exit, Stop>> {
        if !self.may_be_known() {
            return None;
        }
        let root = environment::store_root(&self.args.store);
        let store = &*begun.store.insert(Store::open_settled(&root).ok()??);
        let stage = Stage::holding(self.format, Masker::new());
        let events = &stage.events;
        let ids = sys::foreseen_ids()?;
        if let Some(why) = ids.why_single
            && self.format == Format::Plain
        {
            events.note(Host::single(&why));
        }
        let signals = Signals::new();
        let online = std::mem::replace(&mut self.args.store.offline, true);
        let registry = environment::registry(&self.args.store, &[], events, &signals.cancel);
        let mut git = environment::git(&self.args.store);
        self.args.store.offline = online;
        let registry = registry.ok()?;
        git.cancel = signals.cancel.clone();
        let before = stage.take();
        let named = self.named.clone();
        let resolver = Resolver::new(store, &registry, events, &named);
        let prepared = rbuild::build::prepare_known(&self.job, policy, &resolver)?;
        let bases = resolver.images(&prepared.plan);
        let heard = stage.take();
        let planned = &*begun.planned.insert(Planned { prepared, bases, heard });
        let prepared = &planned.prepared;
        if prepared.report.verdict(policy.fail_on).refused || !Host::is_foreseen(&prepared.plan) {
            return None;
        }
        super::tell_warnings(prepared, events);
        let means = Means { store, registry: &registry, git: &git };
        let contexts = self.contexts(&means, events).ok()?;
        let written = self.written_files();
        if !written.iter().all(|path| path.as_os_str() == "-" || sys::may_replace(path)) {
            return None;
        }
        let options: Options = self.options(prepared, policy).ok()?;
        // It starts nothing before a step comes.
        let launcher = Launcher::new(environment::program());
        let services = Services {
            store,
            registry: &registry,
            git: &git,
            events,
            cancel: &signals.cancel,
            launcher: &launcher,
            id_mode: ids.mode,
            id_maps: Some(ids.maps),
            stacking: &|| Stacking::Plain,
            isolation: Isolation::Namespaces,
            context: contexts.main.as_ref(),
            named: &contexts.named,
            bases: &planned.bases,
        };
        let work = Work {
            job: &self.job,
            prepared,
            policy,
            options: &options,
            services: &services,
            outputs: &self.outputs,
            tags: &self.tags,
        };
        let judged = rbuild::build::recall(&work)?;
        // It is known. From here on all is as in any build.
        if let Err(stop) = signals.watch() {
            return Some(Err(stop));
        }
        stage.point_into(prepared.sources.clone());
        stage.release(before.into_iter().chain(planned.heard.iter().cloned()).collect());
        let result = rbuild::build::deliver(&work, judged);
        let end = End { prepared, policy, stage: &stage, signals: &signals, store };
        Some(self.ended(result, &end))
    }
}
