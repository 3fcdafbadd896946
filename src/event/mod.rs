//! What is happening, as data; and the flag that makes it end. Library code sends and never prints; one receiver hands each event
//! to whoever shows it.

mod cancel;

use std::sync::Arc;
use std::time::Duration;

pub use cancel::Cancel;

use crate::base::{Masker, StepId};
use crate::diag::Diagnostic;

/// Which stream of a step a line came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One thing that happened. The JSON form of progress is made from this.
#[derive(Clone, Debug)]
pub enum Event {
    /// The plan stands: what will be run, in order of the plan.
    PlanReady {
        /// The steps, with the names that later events use.
        steps: Vec<StepName>,
    },
    /// A step starts to run.
    StepStarted {
        /// Which.
        step: StepId,
    },
    /// A step's result was in the store.
    StepCached {
        /// Which.
        step: StepId,
    },
    /// A step's result was not in the store.
    StepMissed {
        /// Which.
        step: StepId,
        /// Why, in words: `changed: src/app.py (+2 more)`.
        why: String,
    },
    /// A step's programs are of another architecture, and are run by an emulator.
    StepEmulated {
        /// Which.
        step: StepId,
        /// What is run where: `linux/arm64 on linux/amd64`.
        what: String,
        /// The emulator; `None` where the host has a handler of its own.
        by: Option<String>,
    },
    /// What a step did was noted (`--audit`); the whole is with the build's result.
    StepAudited {
        /// Which.
        step: StepId,
        /// Programs that ran.
        programs: usize,
        /// Connections that were asked for.
        connections: usize,
        /// Why nothing was noted, if so.
        skipped: Option<String>,
    },
    /// A step wrote a line (without its newline), secrets masked.
    StepOutput {
        /// Which.
        step: StepId,
        /// Where to.
        stream: Stream,
        /// The bytes.
        line: Vec<u8>,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: StepId,
        /// How long it took.
        took: Duration,
    },
    /// A step failed; the error follows as the build's result.
    StepFailed {
        /// Which.
        step: StepId,
    },
    /// Something came over the network, or was there already.
    Transfer {
        /// What: `docker.io/library/debian:12 layer sha256:ab…`.
        what: String,
        /// Size in bytes.
        bytes: u64,
        /// How long it took; `None` when it was there already.
        took: Option<Duration>,
    },
    /// Something went to a registry, or was there already.
    Pushed {
        /// What: `registry.example/team/app sha256:ab…`.
        what: String,
        /// Size in bytes.
        bytes: u64,
        /// How long it took; `None` when nothing had to be sent.
        took: Option<Duration>,
    },
    /// Something to tell that does not stop the build.
    Finding(Box<Diagnostic>),
    /// A short remark: a retry, a wait for a lock.
    Note(String),
    /// A layer was packed.
    LayerPacked {
        /// The step that made it.
        step: StepId,
        /// Bytes of the tar.
        size: u64,
        /// Bytes of the blob.
        packed: u64,
    },
    /// An output is in place.
    Exported {
        /// Where: `oci layout ./image.oci`.
        what: String,
    },
}

/// The names of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepName {
    /// The step.
    pub step: StepId,
    /// `build 2/5`: stage, and position in it.
    pub position: String,
    /// The instruction, on one line, cut to a screen's width.
    pub title: String,
}

type Receiver = dyn Fn(Event) + Send + Sync;

/// Sends events; cheap to clone. Masks secrets before anybody sees them.
#[derive(Clone)]
pub struct Events {
    to: Arc<Receiver>,
    masker: Masker,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Events {
    /// Sends to `receiver`, which is called on the sending thread and must not block for long.
    pub fn new(masker: Masker, receiver: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Events { to: Arc::new(receiver), masker }
    }

    /// Drops everything: for tests and for callers that want the result alone.
    pub fn silent() -> Self {
        Self::new(Masker::new(), |_| {})
    }

    /// The list of what is hidden.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// Sends one event.
    pub fn send(&self, mut event: Event) {
        if !self.masker.is_empty() {
            match &mut event {
                Event::StepOutput { line, .. } => *line = self.masker.mask(line),
                Event::StepMissed { why, .. } => *why = self.masker.mask_text(why),
                Event::Note(text)
                | Event::Exported { what: text }
                | Event::Transfer { what: text, .. }
                | Event::Pushed { what: text, .. } => {
                    *text = self.masker.mask_text(text);
                }
                Event::Finding(diagnostic) => {
                    diagnostic.message = self.masker.mask_text(&diagnostic.message)
                }
                Event::PlanReady { steps } => {
                    for step in steps {
                        step.title = self.masker.mask_text(&step.title);
                    }
                }
                Event::StepStarted { .. }
                | Event::StepCached { .. }
                | Event::StepEmulated { .. }
                | Event::StepAudited { .. }
                | Event::StepDone { .. }
                | Event::StepFailed { .. }
                | Event::LayerPacked { .. } => {}
            }
        }
        (self.to)(event);
    }

    /// Sends a short remark.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Event::Note(text.into()));
    }
}
