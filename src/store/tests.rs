//! The store under concurrent openers, dead owners and damaged records.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::expect;

use super::*;
use crate::base::{self, Digest};

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("deep/root")).unwrap();
    (dir, store)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

// Every blob is what its name says, and nothing else has a name.
fn check_blobs(store: &Store) -> usize {
    let names = names(&store.path("blobs/sha256"));
    for name in &names {
        let digest = Digest::parse_hex(name).unwrap();
        io::copy(&mut store.blob(digest).unwrap().verified(), &mut io::sink()).unwrap();
    }
    names.len()
}

#[test]
fn a_new_store_is_an_oci_layout_of_ours_alone() {
    let (_dir, store) = open();
    let mode = fs::metadata(store.root()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let seen = names(store.root()).join(" ");
    expect!["blobs cache index.json locks oci-layout records tmp trees version"].assert_eq(&seen);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(store.root().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["schemaVersion"], 2);
    Store::open(store.root()).unwrap();
}

#[test]
fn other_formats_and_other_folders_are_refused_and_left_alone() {
    let (_dir, store) = open();
    let root = store.root().to_owned();
    fs::write(root.join("version"), "2\n").unwrap();
    assert!(matches!(Store::open(&root), Err(Error::Version { found, .. }) if found == "2"));
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("letter"), "dear").unwrap();
    assert!(matches!(Store::open(home.path()), Err(Error::NotAStore { .. })));
    assert_eq!(names(home.path()), ["letter"]);
}

#[test]
fn many_may_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::thread::scope(|scope| {
        for number in 0..8u8 {
            let root = &root;
            scope.spawn(move || {
                for round in 0..20u8 {
                    let store = Store::open(root).unwrap();
                    let digest = store.put(&[number, round]).unwrap();
                    assert_eq!(store.read(digest, 10).unwrap(), [number, round]);
                    let mut draft = store.draft().unwrap();
                    draft.write_all(&[round]).unwrap();
                    draft.commit(None).unwrap();
                }
            });
        }
    });
    let store = Store::open(&root).unwrap();
    assert_eq!(check_blobs(&store), 8 * 20 + 20);
    assert!(names(&store.path("tmp")).is_empty());
}

#[test]
fn drafts_get_a_name_only_when_they_are_what_was_expected() {
    let (_dir, store) = open();
    let good = Digest::of(b"abc");
    let draft = |text: &[u8]| {
        let mut draft = store.draft().unwrap();
        draft.write_all(text).unwrap();
        draft
    };
    assert!(matches!(draft(b"abd").commit(Some((good, 3))), Err(Error::Corrupt { .. })));
    assert!(matches!(draft(b"abcd").commit(Some((good, 3))), Err(Error::Size { .. })));
    drop(draft(b"abc"));
    assert!(!store.has(good) && matches!(store.blob(good), Err(Error::Missing(_))));
    let mut again = draft(b"xyz");
    again.reset().unwrap();
    again.write_all(b"abc").unwrap();
    assert_eq!(again.commit(Some((good, 3))).unwrap(), (good, 3));
    assert_eq!(draft(b"abc").commit(None).unwrap(), (good, 3));
    let mut raw = store.raw_draft().unwrap();
    raw.write_all(b"raw").unwrap();
    raw.commit(Digest::of(b"raw"), 3).unwrap();
    assert_eq!(check_blobs(&store), 2);
    let left = names(&store.path("tmp")).iter().find(|name| !name.ends_with("lock")).cloned();
    assert!(names(&store.path("tmp").join(left.unwrap())).is_empty());
}

#[test]
fn reading_tells_damage() {
    let (_dir, store) = open();
    let digest = store.put(b"content").unwrap();
    for (bytes, want) in
        [(&b"c0ntent"[..], "damaged"), (b"conten", "bytes"), (b"contents", "bytes")]
    {
        fs::write(store.blob_path(digest), bytes).unwrap();
        let mut out = Vec::new();
        let error = Verified::new(bytes, digest, 7).read_to_end(&mut out).unwrap_err();
        assert!(out.len() <= 7 && error.to_string().contains(want), "{error}");
        assert!(store.blob(digest).unwrap().verified().read_to_end(&mut out).is_err());
        assert!(store.read(digest, 100).is_err());
    }
    assert!(matches!(store.read(digest, 3), Err(Error::Size { .. })));
    // Writing it again heals it.
    store.put(b"content").unwrap();
    assert_eq!(store.read(digest, 7).unwrap(), b"content");
}

#[test]
fn foreign_files_are_adopted_after_a_look() {
    let (dir, store) = open();
    let file = dir.path().join("blob");
    fs::write(&file, "abc").unwrap();
    let link = |path: &Path| fs::hard_link(&file, path);
    assert!(store.adopt(Digest::of(b"abd"), 3, link).is_err());
    assert!(store.adopt(Digest::of(b"abc"), 2, link).is_err());
    store.adopt(Digest::of(b"abc"), 3, link).unwrap();
    store.adopt(Digest::of(b"abc"), 3, link).unwrap();
    assert_eq!(check_blobs(&store), 1);
}

#[test]
fn trees_are_kept_bound_and_removed() {
    let (_dir, store) = open();
    let diff = Digest::<base::Diff>::of(b"layer");
    let draft = store.tree_draft().unwrap();
    assert_eq!(fs::metadata(draft.path()).unwrap().permissions().mode() & 0o7777, 0o755);
    fs::write(draft.path().join("file"), "x").unwrap();
    fs::create_dir(draft.work().join("work")).unwrap();
    fs::set_permissions(draft.work().join("work"), fs::Permissions::from_mode(0o000)).unwrap();
    let id = draft.commit().unwrap();
    assert_eq!(store.tree_of(diff), None);
    store.bind_tree(diff, &id).unwrap();
    assert_eq!(store.tree_of(diff).as_ref(), Some(&id));
    assert_eq!(names(store.tree_path(&id).parent().unwrap()), ["fs"]);
    let dropped = store.tree_draft().unwrap();
    fs::create_dir_all(dropped.path().join("a/b")).unwrap();
    let path = dropped.path().to_owned();
    drop(dropped);
    assert!(!path.exists());
    store.remove_tree(&id).unwrap();
    store.remove_tree(&id).unwrap();
    assert_eq!(store.tree_of(diff), None);
    assert!(TreeId::try_from("../x".to_owned()).is_err());
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<TreeId>(&json).unwrap(), id);
}

#[test]
fn records_are_found_by_key_operation_and_slot() {
    let (_dir, store) = open();
    let record = |key: &[u8], op: &[u8], slot: &str| CacheRecord {
        key: Digest::of(key),
        op: Digest::of(op),
        slot: slot.to_owned(),
        parts: vec![KeyPart { name: "env A".to_owned(), value: "1".to_owned() }],
        result: serde_json::json!({ "diff": Digest::<base::Diff>::of(key) }),
    };
    let (a, b) = (record(b"a", b"op", "line 1"), record(b"b", b"op", "line 1"));
    let c = record(b"c", b"other", "line 2");
    for record in [&a, &b, &c] {
        store.put_record(record).unwrap();
    }
    assert_eq!(store.record(a.key).as_ref(), Some(&a));
    assert_eq!(store.record(Digest::of(b"none")), None);
    assert!(store.has_records_of(a.op) && store.has_records_of(c.op));
    assert!(!store.has_records_of(Digest::of(b"none")));
    assert_eq!(store.last_of("line 1").as_ref(), Some(&b));
    store.touch_record(&a).unwrap();
    assert_eq!(store.last_of("line 1").as_ref(), Some(&a));
    fs::write(store.path("records/key").join(b.key.hex()), "{").unwrap();
    assert_eq!(store.record(b.key), None);
    store.remove_record(&a).unwrap();
    store.remove_record(&c).unwrap();
    assert!(store.has_records_of(b.op) && !store.has_records_of(c.op));
    assert_eq!((store.record(a.key), store.last_of("line 1")), (None, None));
}

#[test]
fn a_form_of_a_layer_is_one_blob_of_one_layer() {
    let (_dir, store) = open();
    let (blob, other) = (Digest::<base::Blob>::of(b"blob"), Digest::<base::Blob>::of(b"other"));
    let (diff, wrong) = (Digest::<base::Diff>::of(b"diff"), Digest::<base::Diff>::of(b"wrong"));
    store.note_form_of(blob, diff).unwrap();
    assert!(store.is_form_of(blob, diff));
    assert!(!store.is_form_of(other, diff) && !store.is_form_of(blob, wrong));
}

#[test]
fn facts_that_are_damaged_are_not_there() {
    let (_dir, store) = open();
    let diff = Digest::<base::Diff>::of(b"layer");
    assert_eq!(store.facts(diff, "files-1"), None);
    store.put_facts(diff, "files-1", b"facts").unwrap();
    store.put_facts(diff, "empty-1", b"").unwrap();
    assert_eq!(store.facts(diff, "files-1").unwrap(), b"facts");
    assert_eq!(store.facts(diff, "empty-1").unwrap(), b"");
    assert!(store.put_facts(diff, "../x", b"").is_err());
    let path = store.path("records/facts").join(diff.hex()).join("files-1");
    fs::write(&path, [&fs::read(&path).unwrap()[..], b"x"].concat()).unwrap();
    assert_eq!(store.facts(diff, "files-1"), None);
}

#[test]
fn digests_of_unchanged_files_are_remembered() {
    let (_dir, store) = open();
    let stamp =
        |ino: u64| FileStamp { dev: 1, ino, size: 3, mtime_ns: -5, ctime_ns: 1_000_000_007 };
    let digest = |ino: u64| Mark::of(&ino.to_le_bytes());
    for ino in 0..3 {
        store.stat_cache().put(stamp(ino), digest(ino), ino == 1);
    }
    // Changed this moment: it may change again without a trace.
    let now = crate::sys::stat_of(fs::File::open(store.root().join("version")).unwrap()).unwrap();
    let now = FileStamp { ctime_ns: i64::MAX, ..FileStamp::of(&now) };
    store.stat_cache().put(now, digest(9), true);
    assert_eq!(store.stat_cache().get(&now), None);
    let root = store.root().to_owned();
    drop(store);
    // A writer that was killed in the middle of a line.
    let mut file = fs::File::options().append(true).open(root.join("records/stat-4/01")).unwrap();
    file.write_all(&[7; 33]).unwrap();
    let store = Store::open(&root).unwrap();
    store.stat_cache().put(stamp(7), digest(7), true);
    store.stat_cache().flush().unwrap();
    let again = Store::open(&root).unwrap();
    for ino in [0, 1, 2, 7] {
        assert_eq!(again.stat_cache().get(&stamp(ino)), Some(digest(ino)));
        assert_eq!(again.stat_cache().is_plain(&stamp(ino)), [1, 7].contains(&ino));
    }
    // Files far away are elsewhere, and are read only when they are asked for.
    let far = stamp(1 << 20 | 5 << 8);
    again.stat_cache().put(far, digest(8), false);
    again.stat_cache().flush().unwrap();
    assert!(root.join("records/stat-4/06").exists());
    let other = FileStamp { size: 4, ..stamp(0) };
    assert_eq!(again.stat_cache().get(&other), None);
    assert_eq!(fs::metadata(root.join("records/stat-4/01")).unwrap().len(), 4 * 88);
}

// What a process leaves that is killed between making a tree and saying of which layer it is: the
// tree, and the folder with the note on it.
fn die_with_a_tree(store: &Store, bound: bool) -> TreeId {
    let other = Store::open(store.root()).unwrap();
    let id = other.tree_draft().unwrap().commit().unwrap();
    let (session, number) = id.as_str().split_once('-').unwrap();
    let folder = store.path("tmp").join(session);
    let note = folder.join(format!("{number}.tree"));
    assert!(note.exists());
    if bound {
        other.bind_tree(Digest::of(b"layer"), &id).unwrap();
        assert!(!note.exists());
    }
    // Dropped, it would tidy up. The lock is let go by hand.
    let aside = store.path("aside");
    fs::rename(store.path("trees").join(id.as_str()), &aside).unwrap();
    drop(other);
    fs::rename(&aside, store.path("trees").join(id.as_str())).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(&note, "").unwrap();
    fs::write(folder.with_extension("lock"), "").unwrap();
    id
}

#[test]
fn trees_of_the_dead_go_unless_they_can_be_found() {
    let (_dir, store) = open();
    let lost = die_with_a_tree(&store, false);
    let found = die_with_a_tree(&store, true);
    Store::open(store.root()).unwrap();
    assert!(!store.has_tree(&lost) && store.has_tree(&found));
    assert!(names(&store.path("tmp")).is_empty());
    // A process that ends by itself leaves none either.
    let other = Store::open(store.root()).unwrap();
    let unbound = other.tree_draft().unwrap().commit().unwrap();
    assert!(store.has_tree(&unbound));
    drop(other);
    assert!(!store.has_tree(&unbound));
}

#[test]
fn a_replaced_tree_goes_when_nobody_can_use_it() {
    let (_dir, store) = open();
    let root = store.root().to_owned();
    let layer = Digest::<base::Diff>::of(b"layer");
    let make = |store: &Store| {
        let id = store.tree_draft().unwrap().commit().unwrap();
        store.bind_tree(layer, &id).unwrap();
        id
    };
    let (first, second) = (make(&store), make(&store));
    let tree = |id: &TreeId| root.join("trees").join(id.as_str()).exists();
    Store::open(&root).unwrap();
    assert!(tree(&first) && tree(&second), "somebody may stand on it");
    drop(store);
    let store = Store::open(&root).unwrap();
    assert!(!tree(&first) && store.tree_of(layer) == Some(second));
    assert!(names(&root.join("records/replaced")).is_empty());
}

#[test]
fn a_store_is_settled_when_nothing_waits_to_be_removed() {
    let (folder, store) = open();
    let root = store.root().to_owned();
    let settled = |root: &Path| Store::open_settled(root).unwrap().is_some();
    assert!(!settled(&folder.path().join("nothing")));
    assert!(!folder.path().join("nothing").exists(), "it is not made");
    // One that works is none that is dead.
    let _path = store.tmp_path().unwrap();
    assert!(settled(&root));
    fs::write(root.join("tmp/dead.lock"), "").unwrap();
    assert!(!settled(&root));
    assert!(root.join("tmp/dead.lock").exists(), "whoever has the powers removes it");
    drop(Store::open(&root).unwrap());
    assert!(settled(&root));
    fs::write(root.join("records/replaced/0-0"), "").unwrap();
    assert!(!settled(&root));
}

#[test]
fn what_the_dead_left_is_swept_and_the_living_are_left_alone() {
    let (_dir, store) = open();
    let tmp = store.path("tmp");
    let alive = store.tmp_path().unwrap();
    fs::write(&alive, "").unwrap();
    fs::create_dir_all(tmp.join("dead/3/fs")).unwrap();
    fs::set_permissions(tmp.join("dead/3"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(tmp.join("dead.lock"), "").unwrap();
    Store::open(store.root()).unwrap();
    assert!(alive.exists() && !tmp.join("dead").exists() && !tmp.join("dead.lock").exists());
}

const CHILD: &str = "RBUILD_TEST_STORE";

// Not a test of its own: the process that `a_killed_process_leaves_a_good_store` kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&root)).unwrap();
    for round in 0u64.. {
        let mut draft = store.draft().unwrap();
        (0..200).for_each(|_| draft.write_all(&round.to_le_bytes()).unwrap());
        let (digest, _) = draft.commit(None).unwrap();
        let tree = store.tree_draft().unwrap();
        fs::write(tree.path().join("file"), round.to_string()).unwrap();
        let tree = tree.commit().unwrap();
        let diff = Digest::from_bytes(*digest.as_bytes());
        store.bind_tree(diff, &tree).unwrap();
        store.put_facts(diff, "round", &round.to_le_bytes()).unwrap();
        let key = Digest::from_bytes(*digest.as_bytes());
        let slot = "slot".to_owned();
        let result = serde_json::Value::from(round);
        store.put_record(&CacheRecord { key, op: key, slot, parts: vec![], result }).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_good_store() {
    let (_dir, store) = open();
    for wait in [0, 7, 20, 45] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_writes_until_it_is_killed"])
            .env(CHILD, store.root())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // However slow the machine: it has written something before it is killed.
        let (blobs, start) = (names(&store.path("blobs/sha256")).len(), Instant::now());
        while store.last_of("slot").is_none() || names(&store.path("blobs/sha256")).len() == blobs {
            assert!(start.elapsed() < Duration::from_secs(60), "the child gets nowhere");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = Store::open(store.root()).unwrap();
    assert!(check_blobs(&store) > 0, "the child got nowhere");
    assert!(names(&store.path("tmp")).is_empty());
    for key in names(&store.path("records/key")) {
        let record = store.record(Digest::parse_hex(&key).unwrap()).unwrap();
        let diff = Digest::parse_hex(&key).unwrap();
        let tree = store.tree_of(diff).unwrap();
        let text = fs::read_to_string(store.tree_path(&tree).join("file")).unwrap();
        assert_eq!(record.result.to_string(), text);
        assert!(store.facts(diff, "round").is_some());
    }
    assert!(store.last_of("slot").is_some());
}

#[test]
fn what_says_the_same_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, store) = open();
    let path = store.path("tmp").join("one");
    let put = |parts: &[&[u8]]| {
        store.put_file(&path, parts).unwrap();
        (fs::metadata(&path).unwrap().ino(), fs::read(&path).unwrap())
    };
    let (first, _) = put(&[b"ab", b"c"]);
    assert_eq!(put(&[b"a", b"bc"]).0, first);
    for other in [&b"abd"[..], b"ab", b"abcd", b""] {
        let (_, text) = put(&[other]);
        assert_eq!(text, other);
    }
    // The file of the same size that is not the same.
    fs::write(&path, "xyz").unwrap();
    assert_eq!(put(&[b"abc"]).1, b"abc");
}
