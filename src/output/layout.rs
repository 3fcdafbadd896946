//! An OCI layout as a folder (image specification, image-layout.md).
//!
//! ```text
//! oci-layout          {"imageLayoutVersion":"1.0.0"}
//! index.json          one entry per tag, all with one digest; `latest` without one
//! blobs/sha256/<hex>  hard-linked from the store where both lie on one file system
//! ```
//!
//! Written aside, in the same parent folder, then exchanged with what was there: a reader sees the
//! old layout or the new one.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Error;
use crate::base::{Blob, Digest, ImageRef};
use crate::image::{Image, Index};
use crate::store::Store;
use crate::sys;

const OTHER: &str = "is not empty and no OCI layout";
/// The tag of an entry of an index (image specification, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) const MARK: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Says whether `dest` may be replaced: absent, an empty folder, or an OCI layout.
pub(super) fn check(dest: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { doing: "look into", path: dest.to_owned(), source };
    match fs::symlink_metadata(dest) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
        Ok(found) if !found.is_dir() => Err(Error::Occupied { path: dest.to_owned(), what: OTHER }),
        Ok(_) if dest.join("oci-layout").is_file() => Ok(()),
        Ok(_) => match fs::read_dir(dest).map_err(io)?.next() {
            None => Ok(()),
            Some(_) => Err(Error::Occupied { path: dest.to_owned(), what: OTHER }),
        },
    }
}

/// Writes the layout at `dest`. With `append`, images of other tags stay. Layers that are `left_out`
/// are named in the manifest, but not there.
pub(super) fn write(
    dest: &Path,
    image: &Image,
    tags: &[ImageRef],
    store: &Store,
    append: bool,
    left_out: &dyn Fn(Digest<Blob>) -> bool,
) -> Result<(), Error> {
    check(dest)?;
    let parent = match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    fs::create_dir_all(parent).map_err(io("make", parent))?;
    sweep(parent);
    let aside = tempfile::Builder::new()
        .prefix(ASIDE)
        .tempdir_in(parent)
        .map_err(io("write into", parent))?;
    // Let go when this process ends, however it ends: so the next one knows that nobody needs it.
    let _alive = fs::File::open(aside.path()).and_then(|folder| folder.lock().map(|()| folder));
    let blobs = aside.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io("write", &blobs))?;
    let put = |path: PathBuf, bytes: &[u8]| fs::write(&path, bytes).map_err(io("write", &path));
    put(blobs.join(image.digest.hex()), &image.manifest_bytes)?;
    put(blobs.join(image.config_digest().hex()), &image.config_bytes)?;
    for layer in &image.layers {
        let digest = layer.descriptor.digest;
        let to = blobs.join(digest.hex());
        if left_out(digest) || to.exists() {
            continue; // the same layer twice, as empty RUN steps give
        }
        let from = store.blob_path(digest);
        // Bytes are not read again, but a blob that a power failure cut short must not ship.
        let (want, found) = (layer.descriptor.size, store.blob(digest)?.size());
        if found != want {
            return Err(crate::store::Error::Size { digest, want, found }.into());
        }
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(io("write", &to))?;
        }
    }
    let mut index = index(image, tags);
    if append {
        super::append::keep(dest, &mut index, &blobs)?;
    }
    put(aside.path().join("oci-layout"), MARK)?;
    put(aside.path().join("index.json"), &index.to_bytes())?;
    // tempfile makes folders 0700; a layout is for others to read, as umask 022 would have it.
    fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o755))
        .map_err(io("write", aside.path()))?;

    match fs::symlink_metadata(dest) {
        Err(_) => {
            let made = aside.keep();
            fs::rename(&made, dest).map_err(|source| {
                let _ = fs::remove_dir_all(&made);
                io("write", dest)(source)
            })
        }
        // After the exchange the old layout lies aside, and goes with the temporary folder.
        Ok(_) => sys::exchange(aside.path(), dest).map_err(io("replace", dest)),
    }
}

// What a layout in the making is called.
const ASIDE: &str = ".rbuild-oci-";

// Removes the unfinished layouts of the dead: those whose lock is free.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let dead = || {
            let folder = fs::File::open(entry.path()).ok()?;
            folder.try_lock().ok()?;
            // Not a folder of somebody else's that happens to have the name.
            let ours = |path: &Path| {
                fs::read_dir(path).is_ok_and(|mut all| all.next().is_none())
                    || path.join("blobs").is_dir()
            };
            ours(&entry.path()).then_some(())
        };
        if entry.file_name().as_encoded_bytes().starts_with(ASIDE.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && dead().is_some()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The index of a layout with this one image: an entry per distinct tag; `latest` when none was
/// given.
pub(super) fn index(image: &Image, tags: &[ImageRef]) -> Index {
    let mut manifests = Vec::new();
    for name in tags {
        let mut descriptor = image.descriptor();
        let tag = name.tag_or_latest().to_owned();
        let full = format!("{}:{tag}", name.name());
        descriptor.annotations.insert(REF_NAME.into(), tag);
        descriptor.annotations.insert("io.containerd.image.name".into(), full);
        if !manifests.contains(&descriptor) {
            manifests.push(descriptor);
        }
    }
    if manifests.is_empty() {
        // Readers that look for a tag (umoci) look for this one; the others take the only entry.
        let mut descriptor = image.descriptor();
        descriptor.annotations.insert(REF_NAME.into(), "latest".into());
        manifests.push(descriptor);
    }
    Index::new(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Platform;
    use crate::image::{Config, Descriptor, LayerKind, LayerRef};

    fn image(store: &Store, content: &[u8]) -> Image {
        let digest = store.put(content).unwrap();
        let layer = LayerRef {
            descriptor: Descriptor::new(
                "application/vnd.oci.image.layer.v1.tar",
                digest,
                content.len() as u64,
            ),
            kind: LayerKind::Plain,
            diff: crate::base::Digest::of(content),
        };
        Image::write(Config::empty(&Platform::host()), vec![layer], &[])
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_layout_is_replaced_whole_and_leaves_nothing_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let dest = folder.path().join("out/image.oci");
        write(&dest, &image(&store, b"one"), &[], &store, false, &|_| false).unwrap();
        let second = image(&store, b"two");
        let tags = [ImageRef::parse("a:1").unwrap()];
        write(&dest, &second, &tags, &store, false, &|_| false).unwrap();
        assert_eq!(names(&dest), ["blobs", "index.json", "oci-layout"]);
        assert_eq!(names(&dest.join("blobs/sha256")).len(), 3);
        assert_eq!(names(dest.parent().unwrap()), ["image.oci"]);
        let index = Index::parse(&fs::read(dest.join("index.json")).unwrap()).unwrap();
        assert_eq!(index.manifests.len(), 1);
        assert_eq!(index.manifests[0].digest, second.digest.as_blob());
        assert_eq!(
            index.manifests[0].annotations["io.containerd.image.name"],
            "docker.io/library/a:1"
        );
    }

    #[test]
    fn images_of_other_tags_stay_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let dest = folder.path().join("image.oci");
        let append = |content: &[u8], tag: &str| {
            let tags = [ImageRef::parse(tag).unwrap()];
            write(&dest, &image(&store, content), &tags, &store, true, &|_| false).unwrap();
            let index = Index::parse(&fs::read(dest.join("index.json")).unwrap()).unwrap();
            let tags = index.manifests.iter().map(|entry| entry.annotations[REF_NAME].clone());
            (tags.collect::<Vec<_>>().join(" "), names(&dest.join("blobs/sha256")).len())
        };
        assert_eq!(append(b"one", "x:1"), ("1".to_owned(), 3));
        assert_eq!(append(b"two", "x:2"), ("2 1".to_owned(), 6));
        // What its tag stood for before is reached by no entry any more.
        assert_eq!(append(b"three", "x:1"), ("1 2".to_owned(), 6));
        assert_eq!(append(b"two", "x:1"), ("1 2".to_owned(), 3));
        // A link in the place of a blob is not followed.
        let (_, other) = (append(b"four", "x:4"), image(&store, b"two").digest.hex());
        let blob = dest.join("blobs/sha256").join(other);
        fs::remove_file(&blob).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &blob).unwrap();
        assert_eq!(append(b"five", "x:5").0, "5 4 1 2");
        assert!(!blob.exists());
    }

    #[test]
    fn layers_of_a_base_may_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let dest = folder.path().join("image.oci");
        let image = image(&store, b"one");
        let base = image.layers[0].descriptor.digest;
        write(&dest, &image, &[], &store, false, &|digest| digest == base).unwrap();
        assert_eq!(names(&dest.join("blobs/sha256")).len(), 2);
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let dest = folder.path().join("dest");
        fs::create_dir(&dest).unwrap();
        fs::write(dest.join("thesis.txt"), "x").unwrap();
        let error =
            write(&dest, &image(&store, b"one"), &[], &store, true, &|_| false).unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{error}");
        assert_eq!(names(&dest), ["thesis.txt"]);
    }
}
