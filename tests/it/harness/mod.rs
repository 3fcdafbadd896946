//! What the tests stand on: who runs the program, where, with which bases and servers, and who
//! judges the images that come out. `tests/attacks/harness.rs` takes some of it.

mod build;
mod busybox;
mod container;
mod debian;
mod engine;
mod folder;
mod host;
mod oci;
mod place;
mod process;
mod readers;
mod registry;
mod server;

pub(crate) use build::{Build, Outcome};
pub(crate) use busybox::busybox;
pub(crate) use container::{Cell, Containers, Profile, StoreOn, User};
pub(crate) use debian::debian;
pub(crate) use engine::Engine;
pub(crate) use host::{Who, have, is_root, measured, skip};
pub(crate) use oci::{Image, Kind};
pub(crate) use place::Place;
pub(crate) use process::{Done, ok, run};
pub(crate) use readers::{podman, skopeo_copy, skopeo_inspect, umoci_unpack};
pub(crate) use registry::{PASSWORD, Registry};
pub(crate) use server::{Server, wait_for};
