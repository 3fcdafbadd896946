//! What is true of a script and of an image, without an opinion: which commands a body runs, what
//! each layer holds, where a secret shows up. `policy` judges; `inspect` and `audit` print.

pub mod shell;
mod behaviour;
mod leak;
mod program;
mod table;
mod view;
mod whole;

pub use behaviour::{Behaviour, Connected, Denied, Executed, Observed};
pub use leak::{Leak, LeakScan, Needles};
pub use program::{Elf, Program};
pub use table::{FileFact, FileKind, LayerTable, TableObserver};
pub use view::{Account, ImageFacts, LayerFacts, Origin, Visible};
pub use whole::{Attestation, Beside, Mismatch, Orphan, Signature, Waste, Whole};
