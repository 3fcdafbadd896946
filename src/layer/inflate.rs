//! Decompression by pushing: for who is handed compressed bytes and wants to look inside.

use std::io::{self, Write};

use super::Format;

/// Decompresses what is fed to it into a sink. What cannot be decompressed, or is more than the
/// limit, ends it quietly: it serves to look, not to read.
pub struct Inflate<W: Write> {
    decoder: Option<Decoder<W>>,
}

enum Decoder<W: Write> {
    Gzip(Box<flate2::write::MultiGzDecoder<Limited<W>>>),
    Zstd(zstd::stream::write::Decoder<'static, Limited<W>>),
}

struct Limited<W> {
    sink: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
        if fits == 0 && !data.is_empty() {
            return Err(io::Error::other("more than the limit"));
        }
        let taken = self.sink.write(&data[..fits])?;
        self.left -= taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<W: Write> Inflate<W> {
    /// Starts a stream of this format, of which at most `limit` bytes come out; `None` if there is
    /// nothing to decompress.
    pub fn new(format: Format, sink: W, limit: u64) -> Option<Self> {
        let sink = Limited { sink, left: limit };
        let decoder = match format {
            Format::Plain => return None,
            Format::Gzip => Decoder::Gzip(Box::new(flate2::write::MultiGzDecoder::new(sink))),
            Format::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink).ok()?;
                // 8 MiB: what level 19 and below use; larger windows are for archives, not secrets.
                decoder.window_log_max(23).ok()?;
                Decoder::Zstd(decoder)
            }
        };
        Some(Inflate { decoder: Some(decoder) })
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, data: &[u8]) {
        let done = match &mut self.decoder {
            None => return,
            Some(Decoder::Gzip(decoder)) => decoder.write_all(data).and_then(|()| decoder.flush()),
            Some(Decoder::Zstd(decoder)) => decoder.write_all(data).and_then(|()| decoder.flush()),
        };
        if done.is_err() {
            self.decoder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(format: Format, packed: &[u8], limit: u64, want: &[u8]) {
        for size in [1, 3, packed.len().max(1)] {
            let out = Shared::default();
            let mut inflate = Inflate::new(format, out.clone(), limit).unwrap();
            packed.chunks(size).for_each(|piece| inflate.feed(piece));
            assert_eq!(*out.0.lock().unwrap(), want, "in pieces of {size}");
        }
    }

    #[test]
    fn streams_are_decompressed_up_to_the_limit_and_garbage_ends_quietly() {
        let text = b"what is inside".repeat(20);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        check(Format::Gzip, &gzip, 1 << 20, &text);
        check(Format::Zstd, &zstd, 1 << 20, &text);
        check(Format::Gzip, &gzip, 10, &text[..10]);
        let out = Shared::default();
        let mut inflate = Inflate::new(Format::Gzip, out.clone(), 100).unwrap();
        inflate.feed(b"\x1f\x8bno gzip at all");
        inflate.feed(&gzip);
        assert!(out.0.lock().unwrap().is_empty());
    }
}
