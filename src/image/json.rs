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

/// Reads one document of at most `limit` bytes. Nesting is limited to 128 by `serde_json`.
pub(crate) fn read<T: DeserializeOwned>(
    document: &'static str,
    bytes: &[u8],
    limit: u64,
) -> Result<T, DocumentError> {
    if bytes.len() as u64 > limit {
        return Err(DocumentError::new(document, format!("larger than {limit} bytes")));
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
