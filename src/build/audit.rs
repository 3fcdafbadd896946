//! A finished image, looked at in one pass: each layer is streamed once, past all that wants to see
//! it, and its bytes are checked against what names them on the way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read};
use std::sync::Arc;

use super::ahead::{self, name};
use super::papers;
use super::pass::{Seen, Way};
use crate::facts::{
    Budget, FileKind, ImageFacts, LayerFacts, Mismatch, Needles, Origin, Orphan, TableObserver,
    Whole,
};
use crate::image::{Config, DocumentError};
use crate::input::{BaseError, Finished};
use crate::layer::{self, Bounds, Format, Observer, Reader, decompress};

/// What an image alone cannot tell.
#[derive(Clone, Default)]
pub struct Known {
    /// How many layers, from the bottom, are of the base.
    pub base_layers: usize,
    /// Secrets to search for.
    pub needles: Needles,
    /// Kinds of attestations that are there, an SBOM with its form (`sbom:spdx`); `None` to look.
    pub attestations: Option<Vec<String>>,
    /// Names of keys, and whether their signature holds; `None` to look.
    pub signatures: Option<Vec<(String, bool)>>,
    /// The paths that the SBOM names; `None` to look.
    pub sbom_files: Option<Vec<String>>,
    /// Public keys that count, by name, as PEM.
    pub keys: Vec<(String, String)>,
    /// Bytes, as stored, of the image that this one is compared with.
    pub before: Option<u64>,
    /// Today, `YYYY-MM-DD`.
    pub today: Option<String>,
    /// Names by which whoever asks knows the image.
    pub names: Vec<String>,
}

/// Layers of an image that are looked at; overlay mounts of Linux take 500.
const LAYERS: usize = 1000;

/// What the tables of all layers may cost ([`TableObserver::cost`]): some two million files. A layer
/// counts as often as it stands in the image, since rules look at each.
const ROOM: u64 = 2 << 30;

fn few(layers: usize) -> Result<(), BaseError> {
    if layers <= LAYERS {
        return Ok(());
    }
    Err(too_large(format!("it has {layers} layers; more than {LAYERS} are not looked at")))
}

fn too_large(why: String) -> BaseError {
    BaseError::Document { name: "image".into(), error: DocumentError::new("manifest", why) }
}

/// Looks at an image, at as many layers at once as there are jobs, which changes no fact. What does not
/// match its digest is among the facts; an error is about what could not be had at all.
pub fn look(image: &Finished<'_>, known: &Known, jobs: usize) -> Result<ImageFacts, BaseError> {
    look_within(ROOM, image, known, jobs)
}

fn look_within(
    mut room: u64,
    image: &Finished<'_>,
    known: &Known,
    jobs: usize,
) -> Result<ImageFacts, BaseError> {
    few(image.layers.len())?;
    let mut whole = Whole {
        today: known.today.clone(),
        before: known.before,
        names: known.names.clone(),
        ..Whole::default()
    };
    let mut layers = Vec::with_capacity(image.layers.len());
    // A layer may stand in an image a thousand times; it is read once.
    let mut read = BTreeMap::new();
    let mut ahead = ahead::read(image, &known.needles, room, jobs);
    let made: Vec<String> = image
        .config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer)
        .map(|entry| entry.created_by.clone().unwrap_or_default())
        .collect();
    for (index, layer) in image.layers.iter().enumerate() {
        let seen: &mut Seen = match read.entry(name(layer)) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(place) => {
                let in_its_turn = || {
                    let way = Way {
                        needles: &known.needles,
                        budget: Arc::new(Budget::new(room)),
                        bounds: Bounds::default(),
                        apart: jobs > 1,
                        gives_up: false,
                        again: false,
                    };
                    Seen::of(image, index, &way)
                };
                let seen = ahead.remove(place.key()).unwrap_or_else(in_its_turn)?;
                place.insert(seen)
            }
        };
        room = room.checked_sub(seen.cost).ok_or_else(|| {
            too_large(format!(
                "layer {index} holds more files than are looked at in one image, {} layers in all",
                image.layers.len()
            ))
        })?;
        // Each of them is checked against its own claims.
        whole.mismatches.extend(seen.wrong(layer).map(|why| Mismatch {
            layer: Some(index),
            place: layer.path().to_owned(),
            why,
        }));
        whole.packed.push(seen.blob.1);
        let origin = match index < known.base_layers {
            true => Origin::Base,
            false => Origin::Foreign(made.get(index).cloned().unwrap_or_default()),
        };
        let (table, leaks) = (Arc::clone(&seen.table), Arc::clone(&seen.leaks));
        layers.push(LayerFacts { table, origin, leaks, steps: BTreeMap::new() });
    }
    whole.digests = digests(image);
    whole.orphans = orphans(image)?;
    let beside = papers::read(image, known)?;
    whole.mismatches.extend(beside.mismatches);
    whole.beside = beside.facts;
    let mut facts =
        ImageFacts::new(image.config.clone(), layers, &image.annotations, &known.needles);
    facts.whole = whole;
    Ok(facts)
}

/// Returns the facts of an image whose documents are not what names them: that, and nothing else.
pub fn broken(place: &str, why: &str) -> ImageFacts {
    let config = Config::empty(&crate::base::Platform::host());
    let mut facts = ImageFacts::new(config, Vec::new(), &BTreeMap::new(), &Needles::default());
    facts.whole.broken = true;
    facts.whole.mismatches =
        vec![Mismatch { layer: None, place: place.to_owned(), why: why.to_owned() }];
    facts
}

fn digests(image: &Finished<'_>) -> Vec<(&'static str, Option<usize>, String)> {
    let mut all = vec![("config", None, image.config_digest.hex())];
    all.extend(image.digest.map(|digest| ("manifest", None, digest.hex())));
    for (index, layer) in image.layers.iter().enumerate() {
        all.push(("layer's content", Some(index), layer.diff.hex()));
        all.extend(layer.blob.map(|(digest, _)| ("layer", Some(index), digest.hex())));
    }
    all
}

/// Blobs that nothing names, and programs of one of them, that are told.
const TOLD: usize = 20;

fn orphans(image: &Finished<'_>) -> Result<Option<Vec<Orphan>>, BaseError> {
    let Some(list) = image.orphans()? else { return Ok(None) };
    let look = |(index, (path, size)): (usize, (String, u64))| {
        // Of thousands, a look into each is not worth its time.
        let opened = (index < TOLD).then(|| image.stray(&path)).flatten();
        let (form, programs) = opened.map_or(("data", Vec::new()), inside_of);
        Orphan { path, size, form, programs }
    };
    Ok(Some(list.into_iter().enumerate().map(look).collect()))
}

// What a blob looks like; of a layer, the programs in it.
fn inside_of(mut source: Box<dyn Read + Send>) -> (&'static str, Vec<String>) {
    let mut start = Vec::new();
    if (&mut source).take(512).read_to_end(&mut start).is_err() {
        return ("data", Vec::new());
    }
    let format = Format::sniff(&start);
    if format == Format::Plain && start.trim_ascii_start().starts_with(b"{") {
        return ("json", Vec::new());
    }
    let whole = io::Cursor::new(start).chain(source);
    let Ok(plain) = decompress(whole, format, Bounds::default()) else {
        return ("data", Vec::new());
    };
    let mut reader = Reader::audit(plain, layer::Limits::default());
    let mut table = TableObserver::within(&Arc::new(Budget::new(ROOM / 8)));
    let mut found = false;
    while !table.is_full()
        && let Ok(Some(entry)) = reader.next_entry()
    {
        found = true;
        table.entry(&entry);
        table.end();
    }
    if !found {
        return ("data", Vec::new());
    }
    let table = table.finish();
    let programs = table.files.iter().filter(|file| file.kind == FileKind::File);
    let programs = programs.filter(|file| file.mode & 0o111 != 0).map(|file| file.path.clone());
    ("tar", programs.take(TOLD).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::base::{Blob, Digest, Platform};
    use crate::image::{Descriptor, Image, Index, LayerKind, LayerRef, Selector};
    use crate::input::FinishedSource;

    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

    fn layer(names: &[&str]) -> (LayerRef, Vec<u8>) {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_size(name.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, name.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let (kind, diff) = (LayerKind::of(TAR).unwrap(), Digest::of(&bytes));
        (LayerRef { descriptor: Descriptor::of(TAR, &bytes), kind, diff }, bytes)
    }

    // Opens an image of these layers, whose bytes are among `blobs`.
    fn with<T>(
        layers: &[LayerRef],
        blobs: &[Vec<u8>],
        look: impl FnOnce(&Finished<'_>) -> T,
    ) -> Result<T, BaseError> {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::empty(&Platform::host());
        let image = Image::write(config, layers.to_vec(), &[]);
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        write("index.json", &Index::new(vec![image.descriptor()]).to_bytes());
        let all = blobs.iter().chain([&image.config_bytes, &image.manifest_bytes]);
        for bytes in all {
            write(&format!("blobs/sha256/{}", Digest::<Blob>::of(bytes).hex()), bytes);
        }
        let source = FinishedSource::Folder(folder.path().to_owned(), Selector::Only);
        Finished::open(&source, &Platform::host(), None).map(|image| look(&image))
    }

    fn seen(room: u64, layers: &[LayerRef], blobs: &[Vec<u8>]) -> Result<ImageFacts, BaseError> {
        with(layers, blobs, |image| look_within(room, image, &Known::default(), 1))?
    }

    #[test]
    fn a_layer_that_is_named_a_thousand_times_has_one_table() {
        let (one, bytes) = layer(&["a", "b"]);
        let facts = seen(ROOM, &vec![one; LAYERS], &[bytes]).unwrap();
        let table = &facts.layers[0].table;
        assert_eq!((facts.layers.len(), table.files.len()), (LAYERS, 2));
        // Each layer has it, and nobody else: there is no other.
        assert!(facts.layers.iter().all(|layer| Arc::ptr_eq(&layer.table, table)));
        assert_eq!(Arc::strong_count(table), LAYERS);
        assert!(facts.whole.mismatches.is_empty() && facts.whole.packed.len() == LAYERS);
    }

    #[test]
    fn each_mention_of_a_layer_is_checked() {
        let (good, bytes) = layer(&["a"]);
        let mut other = good.clone();
        other.diff = Digest::of(b"other");
        let mut larger = good.clone();
        larger.descriptor.size = u64::MAX;
        let facts = seen(ROOM, &[good.clone(), other, good, larger], &[bytes]).unwrap();
        let wrong: Vec<_> = facts.whole.mismatches.iter().map(|wrong| wrong.layer).collect();
        assert_eq!(wrong, [Some(1), Some(3)], "{:?}", facts.whole.mismatches);
        assert_eq!(facts.whole.packed, [facts.whole.packed[0]; 4]);
    }

    #[test]
    fn tables_of_an_image_have_a_limit() {
        let ((one, first), (two, second)) = (layer(&["a", "b"]), layer(&["c"]));
        let blobs = [first, second];
        let least = |layers: &[LayerRef]| {
            let fits = |room: &u64| seen(*room, layers, &blobs).is_ok();
            let (mut low, mut high) = (0, 100_000);
            while low < high {
                let middle = (low + high) / 2;
                (low, high) = if fits(&middle) { (low, middle) } else { (middle + 1, high) };
            }
            low
        };
        let [a, b] = [&one, &two].map(|layer| least(std::slice::from_ref(layer)));
        assert!(a > b && b > 200, "{a} {b}");
        assert_eq!(least(&[one.clone(), two.clone()]), a + b);
        assert_eq!(least(&[one.clone(), one.clone(), two]), 2 * a + b, "each mention counts");
        let error = seen(a, &[one.clone(), one], &blobs).unwrap_err();
        let text = crate::diag::chain(&error);
        assert!(text.contains("layer 1 holds more files than are looked at"), "{text}");
    }

    // A layer of these bytes, said to be compressed like this.
    fn stored(media_type: &str, diff: &[u8], bytes: Vec<u8>) -> (LayerRef, Vec<u8>) {
        let (kind, diff) = (LayerKind::of(media_type).unwrap(), Digest::of(diff));
        (LayerRef { descriptor: Descriptor::of(media_type, &bytes), kind, diff }, bytes)
    }

    // Layers of all kinds, sound and not; the second is not there.
    fn kinds() -> Vec<(LayerRef, Vec<u8>)> {
        let gzip = |plain: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        };
        let names: Vec<String> = (0..30).map(|name| format!("d{}/f{name}", name % 7)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ((sound, one), (_, many)) = (layer(&["a", "b"]), layer(&names));
        let (gz, zst) = (format!("{TAR}+gzip"), format!("{TAR}+zstd"));
        let absent = layer(&["absent"]);
        let mut cut = gzip(&many);
        cut.truncate(cut.len() / 2);
        let mut flipped = gzip(&many);
        let checksum = flipped.len() - 8;
        flipped[checksum] ^= 1;
        // Nothing is wrong with it but its digest of what comes out, and that it asks for 32 MiB.
        let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
        wide.set_parameter(zstd::stream::raw::CParameter::WindowLog(25)).unwrap();
        wide.write_all(&many).unwrap();
        vec![
            (sound, one),
            absent,
            stored(&gz, &many, gzip(&many)),
            stored(&gz, &many, cut),
            stored(&gz, &many, flipped),
            stored(&zst, b"other", wide.finish().unwrap()),
        ]
    }

    #[test]
    fn how_many_layers_are_read_at_once_changes_nothing() {
        let kinds = kinds();
        let there = |kind: &usize| *kind != 1;
        let blobs: Vec<_> = (0..6).filter(there).map(|kind| kinds[kind].1.clone()).collect();
        // What one of the larger layers costs, less and more: all of them, one and a half, none.
        let rooms = [ROOM, 30_000, 1000];
        let mut told = std::collections::BTreeSet::new();
        for number in 0..6 * 6 * 6 {
            let of = [number / 36, number / 6 % 6, number % 6];
            let layers: Vec<_> = of.iter().map(|kind| kinds[*kind].0.clone()).collect();
            let (room, jobs) = (rooms[of.iter().sum::<usize>() % 3], 2 + (of[0] + 2 * of[1]) % 3);
            let check = |image: &Finished<'_>| {
                let look = |jobs| match look_within(room, image, &Known::default(), jobs) {
                    Ok(facts) => format!("{facts:?}"),
                    Err(error) => crate::diag::chain(&error),
                };
                let want = look(1);
                assert_eq!(look(jobs), want, "{of:?} {room} {jobs}");
                told.insert(want);
            };
            with(&layers, &blobs, check).unwrap();
        }
        for words in ["No such file", "layer 0 holds more files", "layer 2 holds", "is truncated"] {
            assert!(told.iter().any(|text| text.contains(words)), "{words}");
        }
    }

    #[test]
    fn what_is_read_ahead_has_no_gap_and_fits() {
        let kinds = kinds();
        let layers: Vec<_> = [0, 2, 4, 5, 3].map(|kind| kinds[kind].0.clone()).into();
        let blobs: Vec<_> = kinds.into_iter().map(|(_, bytes)| bytes).collect();
        let read = |room| {
            let known = Known::default();
            let look = |image: &Finished<'_>| {
                let read = ahead::read(image, &known.needles, room, 3);
                let there = image.layers.iter().map(|layer| read.contains_key(&name(layer)));
                let cost: u64 = read.values().flatten().map(|seen| seen.cost).sum();
                (there.collect::<Vec<_>>(), cost)
            };
            with(&layers, &blobs, look).unwrap()
        };
        let (there, all) = read(ROOM);
        assert_eq!(there, [true; 5]);
        for room in (0..2 * all + 1000).step_by(1000) {
            let (there, cost) = read(room);
            assert!(cost <= room / 2 && there.is_sorted_by(|a, b| a >= b), "{room} {there:?}");
            assert!(room < 2 * all || there == [true; 5], "{room} {all}");
        }
    }

    #[test]
    fn layers_without_end_are_refused() {
        assert!(few(LAYERS).is_ok());
        let error = few(LAYERS + 1).unwrap_err();
        assert!(crate::diag::chain(&error).contains("1001 layers; more than 1000"), "{error}");
    }
}
