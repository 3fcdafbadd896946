//! The key of a step: a hash over everything that its result depends on, and over nothing else.
//!
//! A key has named parts. Those of the operation (command, environment, user, mounts …) come first
//! and have a digest of their own: when the store has no record of the same operation, nothing can
//! match, and a step runs without waiting for the digests of what came before it. The parts of the
//! input (parents by result, content by digest) follow. Every record keeps its parts, so that a
//! miss always tells its cause. Secrets are in a key by id, target and mode, never by value.

use super::copied::Files;
use crate::base::{Cache, Digest, Hasher};
use crate::store::{CacheRecord, KeyPart};

/// Goes up when the meaning of a part or the making of a result changes: older records then no
/// longer match.
const VERSION: &str = "rbuild step 1";

/// The parts of a key, in a fixed order.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    operation: Vec<KeyPart>,
    input: Vec<KeyPart>,
}

impl Request {
    /// Starts with the kind of step: `RUN`, `COPY` …
    pub(super) fn new(kind: &str) -> Self {
        let mut request = Request::default();
        request.operation("step", kind);
        request
    }

    /// Adds a part of the operation.
    pub(super) fn operation(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.operation.push(KeyPart { name: name.into(), value: value.into() });
    }

    /// Adds a part of the input.
    pub(super) fn input(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.input.push(KeyPart { name: name.into(), value: value.into() });
    }

    /// Tells whether a part of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.operation.iter().chain(&self.input).any(|part| part.name == name)
    }

    /// The digest of the operation alone.
    pub(super) fn operation_digest(&self) -> Digest<Cache> {
        digest(self.operation.iter())
    }

    /// The key.
    pub(super) fn key(&self) -> Digest<Cache> {
        digest(self.operation.iter().chain(&self.input))
    }

    /// All parts, as a record keeps them.
    pub(super) fn parts(&self) -> Vec<KeyPart> {
        self.operation.iter().chain(&self.input).cloned().collect()
    }

    /// Says in words why this request does not match `last`, the record of the last build at the
    /// same place. `files` is what was copied then and now, where that is known.
    pub(super) fn why_missed(
        &self,
        last: Option<&CacheRecord>,
        files: Option<(&Files, &Files)>,
    ) -> String {
        let Some(last) = last else {
            return "no record of this step yet".to_owned();
        };
        let now = self.parts();
        if last.parts.first() != now.first() {
            // Another kind of step stands there now: nothing of it can be compared.
            return "no record of this step yet".to_owned();
        }
        let mut changes = Vec::new();
        for part in &now {
            match last.parts.iter().find(|old| old.name == part.name) {
                Some(old) if old.value == part.value => {}
                Some(old) => {
                    let content = files.filter(|_| part.name == CONTENT);
                    let names = content.map_or(Vec::new(), |(then, now)| now.changes_since(then));
                    match names.is_empty() {
                        true => {
                            changes.push(change(&part.name, Some(&old.value), Some(&part.value)));
                        }
                        false => changes.extend(names),
                    }
                }
                None => changes.push(change(&part.name, None, Some(&part.value))),
            }
        }
        for old in &last.parts {
            // What came before, and what is copied, is asked for only where a hit is possible.
            let unasked = [BASE, BEFORE, CONTENT].contains(&old.name.as_str());
            if !unasked && !now.iter().any(|part| part.name == old.name) {
                changes.push(change(&old.name, Some(&old.value), None));
            }
        }
        match changes.as_slice() {
            [] if !now.iter().any(|part| part.name == BEFORE) => {
                "no record of this operation in the store".to_owned()
            }
            [] => "the result is no longer in the store".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} (+{} more)", rest.len()),
        }
    }
}

/// The part that holds the chain id of the base's layers.
pub(super) const BASE: &str = "base";

/// The part that holds the diff ids of the layers that earlier steps made.
pub(super) const BEFORE: &str = "result of the steps before";

/// The part that holds the digest over all that is copied.
pub(super) const CONTENT: &str = "content";

fn change(name: &str, old: Option<&str>, new: Option<&str>) -> String {
    let short = |value: &str| -> String {
        let value = value.strip_prefix("sha256:").map_or(value, |hex| &hex[..hex.len().min(12)]);
        if value.chars().count() > 40 {
            format!("{}…", value.chars().take(40).collect::<String>())
        } else {
            value.to_owned()
        }
    };
    match (old, new) {
        (Some(old), Some(new)) => format!("{name} {} → {}", short(old), short(new)),
        (None, Some(new)) => format!("new {name} {}", short(new)),
        (Some(old), None) => format!("without {name} {}", short(old)),
        (None, None) => name.to_owned(),
    }
}

fn digest<'a>(parts: impl Iterator<Item = &'a KeyPart>) -> Digest<Cache> {
    let mut hasher = Hasher::new();
    hasher.field(VERSION.as_bytes());
    for part in parts {
        hasher.field(part.name.as_bytes());
        hasher.field(part.value.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: &str, content: &str) -> Request {
        let mut request = Request::new("COPY");
        request.operation("command", command);
        request.input(CONTENT, content);
        request
    }

    fn record(request: &Request) -> CacheRecord {
        CacheRecord {
            key: request.key(),
            op: request.operation_digest(),
            slot: String::new(),
            parts: request.parts(),
            result: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_miss_tells_its_cause() {
        let check = |old: &Request, new: &Request, want: &str| {
            assert_eq!(new.why_missed(Some(&record(old)), None), want);
        };
        let base = request("COPY . .", "1");
        check(&base, &request("COPY . .", "2"), "content 1 → 2");
        check(&base, &request("COPY x .", "1"), "command COPY . . → COPY x .");
        check(&base, &base, "no record of this operation in the store");
        let mut whole = base.clone();
        whole.input(BEFORE, "");
        check(&whole, &whole, "the result is no longer in the store");
        assert_eq!(base.why_missed(None, None), "no record of this step yet");
    }

    #[test]
    fn a_miss_of_a_copy_names_the_files() {
        let files = |list: &[(&str, &str)]| -> Files {
            let mut files = Files::default();
            list.iter().for_each(|(path, digest)| files.add(path, format_args!("{digest}")));
            files
        };
        let check = |now: &[(&str, &str)], want: &str| {
            let (then, now) = (files(&[("a", "1"), ("b", "1")]), files(now));
            let why = request("x", "2")
                .why_missed(Some(&record(&request("x", "1"))), Some((&then, &now)));
            assert_eq!(why, want);
        };
        check(&[("a", "2"), ("b", "1")], "changed: a");
        check(&[("a", "2"), ("b", "2")], "changed: a (+1 more)");
        check(&[("a", "1")], "gone: b");
        check(&[("a", "1"), ("b", "1"), ("c", "1")], "new: c");
    }

    #[test]
    fn the_operation_is_told_from_its_input() {
        let (a, b) = (request("x", "1"), request("x", "2"));
        assert_eq!(a.operation_digest(), b.operation_digest());
        assert_ne!(a.key(), b.key());
        expect_test::expect!["sha256:6452bc97958a2f78"].assert_eq(&a.key().to_string()[..23]);
    }
}
