//! Right owners where there is only one id: a supervisor that answers for the kernel.
//!
//! With a single id every file of a step is owned by that one, and nobody can become anybody else. So
//! the calls that set, use or show owners and identities stop (`sys::notify`) and are answered here:
//! what a process asks for is recorded ([`crate::sys::own`]) and shown again. It is no fence. The supervisor
//! does with the step's own rights what the step could do, on files below the step's root; it knows better
//! names for them, and nothing else.
//!
//! It is the process between the builder and the step's first one: outside of the step's pid namespace,
//! so that the step can neither see nor kill it, and inside its mount namespace, where its root becomes
//! the step's with the change of the root. The step's first process dies with it, and it with what is
//! forked for steps, and that with the builder.
//!
//! | the question | where the answer is |
//! |---|---|
//! | whose is a file | an attribute of the file; none: `0:0` |
//! | who is a process | a number in a limit that has no meaning, and that the kernel hands on to children |
//! | whose is a new file | its maker's, and the group of a set-gid folder: we make it, and hand it over |

mod answer;
mod files;
mod identity;
mod serve;

pub(super) use serve::{Theirs, pair};
