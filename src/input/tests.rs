//! COPY and ADD from end to end: a context, sources and a destination in; a listing out.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::base::ImagePath;
use crate::layer::{Compression, Entry, EntryKind, LayerWriter};
use crate::rootfs::{Change, Lookup, Nothing, Table, passwd};
use crate::store::{Marks, Store};
use crate::sys::{Dir, IdMode, Root, set_mode, set_mtime};

fn path(text: &str) -> ImagePath {
    ImagePath::root().resolve(text.as_bytes()).unwrap()
}

/// Makes files of a text: a line each, `d/` a folder, `l -> t` a link, `a == b` a hard link, `p |`
/// a pipe, else `f content`; `0600 f content` with a mode. Folders on the way are made.
fn files(top: &Dir, text: &str) {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (mode, line) = match line.split_once(' ') {
            Some((mode, rest)) if mode.len() == 4 && mode.starts_with('0') => {
                (u32::from_str_radix(mode, 8).ok(), rest)
            }
            _ => (None, line),
        };
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut dir = top.try_clone().unwrap();
        let mut parts: Vec<&str> = name.split('/').collect();
        let last = parts.pop().unwrap();
        for part in parts {
            if dir.stat_opt(part.as_bytes()).unwrap().is_none() {
                dir.mkdir(part.as_bytes()).unwrap();
                set_mode(dir.open_dir(part.as_bytes()).unwrap(), 0o755).unwrap();
            }
            dir = dir.open_dir(part.as_bytes()).unwrap();
        }
        let last = last.as_bytes();
        if last.is_empty() {
            set_mode(&dir, mode.unwrap_or(0o755)).unwrap();
        } else if let Some(target) = rest.strip_prefix("-> ") {
            dir.symlink(target.as_bytes(), last).unwrap();
        } else if let Some(other) = rest.strip_prefix("== ") {
            dir.link(top, other.as_bytes(), last).unwrap();
        } else if rest == "|" {
            dir.fifo(last).unwrap();
        } else {
            let mut file = dir.create_file(last).unwrap();
            file.write_all(rest.as_bytes()).unwrap();
            set_mode(&file, mode.unwrap_or(0o644)).unwrap();
            set_mtime(&file, 1_000_000_007).unwrap();
        }
    }
}

/// Makes a tree below of a text: `/d 0700 33:50`, `/f file`, `/l -> t`.
fn tree(text: &str) -> Table {
    let mut table = Table::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap();
        let entry = match (rest.strip_prefix("-> "), rest) {
            (Some(target), _) => Entry::new(path(name), EntryKind::Symlink(target.into()), 0o777),
            (None, "file") => Entry::new(path(name), EntryKind::File { size: 1 }, 0o644),
            (None, rest) => {
                let (mode, owner) = rest.split_once(' ').unwrap();
                let (uid, gid) = owner.split_once(':').unwrap();
                let mode = u32::from_str_radix(mode, 8).unwrap();
                let mut entry = Entry::new(path(name), EntryKind::Dir, mode);
                (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
                entry
            }
        };
        table.insert(entry.path.clone(), entry);
    }
    table
}

fn show(changes: &[Change]) -> String {
    let mut out = String::new();
    for Change { entry, content } in changes {
        let mut text = String::new();
        content.open().unwrap().read_to_string(&mut text).unwrap();
        let meta = format!("{:o} {}:{}", entry.mode, entry.uid, entry.gid);
        let kind = match &entry.kind {
            EntryKind::File { .. } => format!("{meta} {text:?}"),
            EntryKind::Dir => format!("dir {meta}"),
            EntryKind::Symlink(to) => format!("-> {}", String::from_utf8_lossy(to)),
            EntryKind::Hardlink(to) => format!("== {to}"),
            EntryKind::Opaque => "opaque".to_owned(),
            other => format!("{other:?}"),
        };
        writeln!(out, "{} {kind}", entry.path).unwrap();
    }
    out
}

struct Setup {
    temp: tempfile::TempDir,
    store: Store,
}

fn setup(context: &str) -> Setup {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
    std::fs::create_dir_all(beside).unwrap();
    let temp = tempfile::tempdir_in(beside).unwrap();
    let store = Store::open(&temp.path().join("store")).unwrap();
    std::fs::create_dir(temp.path().join("ctx")).unwrap();
    std::fs::write(temp.path().join("secret"), "outside").unwrap();
    files(Root::open_host(&temp.path().join("ctx")).unwrap().top(), context);
    Setup { temp, store }
}

impl Setup {
    fn context(&self) -> Result<Context, Error> {
        let folder = self.temp.path().join("ctx");
        let ignore = Ignore::find(&Root::open_host(&folder).unwrap(), None)?;
        Context::open(&folder, ignore.map(|(_, ignore)| ignore))
    }

    /// Takes the words of a COPY: flags, sources, destination.
    fn copy(&self, words: &str, lower: &dyn Lookup) -> Result<Vec<Change>, Error> {
        let (mut pick, mut chown, mut chmod, mut add) = (Pick::default(), None, None, false);
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("--exclude", pattern)) => pick.exclude.push(pattern.into()),
                Some(("--chown", spec)) => chown = Some(passwd::owner(lower, spec).unwrap()),
                Some(("--chmod", text)) => chmod = Some(Chmod::parse(text)?),
                _ if word == "--parents" => pick.parents = true,
                _ if word == "--add" => add = true,
                _ => pick.sources.push(word.into()),
            }
        }
        let dest = pick.sources.pop().unwrap();
        let selection = select(&self.context()?, &pick, None)?;
        assert_eq!(selection.digest(&self.store)?, selection.digest(&self.store)?);
        let how = Placement {
            dest: &path(&dest),
            directory: dest.ends_with('/') || dest == ".",
            chown,
            chmod: chmod.as_ref(),
            unpack: add,
            made: 5,
        };
        place(&[Part::Selected(&selection)], lower, &how, &self.store)
    }
}

fn listing(context: &str, words: &str, lower: &str) -> String {
    match setup(context).copy(words, &tree(lower)) {
        Ok(changes) => show(&changes),
        Err(error) => format!("error: {error}\n"),
    }
}

fn check(context: &str, words: &str, lower: &str, want: Expect) {
    want.assert_eq(&listing(context, words, lower));
}

#[test]
fn files_and_folders() {
    check(
        "a 1",
        "a /new",
        "",
        expect![[r#"
        /new 644 0:0 "1"
    "#]],
    );
    check(
        "a 1",
        "a /",
        "",
        expect![[r#"
        /a 644 0:0 "1"
    "#]],
    );
    check(
        "a 1",
        "a /x/y/z",
        "",
        expect![[r#"
        /x dir 755 0:0
        /x/y dir 755 0:0
        /x/y/z 644 0:0 "1"
    "#]],
    );
    check(
        "a 1",
        "a /tmp",
        "/tmp 1777 0:5",
        expect![[r#"
            /tmp dir 1777 0:5
            /tmp/a 644 0:0 "1"
        "#]],
    );
    check(
        "0751 d/ \n 0711 d/sub/ \n d/sub/f 1",
        "d /x/",
        "/x 0700 33:33\n/x/sub 0700 33:33\n/x/old file",
        expect![[r#"
            /x dir 700 33:33
            /x/sub dir 711 0:0
            /x/sub/f 644 0:0 "1"
        "#]],
    );
    check(
        "d/e/ \n f 1 \n g 2",
        "d f g /x/",
        "",
        expect![[r#"
        /x dir 755 0:0
        /x/e dir 755 0:0
        /x/f 644 0:0 "1"
        /x/g 644 0:0 "2"
    "#]],
    );
    check(
        "p |",
        ". /x/",
        "",
        expect![[r#"
        /x dir 755 0:0
        /x/p Fifo
    "#]],
    );
}

#[test]
fn what_is_in_the_way() {
    for (words, lower, want) in [
        ("d /x", "/x file", "non-directory"),
        ("d /x/", "/x file", "not a directory"),
        ("d /x/", "/x 0755 0:0\n/x/f 0755 0:0", "cannot replace a directory with a file"),
        ("d /x/", "/x 0755 0:0\n/x/s file", "non-directory"),
        ("d /x/", "/x 0755 0:0\n/x/s -> ../real\n/real 0755 0:0", "non-directory"),
        ("d/f /f/a", "/f file", "`/f`: not a directory"),
        ("d/f /l/a", "/l -> l", "too many symbolic links"),
    ] {
        let have = listing("d/f 1 \n d/s/g 2", words, lower);
        assert!(have.starts_with("error") && have.contains(want), "{words}: {have}");
    }
    let have = listing("d/.wh.x 1", "d /x/", "");
    assert!(have.contains("names that begin with `.wh.`"), "{have}");
}

#[test]
fn links_of_the_destination() {
    let lower = "/real 0755 0:0\n/l -> real\n/abs -> /real\n/up -> ../../../real\n/dang -> /no\n\
                 /t file\n/lt -> t";
    for (words, want) in [
        ("a /l/a", "/real dir 755 0:0\n/real/a 644 0:0 \"1\"\n"),
        ("a /abs/", "/real dir 755 0:0\n/real/a 644 0:0 \"1\"\n"),
        ("a /up/", "/real dir 755 0:0\n/real/a 644 0:0 \"1\"\n"),
        ("a /dang/b", "/no dir 755 0:0\n/no/b 644 0:0 \"1\"\n"),
        ("a /lt", "/t 644 0:0 \"1\"\n"),
    ] {
        assert_eq!(listing("a 1", words, lower), want, "{words}");
    }
    let kept = setup("a 1");
    let linked = kept.copy("a /l/a", &Nothing).unwrap();
    assert_eq!(show(&linked), "/l dir 755 0:0\n/l/a 644 0:0 \"1\"\n");
}

#[test]
fn owners_and_modes() {
    check(
        "a 1",
        "--chown=33:50 a /p/q/a",
        "/p 0700 1:1",
        expect![[r#"
            /p dir 700 1:1
            /p/q dir 755 33:50
            /p/q/a 644 33:50 "1"
        "#]],
    );
    check(
        "d/s/g 1 \n d/l -> x",
        "--chmod=600 d /m/n/",
        "",
        expect![[r#"
            /m dir 600 0:0
            /m/n dir 600 0:0
            /m/n/l -> x
            /m/n/s dir 600 0:0
            /m/n/s/g 600 0:0 "1"
        "#]],
    );
}

#[test]
fn links_of_the_context() {
    let context = "d/f 1\nd/abs -> /etc/passwd\nd/up -> ../../x\nl -> d\nlf -> d/f\nout -> \
                   ../../secret\nsecret 2\ngone -> /etc/hostname";
    let clamped = "/o 644 0:0 \"2\"\n";
    for (words, want) in [
        ("l /x/", "/x dir 755 0:0\n/x/abs -> /etc/passwd\n/x/f 644 0:0 \"1\"\n/x/up -> ../../x\n"),
        ("lf /x/", "/x dir 755 0:0\n/x/lf 644 0:0 \"1\"\n"),
        ("l/f /y", "/y 644 0:0 \"1\"\n"),
        ("out /o", clamped),
        ("../../secret /o", clamped),
        ("/secret /o", clamped),
        ("gone /o", "error: `/gone`: not found\n"),
        ("nope /o", "error: `/nope`: not found\n"),
    ] {
        assert_eq!(listing(context, words, ""), want, "{words}");
    }
    check(
        "a 1\nb == a\nc 2",
        ". /x/",
        "",
        expect![[r#"
        /x dir 755 0:0
        /x/a 644 0:0 "1"
        /x/b == /x/a
        /x/c 644 0:0 "2"
    "#]],
    );
}

#[test]
fn patterns() {
    let context = "a.txt 1\nb.txt 2\ns/c.txt 3\n.dot 4\nd/x/f 5\nd/y/f 6\nl -> d";
    for (words, want) in [
        ("*.txt /x/", "/x/a.txt /x/b.txt"),
        ("[^a].txt /x/", "/x/b.txt"),
        (".d* /x/", "/x/.dot"),
        ("?/x/f /x/", "/x/f"),
        ("d/* /x/", "/x/f"),
        ("*.nope /x/", ""),
        ("nodir/* /x/", ""),
        ("l/x/* /x/", "/x/f"),
    ] {
        let have = listing(context, words, "");
        let have: Vec<_> = have
            .lines()
            .filter(|line| !line.contains("dir"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(have.join(" "), want, "{words}");
    }
    assert_eq!(listing(context, "b.tx* /f", ""), "/f 644 0:0 \"2\"\n");
    assert!(listing(context, "[ /f", "").contains("syntax error in pattern"));
}

#[test]
fn parents_and_exclude() {
    let context = "t.txt 0\n0700 x/\n0711 x/y/\nx/a.txt 1\nx/y/b.txt 2\nx/y/c.md 3\nz/a.txt 4";
    for (words, want) in [
        ("--parents x/y/b.txt /p/", "/p /p/x /p/x/y /p/x/y/b.txt"),
        ("--parents ./**/*.md /p/", "/p /p/x /p/x/y /p/x/y/c.md"),
        ("--parents ./x/./y/*.txt /p/", "/p /p/y /p/y/b.txt"),
        (
            "--parents --exclude=**/y/*.txt x z /p/",
            "/p /p/x /p/x/a.txt /p/x/y /p/x/y/c.md /p/z \
          /p/z/a.txt",
        ),
        (
            "--exclude=*.txt . /p/",
            "/p /p/x /p/x/a.txt /p/x/y /p/x/y/b.txt /p/x/y/c.md /p/z \
          /p/z/a.txt",
        ),
        (
            "--exclude=**/*.txt --exclude=!**/b.txt . /p/",
            "/p /p/x /p/x/y /p/x/y/b.txt \
          /p/x/y/c.md /p/z",
        ),
        ("--exclude=y x /p/", "/p /p/a.txt"),
        ("--exclude=t.txt t.txt /p/", "/p /p/t.txt"),
    ] {
        let have = listing(context, words, "");
        let have: Vec<_> = have.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(have.join(" "), want, "{words}");
    }
    let have = listing(context, "--parents x/y/b.txt /p/", "/p 0755 0:0\n/p/x 0750 33:33");
    assert!(have.contains("/p/x dir 700 33:33\n/p/x/y dir 711 0:0\n"), "{have}");
    assert!(listing(context, "--parents x/nope /p/", "").contains("`/x/nope`: not found"));
}

#[test]
fn ignored_files_are_not_there() {
    let context = ".dockerignore d\na 1\nd/g/h.md 2\nd/x 3\nl -> d/x";
    assert_eq!(
        listing(context, ". /x/", ""),
        "/x dir 755 0:0\n/x/.dockerignore 644 0:0 \"d\"\n/x/a 644 0:0 \"1\"\n/x/l -> d/x\n"
    );
    for words in ["d /x/", "d/x /x", "l /x"] {
        assert!(listing(context, words, "").contains("not found"), "{words}");
    }
    assert!(listing(context, "d/x /x", "").contains("`.dockerignore:1` excludes it, pattern `d`"));
    assert_eq!(listing(context, "d* /x/", ""), "");
    let setup = setup("d/g/h.md 2\nd/x 3");
    let ignore = Ignore::parse(b"d\n!d/g/h.md\n").unwrap();
    let context = Context::open(&setup.temp.path().join("ctx"), Some(ignore)).unwrap();
    let pick = Pick { sources: vec![".".into()], ..Pick::default() };
    let names: Vec<_> = select(&context, &pick, None).unwrap().groups[0]
        .items
        .iter()
        .map(|item| String::from_utf8_lossy(item.below()).into_owned())
        .collect();
    assert_eq!(names, ["", "d", "d/g", "d/g/h.md"]);
}

#[test]
fn digests_follow_content_and_modes_but_not_times() {
    let digest = |context: &str, sources: &str| {
        let setup = setup(context);
        let sources = sources.split(' ').map(str::to_owned).collect();
        let pick = Pick { sources, ..Pick::default() };
        select(&setup.context().unwrap(), &pick, None).unwrap().digest(&setup.store).unwrap()
    };
    let first = digest("d/a 1\nd/b 2", "d");
    assert_eq!(digest("d/a 1\nd/b 2\nother 3", "d"), first);
    for other in
        ["d/a 1\nd/b 3", "0600 d/a 1\nd/b 2", "d/a 1\nd/c 2", "d/a 12\nd/b ", "d/a 1\nd/b -> 2"]
    {
        assert_ne!(digest(other, "d"), first, "{other:?}");
    }
    assert_ne!(digest("a 1\nb 1", "a"), digest("a 1\nb 1", "b"));
}

// Many folders are read ahead, on several threads.
#[test]
fn wide_trees_come_in_order_and_the_first_error_counts() {
    let setup = setup("ctx-is-made 1");
    let top = setup.temp.path().join("ctx");
    let mut want = vec!["ctx-is-made".to_owned()];
    for outer in 0..40 {
        want.push(format!("d{outer:02}"));
        for inner in 0..5 {
            let folder = format!("d{outer:02}/e{inner}");
            std::fs::create_dir_all(top.join(&folder)).unwrap();
            want.push(folder.clone());
            for file in ["a", "b"] {
                std::fs::write(top.join(&folder).join(file), file).unwrap();
                want.push(format!("{folder}/{file}"));
            }
        }
    }
    let pick = Pick { sources: vec!["/".into()], ..Pick::default() };
    for _ in 0..5 {
        let found = select(&setup.context().unwrap(), &pick, None).unwrap();
        let names: Vec<_> = found.entries().skip(1).map(|entry| &entry.path).collect();
        let names: Vec<_> = names.iter().map(|path| path.display().into_owned()).collect();
        assert!(names.iter().map(|name| &name[1..]).eq(want.iter().map(String::as_str)));
    }
    // A path that is too long is an error for root too.
    for at in ["d35/e0", "d07/e3", "d20/e1"] {
        let mut dir = Root::open_host(&top.join(at)).unwrap().top().try_clone().unwrap();
        for _ in 0..17 {
            let name = at[..3].repeat(80);
            dir.mkdir(name.as_bytes()).unwrap();
            dir = dir.open_dir(name.as_bytes()).unwrap();
        }
    }
    for _ in 0..5 {
        let error = select(&setup.context().unwrap(), &pick, None).unwrap_err();
        assert!(crate::diag::chain(&error).contains("d07/e3/d07"), "{error}");
    }
}

// A file that was seen without attributes is not asked again; that it got some shows by its ctime.
#[test]
fn attributes_that_come_later_are_seen() {
    let setup = setup("d/a 1\nd/b 22");
    let file = std::fs::File::open(setup.temp.path().join("ctx/d/a")).unwrap();
    if crate::sys::xattr::set(&file, b"user.mine", b"1").is_err() {
        let why = "this file system has no attributes";
        crate::base::skipped("attributes_that_come_later_are_seen", why);
        return;
    }
    crate::sys::xattr::remove(&file, b"user.mine").unwrap();
    // What changed just now is not remembered.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let pick = Pick { sources: vec!["d".into()], ..Pick::default() };
    let store = Store::open(setup.store.root()).unwrap();
    let look = || {
        let seen = Some(store.stat_cache());
        let found = select(&setup.context().unwrap(), &pick, seen).unwrap();
        let digest = found.digest(&store).unwrap();
        let plain = |item: &super::select::Item| match &item.content {
            crate::rootfs::Content::File { stamp, .. } => store.stat_cache().is_plain(stamp),
            _ => false,
        };
        let items: Vec<_> = found.groups[0].items.iter().skip(1).collect();
        let count = |item: &&super::select::Item| (item.entry.xattrs.len(), plain(item));
        (digest, items.iter().map(count).collect::<Vec<_>>())
    };
    let (first, seen) = look();
    assert_eq!(seen, [(0, true), (0, true)]);
    assert_eq!(look(), (first, vec![(0, true), (0, true)]));
    crate::sys::xattr::set(&file, b"user.mine", b"1").unwrap();
    let (then, seen) = look();
    assert_eq!(seen, [(1, false), (0, true)]);
    assert_ne!(then, first);
}

#[test]
fn what_is_known_of_all_is_known_without_reading() {
    let setup = setup("d/a 1\nd/b 22\nd/e/c 333\nf 4");
    // What changed just now is not remembered.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let store = Store::open(setup.store.root()).unwrap();
    let context = setup.context().unwrap();
    let pick = |source: &str| Pick { sources: vec![source.into()], ..Pick::default() };
    let known = |source: &str, mut room: usize| {
        let found = select_known(&context, &pick(source), store.stat_cache(), &mut room)?;
        Some((found.digest(&store).unwrap(), room))
    };
    assert_eq!(known("d", 100), None, "never read");
    let digest = select(&context, &pick("d"), None).unwrap().digest(&store).unwrap();
    // The folder itself, three things in it, and one below.
    assert_eq!(known("d", 100), Some((digest, 95)));
    assert_eq!(known("d", 5), Some((digest, 0)));
    assert_eq!(known("d", 4), None, "more than there is room for");
    assert_eq!(known("?", 100), None, "`f` was never read");
    assert_eq!(known("nothing", 100), None);
    let file = std::fs::File::open(setup.temp.path().join("ctx/d/a")).unwrap();
    if crate::sys::xattr::set(&file, b"user.mine", b"1").is_ok() {
        assert_eq!(known("d", 100), None, "attributes");
    }
}

#[test]
fn what_was_marked_on_the_way_into_a_layer_is_not_read_again() {
    let setup = setup("d/a 1\nd/b 22\nd/empty ");
    let context = setup.context().unwrap();
    let pick = Pick { sources: vec!["d".into()], ..Pick::default() };
    let digest = |selection: &Selection, marks: &Marks| {
        selection.digest_with(&setup.store, marks).map(|(digest, _)| digest)
    };
    let selection = select(&context, &pick, None).unwrap();
    let read = digest(&select(&context, &pick, None).unwrap(), &Marks::default()).unwrap();

    let changes = setup.copy("d /x/", &Nothing).unwrap();
    let (mut marks, times) = (Marks::default(), crate::rootfs::Times::Preserve);
    let mut layer = LayerWriter::new(Vec::new(), Compression::None, 1, Vec::new()).unwrap();
    crate::rootfs::pack_marking(&changes, &mut layer, times, &mut marks).unwrap();
    // With the files gone, nothing can be read.
    std::fs::remove_dir_all(setup.temp.path().join("ctx/d")).unwrap();
    assert_eq!(digest(&selection, &marks).unwrap(), read);
    assert!(digest(&selection, &Marks::default()).is_err());
}

#[test]
fn a_context_that_changes_is_noticed() {
    let setup = setup("a 1");
    let changes = setup.copy("a /a", &Nothing).unwrap();
    let file = setup.temp.path().join("ctx/a");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("../secret", &file).unwrap();
    assert!(changes[0].content.open().is_err());
}

#[test]
fn heredocs_and_fetched_files() {
    let setup = setup("");
    let place = |part: Part<'_>, dest: &str, directory| {
        let how = Placement {
            dest: &path(dest),
            directory,
            chown: None,
            chmod: None,
            unpack: false,
            made: 5,
        };
        match place(&[part], &Nothing, &how, &setup.store) {
            Ok(changes) => show(&changes),
            Err(error) => error.to_string(),
        }
    };
    let inline = |name| Part::Inline { name, content: Arc::from(&b"text"[..]) };
    assert_eq!(place(inline("EOF"), "/f", false), "/f 644 0:0 \"text\"\n");
    assert_eq!(place(inline("n"), "/d", true), "/d dir 755 0:0\n/d/n 644 0:0 \"text\"\n");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"web").unwrap();
    let file = Arc::new(file);
    let fetched =
        |name| Part::Fetched { name, file: Arc::clone(&file), size: 3, mtime: 9, unpack: true };
    assert_eq!(place(fetched("f"), "/d", true), "/d dir 755 0:0\n/d/f 600 0:0 \"web\"\n");
    assert_eq!(place(fetched(""), "/f", false), "/f 600 0:0 \"web\"\n");
    for name in ["", "..", "a/b", "../x", "."] {
        assert!(place(fetched(name), "/d", true).contains("no name of a file"), "{name:?}");
    }
}

/// Packs a tar of lines as [`files`] knows them, by the layer writer; then compresses it.
fn archive(text: &str, folder: &std::path::Path) -> Vec<u8> {
    let source = folder.join("archive");
    std::fs::create_dir(&source).unwrap();
    let root = Arc::new(Root::open_host(&source).unwrap());
    files(root.top(), text.trim_start_matches('!'));
    let mut changes =
        crate::rootfs::changes(&root, crate::rootfs::Stacking::Plain, IdMode::Root, &Nothing)
            .unwrap();
    // With `!` in front the archive does not list its folders.
    changes.retain(|change| !text.starts_with('!') || change.entry.kind != EntryKind::Dir);
    for change in &mut changes {
        (change.entry.uid, change.entry.gid) = (33, 50);
    }
    let mut writer = LayerWriter::new(Vec::new(), Compression::None, 1, Vec::new()).unwrap();
    crate::rootfs::pack(&changes, &mut writer, crate::rootfs::Times::Preserve).unwrap();
    writer.finish().unwrap().0
}

fn add(entries: &str, words: &str, lower: &str) -> String {
    let setup = setup("");
    let bytes = archive(entries, setup.temp.path());
    std::fs::write(setup.temp.path().join("ctx/t"), bytes).unwrap();
    match setup.copy(&format!("--add {words}"), &tree(lower)) {
        Ok(changes) => show(&changes),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn archives_are_unpacked() {
    let entries = "0750 dir/\ndir/in 1\ntop 2\nhard == top\nsym -> top";
    let want = expect![[r#"
        /x dir 755 0:0
        /x/dir dir 750 33:50
        /x/dir/in 644 33:50 "1"
        /x/hard 644 33:50 "2"
        /x/sym -> top
        /x/top == /x/hard
    "#]];
    want.assert_eq(&add(entries, "t /x", ""));
    want.assert_eq(&add(entries, "t /l/", "/l -> x"));
    // Into what is there: folders merge, anything else is replaced.
    expect![[r#"
        /x dir 700 1:1
        /x/dir dir 750 33:50
        /x/dir/in 644 33:50 "1"
        /x/hard 644 33:50 "2"
        /x/sym -> top
        /x/top == /x/hard
    "#]]
    .assert_eq(&add(entries, "t /x", "/x 0700 1:1\n/x/dir 0755 0:0\n/x/sym 0755 0:0\n/x/top file"));
    expect![[r#"
        error: cannot unpack `/t`: entry `/l/f`: a link on the way leads out of the destination
    "#]]
    .assert_eq(&add("!l/f 1", "t /x", "/x 0755 0:0\n/x/l -> /tmp\n/tmp 1777 0:0"));
    assert!(add("f 1", "t /x", "/x file").contains("`/x`: not a directory"));
}

#[test]
fn what_is_no_archive_is_copied() {
    for (content, name) in
        [("", "empty"), ("no archive", "plain"), ("BZh9 no", "bz"), ("\u{1f}", "x")]
    {
        let have = listing(&format!("{name} {content}"), &format!("--add {name} /x/"), "");
        assert!(have.starts_with("/x dir 755 0:0\n/x/"), "{have}");
    }
}
