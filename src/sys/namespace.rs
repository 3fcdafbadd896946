//! Makes this process root of a user namespace of its own, so that it may mount and own ids.

/// Which ids the builder has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdMode {
    /// Real root: every id of the parent namespace, each mapped to itself.
    Root,
    /// A range of subordinate ids: 0 is the account, 1 and up are the range.
    Range,
    /// The account's own id alone, seen as 0; other owners are recorded in an attribute.
    Single,
}

impl IdMode {
    /// Tells whether files can be owned by ids other than 0.
    pub fn has_many(self) -> bool {
        match self {
            IdMode::Root | IdMode::Range => true,
            IdMode::Single => false,
        }
    }
}

/// What [`enter_user_namespace`] came to.
#[derive(Debug)]
pub struct Entered {
    /// Which ids there are now.
    pub mode: IdMode,
    /// Why it is [`IdMode::Single`] although a range was looked for: cause and cure, for people.
    pub why_single: Option<NamespaceError>,
}

/// Why there is no user namespace, or no range of ids in it.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a user namespace: {cause}")]
pub struct NamespaceError {
    /// What stands in the way.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
}

/// Makes this process root of new user and mount namespaces.
///
/// Has to be called while the process has one thread. `want` asks for one mode and takes no
/// other; `None` tries in the order root, range, single.
pub fn enter_user_namespace(want: Option<IdMode>) -> Result<Entered, NamespaceError> {
    let _ = want;
    Err(NamespaceError { cause: "not built yet".into(), cure: String::new() })
}
