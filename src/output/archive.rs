//! An OCI layout as one tar file (`oci-archive`): the same files as the folder, in one order.

use std::fs::Permissions;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Error, layout};
use crate::base::{ImagePath, ImageRef};
use crate::image::Image;
use crate::layer::{Compression, Entry, EntryKind, LayerWriter};
use crate::store::Store;

/// Writes the archive to the file `dest`, atomically, or to standard output for `-`.
pub(super) fn write(
    dest: &Path,
    image: &Image,
    tags: &[ImageRef],
    store: &Store,
) -> Result<(), Error> {
    let io = |doing, source| Error::Io { doing, path: dest.to_owned(), source };
    if dest.as_os_str() == "-" {
        let out = BufWriter::new(io::stdout().lock());
        return stream(out, image, tags, store)?.flush().map_err(|source| io("write", source));
    }
    let parent = match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|source| io("write", source))?;
    let aside = tempfile::Builder::new()
        .prefix(".rbuild-")
        .tempfile_in(parent)
        .map_err(|source| io("write", source))?;
    let file = stream(aside, image, tags, store)?;
    // tempfile makes files 0600; an archive is for others to read.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))
        .map_err(|source| io("write", source))?;
    file.persist(dest).map_err(|error| io("write", error.error))?;
    Ok(())
}

fn stream<W: Write>(sink: W, image: &Image, tags: &[ImageRef], store: &Store) -> Result<W, Error> {
    let mut blobs = vec![
        (image.digest.hex(), Content::Bytes(&image.manifest_bytes)),
        (image.config_digest().hex(), Content::Bytes(&image.config_bytes)),
    ];
    for layer in &image.layers {
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
            Content::Bytes(bytes) => file(&mut out, &path, bytes.len() as u64, &mut &bytes[..])?,
            Content::Blob(digest) => {
                let blob = store.blob(digest)?;
                file(&mut out, &path, blob.size(), &mut blob.verified())?;
            }
        }
    }
    let index = layout::index(image, tags).to_bytes();
    file(&mut out, "index.json", index.len() as u64, &mut &index[..])?;
    file(&mut out, "oci-layout", layout::MARK.len() as u64, &mut &layout::MARK[..])?;
    Ok(out.finish()?.0)
}

enum Content<'a> {
    Bytes(&'a [u8]),
    Blob(crate::base::Digest<crate::base::Blob>),
}

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    let path = ImagePath::from_entry(path.as_bytes()).expect("a short path of our own");
    Entry::new(path, kind, mode)
}

fn file<W: Write>(
    out: &mut LayerWriter<'_, W>,
    path: &str,
    size: u64,
    content: &mut dyn Read,
) -> Result<(), Error> {
    Ok(out.entry(&entry(path, EntryKind::File { size }, 0o644), content)?)
}
