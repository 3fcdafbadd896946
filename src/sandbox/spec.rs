//! What a step is: tree, command, identity, mounts.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::Isolation;
use super::terms::Terms;
use crate::base::{ImagePath, Secret};
use crate::sys::IdMode;

/// One command and all that it may see.
#[derive(Debug)]
pub struct Spec {
    /// The layers, bottom first. None: [`Self::upper`] is the whole tree.
    pub lowers: Vec<PathBuf>,
    /// Folder that receives what the step writes. Empty above layers; without, a tree that nobody else
    /// uses. Its own mode and owner become those of `/` in the step.
    pub upper: PathBuf,
    /// Empty folder on the same filesystem, never used before.
    pub work: PathBuf,
    /// Empty folder on the same filesystem for what is written into throw-away mounts
    /// ([`MountKind::Bind`] with `writable`); the caller removes it afterwards.
    pub scratch: PathBuf,
    /// The program and its arguments. A program without `/` is looked up in `PATH` of [`Self::env`].
    pub argv: Vec<Vec<u8>>,
    /// The whole environment, in order.
    pub env: Vec<(String, String)>,
    /// Secrets that go into the environment of the command and nowhere else.
    pub secret_env: Vec<(String, Arc<Secret>)>,
    /// Where the command starts; made (0755, root) if it is absent.
    pub cwd: ImagePath,
    /// Who the command is.
    pub user: User,
    /// The mounts asked for, in the order of the file. Shorter targets are mounted first.
    pub mounts: Vec<Mount>,
    /// What of the network is seen.
    pub network: Network,
    /// The name of the machine, as the step sees it.
    pub hostname: String,
    /// Content of `/etc/hosts`, `/etc/resolv.conf`; never part of a layer.
    pub hosts: Vec<u8>,
    /// See [`Self::hosts`].
    pub resolv_conf: Vec<u8>,
    /// Which ids there are.
    pub id_mode: IdMode,
    /// What stands around the command.
    pub isolation: Isolation,
    /// How much the command may do.
    pub hardening: Hardening,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// Limits of the command.
    pub ulimits: Vec<Ulimit>,
    /// How long it may run, with how much, and how closely watched.
    pub terms: Terms,
}

/// Numbers of an identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A mount of `RUN --mount`.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where.
    pub target: ImagePath,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug)]
pub enum MountKind {
    /// A file or folder from elsewhere. What is written into a `writable` one is thrown away.
    Bind {
        /// What is shown.
        source: Source,
        /// Whether the step may write.
        writable: bool,
    },
    /// A folder that outlives the step. Its owner and mode are the caller's business.
    Cache {
        /// The folder.
        source: Source,
        /// Whether writing is refused.
        readonly: bool,
    },
    /// An empty folder in memory, mode 1777 as with BuildKit.
    Tmpfs {
        /// Limit in bytes; `None`: the kernel's default.
        size: Option<u64>,
    },
    /// A secret as a file in memory.
    Secret(FileMount<Arc<Secret>>),
    /// A device node of the host, of its own path.
    Device(PathBuf),
    /// A file made up by the builder (a heredoc), in memory.
    File(FileMount<Vec<u8>>),
}

/// A file in memory.
#[derive(Clone, Debug)]
pub struct FileMount<T> {
    /// Its bytes.
    pub content: T,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Where a mount comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A path of the store (ours: no symlink of a stranger is in it).
    Path(PathBuf),
    /// An open file or folder, seen from the builder's mount namespace.
    Handle(Arc<OwnedFd>),
    /// A path in a stack of layers (bottom first), symlinks followed inside it.
    Tree {
        /// The layers.
        lowers: Vec<PathBuf>,
        /// What of them.
        path: ImagePath,
    },
}

/// What of the network a step sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Network {
    /// The host's.
    #[default]
    Host,
    /// A loopback of its own, and nothing else.
    None,
}

/// How much a step may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub enum Hardening {
    /// The 14 capabilities that Docker leaves to a container.
    #[default]
    Docker,
    /// Without `NET_RAW`, `AUDIT_WRITE` and `MKNOD`.
    Hardened,
    /// All capabilities of the user namespace, no system call filter, nothing of `/proc` hidden or
    /// protected (`RUN --security=insecure`). The namespaces stay: more than this user, on the
    /// host, it cannot become.
    Insecure,
}

/// One limit of a process (`--ulimit`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ulimit {
    /// Name as in `docker build --ulimit`: `nofile`, `nproc`, `core`, …
    pub name: String,
    /// Soft limit; `None`: unlimited.
    pub soft: Option<u64>,
    /// Hard limit; `None`: unlimited.
    pub hard: Option<u64>,
}
