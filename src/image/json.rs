//! Reading of foreign JSON within limits, writing of ours with sorted keys.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document of an image that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {document}: {why}")]
pub struct DocumentError {
    document: &'static str,
    why: String,
}

impl DocumentError {
    /// Says what is wrong with which kind of document.
    pub(crate) fn new(document: &'static str, why: impl Into<String>) -> Self {
        DocumentError { document, why: why.into() }
    }
}

/// Values of one document. What is not known of a config is kept as a tree, which takes up to a
/// hundred times the bytes of the text; an image of a thousand layers has some ten thousand.
const VALUES: usize = 200_000;

// How many values a text of JSON has at least, and few more.
fn values(bytes: &[u8]) -> usize {
    let (mut inside, mut escaped, mut count) = (false, false, 1);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b',' | b'[' | b'{' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

/// Reads one document of at most `limit` bytes and 200,000 values. Nesting is limited to 128 by
/// `serde_json`.
pub(crate) fn read<T: DeserializeOwned>(
    document: &'static str,
    bytes: &[u8],
    limit: u64,
) -> Result<T, DocumentError> {
    if bytes.len() as u64 > limit {
        return Err(DocumentError::new(document, format!("larger than {limit} bytes")));
    }
    if values(bytes) > VALUES {
        return Err(DocumentError::new(document, format!("it has more than {VALUES} values")));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // The message quotes names and values of a stranger: no control characters, not long.
        let text: String =
            error.to_string().chars().flat_map(char::escape_debug).take(200).collect();
        DocumentError::new(document, text)
    })
}

/// Writes compact JSON with the keys of every object in byte order.
pub(crate) fn sorted<T: Serialize>(document: &T) -> Vec<u8> {
    // `serde_json::Value` keeps objects in a `BTreeMap` as long as its `preserve_order` feature is
    // off; a test in `config` fails if some crate turns it on.
    let value = serde_json::to_value(document).expect("our documents have string keys only");
    serde_json::to_vec(&value).expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn documents_of_too_many_values_are_refused() {
        let check = |text: String, want: bool| {
            let read = read::<Value>("config", text.as_bytes(), 8 << 20);
            assert_eq!(read.is_ok(), want, "{:.40} {:?}", text, read.err());
        };
        let list = |one: &str, count: usize| format!("[{}]", vec![one; count].join(","));
        check(list("0", VALUES - 2), true);
        check(list("0", VALUES + 1), false);
        check(list("{}", VALUES), false);
        check(list(r#"{"":0}"#, VALUES / 2 + 1), false);
        // What stands in texts is none.
        check(format!(r#"["{}"]"#, r#"a,[{\","#.repeat(VALUES)), true);
        check(format!(r#"["\\",{}]"#, list("0", VALUES)), false);
    }
}
