//! Several lists of changes into one: squashing.

use std::collections::{BTreeMap, BTreeSet};

use super::lookup::below;
use super::{Change, Content, Error, Lookup};
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};

/// Folds the changes of several layers (bottom first, each sorted) into the changes of one layer
/// over `lower`: applied there it gives what all of them give one after the other. What one layer
/// makes and a later one removes is not in it.
pub fn merge(layers: Vec<Vec<Change>>, lower: &dyn Lookup) -> Result<Vec<Change>, Error> {
    let mut merged = Merged::default();
    for (number, changes) in layers.into_iter().enumerate() {
        merged.layer(number, changes);
    }
    merged.finish(lower)
}

/// A file by the layer that made it and its first name there.
type FileId = (usize, ImagePath);

#[derive(Default)]
struct Merged {
    /// What is at each path (its bytes); hard links hold a copy of the file's entry.
    paths: BTreeMap<Vec<u8>, (Change, Option<FileId>)>,
    /// Folders whose content in `lower` is hidden.
    opaque: BTreeSet<Vec<u8>>,
    /// Files of the current layer that hard links name.
    first: BTreeMap<ImagePath, Change>,
}

impl Merged {
    fn layer(&mut self, number: usize, changes: Vec<Change>) {
        let linked: BTreeSet<ImagePath> = changes
            .iter()
            .filter_map(|change| match &change.entry.kind {
                EntryKind::Hardlink(first) => Some(first.clone()),
                _ => None,
            })
            .collect();
        self.first.clear();
        for change in changes {
            let path = change.entry.path.clone();
            match &change.entry.kind {
                EntryKind::Opaque => {
                    self.remove_below(&path);
                    self.opaque.insert(path.as_bytes().to_vec());
                }
                EntryKind::Dir => {
                    match self.paths.get(path.as_bytes()).map(|(old, _)| &old.entry.kind) {
                        Some(EntryKind::Dir) | None => {}
                        // Something else was here before: whatever `lower` has stays hidden.
                        Some(_) => {
                            self.opaque.insert(path.as_bytes().to_vec());
                        }
                    }
                    self.paths.insert(path.as_bytes().to_vec(), (change, None));
                }
                EntryKind::Hardlink(first) => {
                    let Some(file) = self.first.get(first) else { continue };
                    let mut file = file.clone();
                    file.entry.path = path.clone();
                    self.replace(path, file, Some((number, first.clone())));
                }
                _ => {
                    let id = linked.contains(&path).then(|| {
                        self.first.insert(path.clone(), change.clone());
                        (number, path.clone())
                    });
                    self.replace(path, change, id);
                }
            }
        }
    }

    fn replace(&mut self, path: ImagePath, change: Change, id: Option<FileId>) {
        self.remove_below(&path);
        self.opaque.remove(path.as_bytes());
        self.paths.insert(path.as_bytes().to_vec(), (change, id));
    }

    /// Forgets all that is below `path`.
    fn remove_below(&mut self, path: &ImagePath) {
        let below = below(path);
        while let Some((inside, _)) = self.paths.range(below.clone()).next() {
            let inside = inside.clone();
            self.paths.remove(&inside);
            self.opaque.remove(&inside);
        }
    }

    fn finish(self, lower: &dyn Lookup) -> Result<Vec<Change>, Error> {
        let mut out = Vec::with_capacity(self.paths.len());
        let mut first_names: BTreeMap<FileId, ImagePath> = BTreeMap::new();
        for (key, (mut change, id)) in self.paths {
            let path = change.entry.path.clone();
            let below = match &change.entry.kind {
                EntryKind::Whiteout | EntryKind::Dir => lower.entry(&path)?,
                _ => None,
            };
            if change.entry.kind == EntryKind::Whiteout && below.is_none() {
                continue;
            }
            if let Some(id) = id {
                match first_names.get(&id) {
                    Some(first) => {
                        change.entry.kind = EntryKind::Hardlink(first.clone());
                        change.content = Content::Empty;
                    }
                    None => {
                        first_names.insert(id, path.clone());
                    }
                }
            }
            let hides = self.opaque.contains(&key)
                && below.is_some_and(|entry| entry.kind == EntryKind::Dir);
            out.push(change);
            if hides {
                out.push(Change::bare(Entry::new(path, EntryKind::Opaque, 0)));
            }
        }
        Ok(out)
    }
}
