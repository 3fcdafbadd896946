//! An OCI layout as one tar file (`oci-archive`): the same files as the folder, in one order.

use std::io::{self, Read, Write};
use std::path::Path;

use super::{Error, file, layout};
use crate::base::{Blob, Digest, ImagePath, ImageRef};
use crate::image::Image;
use crate::layer::{Compression, Entry, EntryKind, LayerWriter};
use crate::store::Store;

/// Writes the archive to the file `dest`, or to standard output for `-`. `more` are further files,
/// sorted by name. Layers that are `left_out` are named in the manifest, but not there.
pub(super) fn write(
    dest: &Path,
    image: &Image,
    tags: &[ImageRef],
    store: &Store,
    more: &[(&str, Vec<u8>)],
    left_out: &dyn Fn(Digest<Blob>) -> bool,
) -> Result<(), Error> {
    file::write(dest, |sink| stream(sink, image, tags, store, more, left_out))
}

fn stream(
    sink: &mut dyn Write,
    image: &Image,
    tags: &[ImageRef],
    store: &Store,
    more: &[(&str, Vec<u8>)],
    left_out: &dyn Fn(Digest<Blob>) -> bool,
) -> Result<(), Error> {
    let mut blobs = vec![
        (image.digest.hex(), Content::Bytes(&image.manifest_bytes)),
        (image.config_digest().hex(), Content::Bytes(&image.config_bytes)),
    ];
    for layer in image.layers.iter().filter(|layer| !left_out(layer.descriptor.digest)) {
        blobs.push((layer.descriptor.digest.hex(), Content::Blob(layer.descriptor.digest)));
    }
    blobs.sort_by(|a, b| a.0.cmp(&b.0));
    blobs.dedup_by(|a, b| a.0 == b.0);

    let mut out = LayerWriter::new(sink, Compression::None, 1, Vec::new())?;
    out.bare(&entry("blobs", EntryKind::Dir, 0o755))?;
    out.bare(&entry("blobs/sha256", EntryKind::Dir, 0o755))?;
    for (hex, content) in blobs {
        let path = format!("blobs/sha256/{hex}");
        match content {
            Content::Bytes(bytes) => put(&mut out, &path, bytes.len() as u64, &mut &bytes[..])?,
            Content::Blob(digest) => {
                let blob = store.blob(digest)?;
                let size = blob.size();
                let mut bytes = blob.verified();
                put(&mut out, &path, size, &mut bytes)?;
                // To the end: only then the digest was checked.
                io::copy(&mut bytes, &mut io::sink()).map_err(crate::layer::Error::from)?;
            }
        }
    }
    let index = layout::index(image, tags).to_bytes();
    let mut files = vec![("index.json", &index[..]), ("oci-layout", layout::MARK)];
    files.extend(more.iter().map(|(name, bytes)| (*name, &bytes[..])));
    files.sort();
    for (name, mut bytes) in files {
        put(&mut out, name, bytes.len() as u64, &mut bytes)?;
    }
    out.finish()?;
    Ok(())
}

enum Content<'a> {
    Bytes(&'a [u8]),
    Blob(Digest<Blob>),
}

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    let path = ImagePath::from_entry(path.as_bytes()).expect("a short path of our own");
    Entry::new(path, kind, mode)
}

fn put<W: Write>(
    out: &mut LayerWriter<'_, W>,
    path: &str,
    size: u64,
    content: &mut dyn Read,
) -> Result<(), Error> {
    Ok(out.entry(&entry(path, EntryKind::File { size }, 0o644), content)?)
}
