//! What an image carries and does not show: files of a layer that a later one removes or replaces.

use std::collections::{BTreeMap, BTreeSet};

use super::view::hide;
use super::{FileFact, FileKind, ImageFacts, Visible};

/// A file that the image carries and does not show.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// Its row.
    pub file: &'a FileFact,
    /// Its layer.
    pub layer: usize,
    /// The layer that hides it; its own, where a later entry of it has the same path.
    pub by: usize,
    /// What hides it.
    pub how: How<'a>,
}

/// What hides a file.
#[derive(Clone, Copy, Debug)]
pub enum How<'a> {
    /// It, or a folder above it, was removed: the path that was.
    Removed(&'a str),
    /// Something else took its path.
    Replaced(&'a FileFact),
}

impl ImageFacts {
    /// Returns all files, and further names of files, that are hidden: by layer and path. A path may
    /// be hidden several times. Costs one pass over all rows.
    pub fn hidden(&self) -> Vec<Hidden<'_>> {
        let mut out = Vec::new();
        let mut all: BTreeMap<&str, Visible<'_>> = BTreeMap::new();
        for (by, facts) in self.layers.iter().enumerate() {
            let mut removed: Vec<(&str, Vec<Visible<'_>>)> = Vec::new();
            for file in &facts.table.files {
                let path = file.path.as_str();
                match &file.kind {
                    FileKind::Whiteout => removed.push((path, hide(&mut all, path, true))),
                    FileKind::Opaque => removed.push((path, hide(&mut all, path, false))),
                    FileKind::Dir => {}
                    _ => {
                        if all.get(path).is_some_and(|old| old.file.kind == FileKind::Dir) {
                            removed.push((path, hide(&mut all, path, false)));
                        }
                    }
                }
            }
            // What the same layer has again at the path was replaced, not removed.
            let rows = facts
                .table
                .files
                .iter()
                .filter(|file| !matches!(file.kind, FileKind::Whiteout | FileKind::Opaque));
            let again: BTreeMap<&str, &FileFact> = match removed.is_empty() {
                true => BTreeMap::new(),
                false => rows.clone().map(|file| (file.path.as_str(), file)).collect(),
            };
            for (path, hidden) in removed {
                for old in hidden {
                    let how = match again.get(old.file.path.as_str()) {
                        Some(new) => How::Replaced(new),
                        None => How::Removed(path),
                    };
                    out.push(Hidden { file: old.file, layer: old.layer, by, how });
                }
            }
            for file in rows {
                let new = Visible { file, layer: by };
                if let Some(old) = all.insert(&file.path, new)
                    && old.file.kind != FileKind::Dir
                {
                    let how = How::Replaced(file);
                    out.push(Hidden { file: old.file, layer: old.layer, by, how });
                }
            }
        }
        out.retain(|hidden| matches!(hidden.file.kind, FileKind::File | FileKind::Hardlink(_)));
        out.sort_by(|a, b| (a.layer, &a.file.path, a.by).cmp(&(b.layer, &b.file.path, b.by)));
        out
    }

    /// Returns the files behind the further names of files, by layer and path.
    pub fn linked(&self) -> Vec<BTreeMap<&str, &FileFact>> {
        let of = |files: &'_ [FileFact]| -> BTreeSet<String> {
            files.iter().filter_map(|file| target(file).map(str::to_owned)).collect()
        };
        let layers = self.layers.iter().map(|layer| &layer.table.files);
        layers
            .map(|files| {
                let targets = of(files);
                let files = files.iter().filter(|file| file.kind == FileKind::File);
                files
                    .filter(|file| targets.contains(&file.path))
                    .map(|file| (file.path.as_str(), file))
                    .collect()
            })
            .collect()
    }
}

/// Returns the row that holds the content of a file, given those of [`ImageFacts::linked`].
pub fn content_of<'a>(
    linked: &[BTreeMap<&'a str, &'a FileFact>],
    layer: usize,
    file: &'a FileFact,
) -> &'a FileFact {
    let behind = target(file).and_then(|path| linked.get(layer)?.get(path));
    behind.copied().unwrap_or(file)
}

fn target(file: &FileFact) -> Option<&str> {
    match &file.kind {
        FileKind::Hardlink(to) => Some(to),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{file, image};
    use super::*;

    #[test]
    fn what_is_removed_or_replaced_is_hidden() {
        let image = image(vec![
            vec![
                file("/d", FileKind::Dir),
                file("/d/a", FileKind::File),
                file("/d/b", FileKind::File),
                file("/d/s", FileKind::Symlink("a".into())),
                file("/e", FileKind::File),
                file("/h", FileKind::Hardlink("/e".into())),
                file("/o", FileKind::Dir),
                file("/o/x", FileKind::File),
                file("/o/y", FileKind::File),
            ],
            vec![
                file("/d", FileKind::Whiteout),
                file("/d/b", FileKind::File),
                file("/e", FileKind::File),
                file("/o", FileKind::Opaque),
                file("/o/y", FileKind::File),
                file("/t", FileKind::File),
                file("/t", FileKind::File),
            ],
            vec![file("/h", FileKind::Whiteout), file("/new", FileKind::File)],
        ]);
        let hidden: Vec<String> = image
            .hidden()
            .iter()
            .map(|hidden| {
                let how = match hidden.how {
                    How::Removed(path) => format!("removed {path}"),
                    How::Replaced(_) => "replaced".to_owned(),
                };
                format!("{} {} {} {how}", hidden.layer, hidden.file.path, hidden.by)
            })
            .collect();
        assert_eq!(
            hidden,
            [
                "0 /d/a 1 removed /d",
                "0 /d/b 1 replaced",
                "0 /e 1 replaced",
                "0 /h 2 removed /h",
                "0 /o/x 1 removed /o",
                "0 /o/y 1 replaced",
                "1 /t 1 replaced",
            ]
        );
        let linked = image.linked();
        let link = &image.layers[0].table.files[5];
        assert_eq!(content_of(&linked, 0, link).path, "/e");
        assert_eq!(content_of(&linked, 1, link).path, "/h");
    }
}
