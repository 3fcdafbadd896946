//! An image seen through all its layers: what is visible, and which layer made it so.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{FileFact, FileKind, LayerTable, Leak, Needles, Whole};
use crate::base::Span;
use crate::image::Config;

/// Who made a layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The base image.
    Base,
    /// A step of this build: its instruction.
    Step(Span),
    /// Nobody knows: an image that was not built here. The history's text, if it has one.
    Foreign(String),
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LayerFacts {
    /// Its rows; one table for a layer that stands several times in the image.
    pub table: Arc<LayerTable>,
    /// Who made it.
    pub origin: Origin,
    /// Secrets found in it.
    pub leaks: Arc<[Leak]>,
    /// Of a layer that several steps made: the step of each path that the last of them has not made.
    pub steps: BTreeMap<String, Span>,
}

impl LayerFacts {
    /// The step that made an entry of the layer, if it was one of this build.
    pub fn step_of(&self, path: &str) -> Option<Span> {
        match (self.steps.get(path), &self.origin) {
            (Some(span), _) | (None, Origin::Step(span)) => Some(*span),
            _ => None,
        }
    }
}

/// A finished image, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct ImageFacts {
    /// The config.
    pub config: Config,
    /// The layers, from the bottom.
    pub layers: Vec<LayerFacts>,
    /// Secrets found in the config, the history, labels or annotations: place and secret id.
    pub document_leaks: Vec<Leak>,
    /// Ids of the secrets that are too short to be searched in layers.
    pub short_secrets: Vec<String>,
    /// What is known of the image as a whole; empty until it is set.
    pub whole: Whole,
}

/// A path that is visible in the image.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a> {
    /// The row.
    pub file: &'a FileFact,
    /// The layer that made it so.
    pub layer: usize,
}

/// A line of `/etc/passwd`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The line of the file, from 1.
    pub line: usize,
}

impl ImageFacts {
    /// Puts facts together. `annotations` are those of the manifest.
    pub fn new(
        config: Config,
        layers: Vec<LayerFacts>,
        annotations: &BTreeMap<String, String>,
        needles: &Needles,
    ) -> Self {
        let mut document_leaks = Vec::new();
        let mut look = |place: &str, text: &[u8]| {
            for secret in needles.in_document(text) {
                document_leaks.push(Leak { path: place.to_owned(), secret });
            }
        };
        if !needles.is_empty() {
            for entry in &config.history {
                for text in [&entry.created_by, &entry.comment, &entry.author] {
                    look("history", text.as_deref().unwrap_or("").as_bytes());
                }
            }
            let labels = config.config.labels.iter().chain(annotations);
            for (key, value) in labels {
                look("labels", key.as_bytes());
                look("labels", value.as_bytes());
            }
            // The rest of the document, as it is written: history and labels apart, so that each
            // leak is told once.
            let mut rest = config.clone();
            rest.history.clear();
            rest.config.labels.clear();
            look("config", &rest.to_bytes());
        }
        document_leaks.sort();
        document_leaks.dedup();
        let short_secrets = needles.short().to_vec();
        ImageFacts { config, layers, document_leaks, short_secrets, whole: Whole::default() }
    }

    /// Returns all visible paths, by overlay rules: an upper entry replaces a lower one, a
    /// whiteout hides the path and all below it, an opaque folder hides what lower layers have in
    /// it. Costs one pass over all rows.
    pub fn visible(&self) -> BTreeMap<&str, Visible<'_>> {
        let mut view = View::new(self);
        view.up_to(self.layers.len());
        view.all
    }

    /// Returns the text of a kept file, `/etc/passwd` for example, of what is visible.
    pub fn text(&self, visible: &BTreeMap<&str, Visible<'_>>, path: &str) -> Option<&str> {
        let at = visible.get(path)?;
        self.layers[at.layer].table.texts.get(path).map(String::as_str)
    }

    /// Follows the links of a visible path to what it is in the end; `None` if it leads nowhere.
    pub fn resolve<'a>(
        visible: &BTreeMap<&'a str, Visible<'a>>,
        path: &str,
    ) -> Option<Visible<'a>> {
        let mut path = path.to_owned();
        // As many links as Linux follows (MAXSYMLINKS).
        for _ in 0..40 {
            let at = resolve_parent(visible, &path)?;
            let found = visible.get(at.as_str()).copied()?;
            match &found.file.kind {
                FileKind::Symlink(to) if to.len() > LONGEST => return None,
                FileKind::Symlink(to) => path = beside(&at, to),
                FileKind::Hardlink(to) => return visible.get(to.as_str()).copied().or(Some(found)),
                _ => return Some(found),
            }
        }
        None
    }
}

/// What the lowest layers of an image show, as layers are put on.
pub struct View<'a> {
    facts: &'a ImageFacts,
    layers: usize,
    all: BTreeMap<&'a str, Visible<'a>>,
    #[cfg(test)]
    pub(crate) rows: usize,
}

impl<'a> View<'a> {
    /// Starts below the lowest layer.
    pub fn new(facts: &'a ImageFacts) -> Self {
        View {
            facts,
            layers: 0,
            all: BTreeMap::new(),
            #[cfg(test)]
            rows: 0,
        }
    }

    /// Returns what the lowest `layers` layers show alone. Costs one pass over the rows of those that
    /// were not asked for before; who asks for fewer than before begins anew.
    pub fn up_to(&mut self, layers: usize) -> &BTreeMap<&'a str, Visible<'a>> {
        let layers = layers.min(self.facts.layers.len());
        if layers < self.layers {
            self.all.clear();
            self.layers = 0;
        }
        while self.layers < layers {
            self.put_on(self.layers);
            self.layers += 1;
        }
        &self.all
    }

    fn put_on(&mut self, layer: usize) {
        let files = &self.facts.layers[layer].table.files;
        #[cfg(test)]
        {
            self.rows += files.len();
        }
        // First what hides: a whiteout acts on the layers below only, wherever it stands.
        for file in files {
            let path = file.path.as_str();
            match &file.kind {
                FileKind::Whiteout => drop(hide(&mut self.all, path, true)),
                FileKind::Opaque => drop(hide(&mut self.all, path, false)),
                FileKind::Dir => {}
                // What is no folder any more has nothing below it.
                _ => {
                    if self.all.get(path).is_some_and(|old| old.file.kind == FileKind::Dir) {
                        hide(&mut self.all, path, false);
                    }
                }
            }
        }
        for file in files {
            if !matches!(file.kind, FileKind::Whiteout | FileKind::Opaque) {
                self.all.insert(&file.path, Visible { file, layer });
            }
        }
    }
}

/// Returns the accounts that the text of a passwd file has; lines that are none are left out.
pub fn accounts(passwd: &str) -> Vec<Account> {
    let lines = passwd.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { name, uid, gid, line: index + 1 })
        })
        .collect()
}

impl ImageFacts {
    /// Returns the path of what `path` is in the end, links among its folders and at its end followed;
    /// `None` if it leads nowhere.
    pub fn real(visible: &BTreeMap<&str, Visible<'_>>, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..40 {
            let at = resolve_parent(visible, &path)?;
            match visible.get(at.as_str()).map(|found| &found.file.kind) {
                Some(FileKind::Symlink(to)) if to.len() > LONGEST => return None,
                Some(FileKind::Symlink(to)) => path = beside(&at, to),
                _ => return Some(at),
            }
        }
        None
    }
}

/// The longest path that is followed, and the longest text of a link (`PATH_MAX`).
const LONGEST: usize = 4096;

// Links among the folders of a path, one level: `/bin` → `usr/bin`.
fn resolve_parent(visible: &BTreeMap<&str, Visible<'_>>, path: &str) -> Option<String> {
    if path.len() > LONGEST {
        return None;
    }
    let mut at = String::new();
    let mut links = 0;
    let mut parts: Vec<String> =
        path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).rev().collect();
    while let Some(part) = parts.pop() {
        at.push('/');
        at.push_str(&part);
        if at.len() > LONGEST {
            return None;
        }
        if parts.is_empty() {
            break;
        }
        if let Some(Visible { file: FileFact { kind: FileKind::Symlink(to), .. }, .. }) =
            visible.get(at.as_str())
        {
            links += 1;
            if links > 40 || to.len() > LONGEST {
                return None;
            }
            let to = beside(&at, to);
            parts.extend(to.split('/').filter(|part| !part.is_empty()).map(str::to_owned).rev());
            at.clear();
        }
    }
    Some(at)
}

// The target of a link at `path`, made absolute and clean.
fn beside(path: &str, to: &str) -> String {
    let start =
        if to.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |(dir, _)| dir) };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(to.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Takes away what is below a path, and the path `itself`; returns it.
pub(super) fn hide<'a>(
    all: &mut BTreeMap<&'a str, Visible<'a>>,
    path: &str,
    itself: bool,
) -> Vec<Visible<'a>> {
    let mut gone = Vec::new();
    if itself {
        gone.extend(all.remove(path));
    }
    let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
    let below: Vec<String> = all
        .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
        .take_while(|(path, _)| path.starts_with(&prefix))
        .map(|(path, _)| (*path).to_owned())
        .collect();
    for path in below {
        gone.extend(all.remove(path.as_str()));
    }
    gone
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::Platform;

    pub(in crate::facts) fn file(path: &str, kind: FileKind) -> FileFact {
        FileFact { path: path.into(), kind, mode: 0o755, ..FileFact::default() }
    }

    pub(in crate::facts) fn image(layers: Vec<Vec<FileFact>>) -> ImageFacts {
        let layers = layers
            .into_iter()
            .map(|files| LayerFacts {
                table: Arc::new(LayerTable { files, ..LayerTable::default() }),
                origin: Origin::Foreign(String::new()),
                leaks: Arc::default(),
                steps: BTreeMap::new(),
            })
            .collect();
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        ImageFacts::new(config, layers, &BTreeMap::new(), &Needles::default())
    }

    #[test]
    fn upper_layers_hide_lower_ones() {
        let image = image(vec![
            vec![
                file("/a", FileKind::Dir),
                file("/a/x", FileKind::File),
                file("/a/y", FileKind::File),
                file("/ab", FileKind::File),
                file("/d", FileKind::Dir),
                file("/d/z", FileKind::File),
            ],
            vec![
                // An entry of the layer itself stands even when its folder is opaque.
                file("/a/new", FileKind::File),
                file("/a", FileKind::Opaque),
                file("/d", FileKind::Symlink("a".into())),
                file("/l", FileKind::Symlink("d/new".into())),
                file("/loop", FileKind::Symlink("loop".into())),
            ],
        ]);
        let visible = image.visible();
        let paths: Vec<&str> = visible.keys().copied().collect();
        assert_eq!(paths, ["/a", "/a/new", "/ab", "/d", "/l", "/loop"]);
        assert_eq!(ImageFacts::resolve(&visible, "/l").unwrap().file.path, "/a/new");
        assert!(ImageFacts::resolve(&visible, "/loop").is_none());
        assert!(ImageFacts::resolve(&visible, "/nothing").is_none());
    }
}
