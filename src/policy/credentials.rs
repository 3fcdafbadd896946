//! Credentials that can be told by their form: tokens with a prefix, a length and, where they have
//! one, a checksum; private keys; passwords in URLs.

use std::ops::Range;

use crate::base::{Blob, Digest};

/// A credential in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Credential {
    /// What it is.
    pub(super) kind: &'static str,
    /// Its bytes in the text.
    pub(super) at: Range<usize>,
}

impl Credential {
    /// Tells it apart without telling it: the first four characters, and the start of its SHA-256.
    pub(super) fn shown(&self, text: &str) -> String {
        let value = text.get(self.at.clone()).unwrap_or("");
        let head: String = value.chars().take(4).collect();
        let digest: Digest<Blob> = Digest::of(value.as_bytes());
        format!("{head}… (sha256 {}…)", &digest.hex()[..8])
    }
}

// Prefix, what follows (`w` letters and digits, `b` also `-` and `_`), how many at least and at
// most, and what it is. The forms are those that their makers document for scanners.
const TOKENS: &[(&str, char, usize, usize, &str)] = &[
    ("AKIA", 'u', 16, 16, "an AWS access key id"),
    ("ASIA", 'u', 16, 16, "an AWS session key id"),
    ("ghp_", 'w', 36, 36, "a GitHub token"),
    ("gho_", 'w', 36, 36, "a GitHub token"),
    ("ghu_", 'w', 36, 36, "a GitHub token"),
    ("ghs_", 'w', 36, 36, "a GitHub token"),
    ("ghr_", 'w', 36, 76, "a GitHub token"),
    ("github_pat_", 'b', 59, 90, "a GitHub token"),
    ("glpat-", 'b', 20, 64, "a GitLab token"),
    ("xoxb-", 'b', 20, 100, "a Slack token"),
    ("xoxa-", 'b', 20, 100, "a Slack token"),
    ("xoxp-", 'b', 20, 100, "a Slack token"),
    ("xoxr-", 'b', 20, 100, "a Slack token"),
    ("sk_live_", 'w', 20, 120, "a Stripe key"),
    ("rk_live_", 'w', 20, 120, "a Stripe key"),
    ("AIza", 'b', 35, 35, "a Google API key"),
    ("npm_", 'w', 36, 36, "an npm token"),
    ("pypi-AgEI", 'b', 50, 300, "a PyPI token"),
    ("AGE-SECRET-KEY-1", 'u', 58, 58, "an age key"),
];

/// Finds all credentials in a text, in order. Linear in its length.
pub(super) fn find(text: &str) -> Vec<Credential> {
    let mut out = Vec::new();
    for (prefix, class, least, most, kind) in TOKENS {
        for (at, _) in text.match_indices(prefix) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let start = at + prefix.len();
            let fits = |c: char| match class {
                'u' => c.is_ascii_uppercase() || c.is_ascii_digit(),
                'w' => c.is_ascii_alphanumeric(),
                _ => c.is_ascii_alphanumeric() || c == '-' || c == '_',
            };
            let length = text[start..].chars().take_while(|c| fits(*c)).count();
            let value = &text[start..start + length];
            let checked = match *prefix {
                "ghp_" | "gho_" | "ghu_" | "ghs_" | "npm_" => crc_holds(value),
                _ => true,
            };
            if (*least..=*most).contains(&length) && checked && !placeholder(value) {
                out.push(Credential { kind, at: at..start + length });
            }
        }
    }
    for (at, head) in text.match_indices("-----BEGIN ") {
        let rest = &text[at + head.len()..];
        let line = rest.lines().next().unwrap_or("");
        let key = line.split("-----").next().unwrap_or("");
        if line.contains("-----") && key.ends_with("PRIVATE KEY") && key.len() < 40 {
            let end = at + head.len() + key.len() + 5;
            out.push(Credential { kind: "a private key", at: at..end });
        }
    }
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = &text[start..];
        let end = rest
            .find(|c: char| c.is_whitespace() || "/?#\"'`<>|\\".contains(c))
            .unwrap_or(rest.len());
        let Some((user, _)) = rest[..end].rsplit_once('@') else { continue };
        let Some((name, password)) = user.split_once(':') else { continue };
        let hidden = password.len() < 4 || password.contains(['$', '{', '}', '*']);
        if !name.is_empty() && !hidden && !placeholder(password) {
            let from = start + name.len() + 1;
            let at = from..from + password.len();
            out.push(Credential { kind: "a password in a URL", at });
        }
    }
    for (at, _) in text.match_indices("eyJ") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            continue;
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let length = text[at..].chars().take_while(|c| fits(*c)).count();
        let parts: Vec<&str> = text[at..at + length].split('.').collect();
        // A header of JSON begins `{"`; `alg` in base64 at one of three places.
        if let [header, claims, signature] = parts.as_slice()
            && ["hbGci", "JhbGci", "ImFsZyI", "iYWxn"].iter().any(|alg| header.contains(alg))
            && claims.starts_with("eyJ")
            && signature.len() >= 20
        {
            out.push(Credential { kind: "a JSON web token", at: at..at + length });
        }
    }
    out.sort_by_key(|found| (found.at.start, found.at.end));
    out.dedup_by(|a, b| a.at == b.at);
    out
}

/// Tells whether a value is one that documents use: no credential.
fn placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words = [
        "example",
        "xxxx",
        "changeme",
        "placeholder",
        "your_",
        "your-",
        "dummy",
        "redacted",
        "****",
    ];
    words.iter().any(|word| lower.contains(word))
        || matches!(lower.as_str(), "password" | "passwd" | "pass" | "secret" | "token" | "user")
        || entropy(value) < 2.0
}

/// Bits per character.
pub(super) fn entropy(value: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = value.len().max(1) as f64;
    let of = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(of).sum()
}

// GitHub's and npm's tokens end in a CRC32 of the rest, six digits of base 62.
fn crc_holds(value: &str) -> bool {
    let Some((body, sum)) = value.len().checked_sub(6).map(|at| value.split_at(at)) else {
        return false;
    };
    let mut rest = crc32fast::hash(body.as_bytes());
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    for _ in 0..6 {
        text.push(digits[(rest % 62) as usize]);
        rest /= 62;
    }
    text.reverse();
    text == sum.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_from_look_alikes() {
        let kinds = |text: &str| find(text).iter().map(|found| found.kind).collect::<Vec<_>>();
        // Put together here, so that scanners of this repository stay calm.
        let aws = format!("AKIA{}", "Q3EGRT7ZUWLKBHXA");
        assert_eq!(kinds(&format!("id={aws}")), ["an AWS access key id"]);
        assert_eq!(kinds(&format!("X{aws}")), [] as [&str; 0]);
        assert_eq!(kinds("AKIAIOSFODNN7EXAMPLE"), [] as [&str; 0]);
        assert_eq!(kinds("https://bot:s3cr3tvalue9@git.example/x"), ["a password in a URL"]);
        assert_eq!(kinds("https://user:<password>@host"), [] as [&str; 0]);
        assert_eq!(kinds("https://user:${PASSWORD}@host"), [] as [&str; 0]);
        assert_eq!(kinds("-----BEGIN RSA PRIVATE KEY-----"), ["a private key"]);
        assert_eq!(kinds("-----BEGIN PUBLIC KEY-----"), [] as [&str; 0]);
        // A wrong checksum is no token.
        assert_eq!(
            kinds(&format!("ghp_{}", "a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8")),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_checksum_that_holds() {
        // CRC32 of "123456789" is CBF43926, 3T3yPM... in base 62: computed by the same rule.
        let mut crc = 0xCBF4_3926_u32;
        let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut sum = String::new();
        for _ in 0..6 {
            sum.insert(0, digits[(crc % 62) as usize] as char);
            crc /= 62;
        }
        assert!(crc_holds(&format!("123456789{sum}")));
        assert!(!crc_holds(&format!("123456780{sum}")));
    }
}
