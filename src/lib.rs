//! rbuild: a daemonless, rootless OCI image builder that enforces hardening rules.
//!
//! The modules stand in the order in which data flows; each names only those above it (the table
//! in `ARCHITECTURE.md`, checked by `tests/tidy.rs`).

pub mod base;
pub mod diag;
#[allow(unsafe_code)] // the kernel's calls, in one place; everything else is safe code
pub mod sys;
pub mod event;
pub mod dockerfile;
pub mod layer;
pub mod store;
pub mod registry;
pub mod sandbox;
pub mod doctor;
pub mod image;
pub mod rootfs;
pub mod input;
pub mod instruction;
pub mod facts;
pub mod plan;
pub mod exec;
pub mod policy;
pub mod output;
pub mod build;

/// To be called first thing in `main` by every program that builds with this library.
///
/// Steps are forks of the program itself, started again as `PROGRAM __sandbox` with one thread and nothing
/// else in memory (see [`sandbox`]). This call is where that second start becomes what is forked, and
/// never returns; in the first start it does nothing.
pub fn init() {
    if std::env::args_os().nth(1).is_some_and(|word| word == "__sandbox") {
        sandbox::sandbox_main();
    }
    #[cfg(feature = "rego")]
    if std::env::args_os().nth(1).is_some_and(|word| word == policy::rego::WORD) {
        build::rego_main();
    }
}
