//! What is true of a script and of an image, without an opinion: which commands a body runs, what
//! each layer holds, where a secret shows up. `policy` judges; `inspect` and `audit` print.

pub(crate) mod credentials;
pub mod shell;
mod behaviour;
mod content;
mod hidden;
pub mod hooks;
mod identity;
mod keep;
mod leak;
mod logins;
mod packages;
mod program;
mod rpm;
mod table;
mod view;
mod whole;

pub use behaviour::{
    Behaviour, Conduct, Connected, Denied, Executed, Failed, Observed, Used, Varies, Varying,
    Whence,
};
pub use content::{Mark, MarkKind};
pub use hidden::{Hidden, How, content_of};
pub use identity::{Identity, Shadowed};
pub use leak::{Leak, LeakScan, Needles};
pub use packages::{Owned, Packages, is_database};
pub use program::{Elf, Program};
pub use table::{Anomaly, Budget, FileFact, FileKind, LayerTable, TableObserver};
pub use view::{Account, ImageFacts, LayerFacts, Origin, View, Visible, accounts};
pub use whole::{Attestation, Beside, Mismatch, Orphan, Signature, Waste, Whole};
