//! The terms on which a command runs: how long, with how much, and how closely it is watched.

use std::time::{Duration, Instant};

/// What holds for a command beside what it sees.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// It is stopped when it has run for so long.
    pub time: Option<Duration>,
    /// It is stopped when it has written nothing for so long.
    pub silence: Option<Duration>,
    /// How much it may use.
    pub resources: Resources,
    /// What it does is noted: programs and connections. Nothing in it can use ptrace(2) then.
    pub audit: bool,
    /// How long processes may outlive the command before an audit tells of them.
    pub grace: Duration,
}

/// How much a command, with all that it starts, may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads at once.
    pub pids: Option<u64>,
    /// Processors, in thousandths.
    pub cpus: Option<u64>,
}

impl Resources {
    /// Tells whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Resources::default()
    }
}

/// Which of the times was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expired {
    /// [`Terms::time`].
    Time,
    /// [`Terms::silence`].
    Silence,
}

/// Watches the time of one command.
pub(super) struct Clock<'a> {
    terms: &'a Terms,
    began: Instant,
    heard: Instant,
}

impl<'a> Clock<'a> {
    pub(super) fn start(terms: &'a Terms) -> Self {
        let now = Instant::now();
        Clock { terms, began: now, heard: now }
    }

    /// The command wrote something.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Tells whether a time is over.
    pub(super) fn expired(&self) -> Option<Expired> {
        let over = |limit: Option<Duration>, since: Instant| {
            limit.is_some_and(|limit| since.elapsed() >= limit)
        };
        if over(self.terms.time, self.began) {
            return Some(Expired::Time);
        }
        over(self.terms.silence, self.heard).then_some(Expired::Silence)
    }
}
