//! What steps did, on its way from the sandbox to the facts: masked, kept with the layer, told.

use std::sync::PoisonError;

use super::Failure;
use super::stage::Execution;
use crate::base::{Diff, Digest, Masker, StepId};
use crate::event::Event;
use crate::facts::{Behaviour, Connected, Denied, Executed, Observed};
use crate::sandbox::{Deeds, Watched};

impl Execution<'_> {
    /// Notes and tells what a step did that has just run; `None` if nobody asked.
    pub(super) fn observe(&self, step: StepId, watched: Option<Watched>) {
        let Some(watched) = watched else { return };
        let masker = self.services.events.masker();
        let observed = match watched {
            Watched::Seen(deeds) => Observed::Watched(behaviour(&deeds, masker)),
            Watched::Unseen(cause) => Observed::Skipped(cause),
        };
        self.observed(step, observed);
    }

    /// Notes what is known of a step whose result was in the store.
    pub(super) fn recall(&self, step: StepId, diff: Digest<Diff>) {
        if !self.options.terms.audit {
            return;
        }
        let kept = self.services.store.facts(diff, Behaviour::KIND);
        self.observed(
            step,
            match kept.and_then(|bytes| Behaviour::from_bytes(&bytes)) {
                Some(behaviour) => Observed::Watched(behaviour),
                None => Observed::Skipped(
                    "its result was in the store, made by a build without --audit".to_owned(),
                ),
            },
        );
    }

    fn observed(&self, step: StepId, observed: Observed) {
        let (programs, connections, skipped) = match &observed {
            Observed::Watched(seen) => (seen.execs.len(), seen.connects.len(), None),
            Observed::Skipped(cause) => (0, 0, Some(cause.clone())),
        };
        self.services.events.send(Event::StepAudited { step, programs, connections, skipped });
        let mut all = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(step, observed);
    }

    /// Keeps what a step did with its layer, for builds that find that in the store.
    pub(super) fn keep_behaviour(&self, step: StepId, diff: Digest<Diff>) -> Result<(), Failure> {
        let all = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Observed::Watched(behaviour)) = all.get(&step) {
            self.services.store.put_facts(diff, Behaviour::KIND, &behaviour.to_bytes())?;
        }
        Ok(())
    }
}

fn behaviour(deeds: &Deeds, masker: &Masker) -> Behaviour {
    // Masked as it is: in readable text a secret that is no UTF-8 would not be known again.
    let text = |bytes: &[u8]| String::from_utf8_lossy(&masker.mask(bytes)).into_owned();
    Behaviour {
        execs: deeds
            .programs
            .iter()
            .map(|program| Executed {
                path: text(&program.path),
                argv: program.argv.iter().map(|word| text(word)).collect(),
                sha256: program.sha256.clone(),
                parent: program.parent,
                status: program.status,
            })
            .collect(),
        connects: deeds
            .connections
            .iter()
            .map(|(by, to)| Connected { addr: masker.mask_text(to), by: *by })
            .collect(),
        denied: deeds.denied.as_ref().map(|denied| {
            denied
                .iter()
                .map(|((by, call), count)| Denied { syscall: call.clone(), by: *by, count: *count })
                .collect()
        }),
        untold: deeds.untold,
    }
}
