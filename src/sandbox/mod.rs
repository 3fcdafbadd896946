//! Runs one command in a tree: a list of operations, then exec.
//!
//! `exec` describes a step as a [`Spec`]; [`run`] has the [`Launcher`] fork a process for it, which makes
//! the namespaces and mounts, drops its powers and becomes the command. What is forked is the program
//! itself, started again as `__sandbox` ([`sandbox_main`]). It does not know layers, caches or Dockerfiles:
//! a tree is a list of folders, and what the command wrote lies in [`Spec::upper`] afterwards.

mod attach;
mod audit;
mod cgroup;
mod chroot;
mod deeds;
mod foreign;
mod init;
mod isolation;
mod keep;
mod launcher;
mod lines;
mod machine;
mod owner;
mod prepare;
mod run;
mod setup;
mod spec;
mod stubs;
mod terms;

pub use crate::event::Cancel;
pub use crate::sys::child::Usage;
pub use cgroup::can_limit;
pub use chroot::{Lent, run_in_copy};
pub use deeds::{Deeds, Failed, Ran};
pub use foreign::{Emulators, Foreign, ForeignError, Runs};
pub use isolation::Isolation;
pub use launcher::{Launcher, sandbox_main};
pub use machine::native_probe;
pub use run::{Account, Error, Leaving, Outcome, Watched, run, run_watched};
pub use spec::{FileMount, Hardening, Mount, MountKind, Network, Source, Spec, Ulimit, User};
pub use terms::{Expired, Resources, Terms};
