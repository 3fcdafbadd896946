//! `type=docker`: an archive for `docker load`, which is an OCI layout as well.
//!
//! `manifest.json` and `repositories` are what Docker reads (moby, image/spec/spec.md, "Combined
//! Image JSON + Filesystem Changeset Format"); since version 25 it writes such archives itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{Attributes, Error, Means, Output, Place, TargetError, Type, archive, file};
use crate::base::ImageRef;
use crate::image::Image;

pub(super) const TYPE: Type = Type {
    name: "docker",
    keys: &["dest", "name", "annotation.*"],
    make: |attributes| make(attributes),
};

#[derive(Debug)]
struct Docker {
    dest: PathBuf,
    names: Vec<ImageRef>,
}

fn make(mut attributes: Attributes) -> Result<Arc<dyn Output>, TargetError> {
    let dest = attributes.path("dest")?.unwrap_or_else(|| "image.docker.tar".into());
    Ok(Arc::new(Docker { dest, names: attributes.names("name")? }))
}

impl Output for Docker {
    fn place(&self) -> Place<'_> {
        Place::of(&self.dest)
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn check(&self, _: &[ImageRef]) -> Result<(), Error> {
        file::check(&self.dest)
    }

    fn write(&self, image: &Image, tags: &[ImageRef], means: &Means<'_>) -> Result<String, Error> {
        let tags = if self.names.is_empty() { tags } else { &self.names };
        let (manifest, repositories) = documents(image, tags);
        let more = [("manifest.json", manifest), ("repositories", repositories)];
        archive::write(&self.dest, image, tags, means.store, &more, &|_| false)?;
        Ok(format!("docker archive {}", self.dest.display()))
    }
}

// `manifest.json` and `repositories`.
fn documents(image: &Image, tags: &[ImageRef]) -> (Vec<u8>, Vec<u8>) {
    let path = |hex: String| format!("blobs/sha256/{hex}");
    let layers: Vec<String> =
        image.layers.iter().map(|layer| path(layer.descriptor.digest.hex())).collect();
    let mut names: Vec<String> = Vec::new();
    // The top layer under each tag: what Docker reads of archives without a `manifest.json`.
    let mut repositories: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    let top = image.layers.last().map(|layer| layer.descriptor.digest.hex());
    for tag in tags {
        let (repository, tag) = (repository(tag), tag.tag_or_latest());
        let name = format!("{repository}:{tag}");
        if !names.contains(&name) {
            names.push(name);
        }
        if let Some(top) = &top {
            repositories.entry(repository).or_default().insert(tag, top.clone());
        }
    }
    let manifest = json!([{
        "Config": path(image.config_digest().hex()),
        "RepoTags": if names.is_empty() { None } else { Some(names) },
        "Layers": layers,
    }]);
    (manifest.to_string().into_bytes(), json!(repositories).to_string().into_bytes())
}

// A repository as Docker shows it: its own registry's prefix left out.
fn repository(name: &ImageRef) -> String {
    ImageRef::parse(&name.name()).expect("a part of a reference is one").familiar()
}
