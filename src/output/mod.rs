//! An image to a place. Nothing is written before the last gate; a place is replaced whole or not
//! at all.
//!
//! ```text
//! oci  docker  local  tar  registry  cacheonly      what `type=` may say: one file each
//! layout  archive  flatten  file  send              what they are made of
//! ```

mod append;
mod archive;
mod attributes;
mod cacheonly;
mod docker;
mod file;
mod flatten;
mod layout;
mod local;
mod oci;
mod owners;
mod registry;
mod send;
mod tar;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attributes::Attributes;

use crate::base::{self, Digest, ImageRef};
use crate::image::Image;
use crate::registry::Registry;
use crate::store::Store;
use crate::sys::IdMode;

pub use send::push_layout;

/// All types of output. To add one: a file, and a word here.
const TYPES: &[Type] = &[
    oci::TYPE,
    docker::TYPE,
    local::TYPE,
    tar::TYPE,
    registry::TYPE,
    registry::IMAGE,
    cacheonly::TYPE,
];

/// A type of output, as `-o` names it.
struct Type {
    name: &'static str,
    keys: &'static [&'static str],
    make: fn(Attributes) -> Result<Arc<dyn Output>, TargetError>,
}

/// What every output can do.
trait Output: fmt::Debug + Send + Sync {
    /// Where it writes.
    fn place(&self) -> Place<'_>;

    /// Tells early what would keep [`Output::write`] from success.
    fn check(&self, tags: &[ImageRef]) -> Result<(), Error>;

    /// Writes, and says in words where the image is now.
    fn write(&self, image: &Image, tags: &[ImageRef], means: &Means<'_>) -> Result<String, Error>;

    /// Tells whether it needs no ids but those of whoever runs this, and no network.
    fn is_plain(&self) -> bool {
        false
    }

    /// A further file that it may write.
    fn beside(&self) -> Option<PathBuf> {
        None
    }

    /// Hosts whose certificates do not matter, or that need have none.
    fn insecure_hosts(&self, _tags: &[ImageRef]) -> Vec<String> {
        Vec::new()
    }

    /// What the user has to allow (`--allow`) before this may be done.
    fn permission(&self) -> Option<&'static str> {
        None
    }
}

/// Where an output writes.
enum Place<'a> {
    Path(&'a Path),
    Stdout,
    Elsewhere,
}

impl<'a> Place<'a> {
    // `-` is standard output.
    fn of(dest: &'a Path) -> Self {
        if dest.as_os_str() == "-" { Place::Stdout } else { Place::Path(dest) }
    }
}

/// With what an image is written.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Has all blobs of the image's layers.
    pub store: &'a Store,
    /// For pushes.
    pub registry: &'a Registry,
    /// Which ids files can be given to.
    pub id_mode: IdMode,
    /// Images of a registry that have a layer too: pushes need not send it to the same registry.
    pub origins: &'a BTreeMap<Digest<base::Blob>, ImageRef>,
}

/// Where an image goes (`-o`).
#[derive(Clone, Debug)]
pub struct Target {
    output: Arc<dyn Output>,
    annotations: Vec<(String, String)>,
}

impl From<Arc<dyn Output>> for Target {
    fn from(output: Arc<dyn Output>) -> Self {
        Target { output, annotations: Vec::new() }
    }
}

/// Why a `-o` was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

impl TargetError {
    fn new(text: impl Into<String>) -> Self {
        TargetError(text.into())
    }
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What stands at the destination may not be replaced.
    #[error("`{path}` {what}; nothing was touched")]
    Occupied {
        /// The destination.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// A push, and no name to push to.
    #[error("no name to push to: give one with -t, or with name= of the output")]
    Nameless,
    /// The file system refused.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// A verb: `write`, `replace`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The layers do not fit together.
    #[error("layer {layer}: `{path}` {why}")]
    Tree {
        /// Which layer, from 1 at the bottom.
        layer: usize,
        /// The entry.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store lost a blob between packing and writing.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A layer cannot be read, or an archive not be made.
    #[error(transparent)]
    Layer(#[from] crate::layer::Error),
    /// A layout to be pushed cannot be read.
    #[error(transparent)]
    Layout(#[from] crate::image::LayoutError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { doing, path: path.clone(), source }
    }
}

impl Target {
    /// The destination when none is asked for: the folder `./image.oci`.
    pub fn default_layout() -> Self {
        let output: Arc<dyn Output> = Arc::new(oci::Oci {
            dest: "image.oci".into(),
            tar: false,
            names: Vec::new(),
            append: false,
            shallow: false,
        });
        output.into()
    }

    /// A push to the names that the image has (`--push`).
    pub fn push() -> Self {
        let output: Arc<dyn Output> = Arc::new(registry::Push::default());
        output.into()
    }

    /// What an `-o` without attributes means: a path is `type=local,dest=PATH`, `-` is
    /// `type=tar,dest=-`; `None` for one with attributes.
    pub fn bare(text: &str) -> Option<Self> {
        let output: Arc<dyn Output> = match text {
            "-" => Arc::new(tar::Tar { dest: "-".into() }),
            "" => return None,
            path if path.contains(['=', ',']) => return None,
            path => Arc::new(local::Local::at(path)),
        };
        Some(output.into())
    }

    /// Makes a target of the attributes of one `-o`: `type=oci,dest=PATH,tar=false,name=REF`.
    pub fn from_attributes(attributes: &[(String, String)]) -> Result<Self, TargetError> {
        let Some((_, kind)) = attributes.iter().rev().find(|(key, _)| key == "type") else {
            return Err(TargetError::new(
                "an output needs `type=`, for example type=oci,dest=image.oci",
            ));
        };
        let Some(found) = TYPES.iter().find(|one| one.name == kind) else {
            let names: Vec<_> = TYPES.iter().map(|one| one.name).collect();
            let hint = match crate::diag::nearest(kind, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", names.join(", ")),
            };
            return Err(TargetError::new(format!("unknown output type `{kind}`; {hint}")));
        };
        let mut attributes = Attributes::new(attributes, found.keys)?;
        let annotations = attributes.annotations()?;
        Ok(Target { output: (found.make)(attributes)?, annotations })
    }

    /// The annotations that it wants on the image (`annotation.KEY=VALUE`), as `--annotation` has
    /// them: `manifest[PLATFORM]:KEY` and the value.
    pub fn annotations(&self) -> &[(String, String)] {
        &self.annotations
    }

    /// Hosts of registries that need not prove who they are (`insecure=true`), for an image with
    /// these names.
    pub fn insecure_hosts(&self, tags: &[ImageRef]) -> Vec<String> {
        self.output.insecure_hosts(tags)
    }

    /// Tells whether standard output is the destination, so that no digest line may go there.
    pub fn is_stdout(&self) -> bool {
        matches!(self.output.place(), Place::Stdout)
    }

    /// Tells whether it needs no ids but those of whoever runs this, and no network.
    pub fn is_plain(&self) -> bool {
        self.output.is_plain()
    }

    /// The paths that it may write: they are no part of the context.
    pub fn paths(&self) -> Vec<PathBuf> {
        let dest = match self.output.place() {
            Place::Path(path) => Some(path.to_owned()),
            Place::Stdout | Place::Elsewhere => None,
        };
        dest.into_iter().chain(self.output.beside()).collect()
    }

    /// What the user has to allow (`--allow`) before this may be done: `local.delete`.
    pub fn permission(&self) -> Option<&'static str> {
        self.output.permission()
    }

    /// Tells early, before the first step, that the image cannot be written there.
    pub fn check(&self, tags: &[ImageRef]) -> Result<(), Error> {
        self.output.check(tags)
    }

    /// Writes the image, whose blobs are in the store, and says in words where it is now.
    pub fn write(
        &self,
        image: &Image,
        tags: &[ImageRef],
        means: &Means<'_>,
    ) -> Result<String, Error> {
        self.output.write(image, tags, means)
    }
}

#[cfg(test)]
mod tests;
