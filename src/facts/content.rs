//! What stands in the files of a layer: tokens and keys told by their form, logins in files that
//! hold them, words of programs that mine coins.
//!
//! Rides on the one pass that writes or reads a layer. Memory is one window, whatever the file; what
//! stands over the border of two windows, or of two pieces, is found. Values are never kept: the
//! first four characters and the start of a digest are.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::{Deserialize, Serialize};

use super::credentials;
use super::logins::Login;

/// What a mark is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    /// A token that is told by its form, a password in a URL.
    Token,
    /// A private key.
    Key,
    /// A login in a file that programs read it from.
    Login,
    /// A word of a program that mines coins.
    Miner,
}

/// Something that stands in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// What it is of.
    pub kind: MarkKind,
    /// What it is: `an AWS access key id`, `stratum+tcp://`.
    pub what: String,
    /// The value, as far as it may be shown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The line, from 1.
    pub line: u64,
}

/// Words of miners, as they are written: a search that takes upper and lower case for one is ten times
/// slower.
const MINER: &[&str] = &[
    "stratum+tcp://",
    "stratum+ssl://",
    "xmrig",
    "XMRig",
    "XMRIG",
    "randomx",
    "RandomX",
    "RANDOMX",
    "cryptonight",
    "CryptoNight",
    "Cryptonight",
    "CRYPTONIGHT",
    "donate-level",
    "minexmr",
    "MineXMR",
    "supportxmr",
    "SupportXMR",
    "--coin=",
    "nicehash",
    "NiceHash",
    "NICEHASH",
];

const AWS: &str = "aws_secret_access_key";
const PUTTY: &str = "PuTTY-User-Key-File-";

/// Marks of one kind in one file beyond these are not kept: a hostile file may hold a million.
const MOST: usize = 32;

/// How far behind its start a thing is looked at.
const REACH: usize = 4 << 10;
/// How far before its start.
const BEFORE: usize = 64;
/// Content is searched in pieces of this size.
const WINDOW: usize = 64 << 10;

struct Words {
    search: AhoCorasick,
    credentials: usize,
}

// What is found is looked at again; none of the words stands in another but `://`, which means nothing
// more there.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words: Vec<&str> = credentials::starts().collect();
    let credentials = words.len();
    words.extend([AWS, PUTTY]);
    words.extend(MINER);
    let search = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(words)
        .expect("a few short words");
    Words { search, credentials }
});

/// Searches one file after another.
#[derive(Default)]
pub(super) struct ContentScan {
    window: Vec<u8>,
    /// What begins before this place in the window has been told.
    fresh: usize,
    /// Lines before the fresh part.
    lines: u64,
    binary: bool,
    marks: BTreeSet<Mark>,
    login: Option<Login>,
}

impl ContentScan {
    /// Begins with a file.
    pub(super) fn start(&mut self, path: &[u8]) {
        self.window.clear();
        (self.fresh, self.lines, self.binary) = (0, 0, false);
        self.marks.clear();
        self.login = Login::of(path);
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, mut data: &[u8]) {
        if let Some(login) = &mut self.login {
            login.feed(data);
        }
        while !data.is_empty() {
            let room = (BEFORE + WINDOW + REACH).saturating_sub(self.window.len());
            let (now, rest) = data.split_at(data.len().min(room));
            self.window.extend_from_slice(now);
            data = rest;
            if self.window.len() >= BEFORE + WINDOW + REACH {
                self.search(false);
            }
        }
    }

    /// Ends the file, and returns what stands in it, in order of its kind.
    pub(super) fn end(&mut self) -> Vec<Mark> {
        self.search(true);
        let mut marks = std::mem::take(&mut self.marks);
        if let Some(login) = self.login.take() {
            marks.extend(login.end());
        }
        if self.binary {
            // Forms turn up in machine code, and in programs that know them.
            marks.retain(|mark| matches!(mark.kind, MarkKind::Miner | MarkKind::Login));
        }
        marks.into_iter().collect()
    }

    fn search(&mut self, last: bool) {
        let end = match last {
            true => self.window.len(),
            false => self.window.len() - REACH,
        };
        let window = &self.window;
        let fresh = &window[self.fresh..end];
        self.binary |= has_nul(fresh);
        // What begins in the fresh part, wherever it ends. Lines are counted from one to the next.
        let (mut counted, mut lines) = (self.fresh, self.lines);
        for hit in WORDS.search.find_iter(&window[self.fresh..]) {
            let place = self.fresh + hit.start();
            if place >= end {
                break;
            }
            if let Some(mut mark) = mark(window, place, hit.pattern().as_usize()) {
                lines += newlines(&window[counted..place]);
                counted = place;
                mark.line = lines + 1;
                let known = self.marks.iter().any(|old| {
                    (old.kind, &old.what, &old.shown) == (mark.kind, &mark.what, &mark.shown)
                });
                let of_kind = self.marks.iter().filter(|old| old.kind == mark.kind).count();
                if !known && of_kind < MOST {
                    self.marks.insert(mark);
                }
            }
        }
        if !last {
            self.lines = lines + newlines(&window[counted..end]);
            self.window.drain(..end - BEFORE);
            self.fresh = BEFORE;
        }
    }
}

fn has_nul(data: &[u8]) -> bool {
    data.contains(&0)
}

fn newlines(data: &[u8]) -> u64 {
    #[cfg(test)]
    tests::COUNTED.set(tests::COUNTED.get() + data.len());
    // In sums of one byte, many of which the processor makes at once; 240 is a multiple of all widths.
    let sum = |part: &[u8]| u64::from(part.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>());
    data.chunks(240).map(sum).sum()
}

// What the word with this number means at this place; its line is the caller's business.
fn mark(text: &[u8], place: usize, number: usize) -> Option<Mark> {
    let of =
        |kind, what: &str, shown: String| Some(Mark { kind, what: what.into(), shown, line: 0 });
    let Some(more) = number.checked_sub(WORDS.credentials) else {
        let found = credentials::at(text, place, number)?;
        if found.kind == credentials::KEY {
            return has_body(&text[found.at.end..])
                .then(|| of(MarkKind::Key, found.kind, String::new()))?;
        }
        return of(MarkKind::Token, found.kind, credentials::shown(&text[found.at]));
    };
    match more {
        0 => {
            let value = assigned(&text[place + AWS.len()..])?;
            let real = value.len() == 40 && !credentials::placeholder(value);
            real.then(|| {
                of(MarkKind::Key, "an AWS secret access key", credentials::shown(value.as_bytes()))
            })?
        }
        1 => {
            let version = text[place + PUTTY.len()..].first()?;
            version.is_ascii_digit().then(|| of(MarkKind::Key, "a PuTTY key", String::new()))?
        }
        word => of(MarkKind::Miner, &MINER.get(word - 2)?.to_ascii_lowercase(), String::new()),
    }
}

/// Returns the value of `name = value`, given what stands behind the name; quotes are left out.
pub(super) fn assigned(rest: &[u8]) -> Option<&str> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'');
    let rest = &rest[rest.iter().take_while(|byte| blank(byte)).count()..];
    let rest = rest.strip_prefix(b"=").or_else(|| rest.strip_prefix(b":"))?;
    let rest = &rest[rest.iter().take_while(|byte| blank(byte)).count()..];
    let end = rest.iter().position(|byte| blank(byte) || b"\r\n,;".contains(byte));
    std::str::from_utf8(&rest[..end.unwrap_or(rest.len())]).ok().filter(|value| !value.is_empty())
}

// A head alone is what programs look for; a key has lines of base64 behind it. In JSON and in code
// the ends of lines are written `\n`.
fn has_body(rest: &[u8]) -> bool {
    let mut run = 0;
    let mut rest = rest.iter().take(2 << 10).peekable();
    let mut header = false;
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' if matches!(rest.peek(), Some(b'n' | b'r')) => {
                rest.next();
                (run, header) = (0, false);
            }
            b'\n' => (run, header) = (0, false),
            b'\r' | b' ' | b'\t' | b'"' | b'\'' | b'+' if run == 0 => {}
            // `Proc-Type: 4,ENCRYPTED`: a line that is no base64.
            b':' | b',' | b'-' => header = true,
            _ if header => {}
            b'+' | b'/' | b'=' => run += 1,
            byte if byte.is_ascii_alphanumeric() => run += 1,
            _ => return false,
        }
        if run >= 20 && !header {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        // Bytes that `newlines` looked at.
        pub(super) static COUNTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn lines_are_counted_once() {
        let text = "\nxmrig\nRandomX".repeat(20_000);
        let last = "\nstratum+tcp://";
        COUNTED.set(0);
        let found = scan("/x", format!("{text}{last}").as_bytes(), 8000);
        assert_eq!(found, ["3: randomx ", "40002: stratum+tcp:// ", "2: xmrig "]);
        let counted = COUNTED.get();
        assert!(counted > text.len() && counted <= text.len() + last.len(), "{counted}");
    }

    fn scan(path: &str, text: &[u8], piece: usize) -> Vec<String> {
        let mut scan = ContentScan::default();
        scan.start(path.as_bytes());
        text.chunks(piece).for_each(|piece| scan.feed(piece));
        let marks = scan.end();
        marks.iter().map(|mark| format!("{}: {} {}", mark.line, mark.what, mark.shown)).collect()
    }

    #[test]
    fn things_are_found_over_any_borders() {
        let aws = ["AKIA", "Q3EGRT7ZUWLKBHXA"].concat();
        let text = format!("a\nexport K={aws}\nrun stratum+tcp://pool XMRig\n");
        let want = scan("/x", text.as_bytes(), text.len());
        assert_eq!(want.len(), 3, "{want:?}");
        assert!(want[0].starts_with("2: an AWS access key id AKIA… (sha256"), "{want:?}");
        for piece in 1..text.len() {
            assert_eq!(scan("/x", text.as_bytes(), piece), want, "in pieces of {piece}");
        }
        // Over the border of windows, at each distance from it.
        for before in (WINDOW - 60..WINDOW + 60).chain(WINDOW + REACH - 60..WINDOW + REACH + 90) {
            let text = ["\n".repeat(before).into_bytes(), text.clone().into_bytes()].concat();
            let found = scan("/x", &text, 8000);
            assert_eq!(found.len(), 3, "{before}: {found:?}");
            assert!(found[0].starts_with(&format!("{}: an AWS", before + 2)), "{found:?}");
        }
    }

    #[test]
    fn heads_of_keys_without_a_key_are_none() {
        let found = |text: &str| !scan("/x", text.as_bytes(), 10).is_empty();
        let head = ["-----BEGIN RSA PRIVATE", " KEY-----"].concat();
        assert!(found(&format!("{head}\nMIIEowIBAAKCAQEAvx7Z\n")));
        assert!(found(&format!("{{\"private_key\": \"{head}\\nMIIEowIBAAKCAQEAvx7Z\\n\"}}")));
        let dek = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3F17F5316E2BAC89\n";
        assert!(found(&format!("{head}\n{dek}\nMIIEowIBAAKCAQEAvx7Z\n")));
        assert!(!found(&format!("if line == \"{head}\" {{")));
        assert!(!found(&format!("{head}\n...\n")));
        assert!(!found("-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEAvx7Z\n"));
    }

    #[test]
    fn forms_in_machine_code_are_chance() {
        let aws = ["AKIA", "Q3EGRT7ZUWLKBHXA"].concat();
        let text = format!("\x7fELF\0\0{aws} xmrig stratum+ssl://");
        let found = scan("/x", text.as_bytes(), 7);
        assert_eq!(found, ["1: stratum+ssl:// ", "1: xmrig "]);
    }

    #[test]
    fn many_things_are_not_kept() {
        let text: String = (0..1000).map(|n| format!("https://bot:s3cr3t{n:04}@h/\n")).collect();
        assert_eq!(scan("/x", text.as_bytes(), 4096).len(), MOST);
    }
}
