//! Archives of strangers: the attacks by number, other readers as judges, mutated bytes.

use std::process::Command;

use expect_test::{Expect, expect};

use super::*;

// Makes archives by hand, wrong ones too.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn header(mut self, name: &str, kind: u8, size: &str, change: impl FnOnce(&mut Block)) -> Self {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        for (at, text) in [(100, "0000644"), (108, "0000000"), (116, "0000000"), (136, "0")] {
            block[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        block[124..124 + size.len()].copy_from_slice(size.as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    fn entry(self, name: &str, kind: u8, data: &[u8]) -> Self {
        self.header(name, kind, &format!("{:o}", data.len()), |_| ()).data(data)
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut data = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|n| *n == rest + n.to_string().len()).unwrap();
            data += &format!("{length} {key}={value}\n");
        }
        self.entry("pax", b'x', data.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }
}

fn list(mut reader: Reader<&[u8]>) -> String {
    let mut out = String::new();
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return out,
            Err(error) => return out + &format!("error: {error}\n"),
        };
        out += &format!("{} {:?} {:o}", entry.path, entry.kind, entry.mode);
        if (entry.uid, entry.gid, entry.mtime) != (0, 0, 0) {
            out += &format!(" {}:{} at {}", entry.uid, entry.gid, entry.mtime);
        }
        for (key, value) in &entry.xattrs {
            out += &format!(" {}={}", key.escape_ascii(), value.escape_ascii());
        }
        let mut content = Vec::new();
        match reader.content().take(40).read_to_end(&mut content) {
            Ok(0) => {}
            Ok(_) => out += &format!(" {:?}", String::from_utf8_lossy(&content)),
            Err(error) => out += &format!(" error: {error}"),
        }
        out.push('\n');
    }
}

fn check(archive: Raw, want: Expect) {
    let archive = archive.end();
    want.assert_eq(&list(Reader::layer(&archive, Limits::default())));
}

#[test]
fn attack_01_names_are_cleaned_and_cannot_go_up() {
    let archive = Raw::default()
        .entry("/x", b'0', b"")
        .entry("//y", b'0', b"")
        .entry("./z/./w//", b'5', b"")
        .entry("./", b'5', b"")
        .entry("a/../../x", b'0', b"");
    check(
        archive,
        expect![[r#"
        /x File { size: 0 } 644
        /y File { size: 0 } 644
        /z/w Dir 644
        / Dir 644
        error: archive entry `a/../../x`: the path has a `..` component
    "#]],
    );
    check(
        Raw::default().entry("../x", b'0', b""),
        expect![[r#"
        error: archive entry `../x`: the path has a `..` component
    "#]],
    );
    check(
        Raw::default().header("h", b'1', "0", |b| b[157..161].copy_from_slice(b"../x")),
        expect![[r#"
            error: archive entry `h`: its target: the path has a `..` component
        "#]],
    );
}

#[test]
fn attack_10_whiteouts() {
    let archive = Raw::default()
        .entry("a/.wh.b", b'0', b"")
        .entry("a/.wh..wh..opq", b'0', b"")
        .entry(".wh..wh..opq", b'0', b"")
        .entry(".wh..wh.plnk/7.8", b'0', b"old")
        .entry("a/b", b'0', b"new");
    let bytes = archive.end();
    expect![[r#"
        /a/b Whiteout 644
        /a Opaque 644
        / Opaque 644
        /a/b File { size: 3 } 644 "new"
    "#]]
    .assert_eq(&list(Reader::layer(&bytes, Limits::default())));
    expect![[r#"
        /a/.wh.b File { size: 0 } 644
        /a/.wh..wh..opq File { size: 0 } 644
        /.wh..wh..opq File { size: 0 } 644
        /.wh..wh.plnk/7.8 File { size: 3 } 644 "old"
        /a/b File { size: 3 } 644 "new"
    "#]]
    .assert_eq(&list(Reader::archive(&bytes, Limits::default())));
    for (name, want) in [
        (
            ".wh...",
            expect![[r#"
            error: archive entry `.wh...`: a whiteout hides no name
        "#]],
        ),
        (
            ".wh..",
            expect![[r#"
            error: archive entry `.wh..`: a whiteout hides no name
        "#]],
        ),
        (
            "a/.wh.",
            expect![[r#"
            error: archive entry `a/.wh.`: a whiteout hides no name
        "#]],
        ),
        (
            ".wh./x",
            expect![[r#"
            error: archive entry `.wh./x`: a folder has the name of a whiteout
        "#]],
        ),
    ] {
        check(Raw::default().entry(name, b'0', b""), want);
    }
}

#[test]
fn attack_11_pax_beats_gnu_beats_the_header() {
    let archive = Raw::default()
        .entry("././@LongLink", b'L', b"gnu\0")
        .entry("././@LongLink", b'K', b"gnu-target\0")
        .pax(&[("path", "pax")])
        .entry("short", b'2', b"");
    check(
        archive,
        expect![[r#"
        /pax Symlink([103, 110, 117, 45, 116, 97, 114, 103, 101, 116]) 644
    "#]],
    );
    check(
        Raw::default().pax(&[("path", "../up")]).entry("short", b'0', b""),
        expect![[r#"
        error: archive entry `../up`: the path has a `..` component
    "#]],
    );
}

#[test]
fn attack_12_the_size_in_pax_rules() {
    let hidden = Raw::default().entry("hidden", b'0', b"").0;
    let archive = Raw::default()
        .pax(&[("size", "512")])
        .header("carrier", b'0', "0", |_| ())
        .data(&hidden)
        .entry("next", b'0', b"x");
    check(
        archive,
        expect![[r#"
        /carrier File { size: 512 } 644 "hidden\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        /next File { size: 1 } 644 "x"
    "#]],
    );
}

#[test]
fn attack_13_malformed_records_are_errors() {
    check(
        Raw::default().entry("p", b'x', b"8 path=x\n").entry("a", b'0', b""),
        expect![[r#"
            error: malformed archive: a PAX record is broken
        "#]],
    );
    check(
        Raw::default().pax(&[]).pax(&[]).entry("a", b'0', b""),
        expect![[r#"
        error: malformed archive: an entry has two extension headers of a kind
    "#]],
    );
    check(
        Raw::default().pax(&[("path", "b")]),
        expect![[r#"
        error: the archive is truncated
    "#]],
    );
}

#[test]
fn attack_14_global_headers_are_not_applied() {
    let archive = Raw::default().entry("g", b'g', b"9 path=b\n9 size=7\n").entry("a", b'0', b"x");
    check(
        archive,
        expect![[r#"
        /a File { size: 1 } 644 "x"
    "#]],
    );
}

#[test]
fn attack_15_metadata_are_limited() {
    let big = "7777777777";
    check(
        Raw::default().header("p", b'x', big, |_| ()),
        expect![[r#"
        error: the metadata of an entry is over the limit of 1048576
    "#]],
    );
    check(
        Raw::default().header("p", b'L', big, |_| ()),
        expect![[r#"
        error: the metadata of an entry is over the limit of 1048576
    "#]],
    );
    // Many small global headers are many headers.
    let mut archive = Raw::default();
    for _ in 0..20 {
        archive = archive.entry("g", b'g', b"");
    }
    let limits = Limits { entries: 10, ..Limits::default() };
    expect![[r#"
        error: the number of entries is over the limit of 10
    "#]]
    .assert_eq(&list(Reader::layer(&archive.end(), limits)));
}

#[test]
fn attack_16_sparse_files() {
    let old = |size: &'static str, map: &'static [(&'static str, &'static str)]| {
        Raw::default().header("sparse", b'S', "3", move |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            for (at, (offset, length)) in map.iter().enumerate() {
                let at = 386 + at * 24;
                block[at..at + offset.len()].copy_from_slice(offset.as_bytes());
                block[at + 12..at + 12 + length.len()].copy_from_slice(length.as_bytes());
            }
            block[483..483 + size.len()].copy_from_slice(size.as_bytes());
        })
    };
    check(
        old("12", &[("2", "1"), ("5", "2")]).data(b"abc"),
        expect![[r#"
        /sparse File { size: 10 } 644 "\0\0a\0\0bc\0\0\0"
    "#]],
    );
    check(
        old("777777777777", &[("2", "3")]).data(b"abc"),
        expect![[r#"
        /sparse File { size: 68719476735 } 644 "\0\0abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "#]],
    );
    check(
        old("12", &[("5", "2"), ("2", "1")]).data(b"abc"),
        expect![[r#"
        error: malformed archive: a sparse map is broken
    "#]],
    );
    check(
        Raw::default()
            .pax(&[
                ("GNU.sparse.size", "6"),
                ("GNU.sparse.map", "0,1,4,2"),
                ("GNU.sparse.name", "n"),
            ])
            .entry("x", b'0', b"abc"),
        expect![[r#"
            /n File { size: 6 } 644 "a\0\0\0bc"
        "#]],
    );
    check(
        Raw::default()
            .pax(&[
                ("GNU.sparse.size", "6"),
                ("GNU.sparse.offset", "0"),
                ("GNU.sparse.numbytes", "1"),
                ("GNU.sparse.offset", "4"),
                ("GNU.sparse.numbytes", "2"),
            ])
            .entry("x", b'0', b"abc"),
        expect![[r#"
            /x File { size: 6 } 644 "a\0\0\0bc"
        "#]],
    );
    let v1 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "n"),
        ("GNU.sparse.realsize", "6"),
    ];
    let mut data = b"2\n0\n1\n4\n2\n".to_vec();
    data.resize(BLOCK, 0);
    data.extend_from_slice(b"abc");
    check(
        Raw::default().pax(&v1).entry("x", b'0', &data),
        expect![[r#"
        /n File { size: 6 } 644 "a\0\0\0bc"
    "#]],
    );
    check(
        Raw::default().pax(&v1).entry("x", b'0', &[b'1'; 600]),
        expect![[r#"
        error: malformed archive: a sparse map is broken
    "#]],
    );
}

#[test]
fn attack_17_numbers() {
    let size = |bytes: [u8; 12]| {
        Raw::default().header("a", b'0', "0", move |block| block[124..136].copy_from_slice(&bytes))
    };
    let mut base_256 = [0; 12];
    base_256[0] = 0x80;
    base_256[11] = 2;
    check(
        size(base_256).data(b"hi"),
        expect![[r#"
        /a File { size: 2 } 644 "hi"
    "#]],
    );
    check(
        size([0xff; 12]),
        expect![[r#"
        error: malformed archive: a number in a header is negative or too large
    "#]],
    );
    base_256[4] = 0x80;
    check(
        size(base_256),
        expect![[r#"
        error: malformed archive: a number in a header is negative or too large
    "#]],
    );
    check(
        size(*b"00000000129\0"),
        expect![[r#"
        error: malformed archive: a number in a header is none
    "#]],
    );
    let mut broken = Raw::default().entry("a", b'0', b"");
    broken.0[150] ^= 1;
    check(
        broken,
        expect![[r#"
        error: malformed archive: the checksum of a header is wrong
    "#]],
    );
}

#[test]
fn attack_18_truncation_and_what_follows_the_end() {
    let whole = Raw::default().pax(&[("path", "b")]).entry("a", b'0', b"content").end();
    for cut in [100, 600, 1100, 1536 + 3, 1536 + 300] {
        let said = list(Reader::layer(&whole[..cut], Limits::default()));
        assert!(said.contains("truncated"), "{cut}: {said}");
    }
    let two = [whole.clone(), whole.clone()].concat();
    let want = list(Reader::layer(&whole, Limits::default()));
    assert_eq!(list(Reader::layer(&two, Limits::default())), want);
    check(
        Raw::default().data(&[0; BLOCK]).entry("late", b'0', b""),
        expect![[r#"
        error: malformed archive: a block of zeros stands between entries
    "#]],
    );
}

#[test]
fn attack_25_nothing_replaces_the_root() {
    for (name, kind, want) in [
        (
            "",
            b'5',
            expect![[r#"
            error: archive entry ``: the name is empty
        "#]],
        ),
        (
            ".",
            b'0',
            expect![[r#"
            error: archive entry `.`: the root is a folder
        "#]],
        ),
        (
            "/",
            b'2',
            expect![[r#"
            error: archive entry `/`: the root is a folder
        "#]],
        ),
        (
            ".",
            b'5',
            expect![[r#"
            / Dir 644
        "#]],
        ),
    ] {
        check(Raw::default().header(name, kind, "0", |b| b[157] = b't'), want);
    }
}

#[test]
fn attacks_26_and_27_times_are_clamped_and_owners_checked() {
    let archive = Raw::default()
        .pax(&[("mtime", "-99999999999999999999.5"), ("uid", "4294967295")])
        .entry("a", b'0', b"")
        .pax(&[("mtime", "253402300800")])
        .entry("b", b'0', b"")
        .pax(&[("gid", "4294967296")])
        .entry("c", b'0', b"");
    check(
        archive,
        expect![[r#"
        /a File { size: 0 } 644 4294967295:0 at -62135596800
        /b File { size: 0 } 644 0:0 at 253402300799
        error: archive entry `c`: its owner 4294967296 is over 2^32
    "#]],
    );
}

#[test]
fn records_that_pose_as_others_rename_nothing() {
    let value = "x\n17 path=etc/evil\n";
    check(
        Raw::default().pax(&[("SCHILY.xattr.user.a", value)]).entry("harmless", b'0', b"hi"),
        expect![[r#"
            /harmless File { size: 2 } 644 user.a=x\n17 path=etc/evil\n "hi"
        "#]],
    );
}

#[test]
fn archives_of_gnu_tar_are_read_in_all_its_formats() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(180);
    let file = std::fs::File::create(dir.path().join("sparse")).unwrap();
    file.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 3 << 20).unwrap();
    std::fs::write(dir.path().join(&long), "long").unwrap();
    std::os::unix::fs::symlink(&long, dir.path().join("to")).unwrap();
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
    ] {
        let made = Command::new("tar")
            .args(options)
            .args(["-c", "-C"])
            .arg(dir.path())
            .args(["sparse", &long, "to"])
            .output();
        let Ok(made) = made else { return };
        assert!(made.status.success(), "{options:?}");
        let mut reader = Reader::layer(&made.stdout[..], Limits::default());
        let mut seen = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, entry.size());
            if entry.path.name() == b"sparse" {
                assert!(content[3 << 20..].starts_with(b"data\0"), "{options:?}");
            }
            if let EntryKind::Symlink(target) = &entry.kind {
                assert_eq!(target, long.as_bytes());
            }
            seen.push((entry.path.name().len(), entry.size()));
        }
        assert_eq!(seen, [(6, 5 << 20), (180, 4), (2, 0)], "{options:?}");
    }
}

#[test]
fn an_audit_reads_on_where_an_entry_cannot_be() {
    #[derive(Default)]
    struct Seen(String);
    impl crate::layer::Observer for Seen {
        fn entry(&mut self, entry: &Entry) {
            self.0 += &format!("{}", entry.path);
        }
        fn content(&mut self, data: &[u8]) {
            self.0 += &format!(" {:?}", String::from_utf8_lossy(data));
        }
        fn end(&mut self) {
            self.0 += "\n";
        }
        fn anomaly(&mut self, name: &[u8], what: &str) {
            self.0 += &format!("! {}: {what}\n", name.escape_ascii());
        }
    }
    let mut tar = Raw::default()
        .entry("../../etc/cron.d/x", b'0', b"*")
        .entry("a", b'0', b"one")
        .entry("odd", b'9', &[b'x'; 600])
        .pax(&[("size", "3")])
        .header("larger", b'0', "10", |_| ())
        .data(b"two")
        .header("up", b'1', "0", |block| block[157..161].copy_from_slice(b"../x"))
        .pax(&[("path", "b/../c")])
        .entry("c", b'0', b"three")
        .entry("b", b'0', b"four")
        .end();
    let read = |tar: &[u8]| {
        let mut seen = Seen::default();
        let reader = Reader::audit(tar, Limits::default());
        match crate::layer::observe(reader, &mut [&mut seen]) {
            Ok(rest) => assert!(rest.is_empty()),
            Err(error) => seen.0 += &format!("error: {error}\n"),
        }
        seen.0
    };
    let want = expect![[r#"
        ! ../../etc/cron.d/x: the path has a `..` component
        /a "one"
        ! odd: its type `9` is not known
        ! larger: PAX gives it 3 bytes, its header 8
        /larger "two"
        ! up: its target: the path has a `..` component
        ! b/../c: the path has a `..` component
        /b "four"
    "#]];
    want.assert_eq(&read(&tar));
    // Zeros pad an archive; other data behind the end are told, and read.
    tar.resize(20 * 512, 0);
    want.assert_eq(&read(&tar));
    tar.extend_from_slice(&Raw::default().entry("more", b'0', b"x").end());
    assert!(read(&tar).ends_with("! : data stand behind the end of the archive\n"));
    // Who unpacks goes no further.
    assert!(Reader::layer(&tar[..], Limits::default()).next_entry().is_err());
    // What breaks the framing is an error to both.
    let broken = Raw::default().entry("a", b'0', b"one").entry("b", b'0', b"x").end();
    let mut broken = broken[..1024 + 512].to_vec();
    broken[1024 + 148] ^= 1;
    assert!(read(&broken).contains("error: malformed archive"));
}
