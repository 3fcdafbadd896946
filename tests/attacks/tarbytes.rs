//! Tars made by hand, byte by byte: what no honest program writes.

/// A tar under construction.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

/// The fields of a header; all can be wrong.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) link: Vec<u8>,
    /// The size field, as it stands there; `None`: the true one.
    pub(crate) size: Option<Vec<u8>>,
    pub(crate) mtime: Vec<u8>,
    pub(crate) device: (u32, u32),
    /// Bytes that are written over the header before its checksum is made.
    pub(crate) patch: Vec<(usize, Vec<u8>)>,
}

impl Header {
    /// A file, mode 0644, of root.
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>) -> Header {
        Header {
            name: name.as_ref().to_vec(),
            kind,
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            link: Vec::new(),
            size: None,
            mtime: b"14540000000\0".to_vec(),
            device: (0, 0),
            patch: Vec::new(),
        }
    }

    /// Its block.
    pub(crate) fn block(&self, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, &number(self.uid, 8));
        put(116, &number(self.gid, 8));
        match &self.size {
            Some(field) => put(124, field),
            None => put(124, &number(size, 12)),
        }
        put(136, &self.mtime);
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", self.device.0).as_bytes());
        put(337, format!("{:07o}\0", self.device.1).as_bytes());
        for (at, bytes) in &self.patch {
            put(*at, bytes);
        }
        put(148, b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

// Octal where it fits, else base 256.
fn number(value: u64, width: usize) -> Vec<u8> {
    let text = format!("{value:0digits$o}\0", digits = width - 1);
    if text.len() == width {
        return text.into_bytes();
    }
    let mut bytes = vec![0; width];
    bytes[width - 8..].copy_from_slice(&value.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}

impl Tar {
    /// An empty one.
    pub(crate) fn new() -> Tar {
        Tar::default()
    }

    /// Adds a header and its data.
    pub(crate) fn entry(mut self, header: &Header, data: &[u8]) -> Tar {
        self.0.extend_from_slice(&header.block(data.len() as u64));
        self.raw(data).pad()
    }

    /// Adds bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Tar {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Fills the block.
    pub(crate) fn pad(mut self) -> Tar {
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a file.
    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Tar {
        self.entry(&Header::new(b'0', name), data.as_ref())
    }

    /// Adds a folder.
    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Tar {
        self.entry(&Header::new(b'5', name), b"")
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Tar {
        self.link(b'2', name, target.as_ref())
    }

    /// Adds a hard link.
    pub(crate) fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Tar {
        self.link(b'1', name, target.as_ref())
    }

    fn link(self, kind: u8, name: impl AsRef<[u8]>, target: &[u8]) -> Tar {
        let (name, mut tar) = (name.as_ref(), self);
        if target.len() > 100 {
            tar = tar.long(b'K', target);
        }
        if name.len() > 100 {
            tar = tar.long(b'L', name);
        }
        let mut header = Header::new(kind, name);
        header.link = target.to_vec();
        tar.entry(&header, b"")
    }

    /// Adds GNU's long name (`L`) or long link (`K`) for the next entry.
    pub(crate) fn long(self, kind: u8, text: &[u8]) -> Tar {
        let text = [text, b"\0"].concat();
        self.entry(&Header::new(kind, "././@LongLink"), &text)
    }

    /// Adds a PAX header for the next entry (`x`), or for all (`g`).
    pub(crate) fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Tar {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(&Header::new(kind, "PaxHeader"), &data)
    }

    /// Adds the end marker; gives the bytes.
    pub(crate) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }

    /// The bytes, without an end marker.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// A PAX record, its length counting itself.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}
