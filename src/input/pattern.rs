//! One pattern of an ignore file, and how it matches a path.
//!
//! moby makes a regular expression of a pattern, and so this is a machine of its own kind: all ways
//! through a pattern are taken at once, one character of the path after the other.

use super::glob::characters;

/// A pattern, compiled.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Items(Vec<Item>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(u32),
    /// Any character but `/`.
    Any,
    /// Any number of them.
    Run,
    /// Nothing, or anything that ends with a `/`.
    Folders,
    /// Anything.
    All,
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

const SLASH: u32 = b'/' as u32;

impl Matcher {
    /// Follows moby, which turns a pattern into a regular expression unless it is simple.
    pub(super) fn new(pattern: &[u8]) -> Matcher {
        #[derive(PartialEq)]
        enum Simple {
            Exact,
            Prefix,
            Suffix,
            No,
        }
        let characters = characters(pattern);
        let mut rest = characters.as_slice();
        let mut items = Vec::new();
        let mut simple = Simple::Exact;
        let is = |rest: &[u32], what: u8| rest.first() == Some(&u32::from(what));
        let mut first = true;
        while let Some((&character, tail)) = rest.split_first() {
            rest = tail;
            match char::from_u32(character) {
                Some('*') if is(rest, b'*') => {
                    rest = &rest[1..];
                    if is(rest, b'/') {
                        rest = &rest[1..];
                    }
                    if rest.is_empty() {
                        items.push(Item::All);
                        simple = if simple == Simple::Exact { Simple::Prefix } else { Simple::No };
                    } else {
                        items.push(Item::Folders);
                        simple = Simple::No;
                    }
                    if first {
                        simple = Simple::Suffix;
                    }
                }
                Some('*') => {
                    items.push(Item::Run);
                    simple = Simple::No;
                }
                Some('?') => {
                    items.push(Item::Any);
                    simple = Simple::No;
                }
                Some('\\') => {
                    if let Some((&next, tail)) = rest.split_first() {
                        rest = tail;
                        items.push(Item::Literal(next));
                        simple = Simple::No;
                    }
                }
                Some('[') => {
                    let (class, tail) = class(rest);
                    rest = tail;
                    items.push(class);
                    simple = Simple::No;
                }
                _ => items.push(Item::Literal(character)),
            }
            first = false;
        }
        match simple {
            Simple::Exact => Matcher::Exact(pattern.to_vec()),
            Simple::Prefix => Matcher::Prefix(pattern[..pattern.len() - 2].to_vec()),
            Simple::Suffix => Matcher::Suffix(pattern[2..].to_vec()),
            Simple::No => Matcher::Items(items),
        }
    }

    /// `letters` keeps the characters of `path` from one pattern to the next.
    pub(super) fn matches(&self, path: &[u8], letters: &mut Option<Vec<u32>>) -> bool {
        match self {
            Matcher::Exact(pattern) => path == pattern,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(path)
            }
            Matcher::Items(items) => run(items, letters.get_or_insert_with(|| characters(path))),
        }
    }
}

/// Takes a class behind its `[`, which is known to be closed.
fn class(mut rest: &[u32]) -> (Item, &[u32]) {
    let is = |rest: &[u32], what: u8| rest.first() == Some(&u32::from(what));
    let negated = is(rest, b'^');
    if negated {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    let take = |rest: &mut &[u32]| -> Option<u32> {
        let (&first, tail) = rest.split_first()?;
        *rest = tail;
        if first != u32::from(b'\\') {
            return Some(first);
        }
        let (&escaped, tail) = rest.split_first()?;
        *rest = tail;
        Some(escaped)
    };
    while !rest.is_empty() {
        if is(rest, b']') && !ranges.is_empty() {
            rest = &rest[1..];
            break;
        }
        let Some(low) = take(&mut rest) else { break };
        let mut high = low;
        if is(rest, b'-') {
            rest = &rest[1..];
            high = take(&mut rest).unwrap_or(low);
        }
        ranges.push((low, high));
    }
    (Item::Class { negated, ranges }, rest)
}

/// Runs all ways through the pattern at once, one character of the path after the other.
fn run(items: &[Item], path: &[u32]) -> bool {
    // `at[n]`: the items before `n` are used up. `inside[n]`: in the middle of `Folders` at `n`.
    let mut at = vec![false; items.len() + 1];
    let mut inside = vec![false; items.len() + 1];
    at[0] = true;
    let skip = |at: &mut [bool]| {
        for (number, item) in items.iter().enumerate() {
            if at[number] && matches!(item, Item::Run | Item::Folders | Item::All) {
                at[number + 1] = true;
            }
        }
    };
    skip(&mut at);
    for &character in path {
        let (mut next, mut next_inside) = (vec![false; at.len()], vec![false; at.len()]);
        for (number, item) in items.iter().enumerate() {
            if !at[number] && !inside[number] {
                continue;
            }
            match item {
                Item::Literal(want) => next[number + 1] |= character == *want,
                Item::Any => next[number + 1] |= character != SLASH,
                Item::Run => next[number] |= character != SLASH,
                Item::All => next[number] = true,
                Item::Folders => {
                    next_inside[number] = true;
                    next[number + 1] |= character == SLASH;
                }
                Item::Class { negated, ranges } => {
                    let fits = ranges.iter().any(|(low, high)| (low..=high).contains(&&character));
                    next[number + 1] |= fits != *negated;
                }
            }
        }
        skip(&mut next);
        (at, inside) = (next, next_inside);
    }
    at[items.len()]
}
