//! What a build hears and says while it runs: signals, events, the texts that events point into.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rbuild::base::Masker;
use rbuild::diag::Sources;
use rbuild::event::{Cancel, Event, Events};
use rbuild::sys;

use super::super::exit::Exit;
use super::super::progress::{Format, Progress};
use super::super::shared::Stop;
use super::colour;

/// The signals that end a build.
pub(super) struct Signals {
    pub(super) cancel: Cancel,
    came: Arc<AtomicI32>,
}

impl Signals {
    pub(super) fn new() -> Self {
        Signals { cancel: Cancel::new(), came: Arc::default() }
    }

    /// From now on they cancel the build, instead of killing the process. Starts a thread.
    pub(super) fn watch(&self) -> Result<(), Stop> {
        let (cancel, came) = (self.cancel.clone(), Arc::clone(&self.came));
        let act = move |signal| {
            came.store(signal, Ordering::SeqCst);
            cancel.cancel();
        };
        sys::on_interrupt(act).map_err(|error| Stop {
            exit: Exit::Internal,
            text: format!("cannot watch signals: {error}"),
            help: None,
        })
    }

    /// The exit code, if one came: whatever else went wrong then, it went wrong because of that.
    pub(super) fn interrupted(&self) -> Option<Exit> {
        match self.came.load(Ordering::SeqCst) {
            0 => None,
            sys::TERMINATE => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }
}

/// Where events go: to who shows them, or first into a list.
pub(super) struct Stage {
    pub(super) events: Events,
    pub(super) progress: Arc<Progress>,
    pub(super) sources: Arc<RwLock<Sources>>,
    held: Arc<Mutex<Option<Vec<Event>>>>,
}

impl Stage {
    /// Shows events as they come.
    pub(super) fn open(format: Format, masker: Masker) -> Self {
        Stage::new(format, masker, None)
    }

    /// Holds events back.
    pub(super) fn holding(format: Format, masker: Masker) -> Self {
        Stage::new(format, masker, Some(Vec::new()))
    }

    fn new(format: Format, masker: Masker, held: Option<Vec<Event>>) -> Self {
        let sources: Arc<RwLock<Sources>> = Arc::default();
        let progress = Arc::new(Progress::new(format, colour()));
        let held = Arc::new(Mutex::new(held));
        let events = {
            let (progress, sources) = (Arc::clone(&progress), Arc::clone(&sources));
            let held = Arc::clone(&held);
            Events::new(masker, move |event| {
                if let Some(list) = &mut *lock(&held) {
                    list.push(event);
                    return;
                }
                let sources = sources.read().unwrap_or_else(PoisonError::into_inner);
                progress.show(&event, &sources);
            })
        };
        Stage { events, progress, sources, held }
    }

    /// The texts that events point into from now on.
    pub(super) fn point_into(&self, texts: Sources) {
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = texts;
    }

    /// Returns what has been held back since the last time.
    pub(super) fn take(&self) -> Vec<Event> {
        lock(&self.held).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Shows these events, then those that were held back, and from now on each as it comes.
    pub(super) fn release(&self, first: Vec<Event>) {
        let held = lock(&self.held).take().unwrap_or_default();
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        for event in first.into_iter().chain(held) {
            self.progress.show(&event, &sources);
        }
    }
}

fn lock(held: &Mutex<Option<Vec<Event>>>) -> MutexGuard<'_, Option<Vec<Event>>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
