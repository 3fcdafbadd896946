//! Names of bases to images: what the plan asks, the network and layouts answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::Platform;
use crate::diag::{Code, Diagnostic, chain};
use crate::event::Events;
use crate::exec::{Cause, cause_of_base};
use crate::input::{self, BaseImage, BaseSource};
use crate::plan::{BaseId, BaseLookup, Found, NamedContext, Plan, Wanted};
use crate::registry::Registry;
use crate::store::Store;

/// What `--build-context NAME=…` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSource {
    /// A folder.
    Folder(PathBuf),
    /// A tar or a repository, by its address.
    Address(String),
    /// An image: `oci-layout://DIR[:TAG|@DIGEST]`, `docker-image://REF`.
    Image(BaseSource),
}

/// Why the value of a `--build-context` was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NamedSourceError(String);

impl NamedSource {
    /// Parses the value of a `--build-context`.
    pub fn parse(text: &str) -> Result<Self, NamedSourceError> {
        match (BaseSource::of_context(text), text.split_once("://")) {
            (Some(Ok(source)), _) => Ok(NamedSource::Image(source)),
            (Some(Err(error)), _) => Err(NamedSourceError(error.to_string())),
            (None, Some(("http" | "https" | "git" | "ssh", _))) => {
                Ok(NamedSource::Address(text.to_owned()))
            }
            (None, Some((scheme, _))) => Err(NamedSourceError(format!(
                "a build context cannot be `{scheme}://…`; there are a folder, oci-layout://, docker-image://, \
                 https:// of a tar, and addresses of git"
            ))),
            (None, None) if is_scp(text) => Ok(NamedSource::Address(text.to_owned())),
            (None, None) => Ok(NamedSource::Folder(PathBuf::from(text))),
        }
    }

    /// What it is to the plan.
    pub fn kind(&self) -> NamedContext {
        match self {
            NamedSource::Folder(_) | NamedSource::Address(_) => NamedContext::Files,
            NamedSource::Image(_) => NamedContext::Image,
        }
    }
}

// `git@host:path`, of which no folder is there.
fn is_scp(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, rest)| {
        !user.is_empty() && !user.contains(['/', '.']) && rest.contains(':')
    })
}

/// Resolves bases in the store, in layouts and in registries; remembers the answers.
pub struct Resolver<'a> {
    store: &'a Store,
    registry: &'a Registry,
    events: &'a Events,
    named: &'a BTreeMap<String, NamedSource>,
    resolved: RefCell<BTreeMap<(String, Platform), Arc<BaseImage>>>,
    cause: Cell<Option<Cause>>,
}

impl<'a> Resolver<'a> {
    /// Makes a resolver that has not been asked yet.
    pub fn new(
        store: &'a Store,
        registry: &'a Registry,
        events: &'a Events,
        named: &'a BTreeMap<String, NamedSource>,
    ) -> Self {
        Resolver {
            store,
            registry,
            events,
            named,
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
            (Some(NamedSource::Image(source)), None) => source.clone(),
            (_, Some(image)) => BaseSource::Registry(image.clone()),
            (Some(NamedSource::Folder(_) | NamedSource::Address(_)) | None, None) => {
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
            self.cause.set(Some(cause_of_base(&error)));
            let diagnostic = Diagnostic::error(Code("base-unavailable"), chain(&error));
            let diagnostic = diagnostic.at(wanted.span);
            match error.help() {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }
        })?;
        let base = Arc::new(base);
        let found = Found::Image { pinned: base.pinned.clone(), image: Arc::clone(&base.image) };
        let key = (wanted.name.clone(), wanted.platform.clone());
        self.resolved.borrow_mut().insert(key, base);
        Ok(found)
    }
}
