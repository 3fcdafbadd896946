//! The schedule: which stage runs when, and what happens when one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Scope;
use std::time::Instant;

use super::promise::{Keeper, Promise, Slots};
use super::stack::{BaseCells, Cell, Stack};
use super::{Built, Cause, Failure, Options, Services};
use crate::base::{Diff, Digest, StageId, StepId};
use crate::event::{Event, StepName};
use crate::facts::{Conduct, Leak, Needles};
use crate::input::git::Checkout;
use crate::plan::{Base, Op, Plan, Step};
use crate::rootfs::Stacking;
use crate::sandbox::{Cancel, Foreign};
use crate::store::{CacheRecord, TreeId};

use super::copied::Files;
use super::key::Request;

/// How many stages are under way at once. They wait for each other more than they work; the jobs
/// bound the work.
const STAGES_AT_ONCE: usize = 64;

/// How many layers are packed at once.
const PACKS_AT_ONCE: usize = 2;

/// One run of one plan.
pub(super) struct Execution<'a> {
    pub(super) plan: &'a Plan,
    pub(super) options: &'a Options,
    pub(super) services: &'a Services<'a>,
    pub(super) stages: Vec<Promise<Stack>>,
    pub(super) bases: BaseCells,
    pub(super) needs: Vec<Needs>,
    /// The own layers become one.
    pub(super) squash: bool,
    pub(super) jobs: Slots,
    pub(super) packs: Slots,
    pub(super) leaks: Mutex<Vec<(StepId, Leak)>>,
    /// Which ids own the files of trees, as a hash: one store may be used with several maps.
    owners: OnceLock<Digest<Diff>>,
    /// What is searched for in layers.
    pub(super) needles: Needles,
    /// Trees that must not stay: those in which a secret was found.
    pub(super) doomed: Mutex<Vec<TreeId>>,
    /// What this machine runs of other architectures.
    pub(super) foreign: Foreign,
    /// Layers that were searched for the secrets of this build.
    pub(super) searched: Mutex<BTreeSet<Digest<Diff>>>,
    /// How RUN steps went.
    pub(super) conduct: Mutex<BTreeMap<StepId, Conduct>>,
    /// Who says whether that is suffered.
    pub(super) gate: Option<super::behaviour::Gate<'a>>,
    /// How steps are limited, once that is known.
    pub(super) held: OnceLock<super::terms::Held>,
    stacking: OnceLock<Stacking>,
    /// Files of repositories, kept until all layers are packed.
    pub(super) checkouts: Mutex<Vec<Checkout>>,
    /// See [`super::place`].
    pub(super) merged: super::place::Merged,
    failure: Mutex<Option<Failure>>,
}

/// What the plan wants of a step's layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Needs {
    /// Its tar is compressed: it ships.
    pub(super) pack: bool,
    /// It is needed as a tree: a later step looks at it, or it will be squashed.
    pub(super) tree: bool,
}

/// What the store has of a step.
pub(super) enum Found {
    /// Its result.
    Cell(Cell),
    /// Nothing.
    Nothing,
    /// A result that may not stand for a run; and why.
    Unwatched(&'static str),
}

/// How the threads of packers are started.
pub(super) type Packers<'scope, 'env> = &'scope Scope<'scope, 'env>;

impl<'a> Execution<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        options: &'a Options,
        services: &'a Services<'a>,
        gate: Option<super::behaviour::Gate<'a>>,
    ) -> Self {
        Execution {
            plan,
            options,
            services,
            stages: plan.stages.iter().map(|_| Promise::new()).collect(),
            bases: BaseCells::new(plan),
            needs: needs(plan, options.squash),
            squash: squashes(plan, options.squash),
            jobs: Slots::new(options.jobs),
            packs: Slots::new(PACKS_AT_ONCE),
            leaks: Mutex::default(),
            owners: OnceLock::new(),
            needles: Needles::new(
                options.secrets.iter().map(|(id, secret)| (id.as_str(), secret.as_ref())),
            ),
            doomed: Mutex::default(),
            foreign: Foreign::new(options.terms.emulators.clone()),
            searched: Mutex::default(),
            conduct: Mutex::default(),
            gate,
            held: OnceLock::new(),
            stacking: OnceLock::new(),
            checkouts: Mutex::default(),
            merged: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    pub(super) fn run(&self) -> Result<Built, Failure> {
        self.services.events.send(Event::PlanReady { steps: names(self.plan) });
        let built = std::thread::scope(|packers| {
            // Stages refer to earlier ones alone, and are taken in order: the earliest one under
            // way never waits for one that has not been taken, so there is no deadlock.
            let next = AtomicUsize::new(0);
            std::thread::scope(|workers| {
                for _ in 0..self.plan.stages.len().min(STAGES_AT_ONCE) {
                    workers.spawn(|| {
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some((stage, _)) = self.plan.stages.iter().nth(index) else {
                                break;
                            };
                            let keeper = Keeper::new(&self.stages[index]);
                            match self.stage(stage, packers) {
                                Ok(stack) => keeper.keep(stack),
                                Err(failure) => self.fail(failure),
                            }
                        }
                    });
                }
            });
            match self.stages[self.plan.target.index()].wait() {
                Ok(stack) => self.assemble(&stack),
                Err(stopped) => Err(stopped.into()),
            }
        });
        for tree in std::mem::take(&mut *self.doomed.lock().unwrap_or_else(PoisonError::into_inner))
        {
            let _ = self.services.store.remove_tree(&tree);
        }
        let first = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (first, built) {
            (Some(failure), _) | (None, Err(failure)) => Err(failure),
            (None, Ok(built)) => Ok(built),
        }
    }

    /// Notes a failure and stops everything. The first real one is what is told.
    pub(super) fn fail(&self, failure: Failure) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let real = |failure: &Failure| failure.cause != Cause::Interrupted;
        let keep = match first.as_ref() {
            None => true,
            Some(held) => real(&failure) && (!real(held) || failure.cause < held.cause),
        };
        if keep {
            if let Some(step) = failure.step {
                self.services.events.send(Event::StepFailed { step });
            }
            *first = Some(failure);
        }
        self.services.cancel.cancel();
    }

    /// Which ids own the files of trees, asked when the first tree is.
    pub(super) fn owners(&self) -> &Digest<Diff> {
        self.owners.get_or_init(|| {
            let maps = self.services.id_maps.clone().unwrap_or_else(crate::sys::id_maps);
            super::stack::owners(self.services.id_mode, &maps)
        })
    }

    /// How this host shows a stack of layers as one tree.
    pub(super) fn stacking(&self) -> Stacking {
        *self.stacking.get_or_init(self.services.stacking)
    }

    pub(super) fn cancel(&self) -> &Cancel {
        self.services.cancel
    }

    pub(super) fn wait(&self, stage: StageId) -> Result<Stack, Failure> {
        Ok(self.stages[stage.index()].wait()?)
    }

    fn stage<'scope>(
        &'scope self,
        id: StageId,
        packers: Packers<'scope, '_>,
    ) -> Result<Stack, Failure> {
        let stage = &self.plan.stages[id];
        let mut stack = match &stage.base {
            Base::Scratch | Base::Files(_) => Stack::new(),
            Base::Stage(below) => self.wait(*below)?,
            Base::Image(base) => self.base_stack(*base)?,
            Base::Unread { name } => {
                return Err(Failure::new(
                    Cause::Input,
                    "base-unread",
                    format!("the base `{name}` was not looked up"),
                ));
            }
        };
        for id in &stage.steps {
            if self.cancel().is_cancelled() {
                return Err(Failure::stopped());
            }
            let step = &self.plan.steps[*id];
            let cell = match &step.op {
                Op::Run(run) => self.run_step(*id, step, run, &stack, packers),
                Op::Copy(copy) => self.copy_step(*id, step, copy, &stack, packers),
                Op::Workdir(workdir) => self.workdir_step(*id, step, workdir, &stack, packers),
            }
            .map_err(|failure| failure.at(*id, step.span))?;
            stack.push(cell);
        }
        Ok(stack)
    }

    /// The place of a step, by which the last record is found when nothing matches.
    pub(super) fn slot(&self, id: StepId, step: &Step) -> String {
        let stage = &self.plan.stages[step.stage];
        let position = stage.steps.iter().position(|other| *other == id).unwrap_or(0);
        let name = stage.name.as_deref().unwrap_or("");
        format!("{}/{}/{name}/{position}", self.options.name, stage.index)
    }

    /// Looks for the step's result. `Ok(None)` is a miss, and was told. `files` is what is copied.
    pub(super) fn cached(
        &self,
        id: StepId,
        step: &Step,
        request: &mut Request,
        parents: &Stack,
        files: Option<&dyn Fn() -> Files>,
    ) -> Result<Option<Cell>, Failure> {
        let found = match self.may_be_known(step, request) {
            // Only now is it worth waiting for the digests of what came before.
            true => self.look_up(id, step, request, parents)?,
            false => Found::Nothing,
        };
        match found {
            Found::Cell(cell) => return Ok(Some(cell)),
            Found::Nothing => self.missed(id, step, request, files),
            Found::Unwatched(why) => {
                let events = self.services.events;
                events.send(Event::StepStarted { step: id });
                events.send(Event::StepMissed { step: id, why: why.to_owned() });
            }
        }
        Ok(None)
    }

    /// Looks for the step's result, waiting for those of the steps before. That it was found is told; a
    /// miss is not.
    pub(super) fn look_up(
        &self,
        id: StepId,
        step: &Step,
        request: &mut Request,
        parents: &Stack,
    ) -> Result<Found, Failure> {
        super::stack::add_parents(request, parents)?;
        let store = self.services.store;
        let Some(record) = store.record(request.key()) else { return Ok(Found::Nothing) };
        let Some(cell) = self.cell_of_record(id, &record) else { return Ok(Found::Nothing) };
        let is_run = matches!(step.op, Op::Run(_));
        if is_run && self.must_watch(cell.done()?.diff, request) {
            return Ok(Found::Unwatched(match self.options.terms.audit_again {
                true => "nobody watched it when it ran",
                false => "--verify",
            }));
        }
        let _ = store.touch_record(&record);
        self.services.events.send(Event::StepCached { step: id });
        if is_run {
            self.remember(id, cell.done()?.diff, request)?;
        }
        Ok(Found::Cell(cell))
    }

    /// Tells that a step begins, and why no record of it does.
    pub(super) fn missed(
        &self,
        id: StepId,
        step: &Step,
        request: &Request,
        files: Option<&dyn Fn() -> Files>,
    ) {
        let events = self.services.events;
        events.send(Event::StepStarted { step: id });
        let why = match self.without_cache(step) {
            Some(flag) => flag.to_owned(),
            None => {
                let last = self.services.store.last_of(&self.slot(id, step));
                self.why(request, last.as_ref(), files)
            }
        };
        events.send(Event::StepMissed { step: id, why });
    }

    /// Tells whether the store may have a record of a step: it has one of the same operation, and is to
    /// be asked.
    pub(super) fn may_be_known(&self, step: &Step, request: &Request) -> bool {
        let store = self.services.store;
        self.without_cache(step).is_none() && store.has_records_of(request.operation_digest())
    }

    /// The flag by which no records of a step are read.
    pub(super) fn without_cache(&self, step: &Step) -> Option<&'static str> {
        let stage = &self.plan.stages[step.stage];
        if self.options.no_cache {
            Some("--no-cache")
        } else if self.options.no_cache_stages.contains(&stage.index) {
            Some("--no-cache-filter")
        } else {
            None
        }
    }

    pub(super) fn why(
        &self,
        request: &Request,
        last: Option<&CacheRecord>,
        files: Option<&dyn Fn() -> Files>,
    ) -> String {
        let then = last.and_then(|record| self.copied_files(record));
        let both = then.zip(files.map(|list| list()));
        request.why_missed(last, both.as_ref().map(|(then, now)| (then, now)))
    }

    /// Tells that a step is done.
    pub(super) fn done(&self, step: StepId, since: Instant) {
        self.services.events.send(Event::StepDone { step, took: since.elapsed() });
    }
}

/// One layer is one already.
fn squashes(plan: &Plan, asked: bool) -> bool {
    let own: usize = plan.chain(plan.target).iter().map(|id| plan.stages[*id].steps.len()).sum();
    asked && own > 1
}

/// What each step's layer is needed for.
fn needs(plan: &Plan, squash: bool) -> Vec<Needs> {
    let squash = squashes(plan, squash);
    let mut needs = vec![Needs::default(); plan.steps.len()];
    let mut looked_at = vec![false; plan.stages.len()];
    for (_, step) in plan.steps.iter() {
        for stage in super::run::stages_read(&step.op) {
            looked_at[stage.index()] = true;
        }
    }
    // From the last stage to the first: what a stage needs, the one that it stands on needs too.
    let ids: Vec<StageId> = plan.stages.iter().map(|(id, _)| id).collect();
    let shipped = plan.chain(plan.target);
    let mut needed_from_above = vec![false; plan.stages.len()];
    for id in ids.iter().rev() {
        let stage = &plan.stages[*id];
        let ships = shipped.contains(id);
        let mut tree = looked_at[id.index()] || needed_from_above[id.index()];
        for step in stage.steps.iter().rev() {
            needs[step.index()] = Needs { pack: ships && !squash, tree: tree || (ships && squash) };
            // COPY looks at the tree below it for links and owners on the way to its destination.
            tree = true;
        }
        if let Base::Stage(below) = stage.base {
            needed_from_above[below.index()] |= tree;
        }
    }
    needs
}

pub(super) fn names(plan: &Plan) -> Vec<StepName> {
    plan.steps
        .iter()
        .map(|(id, step)| {
            let stage = &plan.stages[step.stage];
            let position = stage.steps.iter().position(|other| *other == id).unwrap_or(0) + 1;
            let name = stage.name.clone().unwrap_or_else(|| format!("stage-{}", stage.index));
            StepName {
                step: id,
                position: format!("{name} {position}/{}", stage.steps.len()),
                title: step.title.clone(),
            }
        })
        .collect()
}
