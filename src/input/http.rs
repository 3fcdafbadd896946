//! ADD of an address: the file, its name, its time.

use std::fs::File;
use std::sync::Arc;

use super::Error;
use crate::base::{Blob, Digest};
use crate::registry::Registry;
use crate::store::{self, Store};

/// Bytes that one address may give.
const LIMIT: u64 = 64 << 30;

/// A file that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The last component of the address, for a destination that is a folder; empty if there is
    /// none, which `place` refuses where it is needed.
    pub name: String,
    /// The open file.
    pub file: Arc<File>,
    /// Its length.
    pub size: u64,
    /// The server's time of last change, seconds since 1970, if it told one.
    pub mtime: Option<i64>,
    /// The digest of its bytes.
    pub digest: Digest<Blob>,
}

/// Fetches `url` into the store. With a `checksum` (`sha256:…`), success means that the bytes are
/// those; without the network it may then come from the store.
pub fn fetch(
    url: &str,
    checksum: Option<&str>,
    registry: &Registry,
    store: &Store,
) -> Result<Fetched, Error> {
    let want = match checksum {
        Some(text) => Some(Digest::<Blob>::parse(text).map_err(|source| Error::Checksum {
            text: text.escape_default().to_string(),
            source,
        })?),
        None => None,
    };
    let mut draft = store.draft()?;
    let (digest, last_modified) = match (registry.download(url, LIMIT, &mut draft), want) {
        (Ok(downloaded), want) => {
            let found = draft.commit(want.map(|want| (want, downloaded.size)));
            let (digest, _) = found.map_err(|error| match error {
                store::Error::Corrupt { want, found, .. } => {
                    Error::ChecksumMismatch { url: shown(url), want, found }
                }
                other => other.into(),
            })?;
            (digest, downloaded.last_modified)
        }
        (Err(crate::registry::Error::Offline { .. }), Some(want)) if store.has(want) => {
            (want, None)
        }
        (Err(error), _) => return Err(error.into()),
    };
    let path = store.blob_path(digest);
    let open = |source| Error::Io { what: "read", path: path.display().to_string(), source };
    let file = File::open(&path).map_err(open)?;
    let size = file.metadata().map_err(open)?.len();
    Ok(Fetched {
        name: name_of(url),
        file: Arc::new(file),
        size,
        mtime: last_modified.as_deref().and_then(seconds_of),
        digest,
    })
}

/// Cuts off the query, which may be secret.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}

/// Returns the last component of the address's path, its escapes decoded before it is cut at
/// slashes: `%2e%2e%2fx` is `x`.
fn name_of(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// Reads a time as HTTP writes it (RFC 9110, section 5.6.7, the one form that servers may still
/// send): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds_of(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace().skip(1);
    let day: i64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let mut part = |limit| clock.next().flatten().filter(|value| (0..=limit).contains(value));
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    if words.next() != Some("GMT") {
        return None;
    }
    // Civil date to days, with years that begin in March (H. Hinnant, "chrono-compatible
    // low-level date algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_path() {
        for (url, want) in [
            ("http://h/dir/f.txt", "f.txt"),
            ("https://h/f.txt?v=1&w=/2", "f.txt"),
            ("http://h/a%20b", "a b"),
            ("http://h/..%2f..%2fx", "x"),
            ("http://h/%2e%2e", ".."),
            ("http://h/dir/", "dir"),
            ("http://h/", ""),
            ("http://h", ""),
            ("http://h?a", ""),
            ("http://h/%zz%", "%zz%"),
        ] {
            assert_eq!(name_of(url), want, "{url}");
        }
    }

    #[test]
    fn times_of_http() {
        for (text, want) in [
            ("Thu, 02 Jan 2014 03:04:05 GMT", Some(1_388_631_845)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(seconds_of(text), want, "{text}");
        }
    }
}
