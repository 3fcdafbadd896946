//! Where the value of a secret shows up: in layers while they are written, in documents, in names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::base::{Masker, Secret};
use crate::layer::{Entry, EntryKind, Observer};

/// Secrets shorter than this are not searched in layers: they turn up by chance.
const SHORTEST: usize = 8;

/// What is searched for: each secret in all forms in which it may show up.
#[derive(Clone, Default)]
pub struct Needles {
    layers: Option<Arc<Automaton>>,
    documents: Option<Arc<Automaton>>,
    short: Vec<String>,
}

struct Automaton {
    search: AhoCorasick,
    names: Vec<String>,
    longest: usize,
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Needles(***)")
    }
}

impl Needles {
    /// Takes secrets by id.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Self {
        let (mut layers, mut documents) = (BTreeSet::new(), BTreeSet::new());
        let mut short = Vec::new();
        for (id, secret) in secrets {
            let masker = Masker::new();
            masker.add(secret);
            let mut forms = masker.forms();
            let text = String::from_utf8_lossy(secret.expose());
            let text = text.trim_end_matches(['\r', '\n']);
            if text.len() >= 4 {
                forms.push(escaped(text));
                forms.push(text.replace('\'', "'\\''").into_bytes());
            }
            let weak = text.len() < SHORTEST || entropy(text.as_bytes()) < 2.0;
            if weak {
                short.push(id.to_owned());
            }
            for form in forms {
                if !weak {
                    layers.insert((form.clone(), id.to_owned()));
                }
                documents.insert((form, id.to_owned()));
            }
        }
        Needles { layers: automaton(layers), documents: automaton(documents), short }
    }

    /// Tells whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.documents.is_none()
    }

    /// Ids of the secrets that are too short, or too plain, to be searched in layers.
    pub fn short(&self) -> &[String] {
        &self.short
    }

    /// Returns the ids of the secrets that show up in a text: a config, a history entry, a label.
    pub fn in_document(&self, text: &[u8]) -> BTreeSet<String> {
        let Some(automaton) = &self.documents else { return BTreeSet::new() };
        automaton
            .search
            .find_overlapping_iter(text)
            .map(|found| automaton.names[found.pattern().as_usize()].clone())
            .collect()
    }
}

fn automaton(forms: BTreeSet<(Vec<u8>, String)>) -> Option<Arc<Automaton>> {
    if forms.is_empty() {
        return None;
    }
    let longest = forms.iter().map(|(form, _)| form.len()).max().unwrap_or(0);
    let (patterns, names): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
    let search = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns).ok()?;
    Some(Arc::new(Automaton { search, names, longest }))
}

// As it stands inside a JSON string.
fn escaped(text: &str) -> Vec<u8> {
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).fold(0.0, |sum, count| {
        let share = f64::from(*count) / all;
        sum - share * share.log2()
    })
}

/// A secret found in a layer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Leak {
    /// The file in whose content, name, link or attributes it stands.
    pub path: String,
    /// The id of the secret; never its value.
    pub secret: String,
}

/// Searches a layer while it is written. Matches over the borders of pieces are found: the end of
/// each piece is kept.
pub struct LeakScan {
    needles: Needles,
    path: String,
    tail: Vec<u8>,
    found: BTreeMap<(String, String), ()>,
}

impl LeakScan {
    /// Starts with nothing found.
    pub fn new(needles: Needles) -> Self {
        LeakScan { needles, path: String::new(), tail: Vec::new(), found: BTreeMap::new() }
    }

    /// Returns what was found, by path.
    pub fn finish(self) -> Vec<Leak> {
        self.found.into_keys().map(|(path, secret)| Leak { path, secret }).collect()
    }

    fn search(&mut self, data: &[u8]) {
        let Some(automaton) = self.needles.layers.clone() else { return };
        for found in automaton.search.find_overlapping_iter(data) {
            let name = automaton.names[found.pattern().as_usize()].clone();
            // A hostile layer may repeat a secret in every file: enough is enough.
            if self.found.len() < 1000 {
                self.found.insert((self.path.clone(), name), ());
            }
        }
    }
}

impl Observer for LeakScan {
    fn entry(&mut self, entry: &Entry) {
        if self.needles.layers.is_none() {
            return;
        }
        self.tail.clear();
        self.path = entry.path.display().into_owned();
        self.search(entry.path.as_bytes());
        if let EntryKind::Symlink(to) = &entry.kind {
            self.search(to);
        }
        for (name, value) in &entry.xattrs {
            self.search(name);
            self.search(value);
        }
    }

    fn content(&mut self, data: &[u8]) {
        let Some(automaton) = &self.needles.layers else { return };
        let keep = automaton.longest - 1;
        // Only the first bytes of the piece can complete what the kept end began.
        if !self.tail.is_empty() {
            let mut border = std::mem::take(&mut self.tail);
            border.extend_from_slice(&data[..keep.min(data.len())]);
            self.search(&border);
            self.tail = border;
        }
        self.search(data);
        if data.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&data[data.len() - keep..]);
        } else {
            if self.tail.is_empty() {
                self.tail.extend_from_slice(data);
            }
            let cut = self.tail.len().saturating_sub(keep);
            self.tail.drain(..cut);
        }
    }

    fn end(&mut self) {
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ImagePath;

    fn scan(secret: &str, pieces: &[&[u8]]) -> Vec<Leak> {
        let secret = Secret::new(secret.as_bytes().to_vec());
        let mut scan = LeakScan::new(Needles::new([("t", &secret)]));
        let path = ImagePath::from_entry(b"app/.npmrc").unwrap();
        scan.entry(&Entry::new(path, EntryKind::File { size: 0 }, 0o600));
        for piece in pieces {
            scan.content(piece);
        }
        scan.end();
        scan.finish()
    }

    #[test]
    fn a_secret_is_found_over_any_borders() {
        let text = b"//r.example/:_authToken=S3cr3t-Value-0123456789\n";
        let want = [Leak { path: "/app/.npmrc".into(), secret: "t".into() }];
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(scan("S3cr3t-Value-0123456789\n", &pieces), want, "in pieces of {size}");
        }
        assert_eq!(scan("S3cr3t-Value-0123456789", &[b"_authToken=${NPM_TOKEN}"]), []);
        assert_eq!(scan("S3cr3t-Value-0123456789", &[b"S3cr3t-Value-", b"x", b"0123456789"]), []);
    }

    #[test]
    fn documents_are_searched_in_all_forms() {
        let secret = Secret::new(b"S3cr3t-Value-0123456789".to_vec());
        let needles = Needles::new([("t", &secret)]);
        for text in ["UzNjcjN0LVZhbHVlLTAxMjM0NTY3ODk=", "{\"a\":\"S3cr3t-Value-0123456789\"}"] {
            assert_eq!(needles.in_document(text.as_bytes()).len(), 1, "{text}");
        }
        assert!(needles.in_document(b"S3cr3t").is_empty());
        assert_eq!(format!("{needles:?}"), "Needles(***)");
    }

    #[test]
    fn short_and_plain_secrets_are_told_apart() {
        for (value, short) in [("abc1", true), ("aaaaaaaaaaaa", true), ("S3cr3t-Value", false)] {
            let secret = Secret::new(value.as_bytes().to_vec());
            assert_eq!(!Needles::new([("t", &secret)]).short().is_empty(), short, "{value}");
        }
    }
}
