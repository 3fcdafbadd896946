//! A finished image, looked at in one pass: each layer is streamed once, past all that wants to see
//! it, and its bytes are checked against what names them on the way.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::papers;
use crate::base::{Blob, Digest, Hasher};
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

fn few(layers: usize) -> Result<(), BaseError> {
    if layers <= LAYERS {
        return Ok(());
    }
    let why = format!("it has {layers} layers; more than {LAYERS} are not looked at");
    Err(BaseError::Document { name: "image".into(), error: DocumentError::new("manifest", why) })
}

/// Looks at an image. What does not match its digest is among the facts; an error is about what could
/// not be had at all.
pub fn look(image: &Finished<'_>, known: &Known) -> Result<ImageFacts, BaseError> {
    few(image.layers.len())?;
    let mut whole = Whole {
        today: known.today.clone(),
        before: known.before,
        names: known.names.clone(),
        ..Whole::default()
    };
    let mut layers = Vec::with_capacity(image.layers.len());
    // A layer may stand twice in an image; it is read once.
    let mut read: BTreeMap<String, (LayerTable, Vec<Leak>)> = BTreeMap::new();
    let made: Vec<String> = image
        .config
        .history
        .iter()
        .filter(|entry| !entry.empty_layer)
        .map(|entry| entry.created_by.clone().unwrap_or_default())
        .collect();
    for (index, layer) in image.layers.iter().enumerate() {
        let (table, leaks) = match read.get(layer.path()) {
            Some(seen) => seen.clone(),
            None => {
                let mut pass = Pass::new(&known.needles);
                match image.layer(index, &mut |source| pass.run(source, layer)) {
                    Ok(()) => {}
                    // Told below, by who has counted the bytes.
                    Err(error) if error.is_mismatch() => {}
                    Err(error) => return Err(error),
                }
                whole.packed.push(pass.size);
                whole.mismatches.extend(pass.why.map(|why| Mismatch {
                    layer: Some(index),
                    place: layer.path().to_owned(),
                    why,
                }));
                let seen = (pass.table.finish(), pass.leaks.finish());
                read.insert(layer.path().to_owned(), seen.clone());
                seen
            }
        };
        if whole.packed.len() == index {
            whole.packed.push(layer.blob.map_or(0, |(_, size)| size));
        }
        let origin = match index < known.base_layers {
            true => Origin::Base,
            false => Origin::Foreign(made.get(index).cloned().unwrap_or_default()),
        };
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
    size: u64,
    why: Option<String>,
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
    fn new(needles: &Needles) -> Self {
        let leaks = LeakScan::new(needles.clone());
        Pass { table: TableObserver::new(), leaks, size: 0, why: None }
    }

    fn run(&mut self, source: &mut (dyn Read + Send), layer: &FinishedLayer) {
        let mut checked = Checked { source, hasher: Hasher::new(), size: 0, failed: None };
        let inside = self.inside(&mut checked, layer.format);
        // To the end, whatever was found: the digest is of all bytes.
        let rest = io::copy(&mut checked, &mut io::sink());
        self.size = checked.size;
        let found: Digest<Blob> = checked.hasher.finish();
        let wrong = layer.blob.filter(|wanted| *wanted != (found, checked.size));
        self.why = match (wrong, inside) {
            _ if rest.is_err() || checked.failed.is_some() => Some(format!(
                "it cannot be read to its end: {}",
                checked.failed.unwrap_or_else(|| "an error".into())
            )),
            (Some((digest, size)), _) => {
                Some(format!("wanted {digest} of {size} bytes, found {found} of {}", checked.size))
            }
            (None, Err(error)) => Some(format!("it is no layer: {error}")),
            (None, Ok(diff)) if diff != layer.diff => {
                Some(format!("its content is {diff}, the config says {}", layer.diff))
            }
            (None, Ok(_)) => None,
        };
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
    let mut table = TableObserver::new();
    let mut found = false;
    while let Ok(Some(entry)) = reader.next_entry() {
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

    #[test]
    fn layers_without_end_are_refused() {
        assert!(few(LAYERS).is_ok());
        let error = few(LAYERS + 1).unwrap_err();
        assert!(crate::diag::chain(&error).contains("1001 layers; more than 1000"), "{error}");
    }
}
