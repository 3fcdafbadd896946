//! What the kernel lets this account do: namespaces, mounts, filters, and a whole step.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ability, No, Question};
use crate::base::{ImagePath, Masker, Platform};
use crate::sandbox::{
    self, Cancel, Foreign, ForeignError, Hardening, Isolation, Network, Outcome, Resources, Runs,
    Spec, Terms, User, can_limit,
};
use crate::sys::{self, IdMode, trial};

/// How long one trial may take; most take milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

type Found = Result<Option<String>, No>;

/// Tries all that the kernel has a say in. Also tells how ids would be mapped.
pub(super) fn abilities(question: &Question) -> (Option<&'static str>, Vec<Ability>) {
    let single = apart(|| entered(Some(IdMode::Single)).map(|_| None));
    let ids = apart(|| {
        entered(None).and_then(|entered| match (entered.mode, entered.why_single) {
            (IdMode::Root, _) => Ok(Some("root".to_owned())),
            (IdMode::Range, _) => Ok(Some("range".to_owned())),
            (_, Some(why)) => Err(No::new(why.cause, why.cure)),
            (_, None) => Err(No::new("there is one id only", "give the account subordinate ids")),
        })
    });
    let mode = match (&ids, &single) {
        (Ok(Some(text)), _) if text == "root" => Some("root"),
        (Ok(_), _) => Some("range"),
        (Err(_), Ok(_)) => Some("single"),
        (Err(_), Err(_)) => None,
    };
    let ids = ids.map(|text| {
        let many = text.as_deref() == Some("root");
        Some(if many { "every id, as root" } else { "subordinate ids" }.to_owned())
    });
    // What needs a namespace has that one's cause as long as there is none.
    let inside = |work: &dyn Fn() -> Found| {
        apart(|| {
            entered(None)?;
            work()
        })
    };
    let plain = |what: io::Result<()>, cure: &str| {
        what.map(|()| None).map_err(|e| No::new(words(&e), cure))
    };
    let new_kernel = "use a newer kernel, or one with the option that is missing";
    let abilities = vec![
        Ability::new("user-namespace", "root of a user namespace of its own", single).needed(),
        Ability::new("id-range", "more than one user id in steps", ids),
        Ability::new(
            "overlay",
            "layers as one tree, in the store's folder",
            // Without it, steps work in a copy.
            inside(&|| overlay(&question.store)),
        ),
        Ability::new(
            "overlay-layers",
            "up to 500 layers, whatever their names (Linux 6.7)",
            inside(&|| {
                let folder = scratch(&question.store)?;
                plain(
                    trial::overlay_by_layers(folder.path()),
                    "nothing has to be done: some 400 layers work; more need a newer kernel",
                )
            }),
        ),
        Ability::new(
            "proc",
            "a fresh /proc in steps",
            // Without it, steps share the pid namespace of outside.
            inside(&|| sys::fresh_proc().map(|()| None).map_err(|error| no_proc(&error))),
        ),
        Ability::new(
            "namespaces",
            "ipc, host name and control groups of a step's own",
            inside(&|| plain(trial::small_namespaces(), new_kernel)),
        )
        .needed(),
        Ability::new(
            "network-none",
            "steps without a network",
            inside(&|| plain(trial::own_network(), "use a kernel built with CONFIG_NET_NS")),
        ),
        Ability::new(
            "seccomp",
            "a filter of system calls",
            inside(&|| {
                plain(trial::filter(false), "use a kernel built with CONFIG_SECCOMP_FILTER")
            }),
        )
        .needed(),
        Ability::new(
            "seccomp-notify",
            "a supervisor of system calls: right owners with a single id",
            inside(&|| {
                plain(
                    trial::filter(true),
                    "use Linux 5.9 or newer; and no filter around rbuild that listens already",
                )
            }),
        ),
        Ability::new("landlock", "a second fence around files and sockets", landlock()),
        Ability::new("step", "a whole step, isolated", inside(&|| step(question))).needed(),
        Ability::new("emulation", "steps of other architectures", inside(&|| emulation(question))),
        Ability::new("resources", "memory, processes and CPU of a step limited together", {
            let resources =
                Resources { memory: Some(1 << 30), pids: Some(1 << 10), cpus: Some(1000) };
            can_limit(&resources).map(|()| None).map_err(|cause| {
                No::new(
                    cause,
                    "start rbuild with `systemd-run --user --scope -p Delegate=yes rbuild …`; \
                     without it --resource limits single processes",
                )
            })
        }),
    ];
    (mode, abilities)
}

// Does it in a process of its own.
fn apart(work: impl FnOnce() -> Found) -> Found {
    let lost = |cause: String| {
        No::new(
            cause,
            "run it again; if it stays, report it with the output of `rbuild doctor --json`",
        )
    };
    let answer = trial::in_child(LIMIT, || {
        let (works, text, cure) = match work() {
            Ok(detail) => (true, detail, String::new()),
            Err(no) => (false, Some(no.cause), no.cure),
        };
        serde_json::to_vec(&(works, text, cure)).unwrap_or_default()
    })
    .map_err(|error| lost(format!("the trial was given up: {}", words(&error))))?;
    match serde_json::from_slice::<(bool, Option<String>, String)>(&answer) {
        Ok((true, detail, _)) => Ok(detail),
        Ok((false, cause, cure)) => Err(No::new(cause.unwrap_or_default(), cure)),
        Err(_) => Err(lost("the process that tried it was lost".to_owned())),
    }
}

fn entered(want: Option<IdMode>) -> Result<sys::Entered, No> {
    sys::enter_user_namespace(want).map_err(|error| No::new(error.cause, error.cure))
}

/// The text of an error without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The folder of the store, or the next one above it that is there.
pub(super) fn present(store: &Path) -> PathBuf {
    let store = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    store.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn scratch(store: &Path) -> Result<tempfile::TempDir, No> {
    let place = present(store);
    tempfile::Builder::new().prefix(".rbuild-doctor-").tempdir_in(&place).map_err(|error| {
        No::new(
            format!("cannot write to `{}`: {}", place.display(), words(&error)),
            "choose a store that this account may write to, with --root DIR",
        )
    })
}

fn overlay(store: &Path) -> Found {
    let folder = scratch(store)?;
    let kind = trial::disk(folder.path()).map(|disk| disk.kind).unwrap_or_default();
    trial::overlay(folder.path()).map(|()| Some(format!("on {kind}"))).map_err(|error| {
        let cure = match kind.as_str() {
            "overlay" => {
                "the store lies in a container's own root: put it on a volume, with --root DIR"
            }
            "nfs" | "cifs" | "smb" | "9p" | "fuse" | "lustre" | "ceph" => {
                "put the store on a local disk, with --root DIR"
            }
            "tmpfs" => "use Linux 6.6 or newer, or put the store on a disk, with --root DIR",
            _ => "put the store on ext4, xfs or btrfs, with --root DIR; overlay needs Linux 5.11",
        };
        No::new(format!("{error} (the store lies on {kind})"), cure)
    })
}

fn no_proc(error: &io::Error) -> No {
    match error.kind() {
        io::ErrorKind::PermissionDenied => No::new(
            "parts of the host's own /proc are masked, as in a container",
            "run the container with `--security-opt systempaths=unconfined` (Docker) or \
             `procMount: Unmasked` (Kubernetes)",
        ),
        _ => No::new(words(error), "use a kernel built with CONFIG_PID_NS"),
    }
}

fn landlock() -> Found {
    match sys::try_fence() {
        Err(cause) => Err(No::new(
            cause.to_string(),
            "use Linux 5.19 or newer, started with `lsm=landlock,…`; steps run without it, and each build \
             says so",
        )),
        Ok(revision) => Ok(Some(format!("revision {revision}"))),
    }
}

/// Runs the smallest program of this machine as a step.
fn step(question: &Question) -> Found {
    let folder = scratch(&question.store)?;
    let at = |name: &str| folder.path().join(name);
    let failed = |cause: String| {
        No::new(cause, "look at the first ability above that is needed and not there")
    };
    let io = |error: io::Error| failed(words(&error));
    let program = sandbox::native_probe().ok_or_else(|| failed("unknown machine".into()))?;
    for name in ["lower", "upper", "work", "scratch"] {
        std::fs::create_dir(at(name)).map_err(io)?;
    }
    // As a build does where there is no overlay: a tree of its own, and no layers.
    let (lowers, tree) = match trial::overlay(folder.path()) {
        Ok(()) => (vec![at("lower")], "lower"),
        Err(_) => (Vec::new(), "upper"),
    };
    let probe = at(tree).join("probe");
    std::fs::write(&probe, program).map_err(io)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&probe, executable).map_err(io)?;
    let isolation = match sys::fresh_proc() {
        Ok(()) => Isolation::Namespaces,
        Err(_) => Isolation::SharedPids,
    };
    // The single id is taken where the range is refused, as in a build.
    let id_mode = match std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default() {
        map if map.lines().count() == 1 && map.split_whitespace().nth(2) == Some("1") => {
            IdMode::Single
        }
        _ => IdMode::Range,
    };
    let spec = Spec {
        lowers,
        upper: at("upper"),
        work: at("work"),
        scratch: at("scratch"),
        argv: vec![b"/probe".to_vec()],
        env: Vec::new(),
        secret_env: Vec::new(),
        cwd: ImagePath::root(),
        user: User::default(),
        mounts: Vec::new(),
        network: Network::Host,
        hostname: "doctor".to_owned(),
        hosts: Vec::new(),
        resolv_conf: Vec::new(),
        id_mode,
        isolation,
        hardening: Hardening::Hardened,
        shm_size: 1 << 20,
        ulimits: Vec::new(),
        terms: Terms { time: Some(LIMIT / 2), ..Terms::default() },
    };
    let mut said = String::new();
    let launcher = sandbox::Launcher::new(question.program.clone());
    let outcome = sandbox::run(&spec, &launcher, &Masker::new(), &Cancel::new(), &mut |_, line| {
        said.push_str(&String::from_utf8_lossy(line))
    });
    match outcome {
        // It counts its arguments.
        Ok(Outcome::Exited(1)) => Ok(None),
        Ok(other) => Err(failed(format!("a program that does nothing ended so: {other:?} {said}"))),
        Err(error) => Err(failed(crate::diag::chain(&error))),
    }
}

fn emulation(question: &Question) -> Found {
    let foreign = Foreign::new(question.emulators.clone());
    let mut works = Vec::new();
    let mut first: Option<ForeignError> = None;
    for name in ["amd64", "arm64", "arm/v7", "386", "riscv64", "ppc64le", "s390x"] {
        let Ok(platform) = Platform::parse(&format!("linux/{name}")) else { continue };
        match foreign.prepare(&platform) {
            Ok(Runs::Natively) => {}
            Ok(Runs::Emulated(_)) => works.push(name),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match (works.as_slice(), first) {
        ([], Some(error)) => Err(No::new(error.to_string(), error.help())),
        ([], None) => Ok(None),
        (works, _) => Ok(Some(works.join(", "))),
    }
}
