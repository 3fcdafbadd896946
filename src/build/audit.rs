//! A finished image, looked at in one pass: each layer is streamed once, past all that wants to see
//! it, and its bytes are checked against what names them on the way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read};
use std::sync::Arc;

use super::papers;
use crate::base::{Blob, Diff, Digest, Hasher};
use crate::facts::{
    FileKind, ImageFacts, LayerFacts, LayerTable, Leak, LeakScan, Mismatch, Needles, Origin,
    Orphan, TableObserver, Whole,
};
use crate::image::{Config, DocumentError};
use crate::input::{BaseError, Finished, FinishedLayer};
use crate::layer::{self, Bounds, DiffReader, Format, Observer, Reader, decompress, observe};

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

/// Looks at an image. What does not match its digest is among the facts; an error is about what could
/// not be had at all.
pub fn look(image: &Finished<'_>, known: &Known) -> Result<ImageFacts, BaseError> {
    look_within(ROOM, image, known)
}

fn look_within(
    mut room: u64,
    image: &Finished<'_>,
    known: &Known,
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
    let mut read: BTreeMap<(&str, Option<u8>), Seen> = BTreeMap::new();
    let made: Vec<String> = image
        .config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer)
        .map(|entry| entry.created_by.clone().unwrap_or_default())
        .collect();
    for (index, layer) in image.layers.iter().enumerate() {
        // What is claimed to be compressed otherwise is read anew.
        let seen = match read.entry((layer.path(), layer.format.map(|format| format as u8))) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(place) => {
                let mut pass = Pass::new(&known.needles, room);
                match image.layer(index, &mut |source| pass.run(source, layer.format)) {
                    Ok(()) => {}
                    // Told below, by who has counted the bytes.
                    Err(error) if error.is_mismatch() => {}
                    Err(error) => return Err(error),
                }
                place.insert(pass.end())
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

/// One layer as it streams by.
struct Pass {
    table: TableObserver,
    leaks: LeakScan,
    // What was found, once it was read.
    blob: (Digest<Blob>, u64),
    content: Result<Digest<Diff>, String>,
    failed: Option<String>,
}

/// A layer that was read.
struct Seen {
    table: Arc<LayerTable>,
    leaks: Arc<[Leak]>,
    cost: u64,
    blob: (Digest<Blob>, u64),
    content: Result<Digest<Diff>, String>,
    failed: Option<String>,
}

impl Seen {
    // What is not as this mention of the layer claims.
    fn wrong(&self, layer: &FinishedLayer) -> Option<String> {
        if let Some(failed) = &self.failed {
            return Some(format!("it cannot be read to its end: {failed}"));
        }
        let (found, size) = self.blob;
        match (layer.blob.filter(|wanted| *wanted != self.blob), &self.content) {
            (Some((digest, wanted)), _) => {
                Some(format!("wanted {digest} of {wanted} bytes, found {found} of {size}"))
            }
            (None, Err(error)) => Some(format!("it is no layer: {error}")),
            (None, Ok(diff)) if *diff != layer.diff => {
                Some(format!("its content is {diff}, the config says {}", layer.diff))
            }
            (None, Ok(_)) => None,
        }
    }
}

// Counts and hashes what is read.
struct Checked<R> {
    source: R,
    hasher: Hasher,
    size: u64,
    failed: Option<String>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(error.to_string());
            }
        })?;
        self.hasher.update(&buffer[..got]);
        self.size += got as u64;
        Ok(got)
    }
}

impl Pass {
    fn new(needles: &Needles, room: u64) -> Self {
        Pass {
            table: TableObserver::within(room),
            leaks: LeakScan::new(needles.clone()),
            blob: (Hasher::new().finish(), 0),
            content: Err("it was not read".into()),
            failed: None,
        }
    }

    fn run(&mut self, source: &mut (dyn Read + Send), format: Option<Format>) {
        let mut checked = Checked { source, hasher: Hasher::new(), size: 0, failed: None };
        self.content = self.inside(&mut checked, format).map_err(|error| error.to_string());
        // To the end, whatever was found: the digest is of all bytes.
        let rest = io::copy(&mut checked, &mut io::sink());
        self.failed = checked.failed;
        if rest.is_err() {
            self.failed.get_or_insert_with(|| "an error".into());
        }
        self.blob = (checked.hasher.finish(), checked.size);
    }

    fn end(self) -> Seen {
        let leaks = self.leaks.finish();
        let found = leaks.iter().map(|leak| (leak.path.len() + leak.secret.len()) as u64);
        Seen {
            cost: self.table.cost() + found.sum::<u64>(),
            table: Arc::new(self.table.finish()),
            leaks: leaks.into(),
            blob: self.blob,
            content: self.content,
            failed: self.failed,
        }
    }

    fn inside<R: Read + Send>(
        &mut self,
        source: &mut R,
        format: Option<Format>,
    ) -> Result<Digest<crate::base::Diff>, layer::Error> {
        // Without a claim the first bytes say what it is.
        let mut start = Vec::new();
        if format.is_none() {
            (&mut *source).take(4).read_to_end(&mut start)?;
        }
        let format = format.unwrap_or_else(|| Format::sniff(&start));
        let source = io::Cursor::new(start).chain(source);
        let plain = decompress(source, format, Bounds::default())?;
        let reader = Reader::audit(DiffReader::new(plain), layer::Limits::default());
        let read = observe(reader, &mut [&mut self.table, &mut self.leaks])?;
        read.finish().map(|(diff, _)| diff)
    }
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
    let mut table = TableObserver::within(ROOM / 8);
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
    use super::*;
    use crate::base::Platform;
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

    // Looks at an image of these layers, whose bytes are among `blobs`.
    fn seen(room: u64, layers: &[LayerRef], blobs: &[Vec<u8>]) -> Result<ImageFacts, BaseError> {
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
        let image = Finished::open(&source, &Platform::host(), None)?;
        look_within(room, &image, &Known::default())
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

    #[test]
    fn layers_without_end_are_refused() {
        assert!(few(LAYERS).is_ok());
        let error = few(LAYERS + 1).unwrap_err();
        assert!(crate::diag::chain(&error).contains("1001 layers; more than 1000"), "{error}");
    }
}
