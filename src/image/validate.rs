//! Checks a whole image, layers included: for tests, and for what was written before it is shown.

use std::io::{self, Read};

use super::{CONFIG, Image, LayerKind, Manifest};
use crate::base::{Blob, Digest, Hasher};
use crate::layer::{Bounds, DiffReader, decompress};

/// Something that is not as the specification or the image's own documents say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub String);

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the documents against each other: what every image has to pass before it leaves. Reads
/// no layer. An empty list says that all is well.
pub fn validate_documents(image: &Image) -> Vec<Problem> {
    let mut problems = Vec::new();
    documents(image, &mut problems);
    problems
}

/// Checks documents against each other and each layer's bytes, which `open` gives: size, digest,
/// compression and diff id; and the history's count of layers. Reads every layer once.
///
/// An empty list says that all is well.
pub fn validate(
    image: &Image,
    mut open: impl FnMut(Digest<Blob>) -> io::Result<Box<dyn Read + Send>>,
) -> Vec<Problem> {
    let mut problems = validate_documents(image);
    let mut tell = |text: String| problems.push(Problem(text));
    for (number, layer) in image.layers.iter().enumerate() {
        let digest = layer.descriptor.digest;
        let mut tell = |text: String| tell(format!("layer {number} ({}): {text}", digest.short()));
        match blob(open(digest), digest, layer.descriptor.size) {
            Err(why) => {
                tell(why);
                continue;
            }
            Ok(kind) if kind != layer.kind => {
                tell(format!("is {}, its media type says {}", kind.name(), layer.kind.name()));
                continue;
            }
            Ok(_) => {}
        }
        let diff = open(digest)
            .map_err(|error| error.to_string())
            .and_then(|source| {
                decompress(source, layer.kind.into(), Bounds::default())
                    .map_err(|error| error.to_string())
            })
            .and_then(|source| {
                let mut source = DiffReader::new(source);
                io::copy(&mut source, &mut io::sink()).map_err(|error| error.to_string())?;
                source.finish().map_err(|error| error.to_string())
            });
        match diff {
            Err(error) => tell(error),
            Ok((found, _)) if found != layer.diff => {
                tell(format!("its diff id is {found}, the config says {}", layer.diff));
            }
            Ok(_) => {}
        }
    }
    problems
}

fn documents(image: &Image, problems: &mut Vec<Problem>) {
    let mut tell = |text: String| problems.push(Problem(text));
    match Manifest::parse(&image.manifest_bytes) {
        Ok(manifest) if manifest != image.manifest => {
            tell("the manifest's bytes say otherwise".into())
        }
        Err(error) => tell(error.to_string()),
        Ok(_) => {}
    }
    if let Err(error) = Image::read(image.manifest_bytes.clone(), image.config_bytes.clone()) {
        tell(error.to_string());
    }
    if Digest::of(&image.manifest_bytes) != image.digest {
        tell("the digest is not that of the manifest's bytes".into());
    }
    if image.config.architecture.is_empty() || image.config.os.is_empty() {
        tell("the config names no platform".into());
    }
    let docker = image.manifest.media_type.starts_with("application/vnd.docker.");
    if !docker && image.manifest.config.media_type != CONFIG {
        tell(format!("the config is of type `{}`", image.manifest.config.media_type));
    }
    let history = &image.config.history;
    let with_layer = history.iter().filter(|entry| !entry.empty_layer).count();
    if !history.is_empty() && with_layer != image.layers.len() {
        tell(format!("the history tells of {with_layer} layers, there are {}", image.layers.len()));
    }
}

fn blob(
    source: io::Result<Box<dyn Read + Send>>,
    digest: Digest<Blob>,
    size: u64,
) -> Result<LayerKind, String> {
    let mut source = source.map_err(|error| error.to_string())?;
    let (mut hasher, mut start, mut count) = (Hasher::new(), Vec::new(), 0u64);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        start.extend_from_slice(&buffer[..read.min(4usize.saturating_sub(start.len()))]);
        hasher.update(&buffer[..read]);
        count += read as u64;
    }
    let found: Digest<Blob> = hasher.finish();
    if count != size || found != digest {
        return Err(format!("wanted {digest} of {size} bytes, found {found} of {count}"));
    }
    Ok(LayerKind::sniff(&start))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::Platform;
    use crate::image::{Config, Descriptor, HistoryEntry, LayerRef};
    use crate::layer::{Compression, LayerWriter};

    fn image(kind: LayerKind, blob: &[u8], diff: &[u8], history: usize) -> Image {
        let mut config = Config::empty(&Platform::new("linux", "amd64", None));
        config.history = vec![HistoryEntry::default(); history];
        let layer = LayerRef {
            descriptor: Descriptor::of(kind.media_type(), blob),
            kind,
            diff: Digest::of(diff),
        };
        Image::write(config, vec![layer], &[])
    }

    fn check(image: &Image, blob: &[u8], want: &[&str]) {
        let name = image.layers[0].descriptor.digest;
        let blobs = BTreeMap::from([(name, blob.to_vec())]);
        let problems = validate(image, |digest| match blobs.get(&digest) {
            Some(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), want.len(), "{problems:?}");
        for (problem, want) in problems.iter().zip(want) {
            assert!(problem.contains(want), "{problem}");
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        let tar = vec![0; 1024];
        let writer = LayerWriter::new(Vec::new(), Compression::Zstd { level: 3 }, 1, Vec::new());
        let (zstd, _) = writer.unwrap().finish().unwrap();
        check(&image(LayerKind::Plain, &tar, &tar, 1), &tar, &[]);
        check(&image(LayerKind::Zstd, &zstd, &tar, 0), &zstd, &[]);
        check(
            &image(LayerKind::Gzip, &zstd, &tar, 1),
            &zstd,
            &["is zstd, its media type says gzip"],
        );
        check(&image(LayerKind::Plain, &tar, b"other", 1), &tar, &["its diff id is"]);
        check(&image(LayerKind::Plain, &tar, &tar, 2), &tar, &["the history tells of 2 layers"]);
        check(&image(LayerKind::Plain, &tar, &tar, 1), b"x", &["wanted"]);
    }
}
