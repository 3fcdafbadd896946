//! What a COPY takes of layers, remembered from one build to the next.
//!
//! Layers do not change, so neither does the digest of what some patterns mean in them. Where it is
//! known, a step can be found in the store without a tree, a mount or a walk.

use super::key::CONTENT;
use super::stack::Stack;
use super::stage::Execution;
use crate::base::{Cache, Diff, Digest, Hasher};
use crate::plan::{Copy, From, Source};

/// The place of such a digest: the facts of a layer, and their kind.
pub(super) struct Place {
    layer: Digest<Diff>,
    kind: String,
}

impl Execution<'_> {
    /// Returns the place for what a step takes, if that is of layers whose digests are all there: to wait
    /// for them would be to wait for packers.
    pub(super) fn place_of(&self, copy: &Copy) -> Option<Place> {
        let stack: Stack = match &copy.from {
            From::Stage(stage) => self.wait(*stage).ok()?,
            From::Image(base) => self.base_stack(*base).ok()?,
            From::Context | From::Named(_) | From::Scratch => return None,
        };
        let mut hasher = Hasher::new();
        hasher.field(CONTENT.as_bytes());
        hasher.field(format!("{:?}", self.services.id_mode).as_bytes());
        let mut top = None;
        for cell in &stack {
            let diff = cell.promise().peek()?.ok()?.diff;
            hasher.field(diff.as_bytes());
            top = Some(diff);
        }
        hasher.field(copy.parents.to_string().as_bytes());
        hasher.field(&copy.exclude.len().to_le_bytes());
        copy.exclude.iter().for_each(|pattern| hasher.field(pattern.as_bytes()));
        for source in &copy.sources {
            let Source::Path { path, .. } = source else { return None };
            hasher.field(path.as_bytes());
        }
        let hash: Digest<Cache> = hasher.finish();
        Some(Place { layer: top?, kind: format!("taken-1-{}", hash.hex()) })
    }

    /// The digest that was remembered there, as a part of a key.
    pub(super) fn remembered(&self, place: &Place) -> Option<String> {
        let text = String::from_utf8(self.services.store.facts(place.layer, &place.kind)?).ok()?;
        Digest::<Cache>::parse(&text).is_ok().then_some(text)
    }

    /// Remembers a digest; that it cannot is no harm.
    pub(super) fn take_down(&self, place: &Place, digest: &str) {
        let _ = self.services.store.put_facts(place.layer, &place.kind, digest.as_bytes());
    }
}
