//! `type=cacheonly`: nothing is written; the results stay in the store.

use std::sync::Arc;

use super::{Error, Means, Output, Place, Type};
use crate::base::ImageRef;
use crate::image::Image;

pub(super) const TYPE: Type =
    Type { name: "cacheonly", keys: &[], make: |_| Ok(Arc::new(CacheOnly)) };

#[derive(Debug)]
struct CacheOnly;

impl Output for CacheOnly {
    fn place(&self) -> Place<'_> {
        Place::Elsewhere
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn check(&self, _: &[ImageRef]) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, _: &Image, _: &[ImageRef], _: &Means<'_>) -> Result<String, Error> {
        Ok("nothing but the cache".to_owned())
    }
}
