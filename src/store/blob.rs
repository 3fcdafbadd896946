//! Blobs: written aside, named by their digest, and read with a check.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Error, Store};
use crate::base::{self, Digest, Hasher};

impl Store {
    /// Tells whether the blob is there. Says nothing about its bytes.
    pub fn has(&self, digest: Digest<base::Blob>) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Returns the place of a blob, there or not: for hard links and reflinks by outputs. Files
    /// there are never changed, only replaced.
    pub fn blob_path(&self, digest: Digest<base::Blob>) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }

    /// Opens a blob; [`Error::Missing`] if there is none.
    pub fn blob(&self, digest: Digest<base::Blob>) -> Result<Blob, Error> {
        let path = self.blob_path(digest);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing(digest),
            _ => Error::io("open", &path)(error),
        })?;
        let size = file.metadata().map_err(Error::io("read", &path))?.len();
        Ok(Blob { digest, size, file })
    }

    /// Returns the checked bytes of a blob that must not be larger than `limit`: for manifests
    /// and configs.
    pub fn read(&self, digest: Digest<base::Blob>, limit: u64) -> Result<Vec<u8>, Error> {
        let blob = self.blob(digest)?;
        if blob.size > limit {
            return Err(Error::Size { digest, want: limit, found: blob.size });
        }
        let mut bytes = Vec::new();
        blob.file
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(Error::io("read", &self.blob_path(digest)))?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(Error::Corrupt { want: digest, found, size: bytes.len() as u64 });
        }
        Ok(bytes)
    }

    /// Reads a blob that somebody failed to make sense of, and removes it if it is damaged. Tells
    /// whether it was: then it has to be brought or made again.
    pub fn discard_if_damaged(&self, digest: Digest<base::Blob>) -> Result<bool, Error> {
        match self.blob(digest).map(|blob| io::copy(&mut blob.verified(), &mut io::sink())) {
            Ok(Ok(_)) => Ok(false),
            Ok(Err(error)) => {
                let path = self.blob_path(digest);
                match unwrap(error, "read", &path) {
                    Error::Corrupt { .. } | Error::Size { .. } => {
                        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                        Ok(true)
                    }
                    error => Err(error),
                }
            }
            Err(Error::Missing(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Starts a blob whose digest is found while it is written.
    pub fn draft(&self) -> Result<Draft, Error> {
        Ok(Draft { raw: self.raw_draft()?, hasher: Hasher::new() })
    }

    /// Starts a blob whose digest the writer finds itself (a `LayerWriter` does).
    pub fn raw_draft(&self) -> Result<RawDraft, Error> {
        let path = self.tmp_path()?;
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        Ok(RawDraft { store: self.clone(), path, file, size: 0, kept: false })
    }

    /// Stores bytes and returns their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest<base::Blob>, Error> {
        let digest = Digest::of(bytes);
        self.put_file(&self.blob_path(digest), &[bytes])?;
        Ok(digest)
    }

    /// Takes over a file of another place as a blob: hard-linked or copied into the store by the
    /// caller's `fill` at the path it is given, then read and checked. For layouts on disk.
    pub fn adopt(
        &self,
        digest: Digest<base::Blob>,
        size: u64,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.tmp_path()?;
        let guard = RemoveOnDrop(&path);
        fill(&path).map_err(Error::io("create", &path))?;
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let found = file.metadata().map_err(Error::io("read", &path))?.len();
        if found != size {
            return Err(Error::Size { digest, want: size, found });
        }
        let mut check = Verified::new(file, digest, size);
        io::copy(&mut check, &mut io::sink()).map_err(|error| unwrap(error, "read", &path))?;
        let to = self.blob_path(digest);
        fs::rename(&path, &to).map_err(Error::io("write", &to))?;
        drop(guard);
        Ok(())
    }
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

// Gives back an `Error` that travelled through `Read`.
fn unwrap(error: io::Error, what: &'static str, path: &Path) -> Error {
    match error.downcast::<Error>() {
        Ok(inner) => inner,
        Err(error) => Error::io(what, path)(error),
    }
}

/// A blob that is there. Its bytes are to be had through the check alone.
#[derive(Debug)]
pub struct Blob {
    digest: Digest<base::Blob>,
    size: u64,
    file: File,
}

impl Blob {
    /// Returns its digest.
    pub fn digest(&self) -> Digest<base::Blob> {
        self.digest
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns a reader of its bytes that checks nothing: for who checks the diff id of what they unpack to,
    /// which says as much of the content. Bytes were checked when they came into the store.
    pub fn unchecked(self) -> impl Read {
        self.file.take(self.size)
    }

    /// Returns a reader of its bytes that checks the digest when the end is reached.
    pub fn verified(self) -> Verified<File> {
        Verified::new(self.file, self.digest, self.size)
    }
}

/// Reads bytes whose digest and size are known, and fails at their end unless they are right.
///
/// Only who has read to the end (a `read` that returned 0) may believe what was read. Never more
/// than the announced size is handed out. The error is an [`io::Error`] that holds
/// [`Error::Corrupt`] or [`Error::Size`].
pub struct Verified<R> {
    source: R,
    digest: Digest<base::Blob>,
    size: u64,
    got: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> Verified<R> {
    /// Wraps a reader whose bytes must be `size` in number and have this digest.
    pub fn new(source: R, digest: Digest<base::Blob>, size: u64) -> Self {
        Verified { source, digest, size, got: 0, hasher: Some(Hasher::new()) }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        let left = self.size - self.got;
        if left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let got = self.source.read(&mut buffer[..room])?;
            if got > 0 {
                hasher.update(&buffer[..got]);
                self.got += got as u64;
                return Ok(got);
            }
        } else if self.source.read(&mut buffer[..1])? > 0 {
            self.got += 1;
        }
        if self.got != self.size {
            let (want, found) = (self.size, self.got);
            return Err(Error::Size { digest: self.digest, want, found }.into());
        }
        let found: Digest<base::Blob> = hasher.clone().finish();
        if found != self.digest {
            return Err(Error::Corrupt { want: self.digest, found, size: self.got }.into());
        }
        self.hasher = None;
        Ok(0)
    }
}

/// A blob being written; [`Draft::commit`] is the only way to its digest. Dropped, it is gone.
pub struct Draft {
    raw: RawDraft,
    hasher: Hasher,
}

impl Draft {
    /// Returns the number of bytes written so far.
    pub fn size(&self) -> u64 {
        self.raw.size
    }

    /// Forgets all that was written: for a transfer that must begin anew.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.hasher = Hasher::new();
        self.raw.size = 0;
        self.raw
            .file
            .set_len(0)
            .and_then(|()| self.raw.file.rewind())
            .map_err(Error::io("truncate", &self.raw.path))
    }

    /// Gives the bytes their name, and returns it with their number. When `expect` is given and
    /// the bytes are others, nothing is stored.
    ///
    /// Success means that the blob is there, not that this call put it there. The rename is
    /// atomic, but nothing is synced: after a power failure a blob may be damaged, which reading
    /// it tells.
    pub fn commit(
        self,
        expect: Option<(Digest<base::Blob>, u64)>,
    ) -> Result<(Digest<base::Blob>, u64), Error> {
        let (found, size) = (self.hasher.finish(), self.raw.size);
        if let Some((want, want_size)) = expect {
            if size != want_size {
                return Err(Error::Size { digest: want, want: want_size, found: size });
            }
            if found != want {
                return Err(Error::Corrupt { want, found, size });
            }
        }
        self.raw.commit(found, size)?;
        Ok((found, size))
    }
}

impl Write for Draft {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let got = self.raw.write(data)?;
        self.hasher.update(&data[..got]);
        Ok(got)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob being written by somebody who hashes it himself. Dropped, it is gone.
pub struct RawDraft {
    store: Store,
    path: PathBuf,
    file: File,
    size: u64,
    kept: bool,
}

impl RawDraft {
    /// Gives the bytes this name. The digest is believed: it must be of all bytes written, as
    /// those in `layer::Written` are. The size is checked.
    pub fn commit(mut self, digest: Digest<base::Blob>, size: u64) -> Result<(), Error> {
        if self.size != size {
            return Err(Error::Size { digest, want: size, found: self.size });
        }
        let to = self.store.blob_path(digest);
        fs::rename(&self.path, &to).map_err(Error::io("write", &to))?;
        self.kept = true;
        Ok(())
    }
}

impl Write for RawDraft {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let got = self.file.write(data)?;
        self.size += got as u64;
        Ok(got)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RawDraft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}
