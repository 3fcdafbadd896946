//! The kinds of compression.

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One gzip member; the default, level 6, is what every reader understands.
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
    /// gzip at level 6.
    fn default() -> Self {
        Compression::Gzip { level: 6 }
    }
}

impl Compression {
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
