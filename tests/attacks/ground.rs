//! Where an attack takes place: a context, a store, a canary beside them, and the program run as one
//! kind of user, judged after each run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::canary::{Canary, walk};
use crate::harness::{Done, Image, Place, Who, busybox, run_fed, spawn};
use crate::layout::{Hostile, digest};

/// The most that an attack may cost, unless a test says otherwise.
const SECONDS: u64 = 30;
const MEMORY: u64 = 256 << 20;

/// A way to run steps. A further one is a further line here, with its exceptions where
/// [`Ground::mode`] is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Root, in a user namespace with the host's ids.
    Root,
    /// An ordinary user with subordinate ids.
    Range,
    /// An ordinary user with its own id alone.
    Single,
    /// Root without namespaces, as in a container that has none: `--isolation=chroot`.
    Chroot,
}

impl Mode {
    /// All that this machine offers; a missing one is told.
    pub(crate) fn every() -> Vec<Mode> {
        let all = [Mode::Root, Mode::Range, Mode::Single, Mode::Chroot];
        let here = Who::every();
        all.into_iter().filter(|mode| here.contains(&mode.who())).collect()
    }

    /// The kinds of users alone: for attacks that no step has a part in.
    pub(crate) fn users() -> impl Iterator<Item = Mode> {
        Mode::every().into_iter().filter(|mode| *mode != Mode::Chroot)
    }

    fn who(self) -> Who {
        match self {
            Mode::Root | Mode::Chroot => Who::Root,
            Mode::Range => Who::Range,
            Mode::Single => Who::Single,
        }
    }

    // Arguments of `rbuild build` that choose it.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Mode::Root | Mode::Range | Mode::Single => &[],
            Mode::Chroot => &["--isolation=chroot"],
        }
    }
}

/// Runs the attack in each mode, on a ground of its own.
pub(crate) fn every_mode(attack: impl Fn(&Ground)) {
    for mode in Mode::every() {
        attack(&Ground::new(mode));
    }
}

/// Runs an attack that no step has a part in, as each kind of user.
pub(crate) fn every_user(attack: impl Fn(&Ground)) {
    Mode::users().for_each(|mode| attack(&Ground::new(mode)));
}

/// A place with a canary.
pub(crate) struct Ground {
    place: Place,
    canary: Canary,
    mode: Mode,
}

impl Ground {
    /// Makes one.
    pub(crate) fn new(mode: Mode) -> Ground {
        let place = Place::new(mode.who());
        let canary = Canary::new(&place);
        Ground { place, canary, mode }
    }

    /// The way that steps are run.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The files.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The host's files that nothing may touch.
    pub(crate) fn canary(&self) -> &Canary {
        &self.canary
    }

    /// A build of this text. `FROM busybox` works where there is one.
    pub(crate) fn build(&self, dockerfile: &str) -> Attempt<'_> {
        self.place.file("Dockerfile", dockerfile);
        let attempt = self.command(&["build", "--progress=plain", "--policy=none"]);
        let attempt = attempt.arg("--root").arg(self.place.at("store"));
        let attempt = attempt.arg("--file").arg(self.place.at("Dockerfile"));
        let layout = self.place.at("busybox");
        if dockerfile.contains("busybox") && (layout.exists() || busybox(&layout).is_some()) {
            return attempt.layout("busybox", &layout).last(self.place.at("ctx"));
        }
        attempt.last(self.place.at("ctx"))
    }

    /// A build on this image, which is called `base` in the text.
    pub(crate) fn build_on(&self, base: &Hostile, dockerfile: &str) -> Attempt<'_> {
        let layout = self.place.at("base");
        let _ = fs::remove_dir_all(&layout);
        base.write(&layout);
        self.build(dockerfile).layout("base", &layout)
    }

    /// Any other command line; one of a build has its steps run in the ground's mode.
    pub(crate) fn command(&self, arguments: &[&str]) -> Attempt<'_> {
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        if arguments.first().is_some_and(|first| first == "build") {
            arguments.splice(1..1, self.mode.flags().iter().map(OsString::from));
        }
        Attempt {
            ground: self,
            arguments,
            last: None,
            variables: Vec::new(),
            stdin: None,
            seconds: SECONDS,
            memory: MEMORY,
        }
    }
}

/// The program, about to be run.
pub(crate) struct Attempt<'a> {
    ground: &'a Ground,
    arguments: Vec<OsString>,
    last: Option<OsString>,
    variables: Vec<(OsString, OsString)>,
    stdin: Option<PathBuf>,
    seconds: u64,
    memory: u64,
}

impl<'a> Attempt<'a> {
    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets the argument that stands at the end: the context.
    pub(crate) fn last(mut self, argument: impl Into<OsString>) -> Self {
        self.last = Some(argument.into());
        self
    }

    /// Makes `name` mean the image of a layout.
    pub(crate) fn layout(self, name: &str, folder: &Path) -> Self {
        self.arg(format!("--build-context={name}=oci-layout://{}:latest", folder.display()))
    }

    /// Chooses another profile than `none`.
    pub(crate) fn policy(self, profile: &str) -> Self {
        // The last one counts: clap is told so by the flag's type.
        let mut attempt = self;
        attempt.arguments.retain(|argument| argument != "--policy=none");
        if attempt.ground.mode == Mode::Chroot {
            // The stricter ones refuse it otherwise; that they do is a test of `tests/it`.
            attempt = attempt.arg("--set=chroot=allow");
        }
        attempt.arg(format!("--policy={profile}"))
    }

    /// Chooses another form of progress than `plain`.
    pub(crate) fn progress(mut self, form: &str) -> Self {
        self.arguments.retain(|argument| argument != "--progress=plain");
        self.arg(format!("--progress={form}"))
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Has this file on standard input.
    pub(crate) fn stdin(mut self, file: PathBuf) -> Self {
        self.stdin = Some(file);
        self
    }

    /// Allows more, or less, than 30 seconds and 256 MiB; a test says why.
    pub(crate) fn bounds(mut self, seconds: u64, memory: u64) -> Self {
        (self.seconds, self.memory) = (seconds, memory);
        self
    }

    /// The command, ready to be started: for a test that does something meanwhile. It has to call
    /// [`Ground::judge`] afterwards.
    pub(crate) fn command(&self) -> Command {
        let place = &self.ground.place;
        let mut command = place.who().command(place.program(), &place.at("home"));
        command.args(&self.arguments).args(&self.last).current_dir(place.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it and judges what can be judged of every run: no panic, no signal, the bounds, the
    /// canary, the store.
    #[track_caller]
    pub(crate) fn run(self) -> Outcome<'a> {
        let stdin = self.stdin.as_ref().map_or_else(Stdio::null, |file| {
            Stdio::from(fs::File::open(file).expect("a file of the test"))
        });
        let done = run_fed(&mut self.command(), stdin, Duration::from_secs(self.seconds));
        self.ground.judge(done, self.memory)
    }
}

impl Ground {
    /// Judges a run: see [`Attempt::run`].
    #[track_caller]
    pub(crate) fn judge(&self, done: Done, memory: u64) -> Outcome<'_> {
        let outcome = Outcome { ground: self, done };
        let story = outcome.story();
        assert_eq!(outcome.done.status.signal(), None, "killed by a signal\n{story}");
        assert!(!story.contains("panicked at"), "a panic\n{story}");
        let code = outcome.done.code();
        assert!(code != 101 && code != 134, "the code of a panic\n{story}");
        let peak = outcome.done.peak;
        assert!(peak <= memory, "{} MiB of memory\n{story}", peak >> 20);
        self.canary.untouched(&story);
        for place in ["store/blobs", "store/records", "image.oci"] {
            self.canary.not_in(&self.place.at(place), &story);
        }
        let told = [&outcome.done.stdout, &outcome.done.stderr];
        let token = self.canary.token();
        assert!(
            !told.iter().any(|text| String::from_utf8_lossy(text).contains(token)),
            "the canary's words are printed\n{story}"
        );
        // What a stranger's text could do to a terminal.
        let err = outcome.err();
        let odd = err.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(odd, None, "a control character is printed\n{}", err.escape_debug());
        sound_store(&self.place.at("store"), &story);
        outcome
    }
}

/// Runs a command, waits for `ready`, presses Ctrl-C; gives its end and how long that took.
pub(crate) fn interrupted(command: &mut Command, ready: impl FnOnce()) -> (Done, Duration) {
    let child = spawn(command, Stdio::null());
    ready();
    child.signal(Signal::INT);
    let start = std::time::Instant::now();
    let done = child.wait(Duration::from_secs(SECONDS));
    (done, start.elapsed())
}

/// Asserts that a store has nothing half-written: each blob is what its name says, and nothing
/// unfinished is left.
#[track_caller]
pub(crate) fn sound_store(store: &Path, story: &str) {
    let blobs = store.join("blobs/sha256");
    for path in walk(&blobs).iter().filter(|path| path.is_file()) {
        let name = path.file_name().expect("a name").to_string_lossy();
        let bytes = fs::read(path).expect("a blob");
        assert_eq!(digest(&bytes), format!("sha256:{name}"), "a wrong blob\n{story}");
    }
    let rest: Vec<_> = fs::read_dir(store.join("tmp")).into_iter().flatten().flatten().collect();
    assert!(rest.is_empty(), "left in tmp: {rest:?}\n{story}");
}

/// What a run did.
pub(crate) struct Outcome<'a> {
    ground: &'a Ground,
    pub(crate) done: Done,
}

impl Outcome<'_> {
    /// Standard error.
    pub(crate) fn err(&self) -> String {
        self.done.err()
    }

    /// Asserts a clean error: a code of the list, something said, each of these among it, and no
    /// result. Removes nothing: the next build starts from what this one left.
    #[track_caller]
    pub(crate) fn refused(&self, said: &[&str]) -> String {
        let story = self.story();
        assert!(matches!(self.done.code(), 1..=7 | 70), "a clean error was expected\n{story}");
        assert_eq!(self.done.out(), "", "nothing on stdout\n{story}");
        let result = self.ground.place.at("image.oci");
        assert!(!result.exists(), "something was exported\n{story}");
        let rest = fs::read_dir(self.ground.place.path()).expect("the place").flatten();
        let rest: Vec<_> = rest.map(|entry| entry.file_name()).collect();
        let half = rest.iter().any(|name| name.to_string_lossy().starts_with('.'));
        assert!(!half, "something half-written is left: {rest:?}\n{story}");
        let err = self.err();
        for text in said {
            assert!(err.contains(text), "not said: {text:?}\n{story}");
        }
        assert!(err.contains("error"), "nothing is called an error\n{story}");
        err
    }

    /// Asserts that it was refused with this exit code.
    #[track_caller]
    pub(crate) fn refused_with(&self, code: i32, said: &[&str]) -> String {
        assert_eq!(self.done.code(), code, "{}", self.story());
        self.refused(said)
    }

    /// Asserts success with a valid image; gives it, and takes it away, so that a further build of
    /// this ground begins without.
    #[track_caller]
    pub(crate) fn built(&self) -> Image {
        assert_eq!(self.done.code(), 0, "success was expected\n{}", self.story());
        let result = self.ground.place.at("image.oci");
        let image = Image::read(&result);
        assert_eq!(self.done.out(), format!("{}\n", image.digest), "stdout names the manifest");
        fs::remove_dir_all(&result).expect("it was just made");
        image
    }

    /// Asserts success, whatever the result.
    #[track_caller]
    pub(crate) fn passed(&self) -> &Self {
        assert_eq!(self.done.code(), 0, "success was expected\n{}", self.story());
        self
    }

    /// Asserts success or a clean error; gives the image, if there is one.
    #[track_caller]
    pub(crate) fn survived(&self) -> Option<Image> {
        if self.done.code() == 0 {
            return Some(self.built());
        }
        self.refused(&[]);
        None
    }

    /// Asserts that this was said on standard error.
    #[track_caller]
    pub(crate) fn says(&self, said: &[&str]) -> &Self {
        for text in said {
            assert!(self.err().contains(text), "not said: {text:?}\n{}", self.story());
        }
        self
    }

    /// Everything, for a failing test.
    pub(crate) fn story(&self) -> String {
        let dockerfile = fs::read(self.ground.place.at("Dockerfile")).unwrap_or_default();
        format!(
            "--- {:?}, exit {}, {} MiB, {:?}\n--- Dockerfile\n{}\n--- stdout\n{}--- stderr\n{}",
            self.ground.mode,
            self.done.code(),
            self.done.peak >> 20,
            self.done.wall,
            String::from_utf8_lossy(&dockerfile[..dockerfile.len().min(2000)]),
            self.done.out(),
            self.done.err()
        )
    }
}

#[test]
fn a_friendly_build_passes() {
    every_mode(|ground| {
        let image = ground.build("FROM busybox\nRUN echo hello > /hello\n").run().built();
        assert_eq!(image.text("hello"), "hello\n");
    });
}

#[test]
fn the_judge_of_stores_bites() {
    let ground = Ground::new(Mode::every()[0]);
    ground.build("FROM busybox\nRUN true\n").run().built();
    let unsound = || {
        let judged = std::panic::catch_unwind(|| sound_store(&ground.place.at("store"), ""));
        assert!(judged.is_err(), "a broken store was not noticed");
    };
    let false_blob = ground.place.at("store/blobs/sha256").join("0".repeat(64));
    fs::write(&false_blob, "x").expect("ours");
    unsound();
    fs::remove_file(false_blob).expect("ours");
    fs::create_dir(ground.place.at("store/tmp/half")).expect("ours");
    unsound();
}
