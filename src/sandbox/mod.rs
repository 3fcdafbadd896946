//! Runs one command in a tree: a list of operations, then exec.
//!
//! `exec` describes a step as a [`Spec`]; [`run`] starts the program itself again as `__sandbox`
//! ([`sandbox_main`]), which makes the namespaces and mounts, drops its powers and becomes the
//! command. It does not know layers, caches or Dockerfiles: a tree is a list of folders, and what
//! the command wrote lies in [`Spec::upper`] afterwards.

mod init;
mod lines;
mod owner;
mod prepare;
mod run;
mod setup;
mod spec;
mod stubs;

pub use crate::event::Cancel;
pub use init::sandbox_main;
pub use run::{Error, Outcome, run};
pub use spec::{FileMount, Hardening, Mount, MountKind, Network, Source, Spec, Ulimit, User};
