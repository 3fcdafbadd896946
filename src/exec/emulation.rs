//! RUN steps of other architectures: an emulator, where one is needed, before the step begins.

use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::{Platform, StepId};
use crate::event::Event;
use crate::plan::Step;
use crate::sandbox::{ForeignError, Runs};

impl Execution<'_> {
    /// Makes sure that the step's programs can be run here. Says so when they are emulated, and
    /// returns the words for it.
    pub(super) fn emulation(&self, id: StepId, step: &Step) -> Result<Option<String>, Failure> {
        let platform = &self.plan.stages[step.stage].platform;
        let Runs::Emulated(emulator) = self.foreign.prepare(platform)? else { return Ok(None) };
        let what = format!("{platform} on {}", Platform::host());
        let by = emulator.map(|path| path.display().to_string());
        self.services.events.send(Event::StepEmulated { step: id, what: what.clone(), by });
        Ok(Some(what))
    }
}

impl From<ForeignError> for Failure {
    fn from(error: ForeignError) -> Self {
        Failure::new(Cause::Sandbox, "foreign-architecture", error.to_string()).help(error.help())
    }
}
