//! What a rule that looks at images is given, and questions that several ask: each is answered once
//! for an image.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::outline::{Item, Outline};
use crate::facts::{
    FileFact, Hidden, ImageFacts, Origin, Packages, Visible, content_of, is_database,
};
use crate::instruction::Instruction;

/// What a rule that looks at images is given.
pub struct Judged<'a> {
    /// The facts.
    pub facts: &'a ImageFacts,
    /// The text; `None` in `audit`.
    pub outline: Option<&'a Outline<'a>>,
    visible: OnceCell<BTreeMap<&'a str, Visible<'a>>>,
    hidden: OnceCell<Vec<Hidden<'a>>>,
    linked: OnceCell<Vec<BTreeMap<&'a str, &'a FileFact>>>,
    packages: OnceCell<Packages<'a>>,
    none: OnceCell<Packages<'a>>,
    packages_to: Vec<OnceCell<Packages<'a>>>,
    // The layers that change a package database.
    updates: OnceCell<Vec<usize>>,
}

impl<'a> Judged<'a> {
    pub(super) fn new(facts: &'a ImageFacts, outline: Option<&'a Outline<'a>>) -> Self {
        Judged {
            facts,
            outline,
            visible: OnceCell::new(),
            hidden: OnceCell::new(),
            linked: OnceCell::new(),
            packages: OnceCell::new(),
            none: OnceCell::new(),
            packages_to: facts.layers.iter().map(|_| OnceCell::new()).collect(),
            updates: OnceCell::new(),
        }
    }

    /// Returns all visible paths.
    pub fn visible(&self) -> &BTreeMap<&'a str, Visible<'a>> {
        self.visible.get_or_init(|| self.facts.visible())
    }

    /// Returns the files that the image carries and does not show.
    pub fn hidden(&self) -> &[Hidden<'a>] {
        self.hidden.get_or_init(|| self.facts.hidden())
    }

    /// Returns the row that holds the content of a file: its own, or that of a hard link's file.
    pub fn content(&self, layer: usize, file: &'a FileFact) -> &'a FileFact {
        content_of(self.linked.get_or_init(|| self.facts.linked()), layer, file)
    }

    /// Returns what the package databases of the image say.
    pub fn packages(&self) -> &Packages<'a> {
        self.packages.get_or_init(|| Packages::of(self.facts, self.visible()))
    }

    /// Returns what the package databases say that the layers up to this one show.
    pub fn packages_in(&self, layer: usize) -> &Packages<'a> {
        // The same as of the layer below, unless this one changes a database.
        let updates = self.updates();
        match updates.iter().rev().find(|update| **update <= layer) {
            Some(update) if updates.last() != Some(update) => self.packages_to[*update]
                .get_or_init(|| Packages::of(self.facts, &self.facts.visible_to(update + 1))),
            // Before the first of them there is none.
            None => self.none.get_or_init(Packages::default),
            Some(_) => self.packages(),
        }
    }

    /// Tells whether a layer changes a package database.
    pub fn updates_packages(&self, layer: usize) -> bool {
        self.updates().contains(&layer)
    }

    fn updates(&self) -> &[usize] {
        self.updates.get_or_init(|| {
            let layers = self.facts.layers.iter().enumerate();
            let changes = |files: &[FileFact]| files.iter().any(|file| is_database(&file.path));
            layers.filter(|(_, layer)| changes(&layer.table.files)).map(|(at, _)| at).collect()
        })
    }

    /// Tells whether a layer is one of the base.
    pub fn is_base(&self, layer: usize) -> bool {
        self.facts.layers.get(layer).is_some_and(|layer| layer.origin == Origin::Base)
    }

    /// Returns the instruction that made a path of a layer, where it is known.
    pub fn item(&self, layer: usize, path: &str) -> Option<&'a Item<'a>> {
        let Origin::Step(span) = self.facts.layers.get(layer)?.origin_of(path) else { return None };
        let outline = self.outline?;
        let mut items = outline.stages.iter().flat_map(|stage| &stage.items);
        items.find(|item| item.place.span == span)
    }

    /// Tells who made a path of a layer, as far as rules ask.
    pub fn maker(&self, layer: usize, path: &str) -> Maker<'a> {
        if self.is_base(layer) {
            return Maker::Base;
        }
        if let Some(item) = self.item(layer, path) {
            return match item.instruction {
                Instruction::Run(_) => Maker::Run(Some(item)),
                _ => Maker::Copy,
            };
        }
        let Some(Origin::Foreign(text)) = self.facts.layers.get(layer).map(|layer| &layer.origin)
        else {
            return Maker::Run(None);
        };
        // Docker's classic builder wrote `/bin/sh -c #(nop) COPY …` for what ran nothing.
        let text = match text.split_once("#(nop)") {
            Some((_, rest)) => rest.trim_start(),
            None => text.as_str(),
        };
        match text.split_whitespace().next() {
            Some("COPY" | "ADD") => Maker::Copy,
            _ => Maker::Run(None),
        }
    }
}

/// Who made a path.
#[derive(Clone, Copy)]
pub enum Maker<'a> {
    /// The base.
    Base,
    /// A COPY or an ADD.
    Copy,
    /// A RUN, and its instruction where it is known; or nobody knows.
    Run(Option<&'a Item<'a>>),
}
