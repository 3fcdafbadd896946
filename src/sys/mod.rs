//! The kernel, in safe clothes: the only module with `unsafe`, `libc` and `rustix`.
//!
//! What it gives out are owned file descriptors, plain structs and small errors; no raw number,
//! pointer or flag leaves it. What is run in a sandbox and why is not decided here but in
//! `sandbox`; what is written into a tree is decided in `rootfs`.

mod child;
mod copy;
mod interrupt;
mod mount;
mod namespace;
mod rename;
mod root;
mod seccomp;
mod socket;
mod subid;
mod xattr;

pub use interrupt::on_interrupt;
pub use mount::{OverlayError, Upper, overlay_mount, tree_mount};
pub use namespace::{Entered, IdMode, NamespaceError, enter_user_namespace};
pub use rename::exchange;
