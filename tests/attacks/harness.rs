//! What of the harness of `tests/it` these tests stand on.

#[path = "../it/harness/busybox.rs"]
mod busybox;
#[path = "../it/harness/folder.rs"]
mod folder;
#[path = "../it/harness/host.rs"]
mod host;
#[path = "../it/harness/oci.rs"]
mod oci;
#[path = "../it/harness/place.rs"]
mod place;
#[path = "../it/harness/process.rs"]
mod process;

pub(crate) use busybox::busybox;
pub(crate) use host::{Who, have, is_root, measured, skip};
pub(crate) use oci::{Image, Kind};
pub(crate) use place::Place;
pub(crate) use process::{Done, ok, run, run_fed, spawn};
