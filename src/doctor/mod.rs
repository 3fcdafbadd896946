//! What this host can do for a build, found out by doing it: each ability is tried in a process of its
//! own, which may be spoilt by it. Nothing is decided by version numbers, and nothing is remembered.
//!
//! It gives data; `cli` prints it. What a build does with an ability is decided where it is used.

mod host;
mod kernel;

use std::path::PathBuf;

use crate::sandbox::Emulators;

/// What is asked, and with which means.
#[derive(Clone, Debug)]
pub struct Question {
    /// The store: steps write there.
    pub store: PathBuf,
    /// This program's file, which is started again for a step.
    pub program: PathBuf,
    /// Folders with programs.
    pub folders: Vec<PathBuf>,
    /// Where emulators are looked for.
    pub emulators: Emulators,
}

/// One ability, and whether it is there.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ability {
    /// A name that stays: `user-namespace`, `overlay`, …
    pub id: String,
    /// What it is for.
    pub title: String,
    /// Whether it is there.
    pub works: bool,
    /// No step runs without it.
    pub needed: bool,
    /// What more is known: a number, a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Ability {
    /// An ability of this name.
    pub fn new(id: &str, title: &str, found: Result<Option<String>, No>) -> Self {
        let (works, detail, no) = match found {
            Ok(detail) => (true, detail, None),
            Err(no) => (false, None, Some(no)),
        };
        let (cause, cure) = no.map(|no| (no.cause, no.cure)).unzip();
        let (id, title) = (id.to_owned(), title.to_owned());
        Ability { id, title, works, needed: false, detail, cause, cure }
    }

    /// Without it no step runs.
    fn needed(mut self) -> Self {
        self.needed = true;
        self
    }
}

/// Why an ability is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct No {
    /// Why.
    pub cause: String,
    /// What to do.
    pub cure: String,
}

impl No {
    /// The two in words.
    pub fn new(cause: impl Into<String>, cure: impl Into<String>) -> Self {
        No { cause: cause.into(), cure: cure.into() }
    }
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// How ids are mapped in steps, where steps run: `root`, `range`, `single`.
    pub ids: Option<&'static str>,
    /// Whether a whole step ran, isolated.
    pub isolated: bool,
    /// The abilities, in an order to read.
    pub abilities: Vec<Ability>,
}

/// Tries everything. To be called while the process has one thread.
pub fn examine(question: &Question) -> Diagnosis {
    let (ids, mut abilities) = kernel::abilities(question);
    let isolated = abilities.iter().any(|ability| ability.id == "step" && ability.works);
    abilities.extend(host::abilities(question));
    Diagnosis { ids: ids.filter(|_| isolated), isolated, abilities }
}
