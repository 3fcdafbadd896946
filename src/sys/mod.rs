//! The kernel, in safe clothes: the only module with `unsafe`, `libc` and `rustix`.
//!
//! What it gives out are owned file descriptors, plain structs and small errors; no raw number,
//! pointer or flag leaves it. What is run in a sandbox and why is not decided here but in
//! `sandbox`; what is written into a tree is decided in `rootfs`.

pub(crate) mod binfmt;
mod bpf;
pub(crate) mod caller;
pub(crate) mod child;
pub mod copy;
mod dir;
mod host;
mod interrupt;
pub(crate) mod keep;
pub(crate) mod landlock;
mod look;
pub(crate) mod mount;
mod namespace;
pub(crate) mod notify;
mod overlay;
pub mod own;
pub(crate) mod place;
mod rename;
mod root;
pub(crate) mod seccomp;
#[cfg(target_arch = "x86_64")]
mod seccomp_i386;
pub(crate) mod socket;
mod stat;
mod subid;
pub(crate) mod trace;
pub(crate) mod trap;
#[cfg(target_arch = "x86_64")]
mod trap_i386;
pub(crate) mod trial;
pub(crate) mod watch;
pub mod xattr;

pub use child::is_limit;
pub(crate) use copy::{as_path, path_of};
pub use dir::{Dir, Names};
pub use host::{
    can_change_root, fresh_proc, ids_without_namespace, is_proc_whole, wait_for_threads,
};
pub use interrupt::{TERMINATE, on_interrupt};
pub use landlock::{NoFence, is_fence_known, try_fence};
pub use look::{may_open, may_replace};
pub use namespace::{
    Entered, Foreseen, IdMode, NamespaceError, Obstacle, enter_user_namespace, foreseen_ids,
    has_no_ids, id_maps, user_id,
};
pub use overlay::{OverlayError, Upper, most_layers, mount_by_options, overlay_mount, tree_mount};
pub(crate) use overlay::{like, throw_away_mount};
pub use rename::{exchange, rename_new};
pub use root::{Follow, Root};
pub use stat::{FileKind, Stat, set_mode, set_mtime, set_owner, stat_of};
