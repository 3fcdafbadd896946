//! The hundred attacks: what a hostile base, registry, context, step or Dockerfile may try, and what
//! has to come of it. `docs/attacks.md` has the list; the number is in the name of the test.
//!
//! Each is run against the real program, as every kind of user that the machine offers, with a
//! canary beside the context and bounds on time and memory (`ground`).

mod archives;
mod canary;
mod context;
mod ground;
mod harness;
mod layout;
mod output;
mod registries;
mod run;
mod tarbytes;
#[path = "../../src/registry/testserver.rs"]
mod testserver;
mod text;
