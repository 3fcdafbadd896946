//! What of a step is made on the builder's side: its tree and the mounts that come from elsewhere,
//! as descriptors. The step itself gets no path of the host.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Isolation;
use super::run::Error;
use super::spec::{MountKind, Source, Spec};
use crate::sys::mount::{self, Limits};
use crate::sys::{OverlayError, Upper, like, overlay_mount, throw_away_mount, tree_mount};

/// Makes the descriptors of a step: the tree, its upper folder, then one for each of `mounts`.
pub(super) fn descriptors(spec: &Spec, mounts: &[&MountKind]) -> Result<Vec<OwnedFd>, Error> {
    if spec.isolation == Isolation::Chroot {
        // The one folder, twice: what the step sees is what it writes to.
        return Ok(vec![open_folder(&spec.upper)?, open_folder(&spec.upper)?]);
    }
    let upper = Upper { upper: &spec.upper, work: &spec.work };
    let tree =
        overlay_mount(&spec.lowers, Some(upper)).map_err(|error| of_overlay("tree", error))?;
    let mut out = vec![tree, open_folder(&spec.upper)?];
    for (number, kind) in mounts.iter().enumerate() {
        let scratch = spec.scratch.join(number.to_string());
        match kind {
            MountKind::Bind { source, writable: false } => out.push(shown(source, true)?),
            MountKind::Bind { source, writable: true } => out.push(throw_away(source, &scratch)?),
            MountKind::Cache { source, readonly } => out.push(shown(source, *readonly)?),
            MountKind::Device(node) => out.push(mount::clone_path(node).map_err(|error| {
                let doing = format!("take the device `{}`", node.display());
                Error::Setup { doing, cause: error.to_string() }
            })?),
            MountKind::Tmpfs { .. } | MountKind::Secret(_) | MountKind::File(_) => {}
        }
    }
    Ok(out)
}

/// Opens the upper folder of a step.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, Error> {
    fs::File::open(path).map(OwnedFd::from).map_err(|error| of_path(path, &error))
}

fn of_path(path: &Path, error: &io::Error) -> Error {
    Error::Setup { doing: format!("open `{}`", path.display()), cause: error.to_string() }
}

fn of_overlay(what: &str, error: OverlayError) -> Error {
    match error {
        OverlayError::Path { path, source } => {
            Error::Setup { doing: format!("open `{path}` for a mount"), cause: source.to_string() }
        }
        other => Error::Setup { doing: format!("mount the {what}"), cause: other.to_string() },
    }
}

// A detached mount of the source.
fn shown(source: &Source, readonly: bool) -> Result<OwnedFd, Error> {
    let (made, name) = match source {
        Source::Tree { lowers, path } => {
            return tree_mount(lowers, None, path).map_err(|error| of_overlay("tree", error));
        }
        Source::Path(path) => (mount::clone_path(path), path.display().to_string()),
        Source::Handle(handle) => (mount::clone_handle(handle), "a handle".to_owned()),
    };
    let limits = Limits { nodev: true, readonly, ..Limits::default() };
    made.and_then(|made| mount::set_limits(&made, limits, false).map(|()| made)).map_err(|error| {
        Error::Setup { doing: format!("mount `{name}`"), cause: error.to_string() }
    })
}

// A mount of the source that takes writes and forgets them: an overlay for a folder, a copy of a file.
fn throw_away(source: &Source, scratch: &Path) -> Result<OwnedFd, Error> {
    fs::create_dir_all(scratch).map_err(|error| of_path(scratch, &error))?;
    if let Source::Tree { lowers, path } = source {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        for folder in [&upper, &work] {
            fs::create_dir_all(folder).map_err(|error| of_path(folder, &error))?;
        }
        if let Some(top) = lowers.last() {
            like(top, &upper).map_err(|error| of_path(top, &error))?;
        }
        let upper = Upper { upper: &upper, work: &work };
        return tree_mount(lowers, Some(upper), path).map_err(|error| of_overlay("tree", error));
    }
    let from = match source {
        Source::Path(path) => path.clone(),
        Source::Handle(handle) => {
            PathBuf::from(format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()))
        }
        Source::Tree { .. } => return Err(Error::Lost("a tree was handled above".into())),
    };
    let wrong = |error: io::Error| of_path(&from, &error);
    if fs::metadata(&from).map_err(wrong)?.is_dir() {
        return throw_away_mount(&from, scratch).map_err(|error| of_overlay("folder", error));
    }
    let copy = scratch.join("file");
    fs::copy(&from, &copy).map_err(wrong)?;
    like(&from, &copy).map_err(wrong)?;
    mount::clone_path(&copy).map_err(wrong)
}
