//! Trees: layers unpacked, in the form that overlayfs reads.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, Store, remove_tree};
use crate::base::{Diff, Digest};

/// Names a tree in the store: short, made by [`TreeDraft::commit`] alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeId(String);

impl TreeId {
    /// Returns the id as text: letters, digits and `-`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TreeId {
    // The file in `tmp/` that says: this tree is complete, but no layer's yet. It lies in the folder
    // of the process that made the tree; when that has died, the tree is nobody's.
    fn note(&self, tmp: &Path) -> Option<PathBuf> {
        let (session, number) = self.0.rsplit_once('-')?;
        Some(tmp.join(session).join(format!("{number}.{NOTE}")))
    }
}

const NOTE: &str = "tree";

/// The folder of notes on trees that another one has replaced: their ids.
pub(super) const REPLACED: &str = "records/replaced";

/// Tells whether [`remove_replaced`] has something to do.
pub(super) fn any_replaced(root: &Path) -> bool {
    fs::read_dir(root.join(REPLACED)).is_ok_and(|mut notes| notes.next().is_some())
}

/// Removes the trees that others have replaced. To be called while nobody uses the store. What
/// cannot be removed stays for the next time.
pub(super) fn remove_replaced(root: &Path) -> std::io::Result<()> {
    let bound = bound(root)?;
    for entry in fs::read_dir(root.join(REPLACED))? {
        let note = entry?.path();
        let name = note.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(id) = name.and_then(|name| TreeId::try_from(name).ok())
            && !bound.contains(&id.0)
        {
            remove_tree(&root.join("trees").join(&id.0))?;
        }
        fs::remove_file(&note)?;
    }
    Ok(())
}

// The ids of all trees that can be found.
fn bound(root: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut bound = BTreeSet::new();
    for entry in fs::read_dir(root.join("records/tree"))? {
        bound.extend(fs::read_to_string(entry?.path()).ok());
    }
    Ok(bound)
}

/// Removes the trees that the process whose folder this is made, and died before it could say of
/// which layer they are.
pub(super) fn remove_unbound(root: &Path, folder: &Path) -> std::io::Result<()> {
    let Some(session) = folder.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    let mut unbound = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == NOTE)
            && let Some(number) = path.file_stem().and_then(|stem| stem.to_str())
            && let Ok(id) = TreeId::try_from(format!("{session}-{number}"))
        {
            unbound.push(id);
        }
    }
    if unbound.is_empty() {
        return Ok(());
    }
    // It may have died between the record and the end of the note. The dead bind nothing any more,
    // and nobody else could: what is read now stays true.
    let bound = bound(root)?;
    for id in unbound.iter().filter(|id| !bound.contains(&id.0)) {
        // Aside first: removed together with the folder, and never half a tree under a good name.
        match fs::rename(root.join("trees").join(&id.0), folder.join(&id.0)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl std::fmt::Display for TreeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TreeId> for String {
    fn from(id: TreeId) -> String {
        id.0
    }
}

impl TryFrom<String> for TreeId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(good) {
            Ok(TreeId(text))
        } else {
            Err("not the id of a tree")
        }
    }
}

impl Store {
    /// Starts a tree.
    pub fn tree_draft(&self) -> Result<TreeDraft, Error> {
        let folder = self.tmp_path()?;
        let (fs, work) = (folder.join("fs"), folder.join("work"));
        for path in [&folder, &fs, &work] {
            fs::create_dir(path).map_err(Error::io("create", path))?;
        }
        // Whatever the umask: this is what a step sees as `/`, and it may run as any user.
        fs::set_permissions(&fs, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("change the mode of", &fs))?;
        Ok(TreeDraft { store: self.clone(), folder, fs, work, kept: false })
    }

    /// Returns the folder of a tree, there or not.
    pub fn tree_path(&self, id: &TreeId) -> PathBuf {
        self.path("trees").join(&id.0).join("fs")
    }

    /// Tells whether the tree is there.
    pub fn has_tree(&self, id: &TreeId) -> bool {
        self.tree_path(id).is_dir()
    }

    /// Returns the tree of a layer, if it was unpacked or made here and is still there.
    pub fn tree_of(&self, diff: Digest<Diff>) -> Option<TreeId> {
        let text = fs::read_to_string(self.path("records/tree").join(diff.hex())).ok()?;
        let id = TreeId::try_from(text).ok()?;
        self.has_tree(&id).then_some(id)
    }

    /// Records that the tree is that of this layer: from now on others find it, and it outlives the
    /// process. Another tree that was found until now goes when nobody can be using it any more.
    pub fn bind_tree(&self, diff: Digest<Diff>, id: &TreeId) -> Result<(), Error> {
        if let Some(before) = self.tree_of(diff).filter(|before| before != id) {
            self.put_file(&self.path(REPLACED).join(before.0), &[])?;
        }
        self.put_file(&self.path("records/tree").join(diff.hex()), &[id.0.as_bytes()])?;
        if let Some(note) = id.note(&self.path("tmp")) {
            let _ = fs::remove_file(note);
        }
        Ok(())
    }

    /// Removes a tree. It is no longer found at once, and removed behind that.
    pub fn remove_tree(&self, id: &TreeId) -> Result<(), Error> {
        let (from, aside) = (self.path("trees").join(&id.0), self.tmp_path()?);
        match fs::rename(&from, &aside) {
            Ok(()) => remove_tree(&aside).map_err(Error::io("remove", &aside)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("remove", &from)(error)),
        }
    }
}

/// A tree being made. Dropped, it is gone.
pub struct TreeDraft {
    store: Store,
    folder: PathBuf,
    fs: PathBuf,
    work: PathBuf,
    kept: bool,
}

impl TreeDraft {
    /// Returns the folder that becomes the tree: an overlay's upper, or where a layer is
    /// unpacked. Empty and of mode 0755 at first.
    pub fn path(&self) -> &Path {
        &self.fs
    }

    /// Returns an empty folder on the same file system: an overlay's `workdir`. Not kept.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Keeps the tree, until the process ends: [`Store::bind_tree`] makes it last. Nothing may be
    /// mounted on or with it any more.
    pub fn commit(mut self) -> Result<TreeId, Error> {
        remove_tree(&self.work).map_err(Error::io("remove", &self.work))?;
        // `tmp/<random>/<number>` has no twin; its two parts make the id.
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_name)
                .expect("a folder two levels below `tmp`")
                .to_string_lossy()
                .into_owned()
        };
        let id = format!("{}-{}", name(self.folder.parent()), name(Some(&self.folder)));
        let id = TreeId::try_from(id).expect("made of ten letters or digits and a number");
        let to = self.store.path("trees").join(&id.0);
        if let Some(note) = id.note(&self.store.path("tmp")) {
            fs::File::create(&note).map_err(Error::io("write", &note))?;
        }
        fs::rename(&self.folder, &to).map_err(Error::io("write", &to))?;
        self.kept = true;
        Ok(id)
    }
}

impl Drop for TreeDraft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove_tree(&self.folder);
        }
    }
}
