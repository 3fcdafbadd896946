//! Runs the program under test and judges what comes out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::busybox::busybox;
use super::oci::Image;
use super::place::Place;
use super::process::{Done, run};

/// A build that is about to run: `rbuild build` in a place, with its store, its context and a
/// Dockerfile; profile `none` unless another is asked for.
pub(crate) struct Build<'a> {
    place: &'a Place,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    policy: Option<&'a str>,
    root: PathBuf,
    limit: Duration,
}

impl<'a> Build<'a> {
    /// A build of the place's Dockerfile.
    pub(crate) fn of(place: &'a Place) -> Build<'a> {
        let root = place.at("store");
        let limit = Duration::from_secs(60);
        Build {
            place,
            arguments: Vec::new(),
            variables: Vec::new(),
            policy: Some("none"),
            root,
            limit,
        }
    }

    /// A build of this text, on a base called `busybox` where that is needed.
    pub(crate) fn text(place: &'a Place, dockerfile: &str) -> Build<'a> {
        place.file("Dockerfile", dockerfile);
        let build = Build::of(place);
        let layout = place.at("busybox");
        if layout.exists() || busybox(&layout).is_some() {
            return build
                .arg(format!("--build-context=busybox=oci-layout://{}:latest", layout.display()));
        }
        build
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Chooses a profile; `None` leaves the program's own default.
    pub(crate) fn policy(mut self, profile: Option<&'a str>) -> Self {
        self.policy = profile;
        self
    }

    /// Uses another store.
    pub(crate) fn store(mut self, root: PathBuf) -> Self {
        self.root = root;
        self
    }

    /// Lets it take longer.
    pub(crate) fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// The command line, after the program's name.
    pub(crate) fn line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> =
            vec!["build".into(), "--progress=plain".into(), "--root".into()];
        line.push(self.root.clone().into());
        if let Some(policy) = self.policy {
            line.push(format!("--policy={policy}").into());
        }
        line.push("--file".into());
        line.push(self.place.at("Dockerfile").into());
        line.extend(self.arguments.iter().cloned());
        line.push(self.place.at("ctx").into());
        line
    }

    /// The command, ready to be started.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.place.who().command(self.place.program(), &self.place.at("home"));
        command.args(self.line()).current_dir(self.place.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it.
    pub(crate) fn run(&self) -> Outcome {
        let done = run(&mut self.command(), self.limit);
        let result = self.place.at("image.oci");
        Outcome { done, result, dockerfile: self.place.at("Dockerfile") }
    }

    /// Runs it; it has to succeed with a valid image in `image.oci`.
    pub(crate) fn image(&self) -> (Outcome, Image) {
        let outcome = self.run();
        let image = outcome.image();
        (outcome, image)
    }
}

/// What a build did.
pub(crate) struct Outcome {
    pub(crate) done: Done,
    /// `image.oci` of the place.
    pub(crate) result: PathBuf,
    dockerfile: PathBuf,
}

impl Outcome {
    /// The text on standard error.
    pub(crate) fn err(&self) -> String {
        self.done.err()
    }

    /// Asserts success; gives the digest, which is the one line on standard output.
    #[track_caller]
    pub(crate) fn digest(&self) -> String {
        assert_eq!(self.done.code(), 0, "{}", self.story());
        let out = self.done.out();
        let digest = out.strip_suffix('\n').unwrap_or_default();
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let fine = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(fine, "stdout is one digest, not {out:?}\n{}", self.story());
        digest.to_owned()
    }

    /// Asserts success and a valid image whose digest was told; gives it.
    #[track_caller]
    pub(crate) fn image(&self) -> Image {
        let digest = self.digest();
        let image = Image::read(&self.result);
        assert_eq!(image.digest, digest, "stdout names the manifest");
        image
    }

    /// Asserts that it ended with this code, wrote no result, and said all of this.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, said: &[&str]) -> String {
        assert_eq!(self.done.code(), code, "{}", self.story());
        assert_eq!(self.done.out(), "", "nothing on stdout\n{}", self.story());
        assert!(!self.result.exists(), "nothing is exported\n{}", self.story());
        self.says(said)
    }

    /// Asserts that it said all of this on standard error; gives the whole.
    #[track_caller]
    pub(crate) fn says(&self, said: &[&str]) -> String {
        let err = self.err();
        for text in said {
            assert!(err.contains(text), "not said: {text:?}\n{}", self.story());
        }
        assert!(!err.contains("panicked at"), "{}", self.story());
        err
    }

    /// Everything, for a failing test.
    pub(crate) fn story(&self) -> String {
        let dockerfile = std::fs::read_to_string(&self.dockerfile).unwrap_or_default();
        format!(
            "--- exit {}\n--- Dockerfile\n{dockerfile}--- stdout\n{}--- stderr\n{}",
            self.done.code(),
            self.done.out(),
            self.done.err()
        )
    }
}
