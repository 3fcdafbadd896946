//! `filepath.Match` of Go, for the patterns of COPY's sources.
//!
//! `*` is any run of characters but `/`, `?` one of them, `[a-z]` and `[^a-z]` one of a class, `\`
//! takes the next character as it is. Characters are those of UTF-8; a byte that is none counts as
//! one. Matching takes time in the order of pattern times name.

/// Tells whether a path has something of a pattern in it. Escaped characters do not count.
pub(super) fn has_wildcard(path: &[u8]) -> bool {
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// One element of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Literal(u32),
    Any,
    Run,
    Class { negated: bool, ranges: Vec<(u32, u32)> },
}

/// A pattern for one component of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Item>);

/// Returns the first character and its width; a byte that begins none lies above all characters.
pub(super) fn first_character(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((first.into(), 1));
    }
    let width = (2..=bytes.len().min(4)).find_map(|width| {
        let text = std::str::from_utf8(&bytes[..width]).ok()?;
        Some((u32::from(text.chars().next()?), width))
    });
    Some(width.unwrap_or((0x11_0000 + u32::from(first), 1)))
}

/// Cuts bytes into characters.
pub(super) fn characters(mut bytes: &[u8]) -> Vec<u32> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((character, width)) = first_character(bytes) {
        out.push(character);
        bytes = &bytes[width..];
    }
    out
}

impl Glob {
    /// Parses a pattern; `None` if it is malformed.
    pub(super) fn parse(pattern: &[u8]) -> Option<Glob> {
        let characters = characters(pattern);
        let mut rest = characters.as_slice();
        let mut items = Vec::new();
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            items.push(match char::from_u32(first) {
                Some('*') => Item::Run,
                Some('?') => Item::Any,
                Some('[') => {
                    let (class, tail) = class(rest)?;
                    rest = tail;
                    class
                }
                Some('\\') => {
                    let (&next, tail) = rest.split_first()?;
                    rest = tail;
                    Item::Literal(next)
                }
                _ => Item::Literal(first),
            });
        }
        // A run after a run adds nothing but time.
        items.dedup_by(|a, b| *a == Item::Run && *b == Item::Run);
        Some(Glob(items))
    }

    /// Tells whether the whole of `name`, which has no `/`, fits.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let name = characters(name);
        let (mut item, mut at) = (0, 0);
        // Where to take up again: behind the last run, one character further on.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let fits = match (self.0.get(item), name.get(at)) {
                (None, None) => return true,
                (Some(Item::Run), _) => {
                    retry = Some((item + 1, at));
                    item += 1;
                    continue;
                }
                (Some(Item::Literal(want)), Some(have)) => want == have,
                (Some(Item::Any), Some(_)) => true,
                (Some(Item::Class { negated, ranges }), Some(have)) => {
                    ranges.iter().any(|(low, high)| (low..=high).contains(&have)) != *negated
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
            if fits {
                item += 1;
                at += 1;
                continue;
            }
            match &mut retry {
                Some((behind, start)) if *start < name.len() => {
                    *start += 1;
                    (item, at) = (*behind, *start);
                }
                _ => return false,
            }
        }
    }
}

/// Parses a class behind its `[`.
fn class(mut rest: &[u32]) -> Option<(Item, &[u32])> {
    let is = |rest: &[u32], what: char| rest.first() == Some(&u32::from(what));
    let negated = is(rest, '^');
    if negated {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if is(rest, ']') && !ranges.is_empty() {
            return Some((Item::Class { negated, ranges }, &rest[1..]));
        }
        let low;
        (low, rest) = class_end(rest)?;
        let mut high = low;
        if is(rest, '-') {
            (high, rest) = class_end(&rest[1..])?;
        }
        ranges.push((low, high));
    }
}

/// Takes one end of a range; `-` and `]` have to be escaped there.
fn class_end(rest: &[u32]) -> Option<(u32, &[u32])> {
    let (&first, mut rest) = rest.split_first()?;
    let mut character = first;
    match char::from_u32(first) {
        Some('-' | ']') => return None,
        Some('\\') => (character, rest) = rest.split_first().map(|(next, rest)| (*next, rest))?,
        _ => {}
    }
    // A class that is never closed is malformed.
    if rest.is_empty() { None } else { Some((character, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_the_original_did() {
        // Recorded by tests/record/filepath_match.go.
        let mut lines = include_str!("glob_table.txt").lines();
        let names: Vec<&str> = lines.next().unwrap().split('\t').skip(1).collect();
        let mut asked = 0;
        for line in lines {
            let (pattern, answers) = line.split_once('\t').unwrap();
            let glob = Glob::parse(pattern.as_bytes());
            for (name, want) in names.iter().zip(answers.chars()) {
                let right = match &glob {
                    // The original does not look at the rest of a pattern where a name does not fit
                    // its beginning; here a malformed one is told whatever the names are.
                    None => want != 't',
                    Some(glob) => want == if glob.matches(name.as_bytes()) { 't' } else { 'f' },
                };
                assert!(right, "`{pattern}` and `{name}`: the original says {want}");
                asked += 1;
            }
        }
        assert!(asked > 30_000);
    }

    #[test]
    fn follows_the_table_of_go() {
        // Go, path/filepath/match_test.go, those without `/`.
        for (pattern, name, want) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[\\-x]", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("*x", "xxx", Some(true)),
            ("ab[c]", "abd", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("a*b*c*d*e*f", "axbxcxdxexxx", Some(false)),
            ("a*b*c*d*e*f", "axbxcxdxexxxf", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[\\-x]", "x", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[x-]", "-", None),
            ("[x-]", "z", None),
            ("[-x]", "-", None),
            ("[-x]", "a", None),
            ("a[", "a", None),
            ("a[", "x", None),
            ("**", "abc", Some(true)),
            ("[!a]", "!", Some(true)),
            ("[!a]", "b", Some(false)),
            ("{a,b}", "a", Some(false)),
            ("", "", Some(true)),
            ("", "a", Some(false)),
            ("arr[[]0].txt", "arr[0].txt", Some(true)),
        ] {
            let got = Glob::parse(pattern.as_bytes()).map(|glob| glob.matches(name.as_bytes()));
            assert_eq!(got, want, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_little_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!Glob::parse(pattern.as_bytes()).unwrap().matches("a".repeat(4000).as_bytes()));
    }
}
