//! A flag that stops what is running.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asks what is running to end: a step gets SIGTERM at once and SIGKILL ten seconds later, transfers
/// break off. Clones share the flag.
#[derive(Clone, Default)]
pub struct Cancel(Arc<State>);

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    hooks: Mutex<Vec<Hook>>,
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancel({})", self.is_cancelled())
    }
}

impl Cancel {
    /// Starts as not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels, for ever. May be called from any thread, but not from a signal handler.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let hooks =
            std::mem::take(&mut *self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner));
        hooks.into_iter().for_each(|hook| hook());
    }

    /// Tells whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Calls `hook` when somebody cancels, on that thread; at once if that has happened.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) {
        let mut hooks = self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cancelled() {
            drop(hooks);
            hook();
        } else {
            hooks.push(Box::new(hook));
        }
    }

    /// Waits; less when somebody cancels.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_called_once_and_pauses_end() {
        let (cancel, calls) = (Cancel::new(), Arc::new(Mutex::new(0)));
        let count = |calls: &Arc<Mutex<i32>>| {
            let calls = Arc::clone(calls);
            move || *calls.lock().unwrap() += 1
        };
        cancel.on_cancel(count(&calls));
        assert_eq!(*calls.lock().unwrap(), 0);
        let other = cancel.clone();
        let since = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.cancel();
            other.cancel();
        });
        cancel.pause(Duration::from_secs(60));
        thread.join().unwrap();
        assert!(cancel.is_cancelled() && since.elapsed() < Duration::from_secs(30));
        cancel.on_cancel(count(&calls));
        assert_eq!(*calls.lock().unwrap(), 2);
    }
}
