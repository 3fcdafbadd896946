//! `layer-anomaly`: a layer that may be read in two ways.

use crate::base::Timestamp;
use crate::facts::{FileFact, FileKind};
use crate::policy::rules::{lower, origin};
use crate::policy::{Found, Judged, Level, Rule};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "layer-anomaly",
    title: "A tar stream can lie to one extractor and not to another.",
    text: "Finds, in any layer, what one program that unpacks it takes so, and another otherwise: \
          a name with `..`, one that is no UTF-8 or too long; the same path twice; an entry \
          below what is no folder; a hard link to a path outside the layer; a whiteout of \
          nothing, or of what the same layer has; a size that PAX and the header tell \
          differently; an unknown type; data behind the end; a time in the future; owners above \
          2^31. Links to absolute paths are normal, those that lead above the root are not.\n\n\
          In the base, a whiteout of nothing is told one level lower: it hides nothing, and \
          nobody can take it out.\n\n\
          Build the image again with another builder, or pack its files anew.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let today = judged.facts.whole.today.as_deref();
    // What the layers below show.
    let mut below: BTreeMap<&str, &FileFact> = BTreeMap::new();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        let mut odd: Vec<(String, String, Level)> = layer
            .table
            .anomalies
            .iter()
            .map(|anomaly| (anomaly.path.clone(), anomaly.what.clone(), Level::Error))
            .collect();
        let files = &layer.table.files;
        let mut here: BTreeMap<&str, &FileFact> = BTreeMap::new();
        let mut whiteouts: BTreeSet<&str> = BTreeSet::new();
        for file in files {
            let path = file.path.as_str();
            match &file.kind {
                FileKind::Opaque => {}
                FileKind::Whiteout => {
                    if !whiteouts.insert(path) {
                        odd.push((path.into(), "it is removed twice".into(), Level::Error));
                    }
                }
                _ => {
                    let before = here.insert(path, file);
                    // A folder that is listed again as it was is only said twice.
                    if before.is_some_and(|old| file.kind != FileKind::Dir || old != file) {
                        odd.push((
                            path.into(),
                            "the path stands in the layer twice".into(),
                            Level::Error,
                        ));
                    }
                }
            }
            if file.uid > 1 << 31 || file.gid > 1 << 31 {
                let what = format!("its owner is {}:{}", file.uid, file.gid);
                odd.push((path.into(), what, Level::Error));
            }
        }
        for path in &whiteouts {
            if here.contains_key(path) {
                let what = "the layer removes it, and has it";
                odd.push(((*path).into(), what.into(), Level::Error));
            } else if !stands(&below, path) {
                let level = if judged.is_base(index) { lower(found) } else { Level::Error };
                odd.push((
                    (*path).into(),
                    "the layer removes what no layer below it has".into(),
                    level,
                ));
            }
        }
        // Entries of one folder follow each other: what is above them is looked at once.
        let mut last: Option<(&str, Option<String>)> = None;
        for file in files {
            let unlinked = linked_outside(file, &here);
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let what = match (&unlinked, &last) {
                (Some(_), _) => unlinked,
                (None, Some((known, what))) if *known == folder => what.clone(),
                _ => {
                    let what = misplaced(&file.path, &here, &below);
                    last = Some((folder, what.clone()));
                    what
                }
            };
            odd.extend(what.map(|what| (file.path.clone(), what, Level::Error)));
        }
        // Two days are for time zones and clocks that go wrong.
        let day = |time: i64| Timestamp::from_seconds(time - 2 * 86_400).to_string();
        let latest = files.iter().max_by_key(|file| file.mtime);
        if let (Some(today), Some(file)) = (today, latest)
            && day(file.mtime).get(..10) > Some(today)
        {
            odd.push((file.path.clone(), "its time is in the future".into(), Level::Error));
        }
        odd.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        odd.dedup();
        for (path, what, level) in odd {
            let finding = found
                .finding(format!("`{path}`: {what}"))
                .in_image(path.as_str(), Some(index))
                .help("programs may unpack this layer to different files: pack it anew");
            found.add_at(level, origin(finding, judged, index));
        }
        // What this layer shows to the next.
        for file in files {
            match &file.kind {
                FileKind::Whiteout => remove(&mut below, &file.path, true),
                FileKind::Opaque => remove(&mut below, &file.path, false),
                _ => {}
            }
        }
        below.extend(here);
    }
}

// A folder may stand there without an entry of its own.
fn stands(below: &BTreeMap<&str, &FileFact>, path: &str) -> bool {
    let inside = format!("{path}/");
    let next = below.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded)).next();
    below.contains_key(path) || next.is_some_and(|(next, _)| next.starts_with(&inside))
}

fn remove(below: &mut BTreeMap<&str, &FileFact>, path: &str, itself: bool) {
    if itself {
        below.remove(path);
    }
    let inside = if path == "/" { path.to_owned() } else { format!("{path}/") };
    let range = below.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded));
    let gone: Vec<String> = range
        .take_while(|(path, _)| path.starts_with(&inside))
        .map(|(path, _)| (*path).to_owned())
        .collect();
    for path in gone {
        below.remove(path.as_str());
    }
}

fn linked_outside(file: &FileFact, here: &BTreeMap<&str, &FileFact>) -> Option<String> {
    match &file.kind {
        FileKind::Hardlink(to) if !here.contains_key(to.as_str()) => {
            Some(format!("a hard link to `{to}`, which the layer does not have"))
        }
        _ => None,
    }
}

// What is wrong with the place of an entry, given what its layer and those below have: the same for all
// entries of a folder.
fn misplaced(
    path: &str,
    here: &BTreeMap<&str, &FileFact>,
    below: &BTreeMap<&str, &FileFact>,
) -> Option<String> {
    for (depth, (at, _)) in path.match_indices('/').skip(1).enumerate() {
        let above = &path[..at];
        match (here.get(above), below.get(above)) {
            (Some(above), _) if above.kind != FileKind::Dir => {
                return Some(format!("it lies below `{}`, which is no folder", above.path));
            }
            (None, Some(above)) => match &above.kind {
                FileKind::Symlink(to) if climbs(to, depth) => {
                    return Some(format!(
                        "it lies below the link `{}`, which leads out",
                        above.path
                    ));
                }
                FileKind::Symlink(_) | FileKind::Dir => {}
                _ => return Some(format!("it lies below `{}`, which is no folder", above.path)),
            },
            _ => {}
        }
    }
    None
}

// Whether the text of a link in a folder of this depth goes above the root.
fn climbs(to: &str, depth: usize) -> bool {
    let mut depth = if to.starts_with('/') { 0 } else { depth };
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}
