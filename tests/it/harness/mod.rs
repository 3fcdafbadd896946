//! What the tests stand on: who runs the program, where, with which bases and servers, and who
//! judges the images that come out.

mod bases;
mod build;
mod container;
mod engine;
mod folder;
mod host;
mod oci;
mod place;
mod process;
mod readers;
mod registry;
mod server;

pub(crate) use bases::{busybox, debian};
pub(crate) use build::{Build, Outcome};
pub(crate) use container::{Cell, Containers, Profile, StoreOn, User};
pub(crate) use engine::Engine;
pub(crate) use host::{Who, have, is_root, measured, skip};
pub(crate) use oci::{Image, Kind};
pub(crate) use place::Place;
pub(crate) use process::{Done, ok, run};
#[allow(unused_imports, reason = "only `tests/attacks` feeds the program")]
pub(crate) use process::{run_fed, spawn};
pub(crate) use readers::{podman, skopeo_copy, skopeo_inspect, umoci_unpack};
pub(crate) use registry::{PASSWORD, Registry};
pub(crate) use server::{Server, wait_for};
