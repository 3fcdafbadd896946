//! Layers stacked to one tree by the kernel's overlay filesystem, as a detached mount.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::mount;
use crate::base::ImagePath;

/// The kernel's limit (`OVL_MAX_STACK`).
const MOST_LAYERS: usize = 500;

/// How many layers fit into the options of mount(2), by the length of the names that a store gives.
const MOST_BY_OPTIONS: usize = 100;

// What the mounts so far have shown, or a test has asked for.
static BY_OPTIONS: AtomicBool = AtomicBool::new(false);

/// Has all mounts made in the way of kernels before 6.7, which have no `lowerdir+`: for testing it.
pub fn mount_by_options() {
    BY_OPTIONS.store(true, Ordering::Relaxed);
}

/// Returns how many layers an overlay takes here. Known after the first [`overlay_mount`].
pub fn most_layers() -> usize {
    if BY_OPTIONS.load(Ordering::Relaxed) { MOST_BY_OPTIONS } else { MOST_LAYERS }
}

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
    /// There is no layer and no upper folder.
    #[error("an overlay needs at least one layer")]
    Empty,
    /// The kernel refused.
    #[error("mount overlay: {step}: {source}{hint}")]
    Refused {
        /// What was being done.
        step: String,
        /// What else is known: `; overlay: …`, or empty.
        hint: String,
        /// The error number.
        source: io::Error,
    },
    /// The path in the tree could not be opened.
    #[error("open `{path}`: {source}")]
    Path {
        /// The path.
        path: ImagePath,
        /// Why.
        source: io::Error,
    },
}

impl OverlayError {
    fn refused(
        step: impl Into<String>,
        hint: impl Into<String>,
        error: impl Into<io::Error>,
    ) -> Self {
        OverlayError::Refused { step: step.into(), hint: hint.into(), source: error.into() }
    }
}

/// Mounts the layers `lowers` (bottom first, absolute paths) as one tree, and returns the detached
/// mount: a directory handle that vanishes with its last descriptor. Without `upper` it is
/// read-only. Opaque folders and the like are in `user.overlay.*` attributes; nothing is synced.
pub fn overlay_mount(
    lowers: &[PathBuf],
    upper: Option<Upper<'_>>,
) -> Result<OwnedFd, OverlayError> {
    let lowers: &[PathBuf] = &without_repeats(lowers);
    if lowers.len() > MOST_LAYERS {
        return Err(OverlayError::TooMany(lowers.len()));
    }
    // The kernel's overlay wants two folders at least; one alone is shown as it is.
    let alone = match (lowers, upper) {
        ([], None) => return Err(OverlayError::Empty),
        ([], Some(upper)) => Some((upper.upper, false)),
        ([only], None) => Some((only.as_path(), true)),
        _ => None,
    };
    if let Some((folder, readonly)) = alone {
        let tree = mount::clone_path(folder)
            .map_err(|error| OverlayError::refused("bind the only layer", "", error))?;
        if readonly {
            mount::set_readonly(&tree, false)
                .map_err(|error| OverlayError::refused("make it read-only", "", error))?;
        }
        return Ok(tree);
    }
    if BY_OPTIONS.load(Ordering::Relaxed) {
        return by_options(lowers, upper);
    }
    match by_descriptor(lowers, upper) {
        // Linux before 6.7 has no `lowerdir+`; before 5.2 there is no fsopen.
        Err(OverlayError::Refused { step, source, hint })
            if ["lowerdir+", "fsopen"].contains(&step.as_str())
                && source.raw_os_error().is_some_and(|number| {
                    number == Errno::INVAL.raw_os_error() || number == Errno::NOSYS.raw_os_error()
                }) =>
        {
            let mounted = by_options(lowers, upper).map_err(|error| match error {
                OverlayError::Refused { step, source, hint: other } => {
                    OverlayError::Refused { step, source, hint: format!("{other}{hint}") }
                }
                other => other,
            });
            if mounted.is_ok() {
                mount_by_options();
            }
            mounted
        }
        other => other,
    }
}

// Layers of the same content are one folder, and the kernel takes no folder twice (ELOOP). The upper
// one is enough: all that the lower one has, it has as well, and nothing between can take it away.
fn without_repeats(lowers: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = std::collections::BTreeSet::new();
    let mut kept: Vec<PathBuf> = lowers.iter().rev().filter(|l| seen.insert(*l)).cloned().collect();
    kept.reverse();
    kept
}

fn by_descriptor(lowers: &[PathBuf], upper: Option<Upper<'_>>) -> Result<OwnedFd, OverlayError> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| OverlayError::refused("fsopen", "", error))?;
    let told = |step: &'static str| {
        let fs = fs.as_fd();
        move |error: Errno| {
            let mut hint = mount::log_of(fs);
            if step == "create" && error == Errno::INVAL {
                hint.push_str(
                    "; is the store on an overlay (a container's own root) or on NFS? choose a \
                     folder on a local disk or a volume with `--root`",
                );
            }
            OverlayError::refused(step, hint, error)
        }
    };
    fsconfig_set_string(&fs, "source", "overlay").map_err(told("source"))?;
    // The first that is appended is the top.
    for lower in lowers.iter().rev() {
        fsconfig_set_string(&fs, "lowerdir+", lower.as_path()).map_err(told("lowerdir+"))?;
    }
    if let Some(upper) = upper {
        fsconfig_set_string(&fs, "upperdir", upper.upper).map_err(told("upperdir"))?;
        fsconfig_set_string(&fs, "workdir", upper.work).map_err(told("workdir"))?;
        fsconfig_set_flag(&fs, "volatile").map_err(told("volatile"))?;
    }
    fsconfig_set_flag(&fs, "userxattr").map_err(told("userxattr"))?;
    fsconfig_create(&fs).map_err(told("create"))?;
    let attributes =
        if upper.is_none() { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(told("fsmount"))
}

// mount(2) takes one page of options, so the folders are given relative to the folder that all of
// them have in common; it needs a place, which is made in a mount namespace of its own thread.
fn by_options(lowers: &[PathBuf], upper: Option<Upper<'_>>) -> Result<OwnedFd, OverlayError> {
    let (base, options) = options(lowers, upper)
        .ok_or_else(|| OverlayError::refused(
            "options",
            "; the names of the layers are longer than one page, which only Linux 6.7 and newer take",
            Errno::TOOBIG,
        ))?;
    let readonly = upper.is_none();
    mount::in_thread_namespace(move || {
        rustix::process::chdir(&base)?;
        let options = std::ffi::CString::new(options).map_err(io::Error::from)?;
        let flags = if readonly { MountFlags::RDONLY } else { MountFlags::empty() };
        rustix::mount::mount("overlay", "/proc", "overlay", flags, Some(options.as_c_str()))?;
        mount::clone_path(Path::new("/proc"))
    })
    .map_err(|error| OverlayError::refused("mount", "", error))
}

fn options(lowers: &[PathBuf], upper: Option<Upper<'_>>) -> Option<(PathBuf, Vec<u8>)> {
    let mut base = lowers.first()?.parent()?.to_path_buf();
    let all =
        || lowers.iter().map(PathBuf::as_path).chain(upper.iter().flat_map(|u| [u.upper, u.work]));
    while !all().all(|path| path.starts_with(&base)) {
        base.pop().then_some(())?;
    }
    let relative = |path: &Path| -> Option<Vec<u8>> {
        let path = path.strip_prefix(&base).ok()?.as_os_str().as_bytes();
        // These two take paths apart in the option's value.
        (!path.is_empty() && !path.iter().any(|byte| b":,\\".contains(byte))).then(|| path.to_vec())
    };
    let mut out = b"userxattr,lowerdir=".to_vec();
    let layers: Vec<Vec<u8>> =
        lowers.iter().rev().map(|lower| relative(lower)).collect::<Option<_>>()?;
    out.extend(layers.join(&b':'));
    if let Some(upper) = upper {
        out.extend(b",volatile,upperdir=");
        out.extend(relative(upper.upper)?);
        out.extend(b",workdir=");
        out.extend(relative(upper.work)?);
    }
    (out.len() < 4096).then_some((base, out))
}

/// Like [`overlay_mount`], but returns a detached mount of the file or folder `path` in it,
/// symlinks followed inside the tree.
pub fn tree_mount(
    lowers: &[PathBuf],
    upper: Option<Upper<'_>>,
    path: &ImagePath,
) -> Result<OwnedFd, OverlayError> {
    let tree = overlay_mount(lowers, upper)?;
    if path.is_root() {
        return Ok(tree);
    }
    let wrong = |source: io::Error| OverlayError::Path { path: path.clone(), source };
    let inside = mount::open_in_root(&tree, path, false).map_err(wrong)?;
    let cloned = match mount::clone_handle(&inside) {
        // Linux before 6.15 clones no part of a detached mount: attach it first.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            drop(inside);
            let path = path.clone();
            mount::in_thread_namespace(move || {
                mount::attach_at(&tree, Path::new("/proc"))?;
                mount::clone_handle(mount::open_in_root(&tree, &path, false)?)
            })
        }
        other => other,
    }
    .map_err(wrong)?;
    if upper.is_none() {
        mount::set_readonly(&cloned, false).map_err(wrong)?;
    }
    Ok(cloned)
}

/// Makes the folders of a throw-away upper in the empty folder `scratch`, with mode and owner of
/// `lower`, and mounts both together.
pub(crate) fn throw_away_mount(lower: &Path, scratch: &Path) -> Result<OwnedFd, OverlayError> {
    let wrong = |error: io::Error| OverlayError::refused("make a throw-away folder", "", error);
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).map_err(wrong)?;
    }
    like(lower, &upper).map_err(wrong)?;
    overlay_mount(&[lower.to_path_buf()], Some(Upper { upper: &upper, work: &work }))
}

/// Gives `to` the mode and owner of `from`.
pub(crate) fn like(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let meta = fs::metadata(from)?;
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    if let Some(own) = super::xattr::get(fs::File::open(from)?, super::own::ATTRIBUTE)? {
        super::xattr::set(fs::File::open(to)?, super::own::ATTRIBUTE, &own)?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))
}

#[cfg(test)]
#[allow(clippy::print_stderr)] // a test that is skipped says so
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn options_are_short_and_top_first() {
        let lowers = paths(&["/s/trees/a/fs", "/s/trees/b/fs"]);
        let upper = Upper { upper: Path::new("/s/tmp/1/upper"), work: Path::new("/s/tmp/1/work") };
        let (base, text) = options(&lowers, Some(upper)).unwrap();
        assert_eq!(base, Path::new("/s"));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "userxattr,lowerdir=trees/b/fs:trees/a/fs,volatile,upperdir=tmp/1/upper,workdir=tmp/1/work"
        );
    }

    #[test]
    fn names_that_the_option_cannot_hold_are_refused() {
        assert!(options(&paths(&["/s/a,b", "/s/c"]), None).is_none());
        let many: Vec<PathBuf> = (0..400).map(|n| format!("/s/{n:0>20}").into()).collect();
        assert!(options(&many, None).is_none());
    }

    #[test]
    fn the_way_of_older_kernels_works_too() {
        use std::os::fd::AsRawFd;
        let store = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = store.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let lowers = [folder("a/fs"), folder("b/fs")];
        fs::write(lowers[0].join("f"), "a").unwrap();
        fs::write(lowers[1].join("f"), "b").unwrap();
        let (upper, work) = (folder("upper"), folder("work"));
        let tree = match by_options(&lowers, Some(Upper { upper: &upper, work: &work })) {
            Ok(tree) => tree,
            Err(OverlayError::Refused { step, source, .. }) if step == "mount" => {
                let why = format!("this account may not mount: {source}");
                crate::base::skipped("the_way_of_older_kernels_works_too", &why);
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let seen = |name: &str| PathBuf::from(format!("/proc/self/fd/{}/{name}", tree.as_raw_fd()));
        assert_eq!(fs::read_to_string(seen("f")).unwrap(), "b");
        fs::write(seen("g"), "new").unwrap();
        assert_eq!(fs::read_to_string(upper.join("g")).unwrap(), "new");
    }

    #[test]
    fn a_layer_that_comes_twice_counts_where_it_is_uppermost() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            without_repeats(&paths(&["/a", "/b", "/a", "/c", "/b"])),
            paths(&["/a", "/c", "/b"])
        );
    }

    #[test]
    fn limits() {
        assert!(matches!(overlay_mount(&[], None), Err(OverlayError::Empty)));
        let many: Vec<_> = (0..501).map(|n| PathBuf::from(format!("/s{n}"))).collect();
        assert!(matches!(overlay_mount(&many, None), Err(OverlayError::TooMany(501))));
    }
}
