//! Tests of unpacking, listing and merging, together: what goes in comes out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::ImagePath;
use crate::layer::{Entry, EntryKind};
use crate::sys::{Dir, Follow, IdMode, Root, xattr};

fn path(text: &str) -> ImagePath {
    ImagePath::from_entry(text.as_bytes()).unwrap()
}

/// Which ids the tests' own process may give away: all as root, else none.
fn mode() -> IdMode {
    let temp = tempfile::tempfile().unwrap();
    match crate::sys::set_owner(&temp, 1, 1) {
        Ok(()) => IdMode::Root,
        Err(_) => IdMode::Single,
    }
}

/// Has a folder wherever it is asked: nothing is left out of a listing over it.
struct Everything;

impl Lookup for Everything {
    fn entry(&self, path: &ImagePath) -> Result<Option<Entry>, Error> {
        Ok(Some(Entry::new(path.clone(), EntryKind::Dir, 0o755)))
    }
}

struct Folder {
    _temp: tempfile::TempDir,
    root: Arc<Root>,
}

// Beside the sources: what lies in `/tmp` may not take attributes.
fn folder() -> Folder {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
    std::fs::create_dir_all(beside).unwrap();
    let temp = tempfile::tempdir_in(beside).unwrap();
    let root = Arc::new(Root::open_host(temp.path()).unwrap());
    Folder { _temp: temp, root }
}

/// The ids of who runs the tests.
fn me() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

fn show(changes: &[Change]) -> String {
    let mut out = String::new();
    for Change { entry, content } in changes {
        let mut text = Vec::new();
        content.open().unwrap().read_to_end(&mut text).unwrap();
        // What the tester makes belongs to the tester, who is 0 in a build's namespace.
        let own = |id: u32, mine: u32| if id == mine { 0 } else { id };
        let (uid, gid) = (own(entry.uid, me().0), own(entry.gid, me().1));
        let owner = format!("{:o} {uid}:{gid}", entry.mode);
        let kind = match &entry.kind {
            EntryKind::File { .. } => {
                format!("file {owner} {:?}", String::from_utf8_lossy(&text))
            }
            EntryKind::Dir => format!("dir {owner}"),
            EntryKind::Symlink(to) => format!("-> {}", String::from_utf8_lossy(to)),
            EntryKind::Hardlink(to) => format!("== {to}"),
            EntryKind::Char { major, minor } => format!("char {owner} {major}:{minor}"),
            EntryKind::Block { major, minor } => format!("block {owner} {major}:{minor}"),
            EntryKind::Fifo => format!("fifo {owner}"),
            EntryKind::Whiteout => "gone".into(),
            EntryKind::Opaque => "opaque".into(),
        };
        write!(out, "{} {kind}", entry.path).unwrap();
        for (name, value) in &entry.xattrs {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            write!(out, " {name}={value}").unwrap();
        }
        out.push('\n');
    }
    out
}

/// One entry of a ustar archive.
fn tar(name: &str, kind: u8, link: &str, content: &str) -> Vec<u8> {
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let mut number = |at: usize, length: usize, value: u64| {
        let text = format!("{value:0width$o}\0", width = length - 1);
        header[at..at + length].copy_from_slice(text.as_bytes());
    };
    number(100, 8, if kind == b'5' { 0o755 } else { 0o644 });
    number(108, 8, 0);
    number(116, 8, 0);
    number(124, 12, content.len() as u64);
    number(136, 12, 7);
    number(329, 8, 1);
    number(337, 8, 3);
    header[148..156].fill(b' ');
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = header.to_vec();
    out.extend_from_slice(content.as_bytes());
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn file(name: &str, content: &str) -> Vec<u8> {
    tar(name, b'0', "", content)
}

fn dir(name: &str) -> Vec<u8> {
    tar(name, b'5', "", "")
}

fn link(name: &str, target: &str) -> Vec<u8> {
    tar(name, b'2', target, "")
}

fn hard(name: &str, target: &str) -> Vec<u8> {
    tar(name, b'1', target, "")
}

fn unpack_over(entries: &[Vec<u8>], lower: &dyn Lookup) -> String {
    let folder = folder();
    let inner = folder.root.top();
    // What an entry that leaves its root would hit first.
    inner.mkdir(b"root").unwrap();
    inner.create_file(b"host").unwrap();
    let root = Arc::new(Root::from_fd(inner.open_dir(b"root").unwrap().into()));
    let bytes = [entries.concat(), vec![0; 1024]].concat();
    let result = extract(&bytes[..], &root, mode(), lower, &mut []);
    let names: Vec<_> = inner.list().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"host"[..], b"root"], "something was written outside");
    assert_eq!(inner.stat(b"host").unwrap().size, 0);
    match result {
        Ok(_) => show(&changes(&root, Stacking::Plain, mode(), &Everything).unwrap()),
        Err(error) => format!("error: {error}\n"),
    }
}

fn check(entries: &[Vec<u8>], want: expect_test::Expect) {
    want.assert_eq(&unpack_over(entries, &Nothing));
}

#[test]
fn links_in_parents_stay_inside() {
    use expect_test::expect;
    check(
        &[link("d", "/abs/host"), file("d/f", "x")],
        expect![[r#"
            /abs dir 755 0:0
            /abs/host dir 755 0:0
            /abs/host/f file 644 0:0 "x"
            /d -> /abs/host
        "#]],
    );
    check(
        &[dir("a"), link("a/up", "../../../.."), file("a/up/f", "x")],
        expect![[r#"
            /a dir 755 0:0
            /a/up -> ../../../..
            /f file 644 0:0 "x"
        "#]],
    );
    check(
        &[link("a", "."), link("a/b", ".."), file("a/b/c", "x")],
        expect![[r#"
            /a -> .
            /b -> ..
            /c file 644 0:0 "x"
        "#]],
    );
    check(
        &[link("l", "l"), file("l/f", "x")],
        expect![[r#"
        error: too many symbolic links on the way to `/l`
    "#]],
    );
    check(
        &[file("f", "x"), file("f/g", "x")],
        expect![[r#"
        error: `/f` is not a directory
    "#]],
    );
}

#[test]
fn the_last_component_is_never_followed() {
    use expect_test::expect;
    check(
        &[file("t", "keep"), link("l", "t"), file("l", "new")],
        expect![[r#"
            /l file 644 0:0 "new"
            /t file 644 0:0 "keep"
        "#]],
    );
    check(
        &[link("l", "../host"), dir("l"), file("l/f", "x")],
        expect![[r#"
            /l dir 755 0:0
            /l/f file 644 0:0 "x"
        "#]],
    );
}

#[test]
fn hard_links_stay_inside() {
    use expect_test::expect;
    check(
        &[file("a", "1"), hard("b", "a"), file("a", "2")],
        expect![[r#"
            /a file 644 0:0 "2"
            /b file 644 0:0 "1"
        "#]],
    );
    check(
        &[file("a", "1"), hard("b", "/a"), hard("c", "b")],
        expect![[r#"
            /a file 644 0:0 "1"
            /b == /a
            /c == /a
        "#]],
    );
    for (entries, want) in [
        (vec![hard("a", "/etc/passwd")], "which is not there"),
        (vec![hard("a", "host")], "which is not there"),
        (vec![link("l", "../host"), hard("a", "l"), file("b", "")], "/a == /l"),
        (vec![file("a", ""), hard("a", "a")], "is a hard link to itself"),
        (vec![hard("a", "b"), file("b", "")], "which is not there"),
        (vec![dir("d"), hard("a", "d")], "to the directory"),
        (vec![hard("a", "../../host")], "error"),
    ] {
        let have = unpack_over(&entries, &Nothing);
        // Two names of a symlink are two symlinks in a layer.
        assert!(have.contains(want) || have.contains("/a -> ../host"), "{have}");
    }
}

#[test]
fn whiteouts_are_for_lower_layers() {
    use expect_test::expect;
    check(
        &[dir("d"), file("d/.wh.x", ""), file("d/x", "own"), file("d/.wh.y", "")],
        expect![[r#"
            /d dir 755 0:0
            /d/x file 644 0:0 "own"
            /d/y gone
        "#]],
    );
    check(
        &[file(".wh.d", ""), dir("d"), file("d/f", "own")],
        expect![[r#"
            /d dir 755 0:0
            /d opaque
            /d/f file 644 0:0 "own"
        "#]],
    );
    check(
        &[dir("d"), file("d/f", "own"), file("d/.wh..wh..opq", ""), file(".wh.d", "")],
        expect![[r#"
            /d dir 755 0:0
            /d opaque
            /d/f file 644 0:0 "own"
        "#]],
    );
    for name in [".wh..wh..opq", ".wh.", ".wh..", ".wh..."] {
        let have = unpack_over(&[file(name, "")], &Nothing);
        assert!(have.starts_with("error:"), "{name}: {have}");
    }
}

#[test]
fn the_last_entry_of_a_path_wins() {
    use expect_test::expect;
    check(
        &[dir("d"), file("d/f", "1"), file("d", "2"), dir("d"), link("d/g", "x")],
        expect![[r#"
            /d dir 755 0:0
            /d/g -> x
        "#]],
    );
    check(
        &[tar("n", b'3', "", ""), tar("b", b'4', "", ""), tar("p", b'6', "", "")],
        expect![[r#"
            /b block 644 0:0 1:3
            /n char 644 0:0 1:3
            /p fifo 644 0:0
        "#]],
    );
    for entries in [[file("/", "x")], [link(".", "x")], [file("../x", "")], [file("a/../../x", "")]]
    {
        let have = unpack_over(&entries, &Nothing);
        assert!(have.starts_with("error:"), "{have}");
    }
}

#[test]
fn folders_that_are_not_listed_are_those_of_the_layers_below() {
    let mut lower = Table::new();
    let mut tmp = Entry::new(path("tmp"), EntryKind::Dir, 0o1777);
    (tmp.uid, tmp.mtime) = (if mode().has_many() { 5 } else { 0 }, 9);
    let uid = tmp.uid;
    lower.insert(tmp.path.clone(), tmp);
    lower.insert(path("bin"), Entry::new(path("bin"), EntryKind::Symlink(b"usr/bin".into()), 0));
    let have = unpack_over(&[file("tmp/f", "x"), file("bin/sh", "y")], &lower);
    let want = format!(
        "/tmp dir 1777 {uid}:0\n/tmp/f file 644 0:0 \"x\"\n/usr dir 755 0:0\n/usr/bin dir 755 0:0\n\
         /usr/bin/sh file 644 0:0 \"y\"\n"
    );
    assert_eq!(have, want);
}

#[test]
fn deep_paths_cost_no_stack_or_descriptors() {
    let deep = "d/".repeat(120);
    let folder = folder();
    let bytes = [file(&format!("{}f", &deep[..90]), "x"), vec![0; 1024]].concat();
    extract(&bytes[..], &folder.root, mode(), &Nothing, &mut []).unwrap();
    let mut dir = folder.root.top().try_clone().unwrap();
    for _ in 0..1500 {
        dir.mkdir(b"e").unwrap();
        dir = dir.open_dir(b"e").unwrap();
    }
    assert!(changes(&folder.root, Stacking::Plain, mode(), &Nothing).unwrap().len() > 1500);
}

fn mark(dir: &Dir, name: &[u8], value: &[u8]) {
    xattr::set(dir, name, value).unwrap();
}

#[test]
fn an_upper_folder_becomes_changes() {
    let folder = folder();
    let top = folder.root.top();
    for name in [&b"new"[..], b"old", b"z"] {
        top.mkdir(name).unwrap();
        mark(&top.open_dir(name).unwrap(), b"user.overlay.opaque", b"y");
    }
    top.whiteout(b"was").unwrap();
    top.whiteout(b"never").unwrap();
    top.create_file(b"z2").unwrap();
    let z = top.open_dir(b"z").unwrap();
    z.link(top, b"z2", b"name").unwrap();
    mark(&z, b"user.overlay.origin", b"x");
    mark(&z, b"user.overlay.overlay.opaque", b"y");
    mark(&z, b"user.mine", b"1");
    let file = top.open_file(b"z2").unwrap();
    xattr::set(&file, b"user.rbuild.own", b"33:50").unwrap();
    let lower: Table = ["old", "was"]
        .into_iter()
        .map(|name| (path(name), Entry::new(path(name), EntryKind::Dir, 0o700)))
        .collect();
    let have = show(&changes(&folder.root, Stacking::Plain, IdMode::Single, &lower).unwrap());
    let own = top.stat(b"new").unwrap();
    let have = have.replace(&format!("{}:{}", own.uid, own.gid), "0:0");
    expect_test::expect![[r#"
        /new dir 700 0:0
        /old dir 700 0:0
        /old opaque
        /was gone
        /z dir 700 0:0 user.mine=1 user.overlay.opaque=y
        /z/name file 600 33:50 ""
        /z2 == /z/name
    "#]]
    .assert_eq(&have);
}

#[test]
fn a_file_that_changes_is_noticed() {
    let folder = folder();
    std::io::Write::write_all(&mut folder.root.top().create_file(b"f").unwrap(), b"before")
        .unwrap();
    let list = changes(&folder.root, Stacking::Plain, mode(), &Nothing).unwrap();
    folder.root.top().unlink(b"f").unwrap();
    std::io::Write::write_all(&mut folder.root.top().create_file(b"f").unwrap(), b"after!")
        .unwrap();
    assert!(matches!(list[0].content.open(), Err(Error::Changed(_))));
}

#[test]
fn nodes_that_a_step_may_not_make_are_files() {
    let folder = folder();
    let top = folder.root.top();
    for name in [&b"new"[..], b"old"] {
        let file = top.create_file(name).unwrap();
        xattr::set(&file, b"user.rbuild.own", b"7:0:b:8:0").unwrap();
    }
    let node = EntryKind::Block { major: 8, minor: 0 };
    let lower: Table = [(path("old"), Entry::new(path("old"), node.clone(), 0o600))].into();
    let mode = IdMode::Single;
    let mut list = changes(&folder.root, Stacking::Plain, mode, &lower).unwrap();
    assert!(list.iter().all(|change| change.entry.kind == node));
    forget_nodes(&mut list, &folder.root, mode, &lower).unwrap();
    let kinds = |list: &[Change]| list.iter().map(|c| c.entry.kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&list), [EntryKind::File { size: 0 }, node]);
    // Who reads the tree again finds the same, and the owner.
    let again = changes(&folder.root, Stacking::Plain, mode, &lower).unwrap();
    assert_eq!(kinds(&again), kinds(&list));
    assert_eq!(again[0].entry.uid, 7);
}

#[test]
fn nodes_of_a_base_stay_nodes_where_a_step_moves_them() {
    let node = |minor| EntryKind::Block { major: 8, minor };
    let dir = |at: &str| (path(at), Entry::new(path(at), EntryKind::Dir, 0o755));
    let base = |at: &str, minor| (path(at), Entry::new(path(at), node(minor), 0o600));
    let lower: Table =
        [base("old", 1), dir("d"), dir("d/e"), base("d/e/n", 2), base("kept", 3)].into();
    let folder = folder();
    let top = folder.root.top();
    top.whiteout(b"old").unwrap();
    top.whiteout(b"d").unwrap();
    let record = |dir: &crate::sys::Dir, name: &[u8], minor: u32| {
        let file = dir.create_file(name).unwrap();
        xattr::set(&file, b"user.rbuild.own", format!("0:0:b:8:{minor}").as_bytes()).unwrap();
    };
    // Moved; moved in a folder that has another name now; of nobody, and one that nobody has touched.
    record(top, b"new", 1);
    top.mkdir(b"x").unwrap();
    let x = top.open_dir(b"x").unwrap();
    x.mkdir(b"e").unwrap();
    record(&x.open_dir(b"e").unwrap(), b"n", 2);
    record(top, b"forged", 9);
    record(top, b"copied", 3);
    let mut list = changes(&folder.root, Stacking::Plain, IdMode::Range, &lower).unwrap();
    forget_nodes(&mut list, &folder.root, IdMode::Range, &lower).unwrap();
    let kind = |at: &str| &list.iter().find(|c| c.entry.path == path(at)).unwrap().entry.kind;
    assert_eq!([kind("new"), kind("x/e/n")], [&node(1), &node(2)]);
    let file = EntryKind::File { size: 0 };
    assert_eq!([kind("forged"), kind("copied")], [&file, &file]);
}

#[test]
fn owners_without_ids_are_kept_as_records() {
    let (from, to) = (folder(), folder());
    let mut entry = Entry::new(path("f"), EntryKind::File { size: 1 }, 0o4755);
    (entry.uid, entry.gid) = (33, 50);
    let change = Change { entry, content: Content::Bytes(Arc::from(&b"x"[..])) };
    materialise(&[change], &from.root, IdMode::Single, &Nothing).unwrap();
    let list = changes(&from.root, Stacking::Plain, IdMode::Single, &Nothing).unwrap();
    assert_eq!(show(&list), "/f file 4755 33:50 \"x\"\n");
    materialise(&list, &to.root, IdMode::Single, &Nothing).unwrap();
    assert_eq!(
        show(&changes(&to.root, Stacking::Plain, IdMode::Single, &Nothing).unwrap()),
        show(&list)
    );
}

/// A model of a tree: what is at each path, nothing but names and kinds.
type Model = BTreeMap<String, String>;

fn apply(model: &mut Model, list: &[Change]) {
    let below = |path: &str| format!("{}/", path.trim_end_matches('/'));
    // A layer hides first what lower layers have, then adds its own.
    for Change { entry, .. } in list {
        let path = entry.path.to_string();
        match entry.kind {
            EntryKind::Opaque => model.retain(|other, _| !other.starts_with(&below(&path))),
            EntryKind::Dir => {
                if model.get(&path).is_some_and(|kind| !kind.starts_with("dir")) {
                    model.remove(&path);
                }
            }
            _ => model.retain(|other, _| *other != path && !other.starts_with(&below(&path))),
        }
    }
    for Change { entry, content } in list {
        let mut text = String::new();
        content.open().unwrap().read_to_string(&mut text).unwrap();
        let kind = match &entry.kind {
            EntryKind::Whiteout | EntryKind::Opaque => continue,
            EntryKind::Dir => format!("dir {:o}", entry.mode),
            EntryKind::Hardlink(first) => model[&first.to_string()].clone(),
            _ => format!("file {text}"),
        };
        model.insert(entry.path.to_string(), kind);
    }
}

/// Makes a layer as a step over `model` could: consistent with itself.
fn layer_of(operations: &[(usize, u8)], number: usize) -> Vec<Change> {
    const PATHS: [&str; 8] = ["a", "a/b", "a/b/c", "a/d", "a-", "e", "e/f", "e/f/g"];
    let mut made: BTreeMap<ImagePath, Vec<Change>> = BTreeMap::new();
    let mut linked: Option<ImagePath> = None;
    for (which, what) in operations {
        let path = path(PATHS[which % PATHS.len()]);
        let blocked = path
            .components()
            .scan(ImagePath::root(), |at, name| {
                *at = at.join(name).unwrap();
                Some(at.clone())
            })
            .take_while(|above| *above != path)
            .any(|above| made.get(&above).is_some_and(|list| list[0].entry.kind != EntryKind::Dir));
        let holds = made.keys().any(|other| *other != path && other.starts_with(&path));
        if blocked || made.contains_key(&path) || (holds && what % 5 != 0 && what % 5 != 1) {
            continue;
        }
        let text = format!("{number}{which}");
        let bytes: Arc<[u8]> = text.as_bytes().into();
        let file = |path: &ImagePath| Change {
            entry: Entry::new(path.clone(), EntryKind::File { size: text.len() as u64 }, 0o644),
            content: Content::Bytes(Arc::clone(&bytes)),
        };
        let bare = |kind| Change::bare(Entry::new(path.clone(), kind, 0o700 + number as u32));
        let list = match what % 5 {
            0 => vec![bare(EntryKind::Dir)],
            1 => vec![bare(EntryKind::Dir), bare(EntryKind::Opaque)],
            2 => vec![bare(EntryKind::Whiteout)],
            3 if linked.as_ref().is_some_and(|first| *first < path) => {
                vec![bare(EntryKind::Hardlink(linked.clone().unwrap()))]
            }
            _ => {
                linked = Some(path.clone());
                vec![file(&path)]
            }
        };
        // Folders on the way are listed, as overlayfs copies them up.
        let mut at = path.parent();
        while let Some(parent) = at {
            if !parent.is_root() {
                made.entry(parent.clone()).or_insert_with(|| {
                    vec![Change::bare(Entry::new(parent.clone(), EntryKind::Dir, 0o755))]
                });
            }
            at = parent.parent();
        }
        made.insert(path, list);
    }
    made.into_values().flatten().collect()
}

proptest! {
    #[test]
    fn merged_layers_do_what_they_do_one_by_one(
        layers in proptest::collection::vec(
            proptest::collection::vec((0usize..8, 0u8..20), 0..8), 1..5)
    ) {
        let lists: Vec<Vec<Change>> =
            layers.iter().enumerate().map(|(number, layer)| layer_of(layer, number)).collect();
        let (base, rest) = lists.split_first().unwrap();
        let base: Vec<Change> = base.iter().filter(|change| {
            !matches!(change.entry.kind, EntryKind::Opaque | EntryKind::Whiteout)
        }).cloned().collect();
        let lower: Table = base.iter()
            .map(|change| (change.entry.path.clone(), change.entry.clone())).collect();
        let mut one_by_one = Model::new();
        apply(&mut one_by_one, &base);
        let mut at_once = one_by_one.clone();
        for list in rest {
            apply(&mut one_by_one, list);
        }
        let merged = merge(rest.to_vec(), &lower).unwrap();
        for pair in merged.windows(2) {
            prop_assert!(pair[0].entry.path <= pair[1].entry.path);
        }
        apply(&mut at_once, &merged);
        prop_assert_eq!(&at_once, &one_by_one, "{}", show(&merged));
        // On disk it stays what it is.
        let folder = folder();
        materialise(&merged, &folder.root, IdMode::Single, &lower).unwrap();
        let mut on_disk = Model::new();
        apply(&mut on_disk, &base);
        let listed = changes(&folder.root, Stacking::Plain, IdMode::Single, &lower).unwrap();
        apply(&mut on_disk, &listed);
        prop_assert_eq!(on_disk, one_by_one);
    }

    #[test]
    fn hostile_archives_neither_escape_nor_panic(
        entries in proptest::collection::vec((0usize..7, 0usize..10, 0usize..10), 0..12)
    ) {
        const NAMES: [&str; 10] =
            ["a", "a/b", "a/b/c", ".wh.a", "a/.wh..wh..opq", "l", "l/x", "b", "b/l/y", "/"];
        const TARGETS: [&str; 10] =
            ["a", "/", "..", "../..", "l", "/a/b", "b/../..", "../host", ".", "x/y"];
        let made: Vec<Vec<u8>> = entries.iter().map(|(kind, name, target)| {
            tar(NAMES[*name], b"0125346"[*kind], TARGETS[*target], "")
        }).collect();
        unpack_over(&made, &Nothing);
    }
}

#[test]
fn passwd() {
    let folder = folder();
    let top = folder.root.top();
    top.mkdir(b"etc").unwrap();
    let etc = top.open_dir(b"etc").unwrap();
    let put = |name: &[u8], text: &str| {
        std::io::Write::write_all(&mut etc.create_file(name).unwrap(), text.as_bytes()).unwrap();
    };
    put(
        b"real",
        "root:x:0:0:root:/root:/bin/sh\nbad:x:y\napp:x:1000:1500::/home/app:/bin/sh\nminus:x:4294967295:0::/:\n",
    );
    etc.symlink(b"/etc/real", b"passwd").unwrap();
    put(b"group", "root:x:0:\nstaff:x:50:app\napps:x:1500:app\nextra:x:1600:x,app\n");
    let tree = TreeLookup::new(&folder.root, IdMode::Root);
    let user = |spec: &str| match super::passwd::lookup(&tree, spec) {
        Ok(user) => format!("{}:{} {:?} {:?}", user.uid, user.gid, user.groups, user.home),
        Err(error) => error.to_string(),
    };
    for (spec, want) in [
        ("", "0:0 [0] Some(\"/root\")"),
        ("app", "1000:1500 [1500, 50, 1600] Some(\"/home/app\")"),
        ("1000", "1000:1500 [1500, 50, 1600] Some(\"/home/app\")"),
        ("app:staff", "1000:50 [50] Some(\"/home/app\")"),
        ("app:4444", "1000:4444 [4444] Some(\"/home/app\")"),
        ("4321", "4321:0 [0] None"),
        ("4321:8765", "4321:8765 [8765] None"),
        ("00", "0:0 [0] Some(\"/root\")"),
        ("+0", "0:0 [0] Some(\"/root\")"),
        ("-0", "0:0 [0] Some(\"/root\")"),
        ("0x0", "no user `0x0` in /etc/passwd of the image"),
        ("root ", "no user `root ` in /etc/passwd of the image"),
        ("2147483647", "2147483647:0 [0] None"),
        ("2147483648", "`2147483648` is no id of a user or group: they go from 0 to 2147483647"),
        ("4294967295", "`4294967295` is no id of a user or group: they go from 0 to 2147483647"),
        ("4294967296", "`4294967296` is no id of a user or group: they go from 0 to 2147483647"),
        ("-1", "`-1` is no id of a user or group: they go from 0 to 2147483647"),
        ("7:-1", "`-1` is no id of a user or group: they go from 0 to 2147483647"),
        ("minus", "no user `minus` in /etc/passwd of the image"),
        ("ghost", "no user `ghost` in /etc/passwd of the image"),
        ("app:ghosts", "no group `ghosts` in /etc/group of the image"),
    ] {
        assert_eq!(user(spec), want, "{spec}");
    }
    let owner = |spec: &str| super::passwd::owner(&tree, spec).ok();
    assert_eq!(owner("app"), Some((1000, 1500)));
    assert_eq!(owner("55"), Some((55, 55)));
    assert_eq!(owner("7:extra"), Some((7, 1600)));
    assert_eq!(owner("ghost"), None);
    // The kernel takes this for "leave the owner as it is", which may be root.
    for spec in ["4294967295", "4294967296", "7:4294967295", "-1"] {
        assert_eq!(owner(spec), None, "{spec}");
        assert!(user(spec).contains("is no id"), "{spec}");
    }
    assert_eq!(super::passwd::lookup(&Nothing, "7").unwrap().gid, 0);
    // As many groups as fit into what is read: found in linear time, and too many.
    etc.unlink(b"group").unwrap();
    put(b"group", &(0..100_000).map(|gid| format!("g:x:{gid}:app\n")).collect::<String>());
    assert!(user("app").contains("is in more than 65536 groups"), "{}", user("app"));
    assert_eq!(user("1"), "1:0 [0] None");
    // A pipe in the place of the file does not hang.
    etc.unlink(b"group").unwrap();
    etc.fifo(b"group").unwrap();
    assert_eq!(user("app:staff"), "no group `staff` in /etc/group of the image");
    assert!(folder.root.open(&path("etc/group"), Follow::InRoot).is_err());
}
