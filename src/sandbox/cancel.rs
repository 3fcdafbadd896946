//! A flag that stops what is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks running steps to end: SIGTERM at once, SIGKILL ten seconds later. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Starts as not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, for ever. May be called from any thread, and from a signal handler.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Tells whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
