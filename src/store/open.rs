//! Opening the store, and what every part of it shares.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::tmp::Session;
use super::tree::{REPLACED, any_replaced, remove_replaced};
use super::{Error, StatCache};

const VERSION: &str = "1\n";
const LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}\n";
const INDEX: &str = "{\"manifests\":[],\
    \"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"schemaVersion\":2}\n";
const FOLDERS: [&str; 12] = [
    "blobs/sha256",
    "trees",
    "records/key",
    "records/op",
    "records/slot",
    "records/tree",
    "records/facts",
    REPLACED,
    "cache",
    "locks",
    "tmp",
    "",
];

/// The store of one `--root`. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    session: Session,
    stat_cache: OnceLock<StatCache>,
    // Held shared as long as the store is in use; a collector takes it exclusively.
    _in_use: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("root", &self.shared.root).finish()
    }
}

impl Store {
    /// Opens the store at `root`, makes it (mode 0700) if there is nothing, and removes what dead
    /// processes left in `tmp/`.
    ///
    /// A folder of another format, or with other content, is refused and left alone.
    pub fn open(root: &Path) -> Result<Store, Error> {
        // Absolute, so that a later change of the working folder moves nothing.
        let root = std::path::absolute(root).map_err(Error::io("resolve", root))?;
        let (path, in_use) = made(&root)?;
        if any_replaced(&root) && in_use.try_lock().is_ok() {
            let _ = remove_replaced(&root);
        }
        in_use.lock_shared().map_err(Error::io("lock", &path))?;
        super::tmp::sweep(&root)?;
        Ok(Store::held(root, in_use))
    }

    /// Opens the store at `root` if it is there and [`Store::open`] would have nothing to remove:
    /// what is left of the dead may have owners that only a namespace has.
    pub fn open_settled(root: &Path) -> Result<Option<Store>, Error> {
        let root = std::path::absolute(root).map_err(Error::io("resolve", root))?;
        if !root.join("version").exists() {
            return Ok(None);
        }
        let (path, in_use) = made(&root)?;
        in_use.lock_shared().map_err(Error::io("lock", &path))?;
        let settled = !any_replaced(&root) && !super::tmp::any_dead(&root)?;
        Ok(settled.then(|| Store::held(root, in_use)))
    }

    fn held(root: PathBuf, in_use: File) -> Store {
        let session = Session::new(root.clone());
        let stat_cache = OnceLock::new();
        Store { shared: Arc::new(Shared { root, session, stat_cache, _in_use: in_use }) }
    }

    /// Returns the folder of the store.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Returns the marks of files that were read before.
    pub fn stat_cache(&self) -> &StatCache {
        self.shared.stat_cache.get_or_init(|| StatCache::new(self.path("records/stat-4")))
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.shared.root.join(below)
    }

    /// Returns a path in `tmp/` that nothing else has: on the file system of the store, and
    /// removed with the process, whatever is made there. For work folders of others.
    pub fn tmp_path(&self) -> Result<PathBuf, Error> {
        self.shared.session.path()
    }

    // Puts a small file in place, whole or not at all; an older one is replaced. One that says the same
    // stays: to read it takes a twentieth of the time, and a rename over a file makes ext4 write at once.
    pub(super) fn put_file(&self, path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
        if holds(path, parts).unwrap_or(false) {
            return Ok(());
        }
        let aside = self.tmp_path()?;
        let written = File::create(&aside).and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            fs::rename(&aside, path)
        });
        written.map_err(|error| {
            let _ = fs::remove_file(&aside);
            Error::io("write", path)(error)
        })
    }
}

// Tells whether a file consists of these bytes.
fn holds(path: &Path, parts: &[&[u8]]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let size: usize = parts.iter().map(|part| part.len()).sum();
    if file.metadata()?.len() != size as u64 {
        return Ok(false);
    }
    let mut found = vec![0; size];
    file.read_exact(&mut found)?;
    let mut rest = found.as_slice();
    Ok(parts.iter().all(|part| rest.strip_prefix(*part).map(|left| rest = left).is_some()))
}

// Makes what is missing of a store; returns its lock, not taken.
fn made(root: &Path) -> Result<(PathBuf, File), Error> {
    check_version(root)?;
    for folder in FOLDERS {
        let path = root.join(folder);
        make_dirs(&path).map_err(Error::io("create", &path))?;
    }
    for (name, text) in [("oci-layout", LAYOUT), ("index.json", INDEX)] {
        let path = root.join(name);
        create_once(root, &path, text).map_err(Error::io("write", &path))?;
    }
    let path = root.join("locks/store");
    let in_use = lock_file(&path).map_err(Error::io("open", &path))?;
    Ok((path, in_use))
}

fn check_version(root: &Path) -> Result<(), Error> {
    let path = root.join("version");
    match fs::read(&path) {
        Ok(found) if found == VERSION.as_bytes() => return Ok(()),
        Ok(found) => {
            let found: String = String::from_utf8_lossy(&found).trim().chars().take(32).collect();
            return Err(Error::Version {
                path: root.to_owned(),
                found: found.escape_default().to_string(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", &path)(error)),
    }
    make_dirs(root).map_err(Error::io("create", root))?;
    for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
        let name = entry.map_err(Error::io("read", root))?.file_name();
        // Another process may be at this very place.
        if name != "version" && !name.as_encoded_bytes().starts_with(b".new-") {
            if path.exists() {
                return check_version(root);
            }
            return Err(Error::NotAStore { path: root.to_owned() });
        }
    }
    create_once(root, &path, VERSION).map_err(Error::io("write", &path))
}

// Makes the file with this text unless there is one; never shows it half-written.
fn create_once(root: &Path, path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut aside = tempfile::Builder::new().prefix(".new-").tempfile_in(root)?;
    aside.write_all(text.as_bytes())?;
    match aside.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a lock file, and makes it if there is none.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
