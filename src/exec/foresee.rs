//! What a build would find in the store: the key of each step, and whether there is a result.
//! Nothing runs, and nothing is fetched by whoever hands in services without a network.

use super::copied::Files;
use super::copy::files_of;
use super::key::{CONTENT, Request};
use super::promise::Keeper;
use super::run::stages_read;
use super::stack::{Cell, Stack};
use super::stage::Execution;
use super::{Failure, Options, Services};
use crate::base::{Cache, Digest, StepId};
use crate::plan::{Base, Op, Plan, Step};
use crate::store::Marks;

/// What is known of a step that has not run.
#[derive(Clone, Debug)]
pub enum Foreseen {
    /// Its result is there.
    Hit(Digest<Cache>),
    /// It would run; and why.
    Miss(Digest<Cache>, String),
    /// Its key depends on what is not known yet; and on what.
    Unknown(String),
}

/// Looks for each step of a plan, in the order of its stages. Keys follow results: what comes after
/// a step that would run has none yet.
pub fn foresee(plan: &Plan, options: &Options, services: &Services<'_>) -> Vec<(StepId, Foreseen)> {
    let execution = Execution::new(plan, options, services, None);
    let mut found = Vec::new();
    let mut known: Vec<Option<Stack>> = Vec::new();
    for (id, stage) in plan.stages.iter() {
        let keeper = Keeper::new(&execution.stages[id.index()]);
        let mut why = "the step before it would run".to_owned();
        let mut stack = match &stage.base {
            Base::Scratch | Base::Files(_) => Some(Stack::new()),
            Base::Stage(below) => known[below.index()].clone(),
            Base::Image(base) => execution.base_stack(*base).ok(),
            Base::Unread { name } => {
                why = format!("the base `{name}` was not looked up");
                None
            }
        };
        for id in &stage.steps {
            let step = &plan.steps[*id];
            let is_known = |stage: &crate::base::StageId| known[stage.index()].is_some();
            let foreseen = match &stack {
                None => Foreseen::Unknown(why.clone()),
                Some(_) if !stages_read(&step.op).iter().all(is_known) => {
                    Foreseen::Unknown("a stage that it reads would be built".to_owned())
                }
                Some(parents) => match execution.look(*id, step, parents) {
                    Ok((key, Ok(cell))) => {
                        stack.get_or_insert_default().push(cell);
                        Foreseen::Hit(key)
                    }
                    Ok((key, Err(why))) => Foreseen::Miss(key, why),
                    Err(failure) => Foreseen::Unknown(failure.diagnostic.message),
                },
            };
            if !matches!(foreseen, Foreseen::Hit(_)) {
                stack = None;
            }
            found.push((*id, foreseen));
        }
        if let Some(stack) = &stack {
            keeper.keep(stack.clone());
        }
        known.push(stack);
    }
    found
}

impl Execution<'_> {
    // The key of a step, and its result or why there is none.
    fn look(
        &self,
        id: StepId,
        step: &Step,
        parents: &Stack,
    ) -> Result<(Digest<Cache>, Result<Cell, String>), Failure> {
        let mut copied = None;
        let mut request: Request = match &step.op {
            Op::Run(run) => {
                let mut request = self.run_request(run, step, self.network(run, step));
                self.shown(run, &mut request)?;
                request
            }
            Op::Copy(copy) => {
                let mut request = self.copy_request(copy);
                let taken = self.take(copy, step.span)?;
                let (digest, read) = self.digest(&taken, &Marks::default())?;
                request.input(CONTENT, digest);
                copied = Some((taken, read));
                request
            }
            Op::Workdir(workdir) => self.workdir_request(workdir),
        };
        super::stack::add_parents(&mut request, parents)?;
        let store = self.services.store;
        if let Some(flag) = self.without_cache(step) {
            return Ok((request.key(), Err(flag.to_owned())));
        }
        let record = store.record(request.key());
        let cell = record.and_then(|record| self.cell_of_record(id, &record));
        let why = || {
            let last = store.last_of(&self.slot(id, step));
            let list = copied.as_ref().map(|(taken, read)| move || files_of(taken, read));
            self.why(&request, last.as_ref(), list.as_ref().map(|list| list as &dyn Fn() -> Files))
        };
        Ok((request.key(), cell.ok_or_else(why)))
    }
}
