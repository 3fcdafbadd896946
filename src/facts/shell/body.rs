//! A text and where each byte of it is written.

use std::ops::{Deref, Range};

use crate::base::{SourceId, Span};
use crate::dockerfile::Text;

/// A run of bytes from one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// The first byte in the text.
    pub(super) at: u32,
    /// Where it is written.
    pub(super) span: Span,
    /// Whether byte after byte corresponds; if not, every byte comes from the whole span.
    pub(super) linear: bool,
}

/// Where the bytes of a word are written: in one piece, nearly always.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Map {
    /// One piece.
    One(Segment),
    /// None, or several.
    Several(Box<[Segment]>),
}

impl Map {
    /// Appends pieces.
    pub(super) fn extend(&mut self, more: &[Segment]) {
        *self = [&**self, more].concat().into();
    }
}

impl Default for Map {
    fn default() -> Self {
        Map::Several(Box::default())
    }
}

impl From<Vec<Segment>> for Map {
    fn from(segments: Vec<Segment>) -> Self {
        match segments.as_slice() {
            [one] => Map::One(*one),
            _ => Map::Several(segments.into()),
        }
    }
}

impl Deref for Map {
    type Target = [Segment];

    fn deref(&self) -> &[Segment] {
        match self {
            Map::One(segment) => std::slice::from_ref(segment),
            Map::Several(segments) => segments,
        }
    }
}

/// A text to analyse, with a map back into the files.
#[derive(Clone, Debug, Default)]
pub struct Body {
    text: String,
    map: Vec<Segment>,
}

impl Body {
    /// Starts empty; see [`Body::push`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends text that is written in one piece, from byte `start` of `source` on.
    pub fn push(&mut self, text: &str, source: SourceId, start: usize) {
        self.runs(text, source, [(0, start)]);
    }

    /// Appends text of a file, wherever its pieces are written.
    pub fn push_text(&mut self, text: &Text) {
        self.runs(text.as_str(), text.source(), text.runs());
    }

    fn runs(
        &mut self,
        text: &str,
        source: SourceId,
        runs: impl IntoIterator<Item = (usize, usize)>,
    ) {
        if !text.is_empty() {
            let base = self.text.len();
            self.map.extend(runs.into_iter().map(|(here, start)| Segment {
                at: (base + here) as u32,
                span: Span::new(source, start, start + 1),
                linear: true,
            }));
            self.text.push_str(text);
        }
    }

    /// Appends text that is written nowhere; it is shown at `span`.
    pub fn push_at(&mut self, text: &str, span: Span) {
        self.map.push(Segment { at: self.text.len() as u32, span, linear: false });
        self.text.push_str(text);
    }

    /// Makes a body of a text with its map.
    pub(super) fn with_map(text: &str, map: &[Segment]) -> Self {
        Body { text: text.to_owned(), map: map.to_vec() }
    }

    /// Returns the body with a text put in at places, which rise; each is shown at what follows it.
    pub(super) fn inserted(&self, places: &[usize], what: &str) -> Self {
        let mut out = Body::new();
        let mut from = 0;
        for place in places.iter().copied().chain([self.text.len()]) {
            out.map.extend_from_slice(&self.segments(from..place, out.text.len()));
            out.text.push_str(&self.text[from..place]);
            if place < self.text.len() {
                out.push_at(what, self.byte(place));
            }
            from = place;
        }
        out
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns where a range is written: the smallest span from its first to its last byte.
    pub fn span(&self, range: Range<usize>) -> Span {
        let first = self.byte(range.start);
        if range.end <= range.start + 1 {
            return first;
        }
        let last = self.byte(range.end - 1);
        if last.source == first.source { first.to(last) } else { first }
    }

    fn byte(&self, at: usize) -> Span {
        locate(&self.map, at)
    }

    /// Returns the map of a range, shifted to start at `to`.
    pub(super) fn segments(&self, range: Range<usize>, to: usize) -> Map {
        slice(&self.map, range, to)
    }
}

fn locate(map: &[Segment], at: usize) -> Span {
    let index = map.partition_point(|segment| segment.at as usize <= at);
    let Some(segment) = index.checked_sub(1).and_then(|index| map.get(index)) else {
        return Span::default();
    };
    if !segment.linear {
        return segment.span;
    }
    let start = segment.span.start as usize + (at - segment.at as usize);
    Span::new(segment.span.source, start, start + 1)
}

pub(super) fn slice(map: &[Segment], range: Range<usize>, to: usize) -> Map {
    let after = |at: usize| move |segment: &Segment| segment.at as usize <= at;
    let first = map.partition_point(after(range.start)).saturating_sub(1);
    let rest = &map[first.min(map.len())..];
    let cut = |segment: &Segment| {
        let cut = range.start.saturating_sub(segment.at as usize);
        let mut span = segment.span;
        if segment.linear {
            span.start += cut as u32;
            span.end = span.start + 1;
        }
        let at = (to + segment.at as usize + cut - range.start) as u32;
        Segment { at, span, linear: segment.linear }
    };
    let within = rest.iter().take_while(|segment| (segment.at as usize) < range.end).count();
    match &rest[..within] {
        [one] => Map::One(cut(one)),
        several => Map::Several(several.iter().map(cut).collect()),
    }
}
