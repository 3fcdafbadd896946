//! The exit codes: one list for every command.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface (`docs/exit-codes.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done; no finding at or above `--fail-on`.
    Success = 0,
    /// Refused by policy: nothing was exported.
    Refused = 1,
    /// Wrong use: a flag, a missing file, an unreadable policy.
    Usage = 2,
    /// The Dockerfile cannot be parsed.
    Parse = 3,
    /// A step failed.
    Step = 4,
    /// A registry, the network, or a base.
    Network = 5,
    /// A digest or signature does not match: somebody changed bytes.
    Tampered = 6,
    /// This host cannot sandbox a step.
    Sandbox = 7,
    /// A bug of ours, or the store's disk.
    Internal = 70,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
