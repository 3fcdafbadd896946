//! Files by URL: what `ADD https://…` fetches.
//!
//! A file that came is a blob of the store under its own digest, so that nothing is fetched twice
//! that did not change: with a checksum nothing is asked at all once the file is there; without,
//! the server is asked whether its file is still the same. What goes into a cache key is the
//! digest. Where the file is put, and what its mode is, is the business of [`super::place`].

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Blob, Cache, Digest, Hasher};
use crate::registry::{self, Address, Download, Downloaded, Registry, Sink, Validators};
use crate::store::{self, CacheRecord, Draft, Store};

/// No file is larger, unless the caller says so: 64 GiB.
pub const LIMIT: u64 = 64 << 30;

/// A file that was fetched, or was there already.
#[derive(Debug)]
pub struct Fetched {
    /// The file, at its beginning. It is the store's: not to be written to.
    pub file: Arc<File>,
    /// Its size in bytes.
    pub size: u64,
    /// The last part of the URL's path, unescaped. `None` when there is none (`https://host/`):
    /// the file then has no place in a destination that is a directory.
    pub name: Option<String>,
    /// `Last-Modified` in seconds since 1970; 0 when the server says nothing, as BuildKit has it.
    pub mtime: i64,
    /// The digest of the bytes.
    pub digest: Digest<Blob>,
}

/// Why an URL gave no file. No message holds user, password or query of the URL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no URL of a file.
    #[error("the source of ADD is no usable URL: {0}")]
    Address(#[from] registry::AddressError),
    /// The bytes are not those that `--checksum` names. Nothing was kept.
    #[error("checksum mismatch of `{url}`: wanted {want}, got {found}")]
    Checksum {
        /// Where from.
        url: String,
        /// What was asked for.
        want: Digest<Blob>,
        /// What came.
        found: Digest<Blob>,
    },
    /// No file came.
    #[error(transparent)]
    Fetch(#[from] registry::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Checksum { found, .. } => {
                Some(format!("if the new file is meant, write `--checksum={found}`"))
            }
            Error::Fetch(registry::Error::Denied { .. } | registry::Error::NotFound { .. }) => {
                Some("check the URL".to_owned())
            }
            Error::Fetch(registry::Error::Offline { .. }) => {
                Some("leave out `--offline`, or copy the file into the build context".to_owned())
            }
            Error::Fetch(error) => error.help(),
            Error::Address(_) | Error::Store(_) => None,
        }
    }
}

/// Returns the name that a file of this URL gets in a directory. Asks nobody: neither redirects nor
/// `Content-Disposition` change it.
pub fn file_name(url: &str) -> Option<String> {
    Address::parse(url).ok()?.file_name()
}

/// Fetches a file of at most `limit` bytes ([`LIMIT`] if there is no reason for another).
///
/// With a `checksum` the bytes are of that digest, or it is an error and nothing is kept. Offline it
/// is an error too, but for a file with a checksum that an earlier build fetched from this URL.
pub fn fetch(
    url: &str,
    checksum: Option<Digest<Blob>>,
    limit: u64,
    registry: &Registry,
    store: &Store,
) -> Result<Fetched, Error> {
    let address = Address::parse(url)?;
    let name = address.file_name();
    let known = Known::find(&address, limit, store);
    if let (Some(known), Some(want)) = (&known, checksum)
        && known.digest == want
    {
        return known.open(name, store);
    }
    // A file that does not fit the checksum is of no use as a copy that is still good.
    let known = known.filter(|_| checksum.is_none());
    let validators = known.as_ref().map(|known| &known.validators);
    let mut sink = Blobs(store.draft()?);
    let ask = Download { address: &address, limit, known: validators };
    match (registry.download(&ask, &mut sink)?, known) {
        (Downloaded::Unchanged, Some(known)) => known.open(name, store),
        (Downloaded::Unchanged, None) => unreachable!("unchanged is said of a known copy only"),
        (Downloaded::File { digest, size, validators }, _) => {
            if let Some(want) = checksum.filter(|want| *want != digest) {
                return Err(Error::Checksum { url: address.to_string(), want, found: digest });
            }
            sink.0.commit(Some((digest, size)))?;
            let known = Known { digest, size, validators };
            known.keep(&address, store)?;
            known.open(name, store)
        }
    }
}

// What is remembered of an URL.
#[derive(Serialize, Deserialize)]
struct Known {
    digest: Digest<Blob>,
    size: u64,
    #[serde(with = "Said")]
    validators: Validators,
}

// The form of `Validators` on disk.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Validators")]
struct Said {
    etag: Option<String>,
    last_modified: Option<String>,
}

fn key(address: &Address) -> Digest<Cache> {
    let mut hasher = Hasher::new();
    hasher.field(b"http source 1");
    hasher.field(address.digest::<Cache>().as_bytes());
    hasher.finish()
}

impl Known {
    // A copy whose bytes are still what they were.
    fn find(address: &Address, limit: u64, store: &Store) -> Option<Known> {
        let record = store.record(key(address))?;
        let known: Known = serde_json::from_value(record.result).ok()?;
        if known.size > limit {
            return None;
        }
        let mut bytes = store.blob(known.digest).ok()?.verified();
        let size = io::copy(&mut bytes, &mut io::sink()).ok()?;
        (size == known.size).then_some(known)
    }

    fn keep(&self, address: &Address, store: &Store) -> Result<(), Error> {
        let key = key(address);
        let result = serde_json::to_value(self).expect("strings and numbers have a JSON form");
        let slot = format!("http {key}");
        store.put_record(&CacheRecord { key, op: key, slot, parts: Vec::new(), result })?;
        Ok(())
    }

    fn open(&self, name: Option<String>, store: &Store) -> Result<Fetched, Error> {
        let path = store.blob_path(self.digest);
        let file =
            File::open(&path).map_err(|source| store::Error::Io { what: "open", path, source })?;
        let mtime = self.validators.last_modified.as_deref().and_then(seconds).unwrap_or(0);
        let file = Arc::new(file);
        Ok(Fetched { file, size: self.size, name, mtime, digest: self.digest })
    }
}

struct Blobs(Draft);

impl Write for Blobs {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for Blobs {
    fn restart(&mut self) -> io::Result<()> {
        self.0.reset().map_err(io::Error::other)
    }
}

/// Reads a time of HTTP in any of its three forms (RFC 9110, section 5.6.7) as seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let mut words = text.split([' ', ',', '-']).filter(|word| !word.is_empty());
    let _weekday = words.next()?;
    let (first, second) = (words.next()?, words.next()?);
    let (day, month, year, time) = if first.starts_with(|c: char| c.is_ascii_digit()) {
        // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`
        let (year, time) = (words.next()?, words.next()?);
        words.next().filter(|zone| *zone == "GMT")?;
        (first, second, year, time)
    } else {
        // `Sun Nov  6 08:49:37 1994`
        let (time, year) = (words.next()?, words.next()?);
        (second, first, year, time)
    };
    let number = |text: &str, most: i64| {
        let plain = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|value| plain && *value <= most)
    };
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day = number(day, 31).filter(|day| *day > 0)?;
    let year = match (number(year, 9999)?, year.len()) {
        (short @ 69.., 2) => 1900 + short,
        (short, 2) => 2000 + short,
        (full, _) => full,
    };
    let mut clock = time.split(':');
    let (hour, minute) = (number(clock.next()?, 23)?, number(clock.next()?, 59)?);
    let second = number(clock.next()?, 60)?;
    // Civil date to days, with years that begin in March (H. Hinnant, "chrono-compatible low-level
    // date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
