//! Talks to registries: the pull side of the OCI distribution specification, with logins, mirrors,
//! retries and resumed transfers.
//!
//! Gives bytes whose digest was checked; what they mean is `image`'s business, where they are kept
//! is `store`'s. Blocking, for use by several threads at once.
//!
//! ```text
//! pull        manifests and blobs                       what is asked for
//! download    any file by its address                   what is asked for
//! client      tries, authorization, mirrors             one question until there is an answer
//! auth        challenges, tokens      credentials       who we are
//! transport   one exchange: TLS, proxy, redirects       ureq
//! ```

mod auth;
mod base64;
mod client;
mod config;
mod credentials;
mod download;
mod error;
mod helper;
mod pull;
mod retry;
#[cfg(test)]
mod testserver;
mod transport;
mod url;

pub use client::{Network, Registry};
pub use config::{Proxies, RegistryConfig};
pub use credentials::{Credentials, Login};
pub use download::{Address, AddressError, Download, Downloaded, Sink, Validators};
pub use error::{Cause, Error, Said};
pub use helper::HelperEnvironment;
pub use pull::FetchedManifest;
pub use retry::Retry;
