//! Secret bytes, and the filter that keeps them out of every stream.

use std::fmt;
use std::sync::{Arc, RwLock};

/// Bytes that must not be seen: no `Display`, no `Serialize`, no `Clone`; `Debug` is fixed text;
/// overwritten when dropped.
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        // Into a box of its own size, or the allocator may move it and leave the old bytes behind.
        let secret = Secret(Box::from(bytes.as_slice()));
        bytes.fill(0);
        std::hint::black_box(&mut bytes);
        secret
    }

    /// Shows the bytes: the one door, easy to search for.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from dropping the stores above as dead.
        std::hint::black_box(&mut self.0);
    }
}

/// The forms in which a secret may show up: as it is, base64 (at each of three alignments), hex in
/// both cases, URL-escaped.
///
/// Secrets shorter than 4 bytes have no form: masking them would blank out ordinary text.
pub(super) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let trimmed = secret.strip_suffix(b"\n").unwrap_or(secret);
    let trimmed = trimmed.strip_suffix(b"\r").unwrap_or(trimmed);
    if trimmed.len() < 4 {
        return Vec::new();
    }
    let mut out = vec![trimmed.to_vec()];
    // A value of several lines is printed line by line.
    out.extend(
        trimmed.split(|byte| *byte == b'\n').filter(|line| line.len() >= 8).map(<[u8]>::to_vec),
    );
    let hex = super::hex(trimmed);
    out.push(hex.to_ascii_uppercase().into_bytes());
    out.push(hex.into_bytes());
    for alphabet in [&STANDARD, &URL_SAFE] {
        for shift in 0..3 {
            out.extend(base64_core(trimmed, shift, alphabet));
        }
    }
    for upper in [true, false] {
        out.push(url_escaped(trimmed, upper));
    }
    out.sort();
    out.dedup();
    out
}

fn url_escaped(secret: &[u8], upper: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * secret.len());
    for byte in secret {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => out.push(*byte),
            byte if upper => out.extend(format!("%{byte:02X}").into_bytes()),
            byte => out.extend(format!("%{byte:02x}").into_bytes()),
        }
    }
    out
}

const STANDARD: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// The digits of base64 that depend on the secret alone when `shift` unknown bytes stand before it
// and unknown bytes follow. At least 8 digits, or it would match by chance.
fn base64_core(secret: &[u8], shift: usize, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let bit = |index: usize| -> u8 {
        let byte = secret[index / 8];
        byte >> (7 - index % 8) & 1
    };
    let first = (6 - shift * 8 % 6) % 6;
    let digits = (secret.len() * 8 - first) / 6;
    let out: Vec<u8> = (0..digits)
        .map(|digit| {
            let value = (0..6).fold(0u8, |value, at| value << 1 | bit(first + digit * 6 + at));
            alphabet[usize::from(value)]
        })
        .collect();
    (out.len() >= 8).then_some(out)
}

/// Replaces known secrets with `***`; shared by all that writes for people.
///
/// Cloning gives another handle to the same list.
#[derive(Clone, Default)]
pub struct Masker {
    forms: Arc<RwLock<Vec<Vec<u8>>>>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(***)")
    }
}

impl Masker {
    /// Starts with nothing to hide.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on hides `secret` in all its [`forms`].
    pub fn add(&self, secret: &Secret) {
        let mut list = self.forms.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.extend(forms(secret.expose()));
        // Longest first, so that a form that contains another one is replaced whole.
        list.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        list.dedup();
    }

    /// Returns the forms, longest first; what the layer scanner searches for.
    pub fn forms(&self) -> Vec<Vec<u8>> {
        self.forms.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Tells whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.forms.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    /// Returns `data` with each secret replaced.
    pub fn mask(&self, data: &[u8]) -> Vec<u8> {
        let forms = self.forms.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = Vec::with_capacity(data.len());
        let mut at = 0;
        'bytes: while at < data.len() {
            for form in forms.iter() {
                if data[at..].starts_with(form) {
                    out.extend_from_slice(b"***");
                    at += form.len();
                    continue 'bytes;
                }
            }
            out.push(data[at]);
            at += 1;
        }
        out
    }

    /// Returns `text` with each secret replaced.
    pub fn mask_text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.mask(text.as_bytes())).into_owned()
    }

    /// Returns how many bytes at the end of `data` may be the start of a secret: a stream that is
    /// masked in pieces holds them back until more has come.
    pub fn open_tail(&self, data: &[u8]) -> usize {
        let forms = self.forms.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let longest = forms.first().map_or(0, |form| form.len().saturating_sub(1)).min(data.len());
        (1..=longest)
            .rev()
            .find(|length| {
                let tail = &data[data.len() - length..];
                forms.iter().any(|form| form.len() > *length && form.starts_with(tail))
            })
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker(secret: &str) -> Masker {
        let masker = Masker::new();
        masker.add(&Secret::new(secret.as_bytes().to_vec()));
        masker
    }

    #[test]
    fn every_form_is_masked() {
        let masker = masker("hunter2-TOKEN/x\n");
        for shown in [
            "hunter2-TOKEN/x",
            "aHVudGVyMi1UT0tFTi94",     // aligned
            "YWh1bnRlcjItVE9LRU4veA==", // one byte before it
            "YWFodW50ZXIyLVRPS0VOL3g=", // two bytes before it
            "68756e746572322d544f4b454e2f78",
            "68756E746572322D544F4B454E2F78",
            "hunter2-TOKEN%2Fx",
            "hunter2-TOKEN%2fx",
        ] {
            let masked = masker.mask_text(&format!("<{shown}>"));
            assert!(masked.contains("***"), "{shown} → {masked}");
        }
        assert_eq!(masker.mask_text("hunter"), "hunter");
    }

    #[test]
    fn tiny_secrets_do_not_blank_out_ordinary_text() {
        assert_eq!(masker("a").mask_text("banana"), "banana");
    }

    #[test]
    fn the_open_tail_is_what_may_still_become_a_secret() {
        let masker = masker("hunter2-TOKEN");
        assert_eq!(masker.open_tail(b"so: hunt"), 4);
        assert_eq!(masker.open_tail(b"so: hunt!"), 0);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"abc".to_vec())), "Secret(***)");
    }
}
