//! A build that finds every step in the store: carried out on this thread alone, without a tree, and
//! so by a process that has neither a namespace nor powers in it.
//!
//! Whatever is not known here at once ends it with nothing said and nothing made: a step to run, a layer
//! that is not packed as it ships, files to read, trees to look into, secrets to search for. Then the
//! build is done as any other. What it finds is what that would find, in the same order: the keys, the
//! records, the events.

use super::copy::Taken;
use super::key::{CONTENT, Request};
use super::stack::{Cell, Stack};
use super::stage::{Execution, Found, names};
use super::{Built, Options, Services};
use crate::base::StepId;
use crate::event::Event;
use crate::facts::Conduct;
use crate::input::{self, Context, Pick};
use crate::plan::{Base, Copy, From, MountKind, Op, Plan, Run, Source, Step};
use crate::store::Marks;

/// How many files and folders of contexts are looked at here. More take a walk with several threads.
const MOST_FILES: usize = 1000;

/// Carries out a plan, if all of it is known; see [`super::run_judged`]. To be called with services
/// whose registry has no network. Starts no thread.
pub fn recall(
    plan: &Plan,
    options: &Options,
    services: &Services<'_>,
    suffers: &(dyn Fn(StepId, &Conduct) -> bool + Sync),
) -> Option<Built> {
    options.grants.check(plan).ok()?;
    let execution = Execution::new(plan, options, services, Some(suffers));
    // Layers that secrets are searched for, or that become one, are read.
    if execution.squash || !options.secrets.is_empty() {
        return None;
    }
    execution.recall()
}

impl Execution<'_> {
    fn recall(&self) -> Option<Built> {
        self.services.events.send(Event::PlanReady { steps: names(self.plan) });
        let mut room = MOST_FILES;
        let mut stacks: Vec<Stack> = Vec::new();
        for (id, stage) in self.plan.stages.iter() {
            let mut stack = match &stage.base {
                Base::Scratch | Base::Files(_) => Stack::new(),
                Base::Stage(below) => stacks.get(below.index())?.clone(),
                Base::Image(base) => self.base_stack(*base).ok()?,
                Base::Unread { .. } => return None,
            };
            for id in &stage.steps {
                let cell = self.recall_step(*id, &self.plan.steps[*id], &stack, &mut room)?;
                stack.push(cell);
            }
            // Later stages ask for it, and need not wait: they refer to earlier ones alone.
            self.stages[id.index()].settle(Ok(stack.clone()));
            stacks.push(stack);
        }
        let stack = stacks.get(self.plan.target.index())?;
        self.ships_at_once(stack).then(|| self.assemble(stack).ok()).flatten()
    }

    fn recall_step(
        &self,
        id: StepId,
        step: &Step,
        parents: &Stack,
        room: &mut usize,
    ) -> Option<Cell> {
        if self.without_cache(step).is_some() {
            return None;
        }
        let mut request = match &step.op {
            Op::Run(run) => {
                if !shows_layers_only(run) {
                    return None;
                }
                let mut request = self.run_request(run, step, self.network(run, step));
                self.shown(run, &mut request).ok()?;
                request
            }
            Op::Copy(copy) => self.recall_copy(copy, step, room)?,
            Op::Workdir(workdir) => self.workdir_request(workdir),
        };
        match self.look_up(id, step, &mut request, parents) {
            Ok(Found::Cell(cell)) => Some(cell),
            _ => None,
        }
    }

    /// The request of a COPY of files that are all known.
    fn recall_copy(&self, copy: &Copy, step: &Step, room: &mut usize) -> Option<Request> {
        let mut request = self.copy_request(copy);
        let context: Option<&Context> = match &copy.from {
            From::Context => self.services.context,
            From::Named(name) => self.services.named.get(name),
            From::Stage(_) | From::Image(_) => {
                request.input(CONTENT, self.remembered(&self.place_of(copy)?)?);
                return Some(request);
            }
            From::Scratch => return None,
        };
        // Before files are looked at for nothing.
        if !self.may_be_known(step, &request) {
            return None;
        }
        let store = self.services.store;
        // See `copy_step`: before any file is looked at.
        let seen = store.stat_cache();
        let mut taken = Vec::new();
        for source in &copy.sources {
            taken.push(match source {
                Source::Path { path, .. } => {
                    let pick = Pick {
                        sources: vec![path.clone()],
                        exclude: copy.exclude.clone(),
                        parents: copy.parents,
                    };
                    let selection = input::select_known(context?, &pick, seen, room)?;
                    Taken::Selection(selection)
                }
                Source::Inline(file) => Taken::inline(file),
                Source::Url { .. } | Source::Git { .. } => return None,
            });
        }
        let (digest, _) = self.digest(&taken, &Marks::default()).ok()?;
        request.input(CONTENT, digest);
        Some(request)
    }

    /// Tells whether each layer of a stack is in the store as it ships.
    fn ships_at_once(&self, stack: &[Cell]) -> bool {
        let store = self.services.store;
        let mut bases = self.services.bases.values();
        stack.iter().all(|cell| cell.step().is_none() || cell.packed().is_some())
            && bases.all(|base| {
                base.image.layers.iter().all(|layer| store.has(layer.descriptor.digest))
            })
    }
}

/// Tells whether the mounts of a step show no files that would have to be read.
fn shows_layers_only(run: &Run) -> bool {
    run.mounts.iter().all(|mount| match &mount.kind {
        MountKind::Bind { from, .. } | MountKind::Cache { from: Some(from), .. } => {
            !matches!(from, From::Context | From::Named(_))
        }
        MountKind::Cache { from: None, .. }
        | MountKind::Tmpfs { .. }
        | MountKind::Secret { .. }
        | MountKind::Ssh { .. } => true,
    })
}
