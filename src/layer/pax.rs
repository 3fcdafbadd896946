//! PAX extended headers, read by the lengths of their records
//! (POSIX.1-2024, `pax`, "pax Extended Header").

use std::collections::BTreeMap;

use super::Error;
use super::header::XATTR;

/// What the records of one extended header say about the next entry.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: SparseRecords,
}

/// The records of GNU tar's three sparse forms (GNU tar manual, "Storing Sparse Files").
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    /// `GNU.sparse.major` and `.minor`.
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// `GNU.sparse.name`: the name, where that of the entry is made up.
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` or `.realsize`: bytes with holes.
    pub(super) size: Option<u64>,
    /// Offsets and lengths of forms 0.0 and 0.1, one after the other.
    pub(super) map: Option<Vec<u64>>,
}

/// Reads the records. Anything malformed is an error: what one reader skips, another believes.
pub(super) fn parse(mut data: &[u8]) -> Result<Pax, Error> {
    let mut pax = Pax::default();
    let mut seen = std::collections::BTreeSet::new();
    while !data.is_empty() {
        let (key, value, rest) = record(data).ok_or_else(|| malformed("a PAX record is broken"))?;
        data = rest;
        // In form 0.0 these come once for each piece.
        let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        if !repeats && !seen.insert(key) {
            return Err(malformed("a PAX key comes twice"));
        }
        take(&mut pax, key, value)?;
    }
    Ok(pax)
}

// Splits off `<length> <key>=<value>\n`.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

fn take(pax: &mut Pax, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if let Some(name) = key.strip_prefix(XATTR) {
        if name.is_empty() {
            return Err(malformed("an extended attribute has no name"));
        }
        pax.xattrs.insert(name.to_vec(), value.to_vec());
        return Ok(());
    }
    let text = || match value.contains(&0) {
        true => Err(malformed("a PAX value has a NUL byte")),
        // An empty value takes the record back: what the header says counts again.
        false => Ok((!value.is_empty()).then(|| value.to_vec())),
    };
    let number = || match value {
        b"" => Ok(None),
        _ => decimal(value).map(Some).ok_or_else(|| malformed("a PAX number is none")),
    };
    match key {
        b"path" => pax.path = text()?,
        b"linkpath" => pax.link = text()?,
        b"size" => pax.size = number()?,
        b"uid" => pax.uid = number()?,
        b"gid" => pax.gid = number()?,
        b"mtime" if value.is_empty() => pax.mtime = None,
        b"mtime" => {
            pax.mtime = Some(seconds(value).ok_or_else(|| malformed("a PAX time is none"))?);
        }
        b"GNU.sparse.major" => pax.sparse.major = number()?,
        b"GNU.sparse.minor" => pax.sparse.minor = number()?,
        b"GNU.sparse.name" => pax.sparse.name = text()?,
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => pax.sparse.size = number()?,
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
            let map = pax.sparse.map.get_or_insert_default();
            let is_offset = key.ends_with(b"offset");
            match number()? {
                Some(number) if is_offset == map.len().is_multiple_of(2) => map.push(number),
                _ => return Err(malformed("a sparse map is broken")),
            }
        }
        b"GNU.sparse.map" => {
            let map: Option<Vec<u64>> = match value {
                b"" => Some(Vec::new()),
                _ => value.split(|byte| *byte == b',').map(decimal).collect(),
            };
            pax.sparse.map = Some(map.ok_or_else(|| malformed("a sparse map is broken"))?);
        }
        // Times of access, names of owners, comments, what other programs made up.
        _ => {}
    }
    Ok(())
}

/// Reads a plain decimal number: digits alone, at least one, no overflow.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

// Whole seconds of `[-]digits[.digits]`, rounded down. Too many digits are a time far away.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, part) = text.split_at(point.unwrap_or(text.len()));
    let part = part.strip_prefix(b".").unwrap_or(part);
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let whole = decimal(whole).and_then(|whole| i64::try_from(whole).ok()).unwrap_or(i64::MAX);
    let below = negative && part.iter().any(|digit| *digit != b'0');
    Some(if negative { (-whole).saturating_sub(i64::from(below)) } else { whole })
}

fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(data: &str, want: Expect) {
        let said = match parse(data.as_bytes()) {
            Ok(pax) => format!(
                "path {:?} size {:?} mtime {:?} xattrs {}",
                pax.path.map(|path| String::from_utf8_lossy(&path).into_owned()),
                pax.size,
                pax.mtime,
                pax.xattrs.len()
            ),
            Err(error) => error.to_string(),
        };
        want.assert_eq(&said);
    }

    #[test]
    fn records_go_by_their_length() {
        check(
            "17 path=good.txt\n",
            expect![[r#"path Some("good.txt") size None mtime None xattrs 0"#]],
        );
        check(
            "42 SCHILY.xattr.user.a=x\n17 path=etc/evil\n\n",
            expect!["malformed archive: a PAX record is broken"],
        );
        check(
            "42 SCHILY.xattr.user.a=x\n17 path=etc/evil\n",
            expect!["path None size None mtime None xattrs 1"],
        );
        check("19 path=a\0long.txt\n", expect!["malformed archive: a PAX value has a NUL byte"]);
        check("8 path=\n", expect!["path None size None mtime None xattrs 0"]);
        check("", expect!["path None size None mtime None xattrs 0"]);
    }

    #[test]
    fn broken_records_are_errors() {
        for (data, want) in [
            ("18 path=good.txt\n", expect!["malformed archive: a PAX record is broken"]),
            ("16 path=good.txt\n", expect!["malformed archive: a PAX record is broken"]),
            ("-1 path=good.txt\n", expect!["malformed archive: a PAX record is broken"]),
            ("99999999999999999999 path=x\n", expect!["malformed archive: a PAX record is broken"]),
            ("12 pathgood\n", expect!["malformed archive: a PAX record is broken"]),
            ("5 =x\n", expect!["malformed archive: a PAX record is broken"]),
            ("0 ", expect!["malformed archive: a PAX record is broken"]),
            ("9 path=a\n9 path=b\n", expect!["malformed archive: a PAX key comes twice"]),
            ("12 size=-12\n", expect!["malformed archive: a PAX number is none"]),
            ("14 size=1e100\n", expect!["malformed archive: a PAX number is none"]),
            ("29 size=99999999999999999999\n", expect!["malformed archive: a PAX number is none"]),
            ("10 mtime=\n", expect!["path None size None mtime None xattrs 0"]),
            ("11 mtime=x\n", expect!["malformed archive: a PAX time is none"]),
        ] {
            check(data, want);
        }
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, want) in [
            ("0", Some(0)),
            ("12.9", Some(12)),
            ("-12.1", Some(-13)),
            ("-12.0", Some(-12)),
            ("99999999999999999999999", Some(i64::MAX)),
            ("", None),
            (".5", None),
            ("1-2", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), want, "{text:?}");
        }
    }
}
