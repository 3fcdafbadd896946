//! Private keys out of files, and an agent that has them: it lists and signs, as [`super::protocol`]
//! lets a step ask.
//!
//! Read are OpenSSH's own format (PROTOCOL.key of OpenSSH) and the PEM forms PKCS#8 (RFC 5958), PKCS#1
//! (RFC 8017, A.1.2) and SEC 1 (RFC 5915), all unencrypted: Ed25519, ECDSA on P-256 and P-384, RSA of
//! 2048 bits and more. RSA signs with SHA-2 (RFC 8332), never with SHA-1.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING as P256, ECDSA_P384_SHA384_FIXED_SIGNING as P384, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::protocol::{self, string};
use crate::base::Secret;
use crate::registry::base64;

/// The largest file of a key, in bytes.
pub const KEY_LIMIT: u64 = 64 * 1024;

/// The keys that one id of `--ssh` stands for.
#[derive(Default)]
pub struct Keyring(Vec<Key>);

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

/// Why a file gives no key. No message holds any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// A passphrase is needed.
    #[error("the key is encrypted, and there is nobody to ask for its passphrase")]
    Encrypted,
    /// A key, but not one of those that can be used.
    #[error("a key of this kind cannot be used: {0}")]
    Kind(&'static str),
    /// No key.
    #[error("there is no private key in it")]
    None,
    /// A key whose parts do not fit.
    #[error("the key is damaged")]
    Damaged,
}

struct Key {
    public: Vec<u8>,
    comment: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(Box<RsaKeyPair>),
}

impl Keyring {
    /// Adds the key of a file; `name` is its comment where the file has none.
    pub fn add(&mut self, file: &Secret, name: &str) -> Result<(), KeyError> {
        let text = std::str::from_utf8(file.expose()).map_err(|_| KeyError::None)?;
        let (label, body) = pem(text).ok_or(KeyError::None)?;
        let bytes = body.expose();
        let (pair, comment) = match label {
            "OPENSSH PRIVATE KEY" => openssh(bytes)?,
            "PRIVATE KEY" => (pkcs8(bytes)?, Vec::new()),
            "RSA PRIVATE KEY" => (rsa(RsaKeyPair::from_der(bytes))?, Vec::new()),
            "EC PRIVATE KEY" => (sec1(bytes)?, Vec::new()),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            "DSA PRIVATE KEY" => return Err(KeyError::Kind("DSA")),
            _ => return Err(KeyError::None),
        };
        let public = pair.public();
        let comment = if comment.is_empty() { name.as_bytes().to_vec() } else { comment };
        self.0.push(Key { public, comment, pair });
        Ok(())
    }

    /// Answers a request that may pass.
    pub(super) fn answer(&self, request: &[u8]) -> Vec<u8> {
        match request.split_first() {
            Some((&protocol::REQUEST_IDENTITIES, _)) => {
                let mut answer = vec![protocol::IDENTITIES_ANSWER];
                answer.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
                for key in &self.0 {
                    put(&mut answer, &key.public);
                    put(&mut answer, &key.comment);
                }
                answer
            }
            Some((&protocol::SIGN_REQUEST, rest)) => {
                self.sign(rest).unwrap_or_else(|| protocol::REFUSAL.to_vec())
            }
            // Keys that are bound to hosts are an agent's business.
            _ => protocol::REFUSAL.to_vec(),
        }
    }

    fn sign(&self, mut rest: &[u8]) -> Option<Vec<u8>> {
        let public = string(&mut rest)?;
        let data = string(&mut rest)?;
        let flags = u32::from_be_bytes(rest.try_into().ok()?);
        let key = self.0.iter().find(|key| key.public == public)?;
        let mut signature = Vec::new();
        key.pair.sign(data, flags, &mut signature)?;
        let mut answer = vec![protocol::SIGN_RESPONSE];
        put(&mut answer, &signature);
        Some(answer)
    }
}

impl Pair {
    /// The public key as it goes over the wire (RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4).
    fn public(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Pair::Ed25519(pair) => {
                put(&mut out, b"ssh-ed25519");
                put(&mut out, pair.public_key().as_ref());
            }
            Pair::Ecdsa(pair, curve) => {
                put(&mut out, format!("ecdsa-sha2-{curve}").as_bytes());
                put(&mut out, curve.as_bytes());
                put(&mut out, pair.public_key().as_ref());
            }
            Pair::Rsa(pair) => {
                put(&mut out, b"ssh-rsa");
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                put_number(&mut out, &public.e);
                put_number(&mut out, &public.n);
            }
        }
        out
    }

    // A signature with its algorithm (RFC 4253 6.6, RFC 5656 3.1.2, RFC 8332 3).
    fn sign(&self, data: &[u8], flags: u32, out: &mut Vec<u8>) -> Option<()> {
        // draft-miller-ssh-agent, "Signature flags".
        const RSA_SHA2_256: u32 = 2;
        const RSA_SHA2_512: u32 = 4;
        let random = SystemRandom::new();
        match self {
            Pair::Ed25519(pair) => {
                put(out, b"ssh-ed25519");
                put(out, pair.sign(data).as_ref());
            }
            Pair::Ecdsa(pair, curve) => {
                put(out, format!("ecdsa-sha2-{curve}").as_bytes());
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut both = Vec::new();
                put_number(&mut both, r);
                put_number(&mut both, s);
                put(out, &both);
            }
            Pair::Rsa(pair) => {
                let (name, how) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    // What is asked for is SHA-1.
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(how, &random, data, &mut signature).ok()?;
                put(out, name.as_bytes());
                put(out, &signature);
            }
        }
        Some(())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

// An `mpint` (RFC 4251 5) of an unsigned number.
fn put_number(out: &mut Vec<u8>, bytes: &[u8]) {
    let digits = unsigned(bytes);
    let mut number = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_some_and(|first| first & 0x80 != 0) {
        number.push(0);
    }
    number.extend_from_slice(digits);
    put(out, &number);
}

fn unsigned(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]
}

// The first private key of a PEM file (RFC 7468): its label and its bytes.
fn pem(text: &str) -> Option<(&str, Secret)> {
    let (mut label, mut body) = (None, String::new());
    for line in text.lines().map(str::trim) {
        let between = |words: &str| line.strip_prefix(words)?.strip_suffix("-----");
        if let Some(name) = between("-----BEGIN ") {
            label = name.ends_with("PRIVATE KEY").then_some(name);
            body.clear();
        } else if between("-----END ").is_some() {
            if let Some(label) = label {
                return Some((label, Secret::new(base64::decode(&body)?)));
            }
        } else if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") {
            // The old form of encryption (RFC 1421); such a body is told by its label.
            return label.map(|_| ("ENCRYPTED PRIVATE KEY", Secret::new(Vec::new())));
        } else if label.is_some() && !line.contains(':') {
            body.push_str(line);
        }
    }
    None
}

fn openssh(bytes: &[u8]) -> Result<(Pair, Vec<u8>), KeyError> {
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").ok_or(KeyError::Damaged)?;
    let rest = &mut rest;
    let mut next = || string(rest).ok_or(KeyError::Damaged);
    if next()? != b"none" {
        return Err(KeyError::Encrypted);
    }
    let (_kdf, _options) = (next()?, next()?);
    let (count, after) = rest.split_first_chunk::<4>().ok_or(KeyError::Damaged)?;
    if *count != [0, 0, 0, 1] {
        return Err(KeyError::Damaged);
    }
    *rest = after;
    let mut next = || string(rest).ok_or(KeyError::Damaged);
    let _public = next()?;
    let private = next()?;
    // The same number twice: whether a passphrase was right.
    let (check, mut rest) = private.split_first_chunk::<8>().ok_or(KeyError::Damaged)?;
    if check[..4] != check[4..] {
        return Err(KeyError::Damaged);
    }
    let rest = &mut rest;
    let mut next = || string(rest).ok_or(KeyError::Damaged);
    let pair = match next()? {
        b"ssh-ed25519" => {
            let (public, both) = (next()?, next()?);
            let seed = both.get(..32).ok_or(KeyError::Damaged)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
            Pair::Ed25519(pair.map_err(|_| KeyError::Damaged)?)
        }
        b"ecdsa-sha2-nistp256" => {
            let (_curve, public, private) = (next()?, next()?, next()?);
            ecdsa("nistp256", public, private)?
        }
        b"ecdsa-sha2-nistp384" => {
            let (_curve, public, private) = (next()?, next()?, next()?);
            ecdsa("nistp384", public, private)?
        }
        b"ssh-rsa" => {
            let (n, e, d) = (next()?, next()?, next()?);
            let (q_inverse, p, q) = (next()?, next()?, next()?);
            let [n, e, d, p, q] = [n, e, d, p, q].map(unsigned);
            let (to_p, to_q) = (Secret::new(below(d, p)?), Secret::new(below(d, q)?));
            let components = ring::rsa::KeyPairComponents {
                public_key: ring::rsa::PublicKeyComponents { n, e },
                d,
                p,
                q,
                dP: unsigned(to_p.expose()),
                dQ: unsigned(to_q.expose()),
                qInv: unsigned(q_inverse),
            };
            rsa(RsaKeyPair::from_components(&components))?
        }
        b"ecdsa-sha2-nistp521" => return Err(KeyError::Kind("ECDSA on P-521")),
        b"ssh-dss" => return Err(KeyError::Kind("DSA")),
        name if name.starts_with(b"sk-") => return Err(KeyError::Kind("one on a security key")),
        _ => return Err(KeyError::Kind("not Ed25519, ECDSA or RSA")),
    };
    Ok((pair, next()?.to_vec()))
}

fn ecdsa(curve: &'static str, public: &[u8], private: &[u8]) -> Result<Pair, KeyError> {
    let (how, size) = if curve == "nistp256" { (&P256, 32) } else { (&P384, 48) };
    let digits = unsigned(private);
    let mut full = vec![0; size];
    let at = size.checked_sub(digits.len()).ok_or(KeyError::Damaged)?;
    full[at..].copy_from_slice(digits);
    let full = Secret::new(full);
    let random = SystemRandom::new();
    EcdsaKeyPair::from_private_key_and_public_key(how, full.expose(), public, &random)
        .map(|pair| Pair::Ecdsa(pair, curve))
        .map_err(|_| KeyError::Damaged)
}

fn rsa(made: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Pair, KeyError> {
    made.map(|pair| Pair::Rsa(Box::new(pair))).map_err(|error| match error.to_string().as_str() {
        "TooSmall" | "TooLarge" => KeyError::Kind("RSA of fewer than 2048 or more than 4096 bits"),
        _ => KeyError::Damaged,
    })
}

fn pkcs8(bytes: &[u8]) -> Result<Pair, KeyError> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Ok(Pair::Ed25519(pair));
    }
    let random = SystemRandom::new();
    for (how, curve) in [(&P256, "nistp256"), (&P384, "nistp384")] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(how, bytes, &random) {
            return Ok(Pair::Ecdsa(pair, curve));
        }
    }
    match rsa(RsaKeyPair::from_pkcs8(bytes)) {
        Err(KeyError::Damaged) => Err(KeyError::Kind("not Ed25519, ECDSA or RSA")),
        other => other,
    }
}

// A SEC 1 key is what PKCS#8 has inside, without the name of the curve around it.
fn sec1(bytes: &[u8]) -> Result<Pair, KeyError> {
    // SEQUENCE { id-ecPublicKey, the curve } (RFC 5480 2.1.1).
    const ON_P256: &[u8] =
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    const ON_P384: &[u8] =
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
    let random = SystemRandom::new();
    for (how, curve, algorithm) in [(&P256, "nistp256", ON_P256), (&P384, "nistp384", ON_P384)] {
        let inside = [b"\x02\x01\x00", algorithm, der(4, bytes).expose()].concat();
        let whole = der(0x30, Secret::new(inside).expose());
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(how, whole.expose(), &random) {
            return Ok(Pair::Ecdsa(pair, curve));
        }
    }
    Err(KeyError::Kind("ECDSA, but not on P-256 or P-384"))
}

// A value in DER (X.690): tag, length, bytes.
fn der(tag: u8, bytes: &[u8]) -> Secret {
    let length = bytes.len().to_be_bytes();
    let digits = unsigned(&length);
    let mut out = vec![tag];
    if bytes.len() >= 128 {
        out.push(0x80 | digits.len() as u8);
    }
    if bytes.is_empty() {
        out.push(0)
    } else {
        out.extend_from_slice(digits)
    }
    out.extend_from_slice(bytes);
    Secret::new(out)
}

// `number mod (prime - 1)`, big endian: what a file of OpenSSH leaves out. Bit by bit, since it is
// done once for each key; how long it takes nobody sees who could not read the key.
fn below(number: &[u8], prime: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut modulus = prime.to_vec();
    match modulus.last_mut() {
        Some(last) if *last & 1 == 1 => *last -= 1,
        _ => return Err(KeyError::Damaged),
    }
    if number.len() > 1024 || unsigned(&modulus).is_empty() {
        return Err(KeyError::Damaged);
    }
    // One digit more than the modulus has, for the doubling.
    modulus.insert(0, 0);
    let mut rest = vec![0u8; modulus.len()];
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in rest.iter_mut().rev() {
                let high = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = high;
            }
            if rest >= modulus {
                let mut borrow = 0i16;
                for (digit, less) in rest.iter_mut().zip(&modulus).rev() {
                    let value = i16::from(*digit) - i16::from(*less) - borrow;
                    borrow = i16::from(value < 0);
                    *digit = value.rem_euclid(256) as u8;
                }
            }
        }
    }
    modulus.fill(0);
    Ok(rest)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
