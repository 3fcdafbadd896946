//! (being built)

mod base;
pub use base::{BaseError, BaseImage, BaseSource, fetch_layers, resolve};
