//! Where the value of a secret shows up: in layers while they are written, in documents, in names.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::base::{Masker, Secret};
use crate::layer::{Entry, EntryKind, Format, Inflate, Observer};

/// Secrets shorter than this are not searched in layers: they turn up by chance.
const SHORTEST: usize = 8;

/// The start of a form that stands for the whole, in bytes: an automaton for more of it takes memory
/// by the hundred megabytes (and, for what repeats itself, time by the square).
const ENOUGH: usize = 1024;

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
    let cut = |(mut form, id): (Vec<u8>, String)| {
        form.truncate(ENOUGH);
        (form, id)
    };
    let forms: BTreeSet<_> = forms.into_iter().map(cut).collect();
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

/// Searches a layer while it is written: names, links, attributes and contents, and what is inside
/// files that are gzip or zstd. Matches over the borders of pieces are found.
pub struct LeakScan {
    needles: Needles,
    path: String,
    /// What was found in the entry so far, by id.
    here: Here,
    content: Stream,
    inside: Inside,
    found: BTreeSet<Leak>,
}

/// Secrets found in one entry; shared with what looks inside of compressed content.
type Here = Arc<Mutex<BTreeSet<String>>>;

/// What is known of a file being compressed.
enum Inside {
    Unknown,
    Compressed(Box<Inflate<Stream>>),
    Plain,
}

/// A hostile layer may repeat a secret in every file: enough is enough.
const MOST: usize = 1000;

/// What is looked at inside of one compressed file, in bytes.
const INSIDE: u64 = 1 << 30;

impl LeakScan {
    /// Starts with nothing found.
    pub fn new(needles: Needles) -> Self {
        let here = Here::default();
        LeakScan {
            path: String::new(),
            content: Stream::new(&needles, &here),
            inside: Inside::Plain,
            here,
            needles,
            found: BTreeSet::new(),
        }
    }

    /// Returns what was found, by path.
    pub fn finish(self) -> Vec<Leak> {
        self.found.into_iter().collect()
    }
}

impl Observer for LeakScan {
    fn entry(&mut self, entry: &Entry) {
        if self.needles.layers.is_none() {
            return;
        }
        self.content = Stream::new(&self.needles, &self.here);
        self.inside = Inside::Unknown;
        self.path = entry.path.display().into_owned();
        self.content.search(entry.path.as_bytes());
        if let EntryKind::Symlink(to) = &entry.kind {
            self.content.search(to);
        }
        for (name, value) in &entry.xattrs {
            self.content.search(name);
            self.content.search(value);
        }
    }

    fn content(&mut self, data: &[u8]) {
        if self.needles.layers.is_none() || data.is_empty() {
            return;
        }
        self.content.take(data);
        if let Inside::Unknown = self.inside {
            let stream = Stream::new(&self.needles, &self.here);
            self.inside = match Inflate::new(Format::sniff(data), stream, INSIDE) {
                Some(inflate) => Inside::Compressed(Box::new(inflate)),
                None => Inside::Plain,
            };
        }
        if let Inside::Compressed(inflate) = &mut self.inside {
            inflate.feed(data);
        }
    }

    fn end(&mut self) {
        self.inside = Inside::Plain;
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in std::mem::take(&mut *here) {
            if self.found.len() < MOST {
                self.found.insert(Leak { path: self.path.clone(), secret });
            }
        }
    }
}

/// Searches one stream of bytes: the end of each piece is kept.
struct Stream {
    automaton: Option<Arc<Automaton>>,
    tail: Vec<u8>,
    here: Here,
}

impl Stream {
    fn new(needles: &Needles, here: &Here) -> Self {
        Stream { automaton: needles.layers.clone(), tail: Vec::new(), here: Arc::clone(here) }
    }

    fn search(&self, data: &[u8]) {
        let Some(automaton) = &self.automaton else { return };
        for found in automaton.search.find_overlapping_iter(data) {
            let name = automaton.names[found.pattern().as_usize()].clone();
            self.here.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        }
    }

    fn take(&mut self, data: &[u8]) {
        let Some(automaton) = &self.automaton else { return };
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
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.take(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ImagePath;
    use crate::layer::{Compression, LayerWriter};

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
    fn a_secret_is_found_inside_of_compressed_files() {
        let secret = "S3cr3t-Value-0123456789";
        let text = format!("{}{secret}\n", "some text before it, ".repeat(500));
        // A layer is a compressed file like any other.
        let gzip = Compression::Gzip { level: 6 };
        let mut out = LayerWriter::new(Vec::new(), gzip, 1, Vec::new()).unwrap();
        let path = ImagePath::from_entry(b"leak").unwrap();
        let entry = Entry::new(path, EntryKind::File { size: text.len() as u64 }, 0o600);
        out.entry(&entry, &mut text.as_bytes()).unwrap();
        let gzip = out.finish().unwrap().0;
        let want = [Leak { path: "/app/.npmrc".into(), secret: "t".into() }];
        for size in [7, 100, gzip.len()] {
            let pieces: Vec<&[u8]> = gzip.chunks(size).collect();
            assert_eq!(scan(secret, &pieces), want, "in pieces of {size}");
        }
        assert_eq!(scan("an0ther-Secret-987", &[&gzip]), []);
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
