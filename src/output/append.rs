//! `append=true`: what a layout has under other tags is kept, and nothing else of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::Error;
use super::layout::REF_NAME;
use crate::image::{Document, Index, MAX_MANIFEST};

/// Adds to `index` the entries of the layout at `old` whose tags it does not have, and puts the
/// blobs that they reach into `blobs`. A blob that is not there (`blobs=shallow`) is left out; a
/// link is none.
pub(super) fn keep(old: &Path, index: &mut Index, blobs: &Path) -> Result<(), Error> {
    let path = old.join("index.json");
    let damaged = |path: &Path| Error::Occupied {
        path: path.to_owned(),
        what: "is no index of an OCI layout, so nothing can be appended",
    };
    let Some(bytes) = read(&path)? else { return Ok(()) };
    let there = Index::parse(&bytes).map_err(|_| damaged(&path))?;
    let tag = |descriptor: &crate::image::Descriptor| descriptor.annotations.get(REF_NAME).cloned();
    let new: BTreeSet<_> = index.manifests.iter().map(tag).collect();
    let mut documents = Vec::new();
    for descriptor in there.manifests {
        if !new.contains(&tag(&descriptor)) {
            documents.push(descriptor.digest);
            index.manifests.push(descriptor);
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(digest) = documents.pop() {
        if !seen.insert(digest) {
            continue;
        }
        let path = old.join("blobs/sha256").join(digest.hex());
        let Some(bytes) = read(&path)? else { continue };
        copy(&path, &blobs.join(digest.hex()))?;
        match Document::parse(&bytes, None).map_err(|_| damaged(&path))? {
            Document::Index(index) => {
                documents.extend(index.manifests.iter().map(|entry| entry.digest));
            }
            Document::Manifest(manifest) => {
                for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    let name = part.digest.hex();
                    copy(&old.join("blobs/sha256").join(&name), &blobs.join(&name))?;
                }
            }
        }
    }
    Ok(())
}

fn is_file(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look into", path)(error)),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    if !is_file(path)? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    Ok(Some(bytes))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() || !is_file(from)? {
        return Ok(());
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(Error::io("write", to))?;
    }
    Ok(())
}
