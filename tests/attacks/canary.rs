//! Files of the host that no build may touch, and that no build may take with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::{Place, Who};

/// A tree beside the context: it belongs to the user who builds, who may therefore change all of it.
pub(crate) struct Canary {
    folder: PathBuf,
    token: String,
    before: BTreeMap<PathBuf, Seen>,
}

/// All that may not change of a path.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    changed: i64,
    content: Vec<u8>,
}

impl Canary {
    /// Puts one into `place/canary`.
    pub(crate) fn new(place: &Place) -> Canary {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("canary-{}-{number}-token", std::process::id());
        place.file("canary/secret", &token);
        place.file("canary/etc/passwd", format!("{token}:x:0:0:::\n"));
        place.file("canary/sub/deep/file", &token);
        place.file("canary/open", "everybody may write here\n");
        place.folder("canary/empty");
        let folder = place.at("canary");
        let mode = |name: &str, mode| {
            let path = folder.join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        mode("secret", 0o600);
        mode("sub", 0o750);
        mode("open", 0o666);
        mode("empty", 0o777);
        fs::hard_link(folder.join("sub/deep/file"), folder.join("twin")).expect("a hard link");
        symlink("secret", folder.join("link")).expect("a link");
        let before = seen(&folder);
        Canary { folder, token, before }
    }

    /// Where it is: an absolute path of the host.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// What its files say.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Asserts that nothing happened to it.
    #[track_caller]
    pub(crate) fn untouched(&self, story: &str) {
        let now = seen(&self.folder);
        assert!(now == self.before, "the host was touched: {now:#?}\n{story}");
    }

    /// Asserts that its token is in no file below, also not inside of a compressed one.
    #[track_caller]
    pub(crate) fn not_in(&self, below: &Path, story: &str) {
        for path in walk(below) {
            if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let Ok(bytes) = fs::read(&path) else { continue };
            let found = holds(&bytes, self.token.as_bytes()) || {
                let mut plain = Vec::new();
                match &bytes[..] {
                    [0x1f, 0x8b, ..] => {
                        let _ = flate2::read::MultiGzDecoder::new(&bytes[..])
                            .take(64 << 20)
                            .read_to_end(&mut plain);
                    }
                    [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                        let decoder = zstd::Decoder::new(&bytes[..]).expect("a frame");
                        let _ = decoder.take(64 << 20).read_to_end(&mut plain);
                    }
                    _ => {}
                }
                holds(&plain, self.token.as_bytes())
            };
            assert!(!found, "`{}` has what the canary says\n{story}", path.display());
        }
    }
}

fn holds(text: &[u8], token: &[u8]) -> bool {
    aho_corasick::AhoCorasick::new([token]).expect("one pattern").is_match(text)
}

fn seen(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    let one = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).expect("a path that was just listed");
        let content = match () {
            () if meta.is_file() => fs::read(&path).expect("a file of ours"),
            () if meta.is_symlink() => {
                fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            }
            () => Vec::new(),
        };
        let seen = Seen {
            kind: meta.mode() & 0o170_000,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            changed: meta.mtime(),
            content,
        };
        (path, seen)
    };
    walk(folder).into_iter().map(one).collect()
}

/// All paths below a folder, and itself; links are not followed.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let (mut all, mut rest) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = rest.pop() {
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            rest.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        all.push(path);
    }
    all
}

#[test]
fn the_canary_notices() {
    let place = Place::new(Who::usual());
    type Act = fn(&Path);
    let acts: [Act; 6] = [
        |at| fs::write(at.join("open"), "x").expect("ours"),
        |at| fs::write(at.join("empty/new"), "").expect("ours"),
        |at| fs::set_permissions(at.join("sub"), fs::Permissions::from_mode(0o700)).expect("ours"),
        |at| fs::hard_link(at.join("open"), at.with_file_name("other")).expect("ours"),
        |at| fs::remove_file(at.join("link")).expect("ours"),
        |at| fs::rename(at.join("twin"), at.join("sub/twin")).expect("ours"),
    ];
    for act in acts {
        let canary = Canary::new(&place);
        canary.untouched("");
        canary.not_in(&place.at("ctx"), "");
        act(canary.path());
        assert_ne!(seen(canary.path()), canary.before);
        fs::remove_dir_all(canary.path()).expect("ours");
    }
    let canary = Canary::new(&place);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, canary.token().as_bytes()).expect("memory");
    place.file("ctx/packed", packed.finish().expect("memory"));
    let found = std::panic::catch_unwind(|| canary.not_in(&place.at("ctx"), ""));
    assert!(found.is_err(), "a token in a gzip file is found");
}
