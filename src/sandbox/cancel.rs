//! A flag that stops what is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Asks running steps to end: SIGTERM at once, SIGKILL ten seconds later. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    steps: AtomicUsize,
}

/// A step that runs; until dropped.
pub(super) struct Running(Cancel);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.steps.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cancel {
    /// Starts as not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, for ever. May be called from any thread, and from a signal handler.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
    }

    /// Tells whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Tells whether a step runs: one that was asked to end has not ended yet.
    pub fn has_steps(&self) -> bool {
        self.0.steps.load(Ordering::SeqCst) > 0
    }

    pub(super) fn step(&self) -> Running {
        self.0.steps.fetch_add(1, Ordering::SeqCst);
        Running(self.clone())
    }
}
