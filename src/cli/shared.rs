//! Arguments that several commands take.

use std::path::PathBuf;
use std::str::FromStr;

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue {
    /// Before the first `=`; not empty.
    pub(crate) key: String,
    /// After it.
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(KeyValue { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not KEY=VALUE")),
        }
    }
}

/// Where things are kept and whom to ask.
#[derive(clap::Args, Debug)]
pub(crate) struct StoreArgs {
    /// The store [default: $XDG_CACHE_HOME/rbuild, ~/.cache/rbuild]
    #[arg(long, value_name = "DIR", env = "RBUILD_ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// Never use the network
    #[arg(long, env = "RBUILD_OFFLINE", num_args = 0)]
    pub(crate) offline: bool,
    /// Mirrors, plain-HTTP hosts, certificates: a TOML file
    #[arg(long, value_name = "FILE", env = "RBUILD_REGISTRY_CONFIG")]
    pub(crate) registry_config: Option<PathBuf>,
    /// Registry credentials in Docker's or containers' form
    #[arg(long, value_name = "FILE", env = "RBUILD_AUTHFILE")]
    pub(crate) authfile: Option<PathBuf>,
}

/// What is demanded of a Dockerfile and an image.
#[derive(clap::Args, Debug)]
pub(crate) struct PolicyArgs {
    /// A profile (none, baseline, hardened, paranoid) or a policy file
    #[arg(long, value_name = "PROFILE|FILE", env = "RBUILD_POLICY")]
    pub(crate) policy: Option<String>,
    /// Change one value: `rules.ID=off|warn|error`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<KeyValue>,
    /// Only these rules
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Not these rules
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// The severity that stops
    #[arg(long, value_name = "error|warn|never")]
    pub(crate) fail_on: Option<String>,
    /// Write a report: `json=FILE`, `human=FILE`
    #[arg(long, value_name = "FORMAT=FILE")]
    pub(crate) report: Vec<KeyValue>,
}
