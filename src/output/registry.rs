//! `type=registry` (`--push`), and `type=image,push=true`, which is the same.

use std::sync::Arc;

use super::{Attributes, Error, Means, Output, Place, TargetError, Type, send};
use crate::base::ImageRef;
use crate::image::Image;

const KEYS: &[&str] =
    &["name", "push", "push-by-digest", "name-canonical", "insecure", "annotation.*"];

pub(super) const TYPE: Type = Type { name: "registry", keys: KEYS, make: |list| make(list, true) };

/// BuildKit's other name for it.
pub(super) const IMAGE: Type = Type { name: "image", keys: KEYS, make: |list| make(list, false) };

#[derive(Debug, Default)]
pub(super) struct Push {
    /// In place of those given with `-t`.
    names: Vec<ImageRef>,
    /// Without tags.
    by_digest: bool,
    /// The registry's certificate does not matter, and it need have none.
    insecure: bool,
}

fn make(mut attributes: Attributes, push: bool) -> Result<Arc<dyn Output>, TargetError> {
    if !attributes.flag("push")?.unwrap_or(push) {
        return Err(TargetError::new(
            "there is no daemon that could keep an image: add push=true, or write type=oci",
        ));
    }
    let insecure = attributes.flag("insecure")?.unwrap_or(false);
    // By digest an image has its canonical name in any case.
    attributes.flag("name-canonical")?;
    let by_digest = attributes.flag("push-by-digest")?.unwrap_or(false);
    Ok(Arc::new(Push { names: attributes.names("name")?, by_digest, insecure }))
}

impl Push {
    fn names<'a>(&'a self, tags: &'a [ImageRef]) -> Result<&'a [ImageRef], Error> {
        match (self.names.as_slice(), tags) {
            ([], []) => Err(Error::Nameless),
            ([], tags) => Ok(tags),
            (names, _) => Ok(names),
        }
    }
}

impl Output for Push {
    fn place(&self) -> Place<'_> {
        Place::Elsewhere
    }

    fn check(&self, tags: &[ImageRef]) -> Result<(), Error> {
        self.names(tags).map(drop)
    }

    fn insecure_hosts(&self, tags: &[ImageRef]) -> Vec<String> {
        let names = self.names(tags).unwrap_or_default().iter().filter(|_| self.insecure);
        names.map(|name| name.registry().to_owned()).collect()
    }

    fn write(&self, image: &Image, tags: &[ImageRef], means: &Means<'_>) -> Result<String, Error> {
        let pushed = send::push_image(image, self.names(tags)?, self.by_digest, means)?;
        Ok(pushed.names.join(", "))
    }
}
