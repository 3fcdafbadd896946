//! Mounts as file descriptors: made detached, attached through descriptors, gone with them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::base::ImagePath;

/// Where an overlay is written to. Both folders lie on one filesystem; `work` is empty and was
/// never used for a mount before (the `volatile` mark in it would refuse a second one).
#[derive(Clone, Copy, Debug)]
pub struct Upper<'a> {
    /// Receives what is written.
    pub upper: &'a Path,
    /// The kernel's own folder.
    pub work: &'a Path,
}

/// Why an overlay could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// More layers than the kernel stacks.
    #[error("{0} layers are more than the kernel's overlay takes (500)")]
    TooMany(usize),
    /// There is no layer at all.
    #[error("an overlay needs at least one layer")]
    Empty,
    /// The kernel refused.
    #[error("mount overlay: {step}: {source}{hint}")]
    Refused {
        /// What was being done.
        step: String,
        /// What the kernel says about it.
        hint: String,
        /// The error number.
        source: std::io::Error,
    },
}

/// Mounts the layers `lowers` (bottom first) as one tree, and returns the detached mount: a
/// directory handle that vanishes with its last descriptor. Without `upper` it is read-only.
pub fn overlay_mount(
    lowers: &[PathBuf],
    upper: Option<Upper<'_>>,
) -> Result<OwnedFd, OverlayError> {
    let _ = (lowers, upper);
    Err(OverlayError::Empty)
}

/// Like [`overlay_mount`], but returns a detached mount of the file or folder `path` in it,
/// symlinks followed inside the tree.
pub fn tree_mount(
    lowers: &[PathBuf],
    upper: Option<Upper<'_>>,
    path: &ImagePath,
) -> Result<OwnedFd, OverlayError> {
    let _ = (lowers, upper, path);
    Err(OverlayError::Empty)
}
