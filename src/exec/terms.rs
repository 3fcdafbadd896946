//! What holds for every RUN step of a build, whatever it does: its emulator, its time, its limits.

use std::time::Duration;

use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::{Platform, StepId};
use crate::event::Event;
use crate::plan::Step;
use crate::sandbox::{
    self, Emulators, Expired, ForeignError, Resources, Runs, Terms, Ulimit, can_limit,
};

/// What steps are run with and watched for.
#[derive(Debug, Default)]
pub struct StepTerms {
    /// Where emulators of other architectures are looked for.
    pub emulators: Emulators,
    /// A step is stopped when it has run for so long.
    pub time: Option<Duration>,
    /// A step is stopped when it has written nothing for so long.
    pub silence: Option<Duration>,
    /// What a step may use.
    pub resources: Resources,
    /// Certificates, in PEM form, of authorities that steps trust beside those of the image.
    pub authorities: Option<Vec<u8>>,
    /// What steps do is noted.
    pub audit: bool,
    /// A result of the store is no result if nobody watched how it was made.
    pub audit_again: bool,
    /// Each step runs twice, and what it writes is compared.
    pub verify: bool,
    /// How long processes may outlive a step before an audit tells of them.
    pub grace: Duration,
}

/// The resources of steps, as this host can limit them.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    resources: Resources,
    instead: Vec<Ulimit>,
}

impl Execution<'_> {
    /// Makes sure that the step's programs can be run here. Says so when they are emulated, and
    /// returns the words for it.
    pub(super) fn emulation(&self, id: StepId, step: &Step) -> Result<Option<String>, Failure> {
        let platform = &self.plan.stages[step.stage].platform;
        let Runs::Emulated(emulator) = self.foreign.prepare(platform)? else { return Ok(None) };
        let what = format!("{platform} on {}", Platform::host());
        let by = emulator.map(|path| path.display().to_string());
        self.services.events.send(Event::StepEmulated { step: id, what: what.clone(), by });
        Ok(Some(what))
    }

    /// The terms of a step.
    pub(super) fn terms(&self) -> Terms {
        let asked = &self.options.terms;
        Terms {
            time: asked.time,
            silence: asked.silence,
            resources: self.held().resources,
            audit: asked.audit,
            grace: asked.grace,
        }
    }

    /// The limits of each process of a step.
    pub(super) fn ulimits(&self) -> Vec<Ulimit> {
        let held = self.held();
        // What the user says is said last.
        [held.instead.as_slice(), &self.options.ulimits].concat()
    }

    // Found out at the first step; what cannot be had is told once.
    fn held(&self) -> &Held {
        self.held.get_or_init(|| {
            let resources = self.options.terms.resources;
            if resources.is_unlimited() {
                return Held::default();
            }
            let Err(why) = can_limit(&resources) else {
                return Held { resources, instead: Vec::new() };
            };
            let (instead, told) = instead(&resources);
            self.services.events.note(format!("--resource without a control group: {why}; {told}"));
            Held { resources: Resources::default(), instead }
        })
    }
}

/// Limits of single processes in the place of a group's, and what that means.
fn instead(resources: &Resources) -> (Vec<Ulimit>, String) {
    let mut limits = Vec::new();
    let mut told = Vec::new();
    let mut limit = |name: &str, value: u64| {
        limits.push(Ulimit { name: name.to_owned(), soft: Some(value), hard: Some(value) });
    };
    if let Some(bytes) = resources.memory {
        limit("data", bytes);
        told.push("memory is limited for each process, not for all together");
    }
    if let Some(count) = resources.pids {
        limit("nproc", count);
        told.push("pids counts all processes of the user, and does not bind root");
    }
    if resources.cpus.is_some() {
        told.push("cpu-quota is not kept");
    }
    (limits, told.join("; "))
}

/// A step that was stopped because its time was over. `last` is what it wrote last.
pub(super) fn expired(
    which: Expired,
    terms: &StepTerms,
    title: &str,
    last: Option<&str>,
) -> Failure {
    let (limit, flag, what) = match which {
        Expired::Time => (terms.time, "--step-timeout", "it ran longer than"),
        Expired::Silence => (terms.silence, "--stall-timeout", "it wrote nothing for"),
    };
    let limit = in_words(limit.unwrap_or_default());
    let text = format!("`{title}` was stopped: {what} {limit} ({flag})");
    let mut failure = Failure::new(Cause::Step, "step-timeout", text)
        .help(format!("find out what it waits for, or give it more time with {flag}"));
    failure.diagnostic.notes.push(match last {
        Some(line) => format!("it wrote last: {line}"),
        None => "it wrote nothing".to_owned(),
    });
    failure
}

/// A step that was killed because there was too little memory.
pub(super) fn out_of_memory(own_limit: bool, terms: &StepTerms, title: &str) -> Failure {
    let (text, help) = match (own_limit, terms.resources.memory) {
        (true, Some(bytes)) => (
            format!("`{title}` was killed: it needed more than {bytes} bytes of memory"),
            "raise --resource memory=, or let the step do less at once (make -j1)",
        ),
        _ => (
            format!(
                "`{title}` was killed: this machine, or the container that the build runs in, ran \
                 out of memory"
            ),
            "give it more memory, run fewer steps at once with --jobs 1, or let the step do less at \
             once (make -j1)",
        ),
    };
    let mut failure = Failure::new(Cause::Step, "out-of-memory", text).help(help);
    failure.status = Some(137);
    failure
}

/// Writes a duration as it would be given: `1m30s`.
fn in_words(time: Duration) -> String {
    let (seconds, rest) = (time.as_secs(), time.subsec_millis());
    let mut text = String::new();
    for (size, unit) in [(3600, "h"), (60, "m"), (1, "s")] {
        let count = match unit {
            "h" => seconds / size,
            _ => seconds / size % 60,
        };
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if rest > 0 || text.is_empty() {
        text.push_str(&format!("{rest}ms"));
    }
    text
}

impl From<ForeignError> for Failure {
    fn from(error: ForeignError) -> Self {
        Failure::new(Cause::Sandbox, "foreign-architecture", error.to_string()).help(error.help())
    }
}

/// What a step writes, while it is passed on: its last line is kept.
#[derive(Default)]
pub(super) struct LastLine(Option<String>);

impl LastLine {
    /// Takes a line; one of blanks is none.
    pub(super) fn take(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(300)]);
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        if !text.trim().is_empty() {
            self.0 = Some(text.trim().to_owned());
        }
    }

    /// Returns the last line.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The ends of a step that its terms brought about.
pub(super) fn ended(
    outcome: &Result<sandbox::Outcome, sandbox::Error>,
    terms: &StepTerms,
    title: &str,
    last: &LastLine,
) -> Option<Failure> {
    match outcome {
        Ok(sandbox::Outcome::Expired(which)) => Some(expired(*which, terms, title, last.get())),
        Ok(sandbox::Outcome::OutOfMemory { own_limit }) => {
            Some(out_of_memory(*own_limit, terms, title))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_they_are_given() {
        for (millis, want) in
            [(0, "0ms"), (1500, "1s500ms"), (90_000, "1m30s"), (3_600_000, "1h"), (5000, "5s")]
        {
            assert_eq!(in_words(Duration::from_millis(millis)), want);
        }
    }

    #[test]
    fn the_end_names_the_step_and_its_last_line() {
        let terms = StepTerms { silence: Some(Duration::from_secs(2)), ..StepTerms::default() };
        let mut last = LastLine::default();
        last.take(b"one\x1b[0m");
        last.take(b"  ");
        let outcome = Ok(sandbox::Outcome::Expired(Expired::Silence));
        let failure = ended(&outcome, &terms, "RUN make", &last).unwrap();
        let told = &failure.diagnostic;
        assert_eq!(
            told.message,
            "`RUN make` was stopped: it wrote nothing for 2s (--stall-timeout)"
        );
        assert_eq!(told.notes, ["it wrote last: one[0m"]);
        assert!(ended(&Ok(sandbox::Outcome::Exited(1)), &terms, "", &last).is_none());
    }

    #[test]
    fn what_single_processes_cannot_be_held_to_is_told() {
        let resources = Resources { memory: Some(1 << 20), pids: Some(9), cpus: Some(500) };
        let (limits, told) = instead(&resources);
        let names: Vec<_> = limits.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(names, ["data", "nproc"]);
        assert!(told.contains("cpu-quota is not kept"), "{told}");
    }
}
