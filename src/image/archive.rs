//! OCI layouts in a tar file (`oci-archive`): unpacked into a folder, where they can be read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::layout::LayoutError;
use super::manifest::MAX_MANIFEST;
use crate::base::{Blob, Digest};
use crate::layer::{self, EntryKind, Limits, Reader};

/// Unpacks the layout in an uncompressed tar into the folder `into`. Only what belongs to a layout
/// is taken: `oci-layout`, `index.json` and files in `blobs/sha256` that are named as digests are.
///
/// Nothing is checked here; [`super::Layout`] does, when it reads.
pub fn unpack_layout(tar: impl Read, into: &Path) -> Result<(), LayoutError> {
    let blobs = into.join("blobs/sha256");
    let io = |source| LayoutError::Io { path: into.to_owned(), source };
    let bad = |error: layer::Error| LayoutError::NotALayout {
        path: into.to_owned(),
        why: error.to_string(),
    };
    fs::create_dir_all(&blobs).map_err(io)?;
    let mut reader = Reader::archive(tar, Limits::default());
    while let Some(entry) = reader.next_entry().map_err(bad)? {
        let EntryKind::File { size } = entry.kind else { continue };
        let path = match entry.path.relative() {
            b"oci-layout" if size <= MAX_MANIFEST => into.join("oci-layout"),
            b"index.json" if size <= MAX_MANIFEST => into.join("index.json"),
            name => {
                let hex = name.strip_prefix(b"blobs/sha256/").map(String::from_utf8_lossy);
                let digest =
                    hex.and_then(|hex| Digest::<Blob>::parse(&format!("sha256:{hex}")).ok());
                let Some(digest) = digest else { continue };
                blobs.join(digest.hex())
            }
        };
        let mut file = File::create(&path).map_err(io)?;
        io::copy(&mut reader.content(), &mut file).map_err(io)?;
    }
    Ok(())
}
