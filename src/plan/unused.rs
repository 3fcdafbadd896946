//! Build arguments that nothing asks for.

use std::collections::BTreeSet;

use super::{Request, Stage, state};
use crate::base::{Arena, StageMark};
use crate::diag::{Code, Diagnostic, nearest};
use crate::instruction::Instruction;

// Known without an ARG. BUILDKIT_… are not listed one by one.
// https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
const PREDEFINED: &[&str] = &[
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
    "SOURCE_DATE_EPOCH",
];

// A `--build-arg` that no ARG declares has no effect: most likely a typing mistake. Triggers count,
// those that are stored and those of bases.
pub(super) fn unused(
    instructions: &[Instruction],
    stages: &Arena<StageMark, Stage>,
    request: &Request,
) -> Vec<Diagnostic> {
    let mut declared: BTreeSet<&str> = BTreeSet::new();
    let triggers = stages.iter().flat_map(|(_, stage)| &stage.triggers);
    for instruction in instructions.iter().chain(triggers) {
        let instruction = match instruction {
            Instruction::Onbuild(onbuild) => &onbuild.trigger,
            other => other,
        };
        if let Instruction::Arg(arg) = instruction {
            declared.extend(arg.args.iter().map(|arg| arg.name.raw.as_str()));
        }
    }
    let known = |name: &str| {
        declared.contains(name)
            || PREDEFINED.contains(&name)
            || name.starts_with("BUILDKIT_")
            || state::is_proxy(name)
    };
    let unknown = request.build_args.keys().filter(|name| !known(name));
    unknown
        .map(|name| {
            let message = format!("build argument `{name}` is not declared by any ARG");
            let warning = Diagnostic::warning(Code("build-arg-unused"), message);
            match nearest(name, declared.iter().copied()) {
                Some(near) => warning.help(format!("did you mean `{near}`?")),
                None => warning.help(format!("declare it with `ARG {name}` where it is used")),
            }
        })
        .collect()
}
