//! An image whose steps are all in the store, without the powers that making one takes.

use std::collections::BTreeMap;

use super::execute::{Judged, Work, facts, judged, judged_image, known_table};
use crate::base::StepId;
use crate::exec::{self, Cause, Failure};
use crate::facts::Conduct;
use crate::policy::is_plain;

/// Does what [`super::execute`] does up to the outputs, if nothing has to be made, brought or read for
/// it: by a process with one thread and no powers. `None` in any other case, also where the policy
/// refuses: then the build is done as any other, and that tells.
pub fn recall(work: &Work<'_>) -> Option<Judged> {
    let suffers = |step: StepId, conduct: &Conduct| {
        is_plain(conduct, work.policy) || {
            let one = BTreeMap::from([(step, conduct.clone())]);
            !judged(work, &one).verdict(work.policy.fail_on).refused
        }
    };
    let built = exec::recall(&work.prepared.plan, work.options, work.services, &suffers)?;
    let unknown = || Failure::new(Cause::Internal, "unknown", "its files are not known");
    let facts = facts(work, &built, &|layer| known_table(work, layer).ok_or_else(unknown)).ok()?;
    let store = work.services.store;
    let mut of_base = built.layers.iter().filter(|layer| layer.step.is_none());
    let seen =
        of_base.all(|layer| store.is_form_of(layer.layer.descriptor.digest, layer.layer.diff));
    let report = judged_image(work, &built, &facts);
    (seen && !report.verdict(work.policy.fail_on).refused).then_some(Judged { built, report })
}
