//! `STOPSIGNAL`: the signal that stops a container.

use super::rest;
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word};

/// `STOPSIGNAL SIGTERM` or a number.
#[derive(Clone, Debug)]
pub struct Stopsignal {
    /// The signal; whether it exists is known after expansion ([`Stopsignal::known`]).
    pub signal: Word,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

// signal(7), Linux on x86 and ARM.
const NAMES: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

impl Stopsignal {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        Ok(Stopsignal { signal: rest(line)?, span: line.span, keyword: line.keyword.span })
    }

    /// Tells whether `text` names a signal: a number from 1 to 64, or a name with or without
    /// `SIG`, also `RTMIN+n` and `RTMAX-n`.
    pub fn known(text: &str) -> bool {
        if let Ok(number) = text.parse::<u8>() {
            return (1..=64).contains(&number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = |digits: &str| digits.parse::<u8>().is_ok_and(|n| (1..=15).contains(&n));
        NAMES.contains(&name)
            || name.strip_prefix("RTMIN+").is_some_and(real_time)
            || name.strip_prefix("RTMAX-").is_some_and(real_time)
    }
}
