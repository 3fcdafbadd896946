//! Containers of a real engine, with the program in them: the hosts that CI services give one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::busybox::busybox;
use super::engine::Engine;
use super::host::{Who, have, is_root, skip};
use super::place::Place;
use super::process::Done;

/// Name of the image that containers are made of.
const IMAGE: &str = "busybox";
/// The user of a container that nobody knows there.
const STRANGER: &str = "12345:23456";

/// An engine, and a place of root's that its containers see, read-only, as `/job`.
pub(crate) struct Containers {
    engine: Engine,
    pub(crate) place: Place,
    filled: OnceLock<()>,
}

/// What the engine lets a container do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// Docker's default: no user namespaces, a masked `/proc`.
    Default,
    /// User namespaces; `/proc` is still masked.
    Userns,
    /// User namespaces, nothing masked.
    Open,
}

/// Who the program is in the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum User {
    Root,
    /// A number without a name and a home.
    Stranger,
}

/// Where the store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StoreOn {
    /// The container's own root, an overlay.
    Overlay,
    /// A folder of the host.
    Volume,
}

impl Containers {
    /// All tests share one engine; `None`, told, where there can be none.
    pub(crate) fn start() -> Option<Arc<Containers>> {
        static RUNNING: Mutex<Weak<Containers>> = Mutex::new(Weak::new());
        if !have(&["dockerd", "docker"]) {
            return None;
        }
        if !is_root() {
            skip("only root can start an engine");
            return None;
        }
        let mut slot = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = slot.upgrade() {
            return Some(running);
        }
        let place = Place::new(Who::Root);
        let layout = busybox(&place.at("busybox"))?;
        let engine = Engine::start();
        let manifest = super::oci::Image::read(&layout).manifest;
        let digest = manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned();
        let blob = layout.join("blobs").join(digest.replace(':', "/"));
        let done = engine.docker(&["import", &blob.display().to_string(), IMAGE]);
        assert!(done.status.success(), "{}", done.err());
        let running = Arc::new(Containers { engine, place, filled: OnceLock::new() });
        *slot = Arc::downgrade(&running);
        Some(running)
    }

    /// Has the place filled, by the first who asks: containers of other tests may be looking at the files,
    /// which must not be empty for the moment in which they are written anew.
    pub(crate) fn fill(&self, files: impl FnOnce(&Place)) {
        self.filled.get_or_init(|| files(&self.place));
    }

    /// Runs a script of the shell in a new container. `$R` is the program, `$B` the arguments of a build
    /// on `busybox` with the store at `$S`; the context is `/job/ctx`, `/out` takes results.
    pub(crate) fn run(&self, cell: Cell, script: &str) -> Done {
        self.run_on("none", cell, script)
    }

    /// The same on one of the engine's networks.
    pub(crate) fn run_on(&self, network: &str, cell: Cell, script: &str) -> Done {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (store, out) = (self.open_folder("store", number), self.open_folder("out", number));
        let mut arguments: Vec<String> =
            vec!["run".into(), "--rm".into(), format!("--network={network}")];
        let mut mount = |from: PathBuf, to: &str| {
            arguments.push(format!("--volume={}:{to}", from.display()));
        };
        mount(self.place.program(), "/usr/bin/rbuild:ro");
        mount(self.place.path().to_owned(), "/job:ro");
        mount(out, "/out");
        if cell.store == StoreOn::Volume {
            mount(store, "/store");
        }
        match cell.profile {
            Profile::Default => {}
            Profile::Userns => arguments.push("--security-opt=seccomp=unconfined".into()),
            Profile::Open => arguments.extend([
                "--security-opt=seccomp=unconfined".into(),
                "--security-opt=systempaths=unconfined".into(),
            ]),
        }
        if cell.user == User::Stranger {
            arguments.push(format!("--user={STRANGER}"));
        }
        let store = match cell.store {
            StoreOn::Overlay => "/tmp/store",
            StoreOn::Volume => "/store",
        };
        let script = format!(
            "unset HOME; R=/usr/bin/rbuild; S={store}\n\
             B=\"build --root=$S --policy=none --progress=plain \
             --build-context=busybox=oci-layout:///job/busybox:latest\"\n{script}"
        );
        arguments.extend([IMAGE.into(), "/bin/sh".into(), "-c".into(), script]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.engine.docker(&arguments)
    }

    fn open_folder(&self, name: &str, number: u32) -> PathBuf {
        let path = self.place.folder(format!("{name}-{number}"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        path
    }
}

/// One kind of container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) profile: Profile,
    pub(crate) user: User,
    pub(crate) store: StoreOn,
}

impl Cell {
    /// All of these profiles, as each user, with the store in each place.
    pub(crate) fn all(profiles: &[Profile]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for profile in profiles {
            for user in [User::Root, User::Stranger] {
                for store in [StoreOn::Overlay, StoreOn::Volume] {
                    cells.push(Cell { profile: *profile, user, store });
                }
            }
        }
        cells
    }
}
