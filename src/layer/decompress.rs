//! Decompression with limits, and the diff id of what comes out.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Error;
use crate::base::{Diff, Digest, Hasher};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// gzip, one or more members.
    Gzip,
    /// zstd, one or more frames.
    Zstd,
}

impl Format {
    /// Returns the format that a layer's media type names (OCI and Docker); `None` for what is no
    /// layer.
    pub fn of_media_type(media_type: &str) -> Option<Format> {
        const OCI: &str = "application/vnd.oci.image.layer.";
        const DOCKER: &str = "application/vnd.docker.image.rootfs.";
        let rest = media_type.strip_prefix(OCI).or(media_type.strip_prefix(DOCKER))?;
        // Layers that registries may not hand on differ in a word alone.
        let rest = rest
            .strip_prefix("nondistributable.")
            .or(rest.strip_prefix("foreign."))
            .unwrap_or(rest);
        match rest.strip_prefix("v1.tar").or(rest.strip_prefix("diff.tar"))? {
            "" => Some(Format::Plain),
            "+gzip" | ".gzip" => Some(Format::Gzip),
            "+zstd" | ".zstd" => Some(Format::Zstd),
            _ => None,
        }
    }

    /// Guesses by the first bytes (4 suffice), as ADD does with archives.
    pub fn sniff(start: &[u8]) -> Format {
        match start {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
            // A skippable frame in front (RFC 8878, section 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            _ => Format::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Plain => "plain tar",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
        }
    }
}

/// How much may come out of a compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes out for each byte in, once `grace` bytes came out.
    pub ratio: u64,
    /// Bytes out before the ratio counts.
    pub grace: u64,
    /// Bytes out in all.
    pub total: u64,
    /// The largest window of zstd, a power of 2 in bytes of memory.
    pub window: u32,
}

impl Default for Bounds {
    /// 200:1 above 64 MiB, and 64 GiB in all; a window of 2^27 bytes, what `zstd --long` makes, and
    /// what other decoders take.
    fn default() -> Self {
        Bounds { ratio: 200, grace: 64 << 20, total: 64 << 30, window: 27 }
    }
}

const BUFFER: usize = 64 << 10;

/// Returns a reader of the decompressed bytes of `source`; neither needs a buffer.
///
/// Never guesses: a stream of another format than claimed is an error. Errors of decoding and
/// breaches of `bounds` come out of the reader as an [`io::Error`] that holds an [`Error`]
/// (`Error::from(io_error)` gives it back). Truncation is an error.
pub fn decompress<'a, R: Read + Send + 'a>(
    source: R,
    format: Format,
    bounds: Bounds,
) -> Result<Box<dyn Read + Send + 'a>, Error> {
    let state = Arc::new(SourceState::default());
    let source = Source { source, state: state.clone() };
    let decoder: Box<dyn Read + Send + 'a> = match format {
        Format::Plain => Box::new(source),
        Format::Gzip => {
            let source = BufReader::with_capacity(BUFFER, source);
            Box::new(flate2::bufread::MultiGzDecoder::new(source))
        }
        Format::Zstd => {
            let mut decoder = zstd::Decoder::new(source)?;
            decoder.window_log_max(bounds.window)?;
            Box::new(decoder)
        }
    };
    let bounded = Bounded { decoder, format, bounds, state, out: 0 };
    Ok(Box::new(BufReader::with_capacity(BUFFER, bounded)))
}

#[derive(Default)]
struct SourceState {
    read: AtomicU64,
    failed: AtomicBool,
}

struct Source<R> {
    source: R,
    state: Arc<SourceState>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer).inspect_err(|error| {
            let again = error.kind() == io::ErrorKind::Interrupted;
            self.state.failed.fetch_or(!again, Ordering::Relaxed);
        })?;
        self.state.read.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

struct Bounded<R> {
    decoder: R,
    format: Format,
    bounds: Bounds,
    state: Arc<SourceState>,
    out: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.decoder.read(buffer).map_err(|error| self.explain(error))?;
        self.out = self.out.saturating_add(got as u64);
        let read = self.state.read.load(Ordering::Relaxed);
        if self.out > self.bounds.total {
            let what = "the size of the decompressed data";
            return Err(Error::Limit { what, limit: self.bounds.total }.into());
        }
        let ratio_counts = self.format != Format::Plain && self.out > self.bounds.grace;
        if ratio_counts && self.out > read.saturating_mul(self.bounds.ratio) {
            let what = "the ratio of decompressed to compressed data";
            return Err(Error::Limit { what, limit: self.bounds.ratio }.into());
        }
        Ok(got)
    }
}

impl<R> Bounded<R> {
    // Tells an error of the source, which is passed on, from one of the decoder.
    fn explain(&self, error: io::Error) -> io::Error {
        if self.format == Format::Plain
            || self.state.failed.load(Ordering::Relaxed)
            || error.kind() == io::ErrorKind::Interrupted
        {
            return error;
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::Truncated.into();
        }
        Error::Compressed { format: self.format.name(), reason: error.to_string() }.into()
    }
}

/// Hashes what is read through it: the diff id of a layer's tar, while it is being extracted.
pub struct DiffReader<R> {
    source: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> DiffReader<R> {
    /// Wraps a reader of a layer's uncompressed tar.
    pub fn new(source: R) -> Self {
        DiffReader { source, hasher: Hasher::new(), size: 0 }
    }

    /// Reads what is left, and returns the digest and size of everything.
    ///
    /// The bytes behind the end marker of a tar belong to its diff id.
    pub fn finish(mut self) -> Result<(Digest<Diff>, u64), Error> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok((self.hasher.finish(), self.size)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: Read> Read for DiffReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        self.size += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::layer::{Compression, LayerWriter};

    const SMALL: Bounds = Bounds { ratio: 10, grace: 1000, total: 100_000, window: 27 };

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 3).unwrap()
    }

    fn read(data: &[u8], format: Format, bounds: Bounds) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut reader = decompress(data, format, bounds).map_err(|error| error.to_string())?;
        match reader.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(Error::from(error).to_string()),
        }
    }

    #[test]
    fn several_members_and_frames_are_one_stream() {
        let bounds = Bounds::default();
        assert_eq!(read(b"ab", Format::Plain, bounds).unwrap(), b"ab");
        assert_eq!(read(&[gzip(b"a"), gzip(b"b")].concat(), Format::Gzip, bounds).unwrap(), b"ab");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9].to_vec();
        let frames = [skippable, zstd(b"a"), zstd(b"b")].concat();
        assert_eq!(Format::sniff(&frames), Format::Zstd);
        assert_eq!(read(&frames, Format::Zstd, bounds).unwrap(), b"ab");
    }

    #[test]
    fn attack_18_truncated_or_trailed_streams_are_errors() {
        let bounds = Bounds::default();
        for (format, whole) in [(Format::Gzip, gzip(b"abcdef")), (Format::Zstd, zstd(b"abcdef"))] {
            for cut in 0..whole.len() {
                // Nothing at all is no gzip; for zstd it is a stream without frames.
                if cut > 0 || format == Format::Gzip {
                    assert!(read(&whole[..cut], format, bounds).is_err(), "{format:?} {cut}");
                }
            }
            let trailed = [whole, b"garbage".to_vec()].concat();
            assert!(read(&trailed, format, bounds).is_err(), "{format:?}");
        }
    }

    #[test]
    fn attack_20_bombs_hit_a_limit() {
        let zeros = vec![0; 50_000];
        let ratio = "the ratio of decompressed to compressed data is over the limit of 10";
        let total = "the size of the decompressed data is over the limit of 100000";
        assert_eq!(read(&gzip(&zeros), Format::Gzip, SMALL).unwrap_err(), ratio);
        assert_eq!(read(&zstd(&zeros), Format::Zstd, SMALL).unwrap_err(), ratio);
        assert_eq!(read(&vec![0; 100_001], Format::Plain, SMALL).unwrap_err(), total);
        assert_eq!(read(&zeros, Format::Plain, SMALL).unwrap(), zeros);
        // A frame that asks for a window of 2^31 bytes, before anything is allocated for it.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
        assert!(read(&wide, Format::Zstd, SMALL).unwrap_err().starts_with("cannot decompress"));
    }

    #[test]
    fn attack_21_another_format_than_claimed_is_an_error() {
        let bounds = Bounds::default();
        for (data, format) in [
            (zstd(b"abcdef"), Format::Gzip),
            (b"plain text, or a tar".to_vec(), Format::Gzip),
            (gzip(b"abcdef"), Format::Zstd),
        ] {
            let error = read(&data, format, bounds).unwrap_err();
            assert!(error.starts_with("cannot decompress as"), "{error}");
        }
    }

    #[test]
    fn errors_of_the_source_stay_what_they_are() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the cable was cut"))
            }
        }
        for format in [Format::Plain, Format::Gzip, Format::Zstd] {
            let mut reader = decompress(Broken, format, SMALL).unwrap();
            let error = reader.read(&mut [0; 9]).unwrap_err();
            assert_eq!(Error::from(error).to_string(), "the cable was cut");
        }
    }

    #[test]
    fn media_types_name_the_format() {
        for compression in
            [Compression::None, Compression::default(), Compression::Zstd { level: 3 }]
        {
            let writer = LayerWriter::new(Vec::new(), compression, 1, vec![]).unwrap();
            let (packed, written) = writer.finish().unwrap();
            let format = Format::of_media_type(written.media_type).unwrap();
            assert_eq!(Format::sniff(&packed), format);
            let unpacked = read(&packed, format, Bounds::default()).unwrap();
            assert_eq!(Digest::of(&unpacked), written.diff);
            let mut reader = DiffReader::new(&unpacked[..]);
            reader.read_exact(&mut [0; 10]).unwrap();
            assert_eq!(reader.finish().unwrap(), (written.diff, written.size));
        }
        for (media_type, want) in [
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Format::Gzip)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Some(Format::Gzip)),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", Some(Format::Zstd)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Some(Format::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+xz", None),
            ("application/vnd.oci.image.config.v1+json", None),
        ] {
            assert_eq!(Format::of_media_type(media_type), want, "{media_type}");
        }
    }
}
