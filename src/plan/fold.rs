//! (being built)

use super::{BaseLookup, Plan, Request};
use crate::diag::{Code, Diagnostic, Sources};
use crate::dockerfile::Dockerfile;
use crate::instruction::Instruction;

pub(super) fn plan(
    _file: &Dockerfile,
    _instructions: &[Instruction],
    _request: &Request,
    _bases: &dyn BaseLookup,
    _sources: &mut Sources,
) -> Result<Plan, Vec<Diagnostic>> {
    Err(vec![Diagnostic::error(Code("not-yet"), "not yet")])
}
