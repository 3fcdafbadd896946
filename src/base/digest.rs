//! SHA-256 digests that carry in their type what they are the digest of.
//!
//! Written form: `sha256:` and 64 lower-case hexadecimal digits (OCI image specification,
//! descriptor.md, "Digests"). Other algorithms are refused: nothing in the field uses them.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// Marks what a digest was taken of.
pub trait Kind: Copy + Eq + Ord + std::hash::Hash + 'static {
    /// The word used in messages.
    const NAME: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {}
        impl Kind for $name { const NAME: &'static str = $word; }
    )*};
}

kinds! {
    /// Bytes as they are stored and sent: a compressed layer, a config, a manifest.
    Blob = "blob";
    /// The uncompressed tar of a layer.
    Diff = "diff id";
    /// An image config; doubles as the image id.
    Config = "config";
    /// A manifest or an index.
    Manifest = "manifest";
    /// A stack of layers (OCI image specification, config.md, "Layer ChainID").
    Chain = "chain id";
    /// A cache key.
    Cache = "cache key";
}

/// A SHA-256 digest of a thing of kind `K`.
///
/// There is no conversion between kinds, except that a [`Config`] and a [`Manifest`] are blobs too
/// ([`Digest::as_blob`]). A value comes from hashing, or from a document's field that means it.
pub struct Digest<K> {
    bytes: [u8; 32],
    kind: PhantomData<K>,
}

impl<K> Clone for Digest<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Digest<K> {}
impl<K> PartialEq for Digest<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl<K> Eq for Digest<K> {}
impl<K> PartialOrd for Digest<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Digest<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}
impl<K> std::hash::Hash for Digest<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<K: Kind> Digest<K> {
    /// Returns the digest of `data`.
    pub fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(data);
        hasher.finish()
    }

    /// Returns the digest with these 32 raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest { bytes, kind: PhantomData }
    }

    /// Parses `sha256:<64 lower-case hex digits>`; anything else is an error, so that a digest can
    /// be made part of a path or URL without a further look.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let Some(digits) = text.strip_prefix("sha256:") else {
            return Err(match text.split_once(':') {
                Some((algorithm, _)) => {
                    DigestError::Algorithm(algorithm.escape_default().to_string())
                }
                None => DigestError::Form,
            });
        };
        Self::parse_hex(digits)
    }

    /// Parses the 64 digits alone, as they name files in an OCI layout.
    pub fn parse_hex(digits: &str) -> Result<Self, DigestError> {
        let digits = digits.as_bytes();
        if digits.len() != 64 {
            return Err(DigestError::Form);
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(DigestError::Form);
            };
            *byte = high << 4 | low;
        }
        Ok(Self::from_bytes(bytes))
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns the 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex(&self.bytes)
    }

    /// Returns the first 12 digits: enough for a person, never for a machine.
    pub fn short(&self) -> String {
        hex(&self.bytes[..6])
    }
}

impl Digest<Config> {
    /// The config seen as the blob that it is.
    pub fn as_blob(&self) -> Digest<Blob> {
        Digest::from_bytes(self.bytes)
    }
}

impl Digest<Manifest> {
    /// The manifest seen as the blob that it is.
    pub fn as_blob(&self) -> Digest<Blob> {
        Digest::from_bytes(self.bytes)
    }
}

/// Returns lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
    out
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl<K: Kind> fmt::Display for Digest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl<K: Kind> fmt::Debug for Digest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", K::NAME, self.short())
    }
}

impl<K: Kind> Serialize for Digest<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Digest<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `sha256:` and 64 lower-case hexadecimal digits.
    #[error("a digest is `sha256:` and 64 lower-case hexadecimal digits")]
    Form,
    /// Another algorithm.
    #[error("digest algorithm `{0}` is not supported, only sha256 is")]
    Algorithm(String),
}

/// Takes bytes in pieces and gives their digest.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Adds `field` with its length in front (8 bytes, little endian), so that two different
    /// sequences of fields never hash alike.
    pub fn field(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    /// Returns the digest of all that was added.
    pub fn finish<K: Kind>(self) -> Digest<K> {
        Digest::from_bytes(self.0.finalize().into())
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the chain id of `diffs`, bottom layer first; `None` for no layer.
///
/// `ChainID(L0) = DiffID(L0)`, `ChainID(L0|…|Ln) = sha256(ChainID(L0|…|Ln-1) + " " + DiffID(Ln))`
/// over the written forms (OCI image specification, config.md).
pub fn chain_of(diffs: &[Digest<Diff>]) -> Option<Digest<Chain>> {
    diffs.iter().fold(None, |below, diff| Some(chain_above(below, diff)))
}

/// Returns the chain id of one layer more: `diff` above those whose chain id is `below`. See
/// [`chain_of`].
pub fn chain_above(below: Option<Digest<Chain>>, diff: &Digest<Diff>) -> Digest<Chain> {
    match below {
        None => Digest::from_bytes(diff.bytes),
        Some(below) => Digest::of(format!("{below} {diff}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashes_and_writes_the_known_digest_of_nothing() {
        assert_eq!(Digest::<Blob>::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::<Blob>::parse(EMPTY).unwrap(), Digest::of(b""));
    }

    #[test]
    fn refuses_what_could_escape_a_path_or_is_ambiguous() {
        for bad in [
            "",
            "sha256:",
            "sha256:../../x",
            &EMPTY[..70],
            &EMPTY.to_uppercase(),
            &EMPTY.replace("e3b0", "E3B0"),
            "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
            &format!("{EMPTY}\n"),
            &EMPTY.replace('e', "g"),
        ] {
            assert!(Digest::<Blob>::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn fields_do_not_run_together() {
        let of = |fields: &[&[u8]]| {
            let mut hasher = Hasher::new();
            fields.iter().for_each(|field| hasher.field(field));
            hasher.finish::<Cache>()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"", b"x"]), of(&[b"x", b""]));
    }

    #[test]
    fn chain_ids_follow_the_specification() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(chain_of(&[]), None);
        assert_eq!(chain_of(&[a]).unwrap().as_bytes(), a.as_bytes());
        assert_eq!(chain_of(&[a, b]).unwrap(), Digest::of(format!("{a} {b}").as_bytes()));
    }
}
