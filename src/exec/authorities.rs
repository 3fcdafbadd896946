//! Certificate authorities that steps trust during the build only (`--ca-bundle`).
//!
//! The lists of authorities that an image has are shown with the bundle behind them: in a layer of its
//! own between the image and what the step writes, so that a step may also replace such a list, as the
//! packages that keep them do. When a step changed one, the bundle is cut out of it again. Programs that
//! bring a list of their own are told by variables. Nothing of it is in a cache key or in the config.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stack::Lower;
use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::ImagePath;
use crate::layer::EntryKind;
use crate::rootfs::{self, Change, Content, Lookup, Work, resolve};
use crate::sandbox::{self, FileMount, MountKind};
use crate::sys::{Follow, Root};

/// Where distributions keep the list of authorities in one file: Debian, Alpine; Fedora and its
/// relatives, old and new; SUSE; Alpine and the BSDs.
const LISTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Variables that name a list which is used instead of the program's own.
const INSTEAD: [&str; 9] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
];

/// Variables that name a list which is used beside the program's own.
const BESIDE: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// The files in memory that the variables name: the image's list with the bundle, the bundle alone.
const WHOLE: &str = "/run/.rbuild/ca-certificates.pem";
const ALONE: &str = "/run/.rbuild/ca-bundle.pem";

/// A list larger than this is none.
const LARGEST: u64 = 16 << 20;

/// What a step sees of the bundle.
#[derive(Default)]
pub(super) struct Authorities {
    /// A layer to lie on top of the image's.
    pub(super) layer: Option<PathBuf>,
    /// Files for the variables.
    pub(super) mounts: Vec<sandbox::Mount>,
    /// The variables.
    pub(super) env: Vec<(&'static str, &'static str)>,
    lists: Vec<ImagePath>,
    added: Vec<u8>,
}

impl Execution<'_> {
    /// Makes what a step over `lower` sees; files go below `scratch`.
    pub(super) fn authorities(
        &self,
        lower: &Lower,
        scratch: &Path,
    ) -> Result<Authorities, Failure> {
        let Some(bundle) = &self.options.terms.authorities else {
            return Ok(Authorities::default());
        };
        let mut shown = Authorities { added: added(bundle), ..Authorities::default() };
        let mut changes: Vec<Change> = Vec::new();
        let mut whole = None;
        for list in LISTS {
            let path = ImagePath::from_entry(list.as_bytes()).map_err(|error| internal(&error))?;
            let path = resolve(lower, &path, Follow::InRoot)?;
            let Some(mut entry) = lower.entry(&path)? else { continue };
            let small = matches!(entry.kind, EntryKind::File { size } if size <= LARGEST);
            if !small || shown.lists.contains(&path) {
                continue;
            }
            let Some(file) = lower.open(&path)? else { continue };
            let mut bytes = Vec::new();
            file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| internal(&error))?;
            bytes.extend_from_slice(&shown.added);
            entry.kind = EntryKind::File { size: bytes.len() as u64 };
            whole.get_or_insert_with(|| bytes.clone());
            changes.push(Change { entry, content: Content::Bytes(Arc::from(bytes)) });
            shown.lists.push(path);
        }
        if !changes.is_empty() {
            changes.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
            let folder = scratch.join("authorities");
            std::fs::create_dir(&folder).map_err(|error| internal(&error))?;
            let root = Root::open_host(&folder).map_err(|error| internal(&error))?;
            if let Some(top) = lower.entry(&ImagePath::root())? {
                changes.insert(0, Change::bare(top));
            }
            rootfs::materialise(&changes, &root, self.services.id_mode, lower)?;
            shown.layer = Some(folder);
        }
        let whole = whole.unwrap_or_else(|| bundle.to_vec());
        for (path, content) in [(WHOLE, whole), (ALONE, bundle.to_vec())] {
            let target =
                ImagePath::from_entry(path.as_bytes()).map_err(|error| internal(&error))?;
            let file = FileMount { content, uid: 0, gid: 0, mode: 0o444 };
            shown.mounts.push(sandbox::Mount { target, kind: MountKind::File(file) });
        }
        shown.env.extend(INSTEAD.map(|name| (name, WHOLE)));
        shown.env.extend(BESIDE.map(|name| (name, ALONE)));
        Ok(shown)
    }
}

impl Authorities {
    /// Cuts the bundle out of the lists that the step changed.
    pub(super) fn take_back(&self, work: &Work) -> Result<(), Failure> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let root = work.root()?;
        for list in &self.lists {
            // Most steps leave it alone; some remove it, or make something else of it.
            let Ok(stat) = root.stat(list, Follow::No) else { continue };
            let Ok(mut file) = root.open(list, Follow::No) else { continue };
            cut(&mut file, &self.added).map_err(|error| internal(&error))?;
            let (folder, name) = root.parent(list).map_err(|error| internal(&error))?;
            folder.set_mtime(&name, stat.mtime).map_err(|error| internal(&error))?;
        }
        Ok(())
    }
}

// The bundle as it is put behind a list.
fn added(bundle: &[u8]) -> Vec<u8> {
    [b"\n# for this step: --ca-bundle\n", bundle, b"\n# end of --ca-bundle\n"].concat()
}

// Writes the file again without what was added, if it holds that, once or more often: who makes a list
// of lists has it twice. A file too large for a list is left alone.
fn cut(file: &mut std::fs::File, added: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.take(2 * LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > 2 * LARGEST {
        return Ok(());
    }
    let mut kept = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(at) = rest.windows(added.len()).position(|part| part == added) {
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + added.len()..];
    }
    if rest.len() == bytes.len() {
        return Ok(());
    }
    kept.extend_from_slice(rest);
    // The file itself, whatever stands at its path by now; its owner and attributes stay.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(&kept)
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(Cause::Internal, "ca-bundle", format!("cannot show the authorities: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_cut_out() {
        let added = added(b"CERT");
        let check = |before: &[u8], want: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("list");
            std::fs::write(&path, before).unwrap();
            cut(&mut std::fs::File::open(&path).unwrap(), &added).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), want);
        };
        check(&[b"own\n", added.as_slice(), b"more\n"].concat(), b"own\nmore\n");
        check(&added, b"");
        check(&[added.as_slice(), b"a\n", added.as_slice(), added.as_slice()].concat(), b"a\n");
        let mut large = vec![b'x'; 2 * LARGEST as usize];
        large.extend_from_slice(&added);
        check(&large, &large);
        check(b"own\nCERT\n", b"own\nCERT\n");
        check(b"", b"");
    }
}
