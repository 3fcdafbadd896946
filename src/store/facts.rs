//! What was found in a layer: looked for once, kept by its diff id.

use std::fs;
use std::io;

use super::{Error, Store};
use crate::base::{Blob, Diff, Digest};

impl Store {
    /// Returns what was stored about the layer under `kind`. What is damaged is not there.
    pub fn facts(&self, layer: Digest<Diff>, kind: &str) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.facts_path(layer, kind)).ok()?;
        let (sum, data) = bytes.split_first_chunk::<32>()?;
        if Digest::<Blob>::of(data).as_bytes() != sum {
            return None;
        }
        bytes.drain(..32);
        Some(bytes)
    }

    /// Stores what was found in the layer under `kind`: a short word with the version of the
    /// form, for example `files-1`. Replaces what was there.
    pub fn put_facts(&self, layer: Digest<Diff>, kind: &str, data: &[u8]) -> Result<(), Error> {
        let path = self.facts_path(layer, kind);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "not a kind of facts");
            return Err(Error::io("write", &path)(error));
        }
        self.put_file(&path, &[Digest::<Blob>::of(data).as_bytes(), data])
    }

    /// Tells whether it was seen that the blob unpacks to this layer. What an image's config says
    /// of a blob is a claim until then.
    pub fn is_form_of(&self, blob: Digest<Blob>, layer: Digest<Diff>) -> bool {
        self.facts(layer, &form(blob)).is_some()
    }

    /// Notes that the blob was unpacked, to its end, and that this layer came out.
    pub fn note_form_of(&self, blob: Digest<Blob>, layer: Digest<Diff>) -> Result<(), Error> {
        self.put_facts(layer, &form(blob), b"")
    }

    fn facts_path(&self, layer: Digest<Diff>, kind: &str) -> std::path::PathBuf {
        self.path("records/facts").join(layer.hex()).join(kind)
    }
}

fn form(blob: Digest<Blob>) -> String {
    format!("blob-{}", blob.hex())
}
