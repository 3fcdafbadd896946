//! Cache records: what a step made, by its key; with the means to tell why another step missed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Store};
use crate::base::{Blob, Cache, Digest};

/// One named part of what a key was made of. Never a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// What it is, for example `env PATH`.
    pub name: String,
    /// Its value, or the digest of it.
    pub value: String,
}

/// The result of a step, and what it depended on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// Digest of everything that the result depends on.
    pub key: Digest<Cache>,
    /// Digest of the operation alone, whatever it ran on.
    pub op: Digest<Cache>,
    /// The place: which step of which Dockerfile, for finding what changed since the last time.
    pub slot: String,
    /// What the key was made of, in a fixed order.
    pub parts: Vec<KeyPart>,
    /// What the step made; its form is the business of `exec`.
    pub result: serde_json::Value,
}

// A record holds key parts and a few digests; a larger file is none.
const LARGEST: u64 = 16 << 20;

impl Store {
    /// Returns the record with this key. One that cannot be read is none: the step runs again.
    pub fn record(&self, key: Digest<Cache>) -> Option<CacheRecord> {
        let bytes = read_small(&self.path("records/key").join(key.hex()))?;
        let record: CacheRecord = serde_json::from_slice(&bytes).ok()?;
        (record.key == key).then_some(record)
    }

    /// Stores a record, in the place of an older one with the same key, and makes it the last of
    /// its slot.
    pub fn put_record(&self, record: &CacheRecord) -> Result<(), Error> {
        let key = record.key.hex();
        let path = self.path("records/key").join(&key);
        let bytes =
            serde_json::to_vec(record).map_err(|error| Error::io("write", &path)(error.into()))?;
        // The record first: an index entry that points at nothing would be harmless too.
        self.put_file(&path, &[&bytes])?;
        let of_op = self.path("records/op").join(record.op.hex());
        fs::create_dir_all(&of_op).map_err(Error::io("create", &of_op))?;
        self.put_file(&of_op.join(&key), &[])?;
        self.put_file(&self.slot_path(&record.slot), &[key.as_bytes()])
    }

    /// Makes a record the last of its slot without writing it again: for a hit.
    pub fn touch_record(&self, record: &CacheRecord) -> Result<(), Error> {
        self.put_file(&self.slot_path(&record.slot), &[record.key.hex().as_bytes()])
    }

    /// Tells whether there are records of the same operation, whatever it ran on: without one, no
    /// key of it can be found.
    pub fn has_records_of(&self, op: Digest<Cache>) -> bool {
        fs::read_dir(self.path("records/op").join(op.hex()))
            .is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Returns the last record of a slot: what the step was when it last ran or hit.
    pub fn last_of(&self, slot: &str) -> Option<CacheRecord> {
        let text = read_small(&self.slot_path(slot))?;
        self.record(Digest::parse_hex(std::str::from_utf8(&text).ok()?).ok()?)
    }

    /// Removes a record; nothing there is no error.
    pub fn remove_record(&self, record: &CacheRecord) -> Result<(), Error> {
        let key = record.key.hex();
        let op = self.path("records/op").join(record.op.hex()).join(&key);
        for path in [op, self.path("records/key").join(&key)] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &path)(error)),
            }
        }
        Ok(())
    }

    fn slot_path(&self, slot: &str) -> std::path::PathBuf {
        self.path("records/slot").join(Digest::<Blob>::of(slot.as_bytes()).hex())
    }
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let file = fs::File::open(path).ok()?;
    // It may grow, but with the place for what is there two calls read it, not eight.
    let size = file.metadata().ok()?.len().min(LARGEST);
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= LARGEST).then_some(bytes)
}
