//! E. The Dockerfile, the planner, the policy (attacks 85 to 96).
//!
//! Most of it is decided before any step, and the same for every kind of user: one ground is enough.

mod evasion;
mod keys;
mod limits;

use crate::ground::{Attempt, Ground, Mode};

/// A ground of the first mode that there is.
fn ground() -> Ground {
    Ground::new(Mode::every()[0])
}

/// A build of these bytes.
fn build<'a>(ground: &'a Ground, bytes: &[u8]) -> Attempt<'a> {
    ground.place().file("Hostile", bytes);
    let _ = ground.build("FROM busybox\n");
    ground
        .command(&["build", "--progress=plain", "--policy=none", "--root"])
        .arg(ground.place().at("store"))
        .arg("--file")
        .arg(ground.place().at("Hostile"))
        .layout("busybox", &ground.place().at("busybox"))
        .last(ground.place().at("ctx"))
}
