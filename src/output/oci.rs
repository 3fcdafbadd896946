//! `type=oci`: an OCI image layout (image specification, image-layout.md), a folder or an archive.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Attributes, Error, Means, Output, Place, TargetError, Type, archive, layout};
use crate::base::ImageRef;
use crate::image::Image;

pub(super) const TYPE: Type = Type {
    name: "oci",
    keys: &["dest", "tar", "name", "append", "blobs", "annotation.*"],
    make: |attributes| make(attributes),
};

/// An OCI layout.
#[derive(Debug)]
pub(super) struct Oci {
    /// A folder, or the archive's file; `-` is standard output, for an archive.
    pub(super) dest: PathBuf,
    /// One tar file instead of a folder.
    pub(super) tar: bool,
    /// The image's names in the index, in place of those given with `-t`.
    pub(super) names: Vec<ImageRef>,
    /// Images of other tags stay in the folder.
    pub(super) append: bool,
    /// Layers that a base's registry has are left out.
    pub(super) shallow: bool,
}

fn make(mut attributes: Attributes) -> Result<Arc<dyn Output>, TargetError> {
    let tar = attributes.flag("tar")?.unwrap_or(true);
    let default = if tar { "image.oci.tar" } else { "image.oci" };
    let dest = attributes.path("dest")?.unwrap_or_else(|| default.into());
    if dest.as_os_str() == "-" && !tar {
        return Err(TargetError::new("dest=- is an archive: leave out tar=false"));
    }
    let append = attributes.flag("append")?.unwrap_or(false);
    if append && tar {
        return Err(TargetError::new("append=true is for a folder: write tar=false"));
    }
    let shallow = match attributes.word("blobs").as_deref() {
        None | Some("full") => false,
        Some("shallow") => true,
        Some(other) => {
            return Err(TargetError::new(format!("blobs=`{other}`: write full or shallow")));
        }
    };
    Ok(Arc::new(Oci { dest, tar, names: attributes.names("name")?, append, shallow }))
}

impl Output for Oci {
    fn place(&self) -> Place<'_> {
        Place::of(&self.dest)
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn check(&self, _: &[ImageRef]) -> Result<(), Error> {
        if self.tar { super::file::check(&self.dest) } else { layout::check(&self.dest) }
    }

    fn write(&self, image: &Image, tags: &[ImageRef], means: &Means<'_>) -> Result<String, Error> {
        let tags = if self.names.is_empty() { tags } else { &self.names };
        let left_out = |digest| self.shallow && means.origins.contains_key(&digest);
        if self.tar {
            archive::write(&self.dest, image, tags, means.store, &[], &left_out)?;
            Ok(format!("oci archive {}", self.dest.display()))
        } else {
            layout::write(&self.dest, image, tags, means.store, self.append, &left_out)?;
            Ok(format!("oci layout {}", self.dest.display()))
        }
    }
}
