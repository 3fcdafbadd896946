//! The inside of a test: a builder in its namespace, a small tree, steps to run in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rbuild::base::{ImagePath, Masker};
use rbuild::event::Stream;
use rbuild::sandbox::{
    Account, Cancel, Error, Hardening, Isolation, Launcher, Leaving, Network, Outcome, Spec, Terms,
    User,
};
use rbuild::sys::{Entered, IdMode, enter_user_namespace};

/// A case: a function that panics when something is wrong.
pub(crate) type Case = fn(&World);

/// What a case works with.
pub(crate) struct World {
    pub(crate) mode: IdMode,
    pub(crate) isolation: Isolation,
    pub(crate) launcher: Launcher,
    pub(crate) home: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) lines: RefCell<Vec<(Stream, String)>>,
}

const TOOLS: &str = "sh cat id ls sleep touch chown stat mount unshare true mkdir rm grep setsid env \
    hostname test dd tr wc chroot readlink find head kill printf chmod mv ln cp mkfifo mknod chgrp su \
    rmdir tail cut";

/// Enters the namespace, makes the tree, runs the case.
pub(crate) fn enter(case: Case) {
    let stage = PathBuf::from(std::env::var_os("RBUILD_STEP_STAGE").unwrap());
    let home = stage.join("home");
    fs::write(home.join("builder"), std::process::id().to_string()).unwrap();
    let want = match std::env::var("RBUILD_STEP_MODE").unwrap().as_str() {
        "Root" => IdMode::Root,
        "Range" => IdMode::Range,
        _ => IdMode::Single,
    };
    // Steps in a changed root need the powers that no namespace has.
    let copies = std::env::var("RBUILD_STEP_CASE").is_ok_and(|case| case.starts_with("copy_"));
    let entered = match copies {
        true => Ok(Entered { mode: IdMode::Root, why_single: None, no_mounts: None }),
        false => enter_user_namespace(None),
    };
    let (mode, why) = match entered {
        Ok(Entered { mode, why_single, .. }) => {
            assert_eq!(why_single.is_some(), mode == IdMode::Single);
            (mode, why_single)
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}; {}", error.cure);
            return;
        }
    };
    if mode != want {
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        eprintln!("SKIPPED: wanted {want:?}, got {mode:?}{why}");
        return;
    }
    let base = home.join("base");
    for folder in ["bin", "etc", "tmp", "root"] {
        fs::create_dir_all(base.join(folder)).unwrap();
    }
    fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy(super::BUSYBOX, base.join("bin/busybox")).unwrap();
    for tool in TOOLS.split_whitespace() {
        symlink("busybox", base.join("bin").join(tool)).unwrap();
    }
    fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    // As where the `/proc` of outside is masked: the way is the same, masked or not.
    let isolation = match std::env::var_os("RBUILD_STEP_SHARED_PIDS") {
        Some(_) => Isolation::SharedPids,
        None => Isolation::Namespaces,
    };
    let launcher = Launcher::new(stage.join("rbuild"));
    let world = World { mode, isolation, launcher, home, base, lines: RefCell::default() };
    case(&world);
}

/// A path in the image.
pub(crate) fn at(path: &str) -> ImagePath {
    ImagePath::from_entry(path.as_bytes()).unwrap()
}

impl World {
    /// A step that runs a script of the shell.
    pub(crate) fn spec(&self, script: &str) -> Spec {
        let step = tempfile::Builder::new().prefix("s").tempdir_in(&self.home).unwrap().keep();
        for folder in ["upper", "work", "scratch"] {
            fs::create_dir(step.join(folder)).unwrap();
            fs::set_permissions(step.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Spec {
            lowers: vec![self.base.clone()],
            upper: step.join("upper"),
            work: step.join("work"),
            scratch: step.join("scratch"),
            argv: ["/bin/sh", "-c", script].map(|word| word.as_bytes().to_vec()).to_vec(),
            env: vec![("PATH".into(), "/bin".into()), ("HOME".into(), "/root".into())],
            secret_env: Vec::new(),
            cwd: ImagePath::root(),
            user: User::default(),
            mounts: Vec::new(),
            network: Network::Host,
            hostname: "step".into(),
            hosts: b"127.0.0.1 localhost\n".to_vec(),
            resolv_conf: b"nameserver 192.0.2.1\n".to_vec(),
            id_mode: self.mode,
            isolation: self.isolation.clone(),
            hardening: Hardening::Docker,
            shm_size: 1 << 20,
            ulimits: Vec::new(),
            terms: Terms::default(),
        }
    }

    /// Runs a step; its output is in [`Self::out`].
    pub(crate) fn run_with(
        &self,
        spec: &Spec,
        masker: &Masker,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        self.lines.borrow_mut().clear();
        rbuild::sandbox::run(spec, &self.launcher, masker, cancel, &mut |stream, line| {
            let line = String::from_utf8_lossy(line).into_owned();
            self.lines.borrow_mut().push((stream, line));
        })
    }

    /// Runs a step that nothing stops, up to the end of its processes.
    pub(crate) fn run_watched(&self, spec: &Spec) -> Result<(Outcome, Account, Leaving), Error> {
        let (masker, cancel) = (Masker::new(), Cancel::new());
        rbuild::sandbox::run_watched(spec, &self.launcher, &masker, &cancel, &mut |_, _| {})
    }

    /// Runs a step that nothing stops.
    pub(crate) fn run(&self, spec: &Spec) -> Result<Outcome, Error> {
        self.run_with(spec, &Masker::new(), &Cancel::new())
    }

    /// What the last step wrote, both streams.
    pub(crate) fn out(&self) -> String {
        self.lines.borrow().iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// Runs a step that has to succeed; returns what it wrote.
    pub(crate) fn say(&self, spec: &Spec) -> String {
        match self.run(spec) {
            Ok(Outcome::Exited(0)) => self.out(),
            Ok(other) => panic!("{other:?}\n{}", self.out()),
            Err(error) => panic!("{error}\n{}", self.out()),
        }
    }

    /// The same for a script.
    pub(crate) fn script(&self, script: &str) -> String {
        self.say(&self.spec(script))
    }
}

/// Everything in the upper folder: path to mode (octal) and owner.
pub(crate) fn upper_of(spec: &Spec) -> BTreeMap<String, String> {
    fn walk(top: &Path, at: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(top).unwrap().display().to_string();
            out.insert(name, format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid()));
            if meta.is_dir() {
                walk(top, &path, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&spec.upper, &spec.upper, &mut out);
    out
}

/// The paths in the upper folder.
pub(crate) fn names(spec: &Spec) -> Vec<String> {
    upper_of(spec).into_keys().collect()
}
