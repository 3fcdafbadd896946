//! rbuild: a daemonless, rootless OCI image builder that enforces hardening rules.
//!
//! The modules stand in the order in which data flows; each names only those above it (the table
//! in `ARCHITECTURE.md`, checked by `tests/tidy.rs`).

pub mod base;
pub mod build;
pub mod diag;
pub mod dockerfile;
pub mod event;
pub mod exec;
pub mod facts;
pub mod image;
pub mod input;
pub mod instruction;
pub mod layer;
pub mod output;
pub mod plan;
pub mod policy;
pub mod registry;
pub mod rootfs;
pub mod sandbox;
pub mod store;
#[allow(unsafe_code)] // the kernel's calls, in one place; everything else is safe code
pub mod sys;
