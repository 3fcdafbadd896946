//! Talks to registries: the OCI distribution specification, with logins, mirrors, retries and
//! resumed transfers.
//!
//! Gives bytes whose digest was checked; what they mean is `image`'s business, where they are kept
//! is `store`'s. Blocking, for use by several threads at once.
//!
//! ```text
//! pull        manifests and blobs                       what is asked for
//! push        upload                                    what is sent
//! download    any file by its address                   what is asked for
//! client      tries, authorization, mirrors             one question until there is an answer
//! auth        challenges, tokens      credentials       who we are
//! transport   one exchange: TLS, proxy, redirects       ureq
//! ```

mod auth;
pub(crate) mod base64;
mod client;
mod config;
mod credentials;
mod download;
mod error;
mod helper;
mod pull;
mod push;
#[cfg(test)]
pub(crate) mod realserver;
mod retry;
#[cfg(test)]
mod testserver;
mod transport;
mod upload;
mod url;

pub use client::{Network, Registry};
pub use config::{Proxies, RegistryConfig};
pub use credentials::{Credentials, Login};
pub use download::{Address, AddressError, Download, Downloaded, Sink, Validators};
pub use error::{Cause, Error, Said, What};
pub use helper::HelperEnvironment;
pub use pull::FetchedManifest;
pub use push::{BlobContent, BlobToPush, ManifestToPush, Pushed, ToPush};
pub use retry::Retry;
pub(crate) use url::is_loopback;
