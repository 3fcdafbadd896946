//! Shows events: plain lines for people and logs, JSON lines for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rbuild::base::StepId;
use rbuild::diag::{Severity, Sources, render};
use rbuild::event::{Event, StepName, Stream};
use serde_json::json;

/// A way to show progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// One line per event.
    Plain,
    /// One JSON object per line.
    Json,
    /// Warnings and findings only.
    Quiet,
    /// Nothing.
    None,
}

impl Format {
    /// Parses the value of `--progress`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" | "plain" => Ok(Format::Plain),
            "json" | "rawjson" => Ok(Format::Json),
            "quiet" => Ok(Format::Quiet),
            "none" => Ok(Format::None),
            other => Err(format!(
                "unknown progress format `{other}`; there are auto, plain, json, quiet, none"
            )),
        }
    }
}

/// Writes events to stderr as they come, each whole; safe to call from any thread.
pub(crate) struct Progress {
    format: Format,
    colour: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<StepId, StepName>,
    tails: BTreeMap<StepId, Vec<String>>,
    cached: usize,
    run: usize,
    emulated: Emulated,
}

/// Steps whose programs an emulator runs.
#[derive(Default)]
struct Emulated {
    steps: BTreeSet<StepId>,
    done: usize,
    took: Duration,
}

/// How many lines of a failed step's output are shown again.
const TAIL: usize = 40;

impl Progress {
    /// Makes one that writes in this format.
    pub(crate) fn new(format: Format, colour: bool) -> Self {
        Progress { format, colour, state: Mutex::default() }
    }

    /// Shows one event.
    pub(crate) fn show(&self, event: &Event, sources: &Sources) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.note(event);
        let text = match self.format {
            Format::None => None,
            Format::Json => Some(json_line(event, &state, sources)),
            Format::Quiet => match event {
                Event::Finding(finding) if finding.severity > Severity::Note => {
                    Some(render(finding, sources, self.colour))
                }
                _ => None,
            },
            Format::Plain => plain(event, &state, sources, self.colour),
        };
        if let Some(mut text) = text {
            text.push('\n');
            // A closed stderr must not end a build.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// The last lines that a step wrote, oldest first.
    pub(crate) fn tail(&self, step: StepId) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tails.get(&step).cloned().unwrap_or_default()
    }

    /// Steps found in the cache, and steps run.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.cached, state.run)
    }

    /// How many emulated steps there were, and how long they took together.
    pub(crate) fn emulated(&self) -> (usize, Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.emulated.done, state.emulated.took)
    }
}

impl State {
    fn note(&mut self, event: &Event) {
        match event {
            Event::PlanReady { steps } => {
                self.names = steps.iter().map(|name| (name.step, name.clone())).collect();
            }
            Event::StepCached { .. } => self.cached += 1,
            Event::StepEmulated { step, .. } => {
                self.emulated.steps.insert(*step);
            }
            Event::StepDone { step, took } => {
                self.run += 1;
                if self.emulated.steps.contains(step) {
                    self.emulated.done += 1;
                    self.emulated.took += *took;
                }
            }
            Event::StepOutput { step, line, .. } => {
                let tail = self.tails.entry(*step).or_default();
                if tail.len() == TAIL {
                    tail.remove(0);
                }
                tail.push(printable(line));
            }
            _ => {}
        }
    }

    fn position(&self, step: StepId) -> &str {
        self.names.get(&step).map_or("?", |name| name.position.as_str())
    }
}

fn plain(event: &Event, state: &State, sources: &Sources, colour: bool) -> Option<String> {
    Some(match event {
        Event::PlanReady { .. } | Event::StepFailed { .. } => return None,
        Event::StepStarted { step } => {
            let title = state.names.get(step).map_or("", |name| name.title.as_str());
            format!("[{}] {title}", state.position(*step))
        }
        Event::StepCached { step } => {
            let title = state.names.get(step).map_or("", |name| name.title.as_str());
            format!("[{}] CACHED {title}", state.position(*step))
        }
        Event::StepMissed { step, why } => format!("[{}] miss: {why}", state.position(*step)),
        Event::StepEmulated { step, what, by } => {
            let by = by.as_deref().unwrap_or("a handler of this host");
            format!("[{}] emulated: {what}, by {by}", state.position(*step))
        }
        Event::StepAudited { step, programs, connections, skipped: None } => {
            let at = state.position(*step);
            format!("[{at}] audit: {programs} programs, {connections} connections")
        }
        Event::StepAudited { step, skipped: Some(why), .. } => {
            format!("[{}] audit: skipped: {why}", state.position(*step))
        }
        Event::StepOutput { step, line, .. } => {
            format!("[{}] | {}", state.position(*step), printable(line))
        }
        Event::StepDone { step, took } => {
            format!("[{}] done in {:.2} s", state.position(*step), took.as_secs_f64())
        }
        Event::Transfer { what, took: Some(took), bytes } => {
            format!("pulled {what}: {} in {:.1} s", size(*bytes), took.as_secs_f64())
        }
        Event::Transfer { what, took: None, bytes } => {
            format!("already there: {what} ({})", size(*bytes))
        }
        Event::Pushed { what, took: Some(took), bytes } => {
            format!("pushed {what}: {} in {:.1} s", size(*bytes), took.as_secs_f64())
        }
        Event::Pushed { what, took: None, bytes } => {
            format!("not sent, already there: {what} ({})", size(*bytes))
        }
        Event::Finding(finding) => render(finding, sources, colour),
        Event::Note(text) => format!("note: {text}"),
        Event::LayerPacked { step, size: full, packed } => {
            format!(
                "[{}] layer: {} packed into {}",
                state.position(*step),
                size(*full),
                size(*packed)
            )
        }
        Event::Exported { what } => format!("written: {what}"),
    })
}

fn json_line(event: &Event, state: &State, sources: &Sources) -> String {
    let at = |step: &StepId| state.position(*step).to_owned();
    let value = match event {
        Event::PlanReady { steps } => json!({"kind": "plan", "steps": steps.iter()
            .map(|name| json!({"step": name.position, "title": name.title})).collect::<Vec<_>>()}),
        Event::StepStarted { step } => json!({"kind": "step_started", "step": at(step)}),
        Event::StepCached { step } => json!({"kind": "step_cached", "step": at(step)}),
        Event::StepMissed { step, why } => {
            json!({"kind": "step_missed", "step": at(step), "why": why})
        }
        Event::StepEmulated { step, what, by } => {
            json!({"kind": "step_emulated", "step": at(step), "what": what, "by": by})
        }
        Event::StepAudited { step, programs, connections, skipped } => {
            json!({"kind": "step_audited", "step": at(step), "execs": programs,
                   "connects": connections, "skipped": skipped})
        }
        Event::StepOutput { step, stream, line } => {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            json!({"kind": "step_output", "step": at(step), "stream": stream,
                   "line": String::from_utf8_lossy(line)})
        }
        Event::StepDone { step, took } => {
            json!({"kind": "step_done", "step": at(step), "seconds": took.as_secs_f64()})
        }
        Event::StepFailed { step } => json!({"kind": "step_failed", "step": at(step)}),
        Event::Pushed { what, bytes, took } => {
            json!({"kind": "pushed", "what": what, "bytes": bytes,
            "seconds": took.map(|took| took.as_secs_f64())})
        }
        Event::Transfer { what, bytes, took } => {
            json!({"kind": "transfer", "what": what, "bytes": bytes,
            "seconds": took.map(|took| took.as_secs_f64())})
        }
        Event::Finding(finding) => json!({"kind": "finding", "code": finding.code.0,
            "severity": finding.severity, "message": finding.message,
            "place": finding.span.map(|span| sources.place(span)), "help": finding.help}),
        Event::Note(text) => json!({"kind": "note", "text": text}),
        Event::LayerPacked { step, size, packed } => {
            json!({"kind": "layer", "step": at(step), "size": size, "packed": packed})
        }
        Event::Exported { what } => json!({"kind": "exported", "what": what}),
    };
    value.to_string()
}

// A step's output is shown with its colours, but without what moves the cursor, sets the title or
// clears the screen: a log that is read later must show what was printed.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.peek() == Some(&'[') => {
                let mut sequence = String::from("\x1b[");
                chars.next();
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == ';') {
                    sequence.push(c);
                }
                if chars.next_if(|c| *c == 'm').is_some() {
                    out.push_str(&sequence);
                    out.push('m');
                } else {
                    chars.next();
                }
            }
            '\r' if chars.peek().is_none() => {}
            '\r' => out.push(' '),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Writes bytes for people: `28.4 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_cursor_movements_do_not() {
        for (line, want) in [
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[2J\x1b[Hgone", "gone"),
            ("10%\r20%\r", "10% 20%"),
            ("\x07bell\x08", "bell"),
        ] {
            assert_eq!(printable(line.as_bytes()), want);
        }
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(28_400_000), "28.4 MB");
    }
}
