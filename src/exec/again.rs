//! Running a step a second time (`--verify`), and what came out otherwise.

use std::collections::BTreeMap;
use std::io::Read;

use super::{Cause, Failure, Times};
use crate::base::ImagePath;
use crate::facts::{Varies, Varying};
use crate::layer::{Entry, EntryKind};
use crate::rootfs::Change;

/// Files that are named; more are not.
const MOST: usize = 100;

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// Returns what two runs of a step have left otherwise, and how much it is in all.
pub(super) fn varying(
    first: &[Change],
    second: &[Change],
    times: Times,
) -> Result<(Vec<Varying>, usize), Failure> {
    let mut others: BTreeMap<&ImagePath, &Change> =
        second.iter().map(|change| (&change.entry.path, change)).collect();
    let mut found: BTreeMap<&ImagePath, Varies> = BTreeMap::new();
    for change in first {
        let path = &change.entry.path;
        let how = match others.remove(path) {
            None => Some(Varies::Name),
            Some(other) => differ(change, other, times)?,
        };
        if let Some(how) = how {
            found.insert(path, how);
        }
    }
    found.extend(others.into_keys().map(|path| (path, Varies::Name)));
    let all = found.len();
    let named = found.into_iter().take(MOST);
    let named = named.map(|(path, how)| Varying { path: path.display().into_owned(), how });
    Ok((named.collect(), all))
}

fn differ(one: &Change, other: &Change, times: Times) -> Result<Option<Varies>, Failure> {
    let meta = |entry: &Entry| {
        let kind = match &entry.kind {
            EntryKind::File { .. } => None,
            kind => Some(kind.clone()),
        };
        (kind, entry.mode, entry.uid, entry.gid, entry.xattrs.clone())
    };
    if meta(&one.entry) != meta(&other.entry) {
        return Ok(Some(Varies::Attributes));
    }
    if one.entry.kind != other.entry.kind || !same_content(one, other)? {
        return Ok(Some(Varies::Content));
    }
    // Where all files get one time, theirs is not kept.
    let kept = matches!(times, Times::Preserve(_)) && one.entry.mtime != other.entry.mtime;
    Ok(kept.then_some(Varies::Time))
}

fn same_content(one: &Change, other: &Change) -> Result<bool, Failure> {
    if !matches!(one.entry.kind, EntryKind::File { .. }) {
        return Ok(true);
    }
    let failed = |error: std::io::Error| {
        let text = format!("cannot read `{}` again: {error}", one.entry.path.display());
        Failure::new(Cause::Internal, "tree", text)
    };
    let (mut one, mut other) = (one.content.open()?, other.content.open()?);
    let (mut left, mut right) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PIECE as u64).read_to_end(&mut left).map_err(failed)?;
        other.by_ref().take(PIECE as u64).read_to_end(&mut right).map_err(failed)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::rootfs::Content;

    fn file(path: &str, text: &str, mode: u32) -> Change {
        let path = ImagePath::from_entry(path.as_bytes()).unwrap();
        let entry = Entry::new(path, EntryKind::File { size: text.len() as u64 }, mode);
        Change { entry, content: Content::Bytes(text.as_bytes().to_vec().into()) }
    }

    #[test]
    fn what_came_out_otherwise_is_told_with_its_kind() {
        let first = [
            file("/same", "x", 0o644),
            file("/stamp", "1", 0o644),
            file("/longer", "1", 0o644),
            file("/mode", "x", 0o644),
            file("/log.7", "", 0o644),
        ];
        let second = [
            file("/same", "x", 0o644),
            file("/stamp", "2", 0o644),
            file("/longer", "12", 0o644),
            file("/mode", "x", 0o600),
            file("/log.9", "", 0o644),
        ];
        let times = Times::Fixed(Timestamp::from_seconds(0));
        let (found, all) = varying(&first, &second, times).unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.how)).collect();
        assert_eq!(
            told,
            [
                ("/log.7", Varies::Name),
                ("/log.9", Varies::Name),
                ("/longer", Varies::Content),
                ("/mode", Varies::Attributes),
                ("/stamp", Varies::Content),
            ]
        );
        assert_eq!(all, found.len());
        assert_eq!(varying(&first, &first, times).unwrap(), (Vec::new(), 0));
        let many: Vec<_> = (0..MOST + 7).map(|at| file(&format!("/{at}"), "", 0o644)).collect();
        let (named, all) = varying(&many, &[], times).unwrap();
        assert_eq!((named.len(), all), (MOST, MOST + 7), "few are named, all are counted");
    }
}
