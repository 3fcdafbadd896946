//! Starts a step and stays with it until it is gone.

use std::path::Path;

use super::{Cancel, Spec};
use crate::base::Masker;
use crate::event::Stream;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// By itself, with a status; 0 is success.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Because of [`Cancel`].
    Cancelled,
}

/// Why a command could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the sandbox could not be set up.
    #[error("{doing}: {cause}")]
    Setup {
        /// The operation: ``mount `/proc` ``.
        doing: String,
        /// Why not.
        cause: String,
    },
    /// The program could not be started.
    #[error("cannot execute `{program}`: {cause}")]
    Exec {
        /// As written.
        program: String,
        /// `no such file or directory`, …
        cause: String,
    },
    /// The step vanished without telling how.
    #[error("the step's first process was lost: {0}")]
    Lost(String),
}

/// Runs `spec` to its end. `program` is this program's own file; `output` is called with each line
/// (without its newline, masked, at most 64 KiB at a time) on the calling thread.
///
/// When it returns, every process that the step started is dead, and the mount points made for the
/// step are gone from [`Spec::upper`] unless the step changed them.
pub fn run(
    spec: &Spec,
    program: &Path,
    masker: &Masker,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Outcome, Error> {
    let _ = (spec, program, masker, cancel, output);
    Err(Error::Lost("not built yet".into()))
}

/// The entry of `rbuild __sandbox`: becomes the step described on standard input.
pub fn sandbox_main() -> ! {
    std::process::abort()
}
