//! A text as the parser saw it: it counts characters, spans count bytes.

use brush_parser::ast::Word;

use crate::base::Span;
use crate::facts::shell::body::Body;

/// A body with the byte of each character, since the parser counts characters.
pub(super) struct Text {
    pub(super) body: Body,
    characters: Option<Vec<usize>>,
}

impl Text {
    pub(super) fn new(body: Body) -> Self {
        let characters = (!body.text().is_ascii()).then(|| {
            let mut bytes: Vec<usize> = body.text().char_indices().map(|(at, _)| at).collect();
            bytes.push(body.text().len());
            bytes
        });
        Text { body, characters }
    }

    pub(super) fn byte(&self, character: usize) -> usize {
        match &self.characters {
            None => character.min(self.body.text().len()),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.body.text().len()),
        }
    }

    pub(super) fn range(&self, span: &brush_parser::SourceSpan) -> std::ops::Range<usize> {
        let start = self.byte(span.start.index);
        start..self.byte(span.end.index).max(start)
    }

    pub(super) fn span(&self, span: Option<&brush_parser::SourceSpan>) -> Span {
        match span {
            Some(span) => self.body.span(self.range(span)),
            None => self.body.span(0..self.body.text().len()),
        }
    }

    pub(super) fn start(&self, word: &Word) -> usize {
        word.loc.as_ref().map_or(0, |span| self.byte(span.start.index))
    }
}
