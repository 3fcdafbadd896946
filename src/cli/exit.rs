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

impl Exit {
    /// The code of two that apply: 6 before 1 before the rest; of the rest, what came first.
    pub(crate) fn and(self, other: Exit) -> Exit {
        let rank = |exit| match exit {
            Exit::Tampered => 3,
            Exit::Refused => 2,
            Exit::Success => 0,
            _ => 1,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{self, Network, Parse, Refused, Success, Tampered, Usage};

    #[test]
    fn of_several_codes_the_worst_is_told() {
        let check = |all: &[Exit], want| {
            assert_eq!(all.iter().fold(Success, |exit, next| exit.and(*next)), want, "{all:?}");
        };
        check(&[], Success);
        check(&[Success, Network, Success, Usage], Network);
        check(&[Usage, Refused, Parse], Refused);
        check(&[Refused, Network], Refused);
        check(&[Refused, Tampered, Network], Tampered);
        check(&[Tampered, Refused], Tampered);
    }
}
