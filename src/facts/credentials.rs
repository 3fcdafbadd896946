//! Credentials that can be told by their form: tokens with a prefix, a length and, where they have
//! one, a checksum; private keys; passwords in URLs.

use std::ops::Range;

use crate::base::{Blob, Digest};

/// A credential in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Credential {
    /// What it is.
    pub(crate) kind: &'static str,
    /// Its bytes in the text.
    pub(crate) at: Range<usize>,
}

impl Credential {
    /// Tells it apart without telling it: the first four characters, and the start of its SHA-256.
    pub(crate) fn shown(&self, text: &str) -> String {
        shown(text.as_bytes().get(self.at.clone()).unwrap_or_default())
    }
}

/// Tells a value apart without telling it: the first four characters, and the start of its SHA-256.
pub(super) fn shown(value: &[u8]) -> String {
    let head: String = String::from_utf8_lossy(value).chars().take(4).collect();
    let digest: Digest<Blob> = Digest::of(value);
    format!("{head}… (sha256 {}…)", &digest.hex()[..8])
}

// Prefix, what follows (`w` letters and digits, `b` also `-` and `_`), how many at least and at
// most, and what it is. The forms are those that their makers document for scanners.
const TOKENS: &[Token] = &[
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

/// How other forms than tokens begin.
const BEGIN: &str = "-----BEGIN ";
const SCHEME: &str = "://";
const JSON: &str = "eyJ";

/// The words that credentials begin with, in the order of the numbers that [`at`] takes.
pub(super) fn starts() -> impl Iterator<Item = &'static str> {
    TOKENS.iter().map(|token| token.0).chain([BEGIN, SCHEME, JSON])
}

// Which of them, one bit each, have a byte at their first, second and third place: three look-ups tell
// where none begins.
const ALIKE: [[u32; 256]; 3] = {
    let mut alike = [[0; 256]; 3];
    let mut number = 0;
    while number < TOKENS.len() + 3 {
        let others = [BEGIN, SCHEME, JSON];
        let start = match number < TOKENS.len() {
            true => TOKENS[number].0,
            false => others[number - TOKENS.len()],
        };
        let mut at = 0;
        while at < 3 {
            alike[at][start.as_bytes()[at] as usize] |= 1 << number;
            at += 1;
        }
        number += 1;
    }
    alike
};

/// Finds all credentials in a text, in order. Linear in its length.
pub(crate) fn find(text: &str) -> Vec<Credential> {
    let text = text.as_bytes();
    let mut places = Vec::new();
    for (place, bytes) in text.windows(3).enumerate() {
        let of = |at: usize| ALIKE[at][usize::from(bytes[at])];
        let mut alike = of(0) & of(1) & of(2);
        while alike != 0 {
            let number = alike.trailing_zeros() as usize;
            alike &= alike - 1;
            if starts().nth(number).is_some_and(|start| text[place..].starts_with(start.as_bytes()))
            {
                places.push((number, place));
            }
        }
    }
    places.sort_unstable();
    let mut out: Vec<Credential> =
        places.into_iter().filter_map(|(number, place)| at(text, place, number)).collect();
    out.sort_by_key(|found| (found.at.start, found.at.end));
    out.dedup_by(|a, b| a.at == b.at);
    out
}

/// Reads the credential that begins at `place`, where the word with this number stands.
pub(super) fn at(text: &[u8], place: usize, number: usize) -> Option<Credential> {
    match TOKENS.get(number) {
        Some(token) => self::token(text, place, token),
        None => match starts().nth(number)? {
            BEGIN => key(text, place),
            SCHEME => password(text, place),
            _ => web_token(text, place),
        },
    }
}

type Token = (&'static str, char, usize, usize, &'static str);

fn token(text: &[u8], place: usize, token: &Token) -> Option<Credential> {
    let (prefix, class, least, most, kind) = *token;
    let start = place + prefix.len();
    let value = text.get(start..)?;
    if &text[place..start] != prefix.as_bytes() || within_word(text, place, b"_") {
        return None;
    }
    let fits = |byte: &u8| match class {
        'u' => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        'w' => byte.is_ascii_alphanumeric(),
        _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
    };
    // One more than fits tells that it is too long: what follows is not looked at for each prefix.
    let length = run(value, most + 1, |byte| fits(&byte));
    let value = std::str::from_utf8(&value[..length]).ok()?;
    let checked = match prefix {
        "ghp_" | "gho_" | "ghu_" | "ghs_" | "npm_" => crc_holds(value),
        _ => true,
    };
    ((least..=most).contains(&length) && checked && !placeholder(value))
        .then(|| Credential { kind, at: place..start + length })
}

// How many bytes of the text fit, of the first `most`.
fn run(text: &[u8], most: usize, mut fits: impl FnMut(u8) -> bool) -> usize {
    let length = text.iter().take(most).take_while(|byte| fits(**byte)).count();
    #[cfg(test)]
    tests::LOOKED.set(tests::LOOKED.get() + length);
    length
}

// Whether a letter, a digit or one of `more` stands before the place.
fn within_word(text: &[u8], place: usize, more: &[u8]) -> bool {
    let before = place.checked_sub(1).map(|before| text[before]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

fn key(text: &[u8], place: usize) -> Option<Credential> {
    let rest = text.get(place..)?.strip_prefix(BEGIN.as_bytes())?;
    let line = &rest[..rest.len().min(48)];
    let end = line.windows(5).position(|dashes| dashes == b"-----")?;
    let name = &line[..end];
    (name.ends_with(b"PRIVATE KEY") && name.len() < 40 && !name.contains(&b'\n')).then(|| {
        let end = place + BEGIN.len() + end + 5;
        Credential { kind: KEY, at: place..end }
    })
}

/// What [`Credential::kind`] says of a private key.
pub(super) const KEY: &str = "a private key";

fn password(text: &[u8], place: usize) -> Option<Credential> {
    let start = place + SCHEME.len();
    let rest = text.get(start..)?;
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'`<>|\\".contains(byte);
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    let at = rest[..end].iter().rposition(|byte| *byte == b'@')?;
    let user = std::str::from_utf8(&rest[..at]).ok()?;
    let (name, password) = user.split_once(':')?;
    let hidden = password.len() < 4 || password.contains(['$', '{', '}', '*']);
    (!name.is_empty() && !hidden && !placeholder(password)).then(|| {
        let from = start + name.len() + 1;
        Credential { kind: "a password in a URL", at: from..from + password.len() }
    })
}

/// A web token longer than this, in bytes, is none: they go in headers, which servers bound to 8 KiB.
const LONGEST: usize = 4 << 10;

fn web_token(text: &[u8], place: usize) -> Option<Credential> {
    let rest = text.get(place..)?;
    if !rest.starts_with(JSON.as_bytes()) || within_word(text, place, b"_-") {
        return None;
    }
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    // At a third dot it is none, and what begins behind a dot reads no more than two parts again.
    let mut dots = 0;
    let length = run(rest, LONGEST + 1, |byte| {
        dots += usize::from(byte == b'.');
        dots < 3 && fits(&byte)
    });
    if dots != 2 || length > LONGEST {
        return None;
    }
    let value = std::str::from_utf8(&rest[..length]).ok()?;
    let parts: Vec<&str> = value.splitn(4, '.').collect();
    let [header, claims, signature] = parts.as_slice() else { return None };
    // A header of JSON begins `{"`; `alg` in base64 at one of three places.
    let algorithm = ["hbGci", "JhbGci", "ImFsZyI", "iYWxn"].iter().any(|alg| header.contains(alg));
    (algorithm && claims.starts_with(JSON) && signature.len() >= 20)
        .then(|| Credential { kind: "a JSON web token", at: place..place + length })
}

/// Tells whether a value is one that documents use: no credential.
pub(super) fn placeholder(value: &str) -> bool {
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
pub(crate) fn entropy(value: &str) -> f64 {
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

    thread_local! {
        // Bytes that `run` looked at.
        pub(super) static LOOKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn what_follows_a_word_is_looked_at_a_bounded_number_of_times() {
        for (text, most) in [
            (".eyJ".repeat(20_000), 4),
            (".eyJ.".repeat(20_000), 4),
            ("glpat-".repeat(20_000), 12),
            ("xoxb-".repeat(20_000), 22),
            (format!("eyJ{}", "a".repeat(100_000)), 1),
        ] {
            let text = text + &"a".repeat(400);
            LOOKED.set(0);
            assert_eq!(find(&text), []);
            let looked = LOOKED.get();
            assert!(looked > 0 && looked <= most * text.len(), "{looked} of {}", text.len());
        }
    }

    #[test]
    fn web_tokens_have_three_parts() {
        let part =
            |length: usize| "Q3EGRT7ZUWLKBHXA".chars().cycle().take(length).collect::<String>();
        let token = |length| format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", part(length));
        let found = |text: &str| {
            find(text).iter().map(|found| (found.at.start, found.at.end)).collect::<Vec<_>>()
        };
        let head = token(0).len();
        assert_eq!(found(&format!("t={} ", token(43))), Vec::from([(2, 2 + head + 43)]));
        assert_eq!(found(&token(4096 - head)), Vec::from([(0, 4096)]));
        assert!(found(&token(4097 - head)).is_empty());
        assert!(found(&format!("{}.x", token(43))).is_empty());
        assert!(found(&token(19)).is_empty());
    }

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
