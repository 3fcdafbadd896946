//! The kinds of compression, and the way from tar to sink.

use std::io::{self, Write};

use zstd::stream::raw::CParameter;

use super::gzip::Gzip;
use crate::base::{Blob, Digest, Hasher};

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One gzip member: what every reader understands.
    Gzip {
        /// 0 (stored) to 9; higher values count as 9.
        level: u32,
    },
    /// One zstd frame.
    Zstd {
        /// 1 to 22; the default is 3.
        level: i32,
    },
}

impl Default for Compression {
    /// gzip at [`Compression::GZIP_LEVEL`].
    fn default() -> Self {
        Compression::Gzip { level: Self::GZIP_LEVEL }
    }
}

impl Compression {
    /// The level of gzip unless another one is asked for: that of every other tool. zlib-rs takes 12 to 30 %
    /// less CPU at level 5, for 0.15 to 0.7 % more bytes (programs, documents, sources, and 60,000 small
    /// files of them); the next one below gives up 2 % and more for another 10 %.
    pub const GZIP_LEVEL: u32 = 6;

    /// Returns the OCI media type of a layer compressed like this (OCI image specification,
    /// media-types.md).
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip { .. } => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd { .. } => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

// With the library's own choice (four windows, 8 MiB at level 3) the buffers of four workers take
// 100 MB. The size of a job is part of what decides the bytes: it must not depend on the machine.
const ZSTD_JOB: u32 = 1 << 20;
// Four workers at level 3 are as fast as the hashing thread that feeds them. From level 13 on one
// takes up to 90 MB and more for itself.
const ZSTD_MOST_WORKERS: u32 = 4;
const ZSTD_LAST_SHARED_LEVEL: i32 = 12;

/// Compresses what is written to it, and hashes and counts what comes out.
pub(super) enum Packer<W: Write> {
    Plain(Counted<W>),
    Gzip(Gzip<Counted<W>>),
    Zstd(zstd::Encoder<'static, Counted<W>>),
}

/// Passes bytes on, counts them, and hashes them if asked to.
pub(super) struct Counted<W> {
    sink: W,
    hasher: Option<Hasher>,
    size: u64,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(sink: W, compression: Compression, threads: usize) -> io::Result<Self> {
        let hashed = |sink| Counted { sink, hasher: Some(Hasher::new()), size: 0 };
        Ok(match compression {
            // These bytes are hashed as the tar already.
            Compression::None => Packer::Plain(Counted { sink, hasher: None, size: 0 }),
            Compression::Gzip { level } => Packer::Gzip(Gzip::new(hashed(sink), level, threads)),
            Compression::Zstd { level } => {
                let mut encoder = zstd::Encoder::new(hashed(sink), level.clamp(1, 22))?;
                // Never 0: the bytes without workers are others than those with any number.
                let workers = u32::try_from(threads).unwrap_or(u32::MAX);
                let most = if level > ZSTD_LAST_SHARED_LEVEL { 1 } else { ZSTD_MOST_WORKERS };
                encoder.multithread(workers.clamp(1, most))?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                Packer::Zstd(encoder)
            }
        })
    }

    pub(super) fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Packer::Plain(plain) => plain.write_all(data),
            Packer::Gzip(gzip) => gzip.write_all(data),
            Packer::Zstd(zstd) => zstd.write_all(data),
        }
    }

    /// Returns the sink, the digest of what it got unless that is the tar as it was, and its size.
    pub(super) fn finish(self) -> io::Result<(W, Option<Digest<Blob>>, u64)> {
        let Counted { sink, hasher, size } = match self {
            Packer::Plain(plain) => plain,
            Packer::Gzip(gzip) => gzip.finish()?,
            Packer::Zstd(zstd) => zstd.finish()?,
        };
        Ok((sink, hasher.map(Hasher::finish), size))
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let got = self.sink.write(data)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data[..got]);
        }
        self.size += got as u64;
        Ok(got)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
