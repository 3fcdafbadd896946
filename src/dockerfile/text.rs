//! A piece of joined text that remembers where each byte stood in the file.

use crate::base::{SourceId, Span};

/// Text put together from pieces of a file (continuations joined, comments and quotes of flags cut
/// out), with a map of each byte back to its place.
///
/// The map is a sorted list of runs: `(offset here, offset in the file)`. A look-up is a binary
/// search.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Text {
    text: String,
    source: SourceId,
    runs: Vec<(u32, u32)>,
    // Where the text would go on: the place of an empty text, and of its end.
    end: u32,
}

impl Text {
    /// Returns a text that stands in one piece at byte `at` of `source`.
    pub fn contiguous(source: SourceId, text: impl Into<String>, at: usize) -> Self {
        let text = text.into();
        let end = (at + text.len()) as u32;
        Text { runs: vec![(0, at as u32)], text, source, end }
    }

    /// Returns an empty text at byte `at`, to be added to.
    pub(super) fn empty(source: SourceId, at: usize) -> Self {
        Text { text: String::new(), source, runs: Vec::new(), end: at as u32 }
    }

    /// Adds `piece`, which stands at byte `at` of the file. Pieces come in the order of the file.
    pub(super) fn push(&mut self, piece: &str, at: usize) {
        if piece.is_empty() {
            return;
        }
        let here = self.text.len() as u32;
        if self.runs.is_empty() || self.end != at as u32 {
            self.runs.push((here, at as u32));
        }
        self.text.push_str(piece);
        self.end = (at + piece.len()) as u32;
    }

    /// Returns the joined text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the pieces: where each begins in the joined text, and in the file.
    pub fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().map(|(here, file)| (*here as usize, *file as usize))
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the text that the spans point into.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// Returns the place of the whole text, from its first byte to its last.
    pub fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    /// Returns the place of a range of the joined text. A range that goes over a continuation
    /// gives a span that holds the continuation. Offsets past the end count as the end.
    pub fn span(&self, range: std::ops::Range<usize>) -> Span {
        let start = self.place(range.start);
        let end = match range.end.checked_sub(1) {
            Some(last) if range.end > range.start => self.place(last) + 1,
            _ => start,
        };
        Span::new(self.source, start, end.max(start))
    }

    fn place(&self, offset: usize) -> usize {
        if offset >= self.text.len() {
            return self.end as usize;
        }
        let after = self.runs.partition_point(|(here, _)| *here as usize <= offset);
        match after.checked_sub(1).and_then(|index| self.runs.get(index)) {
            Some((here, file)) => *file as usize + (offset - *here as usize),
            None => self.end as usize,
        }
    }

    /// Returns a piece of the text with its map. The range must lie on character borders.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Text {
        let Some(text) = self.text.get(range.clone()) else {
            return Text::empty(self.source, self.end as usize);
        };
        let mut out = Text::empty(self.source, self.place(range.start));
        if text.is_empty() {
            return out;
        }
        let first = self.runs.partition_point(|(here, _)| *here as usize <= range.start);
        out.runs.push((0, self.place(range.start) as u32));
        for (here, file) in &self.runs[first..] {
            if *here as usize >= range.end {
                break;
            }
            out.runs.push((*here - range.start as u32, *file));
        }
        out.end = self.place(range.end - 1) as u32 + 1;
        out.text = text.to_owned();
        out
    }

    /// Returns the text without white space around it.
    pub fn trim(&self) -> Text {
        let start = self.text.len() - self.text.trim_start().len();
        let end = self.text.trim_end().len();
        self.slice(start.min(end)..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_maps_back_over_a_gap() {
        // File: `ab\` newline `cd`: the joined text is `abcd`.
        let mut text = Text::empty(SourceId(0), 0);
        text.push("ab", 0);
        text.push("cd", 4);
        assert_eq!(text.as_str(), "abcd");
        assert_eq!(text.span(0..2), Span::new(SourceId(0), 0, 2));
        assert_eq!(text.span(1..3), Span::new(SourceId(0), 1, 5));
        assert_eq!(text.span(2..4), Span::new(SourceId(0), 4, 6));
        assert_eq!(text.span(4..4), Span::new(SourceId(0), 6, 6));
        let tail = text.slice(1..4);
        assert_eq!((tail.as_str(), tail.whole()), ("bcd", Span::new(SourceId(0), 1, 6)));
        assert_eq!(tail.span(1..2), Span::new(SourceId(0), 4, 5));
    }
}
