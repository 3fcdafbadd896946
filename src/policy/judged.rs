//! What a rule that looks at images is given, and questions that several ask: each is answered once
//! for an image.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::outline::{Item, Outline};
use crate::base::Span;
use crate::facts::{
    Account, FileFact, Hidden, ImageFacts, Origin, Packages, View, Visible, accounts, content_of,
    is_database,
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
    packages: OnceCell<Rc<Packages<'a>>>,
    // What layers below the topmost show.
    below: RefCell<View<'a>>,
    lists: RefCell<Lists<'a>>,
    // The layers that change a package database, and the path of it.
    updates: OnceCell<Vec<(usize, &'a str)>>,
    items: OnceCell<BTreeMap<Span, &'a Item<'a>>>,
    // Who made what stands in a layer, as its history has it.
    foreign: OnceCell<Vec<Maker<'a>>>,
}

/// Files of the package lists of lower layers that are kept, all lists together: each takes some 200
/// bytes. The list that was asked for last is always kept.
const LISTED: usize = 2_000_000;

/// Bytes of package databases that are read again and again, layer by layer, all together.
const READ: usize = 256 << 20;

// Package lists of lower layers, the oldest first.
struct Lists<'a> {
    kept: Vec<(usize, Rc<Packages<'a>>)>,
    files: usize,
    most: usize,
    left: usize,
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
            below: RefCell::new(View::new(facts)),
            lists: RefCell::new(Lists { kept: Vec::new(), files: 0, most: LISTED, left: READ }),
            updates: OnceCell::new(),
            items: OnceCell::new(),
            foreign: OnceCell::new(),
        }
    }

    /// Returns all visible paths.
    pub fn visible(&self) -> &BTreeMap<&'a str, Visible<'a>> {
        self.visible.get_or_init(|| self.facts.visible())
    }

    /// Asks `look` of what the layers up to this one show. Cheap for who goes from the bottom up.
    pub fn shown_in<T>(
        &self,
        layer: usize,
        look: impl FnOnce(&BTreeMap<&'a str, Visible<'a>>) -> T,
    ) -> T {
        look(self.below.borrow_mut().up_to(layer + 1))
    }

    /// Returns the text of a kept file, `/etc/passwd` for example, if it is visible.
    pub fn text(&self, path: &str) -> Option<&'a str> {
        self.facts.text(self.visible(), path)
    }

    /// Returns the accounts of the image.
    pub fn accounts(&self) -> Vec<Account> {
        accounts(self.text("/etc/passwd").unwrap_or(""))
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
        self.all_packages()
    }

    fn all_packages(&self) -> &Rc<Packages<'a>> {
        self.packages.get_or_init(|| Rc::new(Packages::of(self.facts, self.visible())))
    }

    /// Returns what the package databases say that the layers up to this one show. Where they were read
    /// too often, for too many layers, they are told as unread.
    pub fn packages_in(&self, layer: usize) -> Rc<Packages<'a>> {
        // The same as of the layer below, unless this one changes a database.
        let updates = self.updates();
        let count = updates.partition_point(|(update, _)| *update <= layer);
        // Before the first of them there is none.
        let Some((update, path)) = updates[..count].last() else { return Rc::default() };
        if count == updates.len() {
            return Rc::clone(self.all_packages());
        }
        let mut lists = self.lists.borrow_mut();
        if let Some((_, known)) = lists.kept.iter().find(|(at, _)| at == update) {
            return Rc::clone(known);
        }
        let made = match lists.left {
            0 => Packages::unread(path),
            _ => self.shown_in(*update, |visible| Packages::of(self.facts, visible)),
        };
        lists.left = lists.left.saturating_sub(made.read());
        let made = Rc::new(made);
        lists.files += made.len();
        lists.kept.push((*update, Rc::clone(&made)));
        while lists.files > lists.most && lists.kept.len() > 1 {
            let (_, old) = lists.kept.remove(0);
            lists.files -= old.len();
        }
        made
    }

    /// Tells whether a layer changes a package database.
    pub fn updates_packages(&self, layer: usize) -> bool {
        self.updates().binary_search_by_key(&layer, |(update, _)| *update).is_ok()
    }

    fn updates(&self) -> &[(usize, &'a str)] {
        self.updates.get_or_init(|| {
            let layers = self.facts.layers.iter().enumerate();
            let found = layers.filter_map(|(index, layer)| {
                let changed = layer.table.files.iter().find(|file| is_database(&file.path))?;
                Some((index, changed.path.as_str()))
            });
            found.collect()
        })
    }

    /// Tells whether a layer is one of the base.
    pub fn is_base(&self, layer: usize) -> bool {
        self.facts.layers.get(layer).is_some_and(|layer| layer.origin == Origin::Base)
    }

    /// Returns the instruction that made a path of a layer, where it is known.
    pub fn item(&self, layer: usize, path: &str) -> Option<&'a Item<'a>> {
        let span = self.facts.layers.get(layer)?.step_of(path)?;
        let outline = self.outline?;
        let items = self.items.get_or_init(|| {
            // Of several with one span the first counts.
            let items = outline.stages.iter().rev().flat_map(|stage| stage.items.iter().rev());
            items.map(|item| (item.place.span, item)).collect()
        });
        items.get(&span).copied()
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
        let foreign = self.foreign.get_or_init(|| {
            self.facts.layers.iter().map(|layer| maker_of(&layer.origin)).collect()
        });
        foreign.get(layer).copied().unwrap_or(Maker::Run(None))
    }
}

fn maker_of<'a>(origin: &Origin) -> Maker<'a> {
    let Origin::Foreign(text) = origin else { return Maker::Run(None) };
    // Docker's classic builder wrote `/bin/sh -c #(nop) COPY …` for what ran nothing.
    let text = match text.split_once("#(nop)") {
        Some((_, rest)) => rest.trim_start(),
        None => text.as_str(),
    };
    match text.split_whitespace().next() {
        Some("COPY" | "ADD") => Maker::Copy,
        // `RUN …`, or a shell's command line as classic builders wrote it.
        Some(word) if word == "RUN" || word.starts_with(['|', '/']) => Maker::Run(None),
        _ => Maker::Base,
    }
}

/// Who made a path.
#[derive(Clone, Copy)]
pub enum Maker<'a> {
    /// The base, or nobody knows.
    Base,
    /// A COPY or an ADD.
    Copy,
    /// A RUN, and its instruction where it is known.
    Run(Option<&'a Item<'a>>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Platform;
    use crate::facts::{FileKind, LayerFacts, LayerTable, Needles};
    use crate::image::Config;

    fn image(layers: Vec<LayerTable>) -> ImageFacts {
        let layers = layers.into_iter().map(|table| LayerFacts {
            table: table.into(),
            origin: Origin::Foreign("RUN x".into()),
            leaks: Default::default(),
            steps: BTreeMap::new(),
        });
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        ImageFacts::new(config, layers.collect(), &BTreeMap::new(), &Needles::default())
    }

    // Layers that each change the package database.
    fn updates(count: usize) -> ImageFacts {
        let layers = (0..count).map(|at| {
            let path = "/var/lib/dpkg/info/p.md5sums";
            let file = FileFact { path: path.into(), kind: FileKind::File, ..FileFact::default() };
            let text = (0..10).map(|file| format!("{at:032}  usr/bin/{file}\n")).collect();
            let texts = BTreeMap::from([(path.to_owned(), text)]);
            LayerTable { files: vec![file], texts, ..LayerTable::default() }
        });
        image(layers.collect())
    }

    fn said(packages: &Packages<'_>, layer: usize) -> bool {
        let md5 = format!("{layer:032}");
        let file = FileFact { path: "/usr/bin/1".into(), md5, ..FileFact::default() };
        packages.genuine(&file) == Some(true)
    }

    #[test]
    fn few_package_lists_are_kept() {
        let image = updates(40);
        let judged = Judged::new(&image, None);
        judged.lists.borrow_mut().most = 35;
        let mut lists = Vec::new();
        for layer in (0..40).chain(20..39) {
            let list = judged.packages_in(layer);
            assert!(said(&list, layer) && !said(&list, layer + 1), "{layer}");
            lists.push(Rc::downgrade(&list));
            let kept = lists.iter().filter_map(std::rc::Weak::upgrade).map(|list| list.len());
            // The list of all layers is kept as well.
            let all = if layer == 39 || lists.len() > 40 { 10 } else { 0 };
            assert!(kept.sum::<usize>() <= 30 * 2 + all, "{layer}");
        }
        let mut kept: Vec<_> =
            lists.iter().filter_map(std::rc::Weak::upgrade).map(|list| Rc::as_ptr(&list)).collect();
        kept.sort_unstable();
        kept.dedup();
        assert_eq!(kept.len(), 4, "three and that of all layers");
    }

    #[test]
    fn databases_are_read_a_bounded_number_of_times() {
        let image = updates(9);
        let judged = Judged::new(&image, None);
        let once = judged.packages_in(0).read();
        judged.lists.borrow_mut().left = once + 1;
        assert!(said(&judged.packages_in(1), 1));
        assert!(said(&judged.packages_in(2), 2));
        let unread = judged.packages_in(3);
        assert_eq!(unread.unread, ["/var/lib/dpkg/info/p.md5sums"]);
        assert!(!said(&unread, 3));
        // That of the image itself is always read.
        assert!(said(&judged.packages_in(8), 8));
    }

    #[test]
    fn layers_are_put_on_once() {
        let image = updates(30);
        let judged = Judged::new(&image, None);
        for layer in 0..29 {
            judged.packages_in(layer);
            judged.shown_in(layer, |visible| {
                assert_eq!(visible.values().next().unwrap().layer, layer)
            });
        }
        assert_eq!(judged.below.borrow().rows, 29);
    }
}
