//! Names of bases to images: what the plan asks, the network and layouts answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{ImageRef, Platform};
use crate::diag::{Code, Diagnostic, chain};
use crate::event::Events;
use crate::exec::Cause;
use crate::input::{self, BaseImage};
use crate::plan::{BaseId, BaseLookup, Found, NamedContext, Plan, Wanted};
use crate::registry::{self, Registry};
use crate::store::Store;

/// What `--build-context NAME=…` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSource {
    /// A folder.
    Folder(PathBuf),
    /// An image of an OCI layout: `oci-layout://DIR[:TAG|@DIGEST]`.
    Layout {
        /// The layout.
        dir: PathBuf,
        /// The tag or digest; the only image if there is none.
        selector: input::Selector,
    },
    /// An image of a registry: `docker-image://REF`.
    Registry(ImageRef),
}

/// Why the value of a `--build-context` was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NamedSourceError(String);

impl NamedSource {
    /// Parses the value of a `--build-context`.
    pub fn parse(text: &str) -> Result<Self, NamedSourceError> {
        if let Some(image) = text.strip_prefix("docker-image://") {
            let image = ImageRef::parse(image).map_err(|error| NamedSourceError(error.to_string()))?;
            return Ok(NamedSource::Registry(image));
        }
        if let Some(layout) = text.strip_prefix("oci-layout://") {
            let (dir, selector) = input::Selector::split(layout)
                .map_err(|error| NamedSourceError(error.to_string()))?;
            return Ok(NamedSource::Layout { dir, selector });
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(NamedSourceError(format!(
                "a build context cannot be `{scheme}://…`; there are a folder, oci-layout:// and docker-image://"
            ))),
            None => Ok(NamedSource::Folder(PathBuf::from(text))),
        }
    }

    /// What it is to the plan.
    pub fn kind(&self) -> NamedContext {
        match self {
            NamedSource::Folder(_) => NamedContext::Files,
            NamedSource::Layout { .. } | NamedSource::Registry(_) => NamedContext::Image,
        }
    }
}

/// Resolves bases in the store, in layouts and in registries; remembers the answers.
pub struct Resolver<'a> {
    store: &'a Store,
    registry: &'a Registry,
    events: &'a Events,
    named: &'a BTreeMap<String, NamedSource>,
    /// The digest is asked for again although it is known.
    refresh: bool,
    resolved: RefCell<BTreeMap<(String, Platform), Arc<BaseImage>>>,
    cause: Cell<Option<Cause>>,
}

impl<'a> Resolver<'a> {
    /// Makes a resolver. With `refresh`, tags are asked for again although their digest is known.
    pub fn new(
        store: &'a Store,
        registry: &'a Registry,
        events: &'a Events,
        named: &'a BTreeMap<String, NamedSource>,
        refresh: bool,
    ) -> Self {
        Resolver {
            store,
            registry,
            events,
            named,
            refresh,
            resolved: RefCell::default(),
            cause: Cell::default(),
        }
    }

    /// What kind of failure the last refused question was.
    pub fn cause(&self) -> Option<Cause> {
        self.cause.get()
    }

    /// The images of a plan that was made with this resolver.
    pub fn images(&self, plan: &Plan) -> BTreeMap<BaseId, Arc<BaseImage>> {
        let resolved = self.resolved.borrow();
        plan.bases
            .iter()
            .filter_map(|(id, base)| {
                let key = (base.wanted.name.clone(), base.wanted.platform.clone());
                Some((id, Arc::clone(resolved.get(&key)?)))
            })
            .collect()
    }
}

impl BaseLookup for Resolver<'_> {
    fn base(&self, wanted: &Wanted) -> Result<Found, Diagnostic> {
        let source = match (self.named.get(&wanted.name), &wanted.reference) {
            (Some(NamedSource::Layout { dir, selector }), None) => {
                input::Source::Layout { dir: dir.clone(), selector: selector.clone() }
            }
            (Some(NamedSource::Registry(image)), None) | (_, Some(image)) => {
                input::Source::Registry { image: image.clone(), refresh: self.refresh }
            }
            (Some(NamedSource::Folder(_)) | None, None) => {
                let text = format!("`{}` is not an image", wanted.name);
                return Err(Diagnostic::error(Code("base-invalid"), text).at(wanted.span));
            }
        };
        let base = input::resolve(
            &wanted.name,
            &source,
            &wanted.platform,
            self.store,
            self.registry,
            self.events,
        )
        .map_err(|error| {
            self.cause.set(Some(cause_of(&error)));
            Diagnostic::error(Code("base-unavailable"), chain(&error)).at(wanted.span)
        })?;
        let base = Arc::new(base);
        let found =
            Found::Image { pinned: base.pinned.clone(), image: Arc::new(base.image.clone()) };
        let key = (wanted.name.clone(), wanted.platform.clone());
        self.resolved.borrow_mut().insert(key, base);
        Ok(found)
    }
}

/// What kind of failure a base that cannot be had is.
pub(crate) fn cause_of(error: &input::BaseError) -> Cause {
    match error {
        input::BaseError::Registry(registry::Error::Mismatch { .. }) => Cause::Tampered,
        input::BaseError::Store(crate::store::Error::Corrupt { .. } | crate::store::Error::Size { .. }) => {
            Cause::Tampered
        }
        input::BaseError::Store(_) => Cause::Internal,
        _ => Cause::Network,
    }
}
