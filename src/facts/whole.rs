//! What is true of a finished image besides what its layers hold: whether bytes are what digests
//! name, what lies beside it, how much of it nobody sees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{FileKind, ImageFacts, Origin};

/// The image as a whole.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// Where bytes are not what names them.
    pub mismatches: Vec<Mismatch>,
    /// The documents could not be believed: nothing else is known of the image.
    pub broken: bool,
    /// Blobs that nothing names; `None` where nobody can list them.
    pub orphans: Option<Vec<Orphan>>,
    /// Digests that documents name: of what, of which layer, and the digest in hex.
    pub digests: Vec<(&'static str, Option<usize>, String)>,
    /// Bytes of each layer as it is stored, from the bottom; empty where that is not known.
    pub packed: Vec<u64>,
    /// What lies beside the image; `None` where nobody looked.
    pub beside: Option<Beside>,
    /// Bytes, as stored, of the image that it is compared with.
    pub before: Option<u64>,
    /// Names by which whoever asks knows the image; not those that it gives itself.
    pub names: Vec<String>,
    /// Today, `YYYY-MM-DD`, for what grows old.
    pub today: Option<String>,
}

/// Bytes that are not what names them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mismatch {
    /// The layer, if it is one.
    pub layer: Option<usize>,
    /// What it is: a path of the layout, `config`, `manifest`.
    pub place: String,
    /// What was wanted and found.
    pub why: String,
}

/// A blob that nothing names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orphan {
    /// Its path in the layout or archive.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What it looks like: `tar`, `json`, `data`.
    pub form: &'static str,
    /// Programs in it, if it is a layer; the first few.
    pub programs: Vec<String>,
}

/// What lies beside an image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// What is said of the image.
    pub attestations: Vec<Attestation>,
    /// Who has signed it.
    pub signatures: Vec<Signature>,
    /// The paths that its SBOM names; `None` if it names no files at all.
    pub sbom_files: Option<Vec<String>>,
}

/// A statement about an image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attestation {
    /// `sbom`, `provenance`, `scan`, or the type that it names.
    pub kind: String,
    /// Of an SBOM `spdx` or `cyclonedx`; `None` where that is not known.
    pub format: Option<String>,
    /// When it was made, `YYYY-MM-DD…`.
    pub time: Option<String>,
    /// What it lacks.
    pub lacks: Vec<String>,
}

/// A signature of an image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// The name of the key; empty if it is not known.
    pub key: String,
    /// Whether it holds.
    pub verified: bool,
}

/// Bytes that are shipped and not seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Waste {
    /// Bytes that are seen, of all: 1 is best.
    pub efficiency: f64,
    /// Bytes of the paths that occur in more than one layer.
    pub wasted: u64,
    /// The paths with the most of them, largest first: bytes, path, last layer.
    pub worst: Vec<(u64, String, usize)>,
}

/// Paths that are told of.
const WORST: usize = 10;

#[derive(Default)]
struct Seen {
    sum: u64,
    least: u64,
    times: usize,
    last: usize,
    ours: bool,
}

impl ImageFacts {
    /// Adds up what is shipped and not seen, as dive does (`filetree/efficiency.go`): for each path
    /// the sizes in all layers, 0 where a layer removes it, and the smallest of them. Unlike there,
    /// who removes a folder removes each file in it. `ignored` leaves paths out; with `own`, only
    /// paths count that a layer of the build has.
    ///
    /// Costs one pass over all rows.
    pub fn waste(&self, ignored: &dyn Fn(&str) -> bool, own: bool) -> Waste {
        let mut paths: BTreeMap<&str, Seen> = BTreeMap::new();
        // Files that are visible below the layer that is looked at.
        let mut below: BTreeSet<&str> = BTreeSet::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let ours = layer.origin != Origin::Base;
            let mut add = |path, size: u64| {
                let seen = paths.entry(path).or_insert(Seen { least: u64::MAX, ..Seen::default() });
                seen.sum = seen.sum.saturating_add(size);
                seen.least = seen.least.min(size);
                seen.times += 1;
                seen.last = index;
                seen.ours |= ours;
            };
            let files = || layer.table.files.iter();
            let here: BTreeSet<&str> = files()
                .filter(|file| !matches!(file.kind, FileKind::Whiteout | FileKind::Opaque))
                .map(|file| file.path.as_str())
                .collect();
            for file in files() {
                let path = file.path.as_str();
                match &file.kind {
                    FileKind::Whiteout | FileKind::Opaque => {
                        for hidden in under(&below, path) {
                            below.remove(hidden);
                            // What the layer has itself is replaced, and counted as that.
                            if !here.contains(hidden) {
                                add(hidden, 0);
                            }
                        }
                    }
                    FileKind::File => add(path, file.size),
                    FileKind::Dir => {}
                    _ => add(path, 0),
                }
            }
            below.extend(
                files().filter(|file| file.kind == FileKind::File).map(|f| f.path.as_str()),
            );
        }
        let counted = paths.iter().filter(|(path, seen)| (!own || seen.ours) && !ignored(path));
        let (mut least, mut sum, mut out) = (0u64, 0u64, Waste::default());
        for (path, seen) in counted {
            least = least.saturating_add(seen.least);
            sum = sum.saturating_add(seen.sum);
            if seen.times > 1 && seen.sum > 0 {
                out.wasted = out.wasted.saturating_add(seen.sum);
                out.worst.push((seen.sum, (*path).to_owned(), seen.last));
            }
        }
        out.efficiency = if sum == 0 { 1.0 } else { least as f64 / sum as f64 };
        out.worst.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        out.worst.truncate(WORST);
        out
    }

    /// Bytes of the files of a layer.
    pub fn layer_size(&self, layer: usize) -> u64 {
        self.layers.get(layer).map_or(0, |facts| {
            facts.table.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
        })
    }
}

// The path and all below it.
fn under<'a>(all: &BTreeSet<&'a str>, path: &str) -> Vec<&'a str> {
    let prefix = format!("{path}/");
    let own = all.get(path).copied();
    let rest = all.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
    own.into_iter().chain(rest.copied().take_while(|path| path.starts_with(&prefix))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ImagePath, Platform};
    use crate::facts::{LayerFacts, Needles, TableObserver};
    use crate::image::Config;
    use crate::layer::{Entry, EntryKind, Observer};

    fn check(layers: &[&[(&str, u64)]], own: bool, want: (f64, u64)) {
        let layers = layers
            .iter()
            .enumerate()
            .map(|(index, files)| {
                let mut table = TableObserver::new();
                for (path, size) in *files {
                    let kind = match path.chars().next() {
                        Some('-') => EntryKind::Whiteout,
                        Some('=') => EntryKind::Opaque,
                        _ => EntryKind::File { size: *size },
                    };
                    let path = path.trim_start_matches(['-', '=']);
                    let path = ImagePath::from_entry(path.as_bytes()).unwrap();
                    table.entry(&Entry::new(path, kind, 0o644));
                    table.end();
                }
                let origin = if index == 0 { Origin::Base } else { Origin::Foreign(String::new()) };
                LayerFacts {
                    table: table.finish().into(),
                    origin,
                    leaks: Default::default(),
                    steps: BTreeMap::new(),
                }
            })
            .collect();
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        let facts = ImageFacts::new(config, layers, &BTreeMap::new(), &Needles::default());
        let waste = facts.waste(&|path| path.starts_with("/ignored/"), own);
        assert_eq!((waste.efficiency, waste.wasted), want, "{waste:?}");
    }

    #[test]
    fn waste_is_counted_by_path() {
        check(&[&[("/a", 100)], &[("/b", 100)]], false, (1.0, 0));
        check(&[&[("/a", 100)], &[("/a", 100)]], false, (0.5, 200));
        check(&[&[("/a", 100)], &[("/a", 300)]], false, (0.25, 400));
        // A file that is removed, a folder that is, an opaque one that keeps a path.
        check(&[&[("/a", 100), ("/k", 100)], &[("-/a", 0)]], false, (0.5, 100));
        check(&[&[("/d/a", 60), ("/d/b", 40), ("/k", 100)], &[("-/d", 0)]], false, (0.5, 100));
        check(
            &[&[("/d/a", 60), ("/d/b", 40)], &[("=/d", 0), ("/d/a", 60)]],
            false,
            (60.0 / 160.0, 160),
        );
        // Removed and made again; removed twice is removed once.
        check(&[&[("/a", 100)], &[("-/a", 0)], &[("/a", 100)], &[("-/x", 0)]], false, (0.0, 200));
        check(&[&[("/ignored/a", 9)], &[("/ignored/a", 9)]], false, (1.0, 0));
        check(&[&[("/a", 100)], &[("/b", 1)], &[("/b", 3)]], true, (0.25, 4));
        check(&[], false, (1.0, 0));
    }
}
