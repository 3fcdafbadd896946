//! One pattern of an ignore file, and how it matches a path.
//!
//! moby makes a regular expression of a pattern, and so this is a machine of its own kind: all ways
//! through a pattern are taken at once, one character of the path after the other. Where it stands at
//! the end of a folder's path is kept, and what is below the folder is read from there.

use super::glob::{characters, first_character};

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

/// The machine: of each pattern the ways that are still open.
///
/// A way is `2n` when the items before `n` are used up, `2n + 1` when it is in the middle of
/// [`Item::Folders`] at `n`.
#[derive(Debug, Default)]
struct Machine {
    open: Vec<u32>,
    next: Vec<u32>,
    /// In which round a way was opened last: each is gone once.
    opened: Vec<u64>,
    round: u64,
}

impl Machine {
    /// Reads the part of `path` that `from` has not read, and tells whether the whole of it matches.
    fn run(&mut self, items: &[Item], from: Option<Reading<'_>>, path: &[u8]) -> bool {
        self.opened.resize(self.opened.len().max(2 * items.len() + 2), 0);
        self.open.clear();
        let mut rest = path;
        match from {
            Some(reading) => {
                self.open.extend_from_slice(reading.open);
                rest = path.get(reading.read..).unwrap_or_default();
            }
            None => {
                self.round += 1;
                self.enter(items, 0);
                std::mem::swap(&mut self.open, &mut self.next);
            }
        }
        while let Some((character, width)) = first_character(rest) {
            if self.open.is_empty() {
                break;
            }
            rest = &rest[width..];
            self.step(items, character);
        }
        self.open.contains(&(2 * items.len() as u32))
    }

    /// Goes one character further on all open ways.
    fn step(&mut self, items: &[Item], character: u32) {
        self.round += 1;
        for at in 0..self.open.len() {
            #[cfg(test)]
            STEPS.set(STEPS.get() + 1);
            let way = self.open[at];
            let number = (way / 2) as usize;
            let goes_on = match items.get(number) {
                Some(Item::Literal(want)) => character == *want,
                Some(Item::Any) => character != SLASH,
                Some(Item::Class { negated, ranges }) => {
                    let fits = ranges.iter().any(|(low, high)| (low..=high).contains(&&character));
                    fits != *negated
                }
                Some(Item::Run) => {
                    if character != SLASH {
                        self.enter(items, number);
                    }
                    false
                }
                Some(Item::All) => {
                    self.enter(items, number);
                    false
                }
                Some(Item::Folders) => {
                    self.open_way(2 * number + 1);
                    character == SLASH
                }
                // The pattern is at its end, and the path is not.
                None => false,
            };
            if goes_on {
                self.enter(items, number + 1);
            }
        }
        std::mem::swap(&mut self.open, &mut self.next);
        self.next.clear();
    }

    /// Opens the way at an item, and behind it too if the item may stand for nothing.
    fn enter(&mut self, items: &[Item], mut number: usize) {
        while self.open_way(2 * number)
            && matches!(items.get(number), Some(Item::Run | Item::Folders | Item::All))
        {
            number += 1;
        }
    }

    /// Tells whether it was not open yet.
    fn open_way(&mut self, way: usize) -> bool {
        let opened = std::mem::replace(&mut self.opened[way], self.round);
        if opened != self.round {
            self.next.push(way as u32);
        }
        opened != self.round
    }
}

/// How far a pattern has read a path, and on which ways.
#[derive(Debug, Clone, Copy)]
struct Reading<'a> {
    read: usize,
    open: &'a [u32],
}

/// How far the patterns have read the path of a folder: what is below it is read from there, so that
/// a path and all folders above it are read once, and what lies in one folder by its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// In the order of the patterns.
    marks: Vec<Mark>,
    open: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    pattern: usize,
    read: usize,
    /// Where its ways end in `open`.
    end: usize,
}

impl Progress {
    /// What each of the folders above a path may keep, in ways and patterns, so that a deep tree and a
    /// long ignore file together do not fill the memory. A pattern beyond it reads paths from their
    /// start.
    pub(super) const KEPT: usize = 4096;

    /// Counts the ways and patterns that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.marks.len() + self.open.len()
    }

    fn keep(&mut self, pattern: usize, reading: Reading<'_>, limit: usize) {
        if self.marks.len() + self.open.len() + reading.open.len() < limit {
            self.open.extend_from_slice(reading.open);
            self.marks.push(Mark { pattern, read: reading.read, end: self.open.len() });
        }
    }
}

/// Asks the patterns about one path.
pub(super) struct Asker<'a> {
    path: &'a [u8],
    above: &'a Progress,
    /// Which mark of `above` is the next one.
    mark: usize,
    machine: Machine,
    limit: usize,
    progress: Progress,
}

impl<'a> Asker<'a> {
    /// `above` is what is known of the folder that holds the path. At most `limit` ways and patterns
    /// are kept.
    pub(super) fn new(path: &'a [u8], above: &'a Progress, limit: usize) -> Asker<'a> {
        let (machine, progress) = (Machine::default(), Progress::default());
        Asker { path, above, mark: 0, machine, limit, progress }
    }

    /// Tells whether a pattern matches the path. Patterns have to come in order.
    pub(super) fn matches(&mut self, number: usize, matcher: &Matcher) -> bool {
        match matcher {
            Matcher::Exact(pattern) => self.path == pattern,
            Matcher::Prefix(prefix) => self.path.starts_with(prefix),
            Matcher::Suffix(suffix) => {
                self.path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(self.path)
            }
            Matcher::Items(items) => {
                let above = self.reading(number);
                let matched = self.machine.run(items, above, self.path);
                let reading = Reading { read: self.path.len(), open: &self.machine.open };
                self.progress.keep(number, reading, self.limit);
                matched
            }
        }
    }

    /// Leaves a pattern out that need not be asked about this path, but perhaps about one below it.
    pub(super) fn pass(&mut self, number: usize) {
        if let Some(reading) = self.reading(number) {
            self.progress.keep(number, reading, self.limit);
        }
    }

    /// Ends in what is known of the path, for what is below it.
    pub(super) fn finish(self) -> Progress {
        self.progress
    }

    /// Returns how far the pattern has read the folder's path.
    fn reading(&mut self, number: usize) -> Option<Reading<'a>> {
        let marks = &self.above.marks;
        while marks.get(self.mark)?.pattern < number {
            self.mark += 1;
        }
        let Mark { read, end, .. } = *marks.get(self.mark).filter(|mark| mark.pattern == number)?;
        let start = self.mark.checked_sub(1).map_or(0, |before| marks[before].end);
        Some(Reading { read, open: &self.above.open[start..end] })
    }
}

// Steps that machines took in this thread.
#[cfg(test)]
thread_local!(pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
