//! `type=tar`: the root filesystem as one tar. The same image gives the same bytes.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::flatten::{Sink, flatten};
use super::{Attributes, Error, Means, Output, Place, TargetError, Type, file};
use crate::base::ImageRef;
use crate::image::Image;
use crate::layer::{Compression, Entry, LayerWriter};

pub(super) const TYPE: Type =
    Type { name: "tar", keys: &["dest"], make: |attributes| make(attributes) };

#[derive(Debug)]
pub(super) struct Tar {
    pub(super) dest: PathBuf,
}

fn make(mut attributes: Attributes) -> Result<Arc<dyn Output>, TargetError> {
    Ok(Arc::new(Tar { dest: attributes.path("dest")?.unwrap_or_else(|| "-".into()) }))
}

impl Output for Tar {
    fn place(&self) -> Place<'_> {
        Place::of(&self.dest)
    }

    fn check(&self, _: &[ImageRef]) -> Result<(), Error> {
        file::check(&self.dest)
    }

    fn write(&self, image: &Image, _: &[ImageRef], means: &Means<'_>) -> Result<String, Error> {
        file::write(&self.dest, |sink| {
            let writer = LayerWriter::new(sink, Compression::None, 1, Vec::new())?;
            let mut out = Out(writer.any_order());
            flatten(image, means.store, &mut out)?;
            out.0.finish()?;
            Ok(())
        })?;
        Ok(format!("root filesystem {}", self.dest.display()))
    }
}

struct Out<'o, W: Write>(LayerWriter<'o, W>);

impl<W: Write> Sink for Out<'_, W> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        Ok(self.0.entry(entry, content)?)
    }
}
