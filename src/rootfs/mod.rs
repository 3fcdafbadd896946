//! Layers to a tree, a tree to changes.
//!
//! Stands between `layer` (entries in a stream) and `exec` (steps). A layer is unpacked into a
//! folder of its own in the form that overlayfs reads ([`extract`]); a [`Tree`] is a stack of such
//! folders seen as one; a [`Work`] is a tree with a folder on top that takes what a step writes.
//! What was written comes out as a sorted list of [`Change`]s, which goes into a layer ([`pack`])
//! or into a folder ([`materialise`]). What COPY takes from where is decided in `input`, how the
//! tar looks in `layer`.
//!
//! On disk:
//!
//! | in the image | in a tree |
//! |---|---|
//! | removed name | character device 0:0 |
//! | folder that hides the lower one | attribute `user.overlay.opaque` = `y` |
//! | owner, where only one id is there | a record on the file (`sys::own`); none for `0:0` |
//! | device node | empty file with a record |
//! | removed name, where the store lies on an overlay | empty file, attribute `user.rbuild.whiteout` |
//! | mode, capability, without root or a user namespace | `user.rbuild.mode`, `user.rbuild.capability` |
//!
//! Foreign `user.overlay.*` and `user.rbuild.*` are never taken over.

mod ahead;
mod changes;
mod content;
mod error;
mod extract;
mod lookup;
mod materialise;
mod merge;
mod meta;
mod pack;
pub mod passwd;
mod plain;
mod scan;
mod work;

pub use changes::{changes, forget_nodes};
pub use content::{Change, Content};
pub use error::Error;
pub use extract::{Extracted, extract, unpack};
pub(crate) use lookup::below;
pub use lookup::{Lookup, Nothing, Table, TreeLookup, make_dirs, resolve};
pub use materialise::materialise;
pub use merge::merge;
pub use meta::{clean, entry_at, entry_unless_plain, may_have_capability};
pub use pack::{Times, pack, pack_marking};
pub use plain::{Flatten, Stacked, Stacking, flatten};
pub use scan::Snapshot;
pub use work::{Tree, Work};

#[cfg(test)]
mod tests;
