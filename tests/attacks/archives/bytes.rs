//! Framing: what is a header, what is data, how long is it.

use super::{Case, check, fine, refused};
use crate::ground::{Ground, every_user};
use crate::harness::{Kind, have, ok};
use crate::tarbytes::{Header, Tar, record};

fn tar() -> Tar {
    Tar::new()
}

/// Attacks 11 and 13 to 17: all of them about what an entry's name and size are.
pub(crate) fn framing(ground: &Ground) -> Vec<Case> {
    let all = [overrides, broken_records, global, long, sparse, numbers];
    all.iter().flat_map(|cases| cases(ground)).collect()
}

fn overrides(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let path = |name: &str| vec![("path", name.as_bytes().to_vec())];
    let pax = |tar: Tar, records: &[(&str, Vec<u8>)]| {
        let records: Vec<_> = records.iter().map(|(key, value)| (*key, value.as_slice())).collect();
        tar.pax(b'x', &records)
    };
    let link = [("linkpath", b"../../etc/passwd".to_vec())];
    vec![
        refused(pax(tar(), &path("../evil")).file("good", "").end(), "`..`"),
        fine(pax(tar(), &path("good")).file("../evil", "").end(), "test -f /good"),
        refused(tar().long(b'L', b"../evil").file("good", "").end(), "`..`"),
        fine(tar().long(b'L', b"good").file("../evil", "").end(), "test -f /good"),
        refused(pax(tar(), &link).hardlink("h", "bin/busybox").end(), "`..`"),
        refused(tar().long(b'K', b"../x").hardlink("h", "bin/busybox").end(), "`..`"),
        fine(
            tar().long(b'K', host.as_bytes()).symlink("l", "short").end(),
            format!("test $(readlink /l) = {host}"),
        ),
        fine(
            pax(tar().long(b'L', b"gnu"), &path("pax")).file("short", "x").end(),
            "test -f /pax; test ! -e /gnu; test ! -e /short",
        ),
        fine(
            pax(tar(), &path("pax")).long(b'L', b"gnu").file("short", "x").end(),
            "test -f /pax; test ! -e /gnu; test ! -e /short",
        ),
        // An empty value takes the record back.
        fine(pax(tar(), &path("")).file("short", "").end(), "test -f /short"),
    ]
}

#[test]
fn attack_11_the_effective_name_is_checked() {
    check(overrides);
}

/// A tar that poses as a file's data.
fn smuggled() -> Vec<u8> {
    tar().file("smuggled", "evil").cut()
}

/// Odd tars on which readers have disagreed.
fn oddities() -> Vec<(&'static str, Vec<u8>)> {
    let inner = smuggled();
    let size = inner.len().to_string();
    let sized = |header: Option<&[u8]>, pax: &str, kind: u8| {
        let mut file = Header::new(kind, "file");
        file.size = header.map(<[u8]>::to_vec);
        tar()
            .pax(b'x', &[("size", pax.as_bytes())])
            .raw(&file.block(inner.len() as u64))
            .raw(&inner)
            .pad()
            .file("after", "x")
            .end()
    };
    let zero = b"00000000000\0".as_slice();
    let half = b"00000001000\0".as_slice();
    let old = |header: Header| tar().raw(&header.block(0)).file("after", "x").end();
    let mut link = Header::new(b'2', "link");
    link.link = b"target".to_vec();
    let prefixed = {
        let mut header = Header::new(b'0', "name");
        header.patch = vec![(345, b"pre/fix".to_vec())];
        tar().entry(&header, b"data").end()
    };
    let gnu = {
        let mut header = Header::new(b'0', "name");
        header.patch = vec![(257, b"ustar  \0".to_vec()), (345, b"12345670123\0".to_vec())];
        tar().entry(&header, b"data").end()
    };
    vec![
        ("the header says nothing, PAX the truth", sized(Some(zero), &size, b'0')),
        ("the header says half, PAX the truth", sized(Some(half), &size, b'0')),
        ("both say the truth", sized(None, &size, b'0')),
        ("headers as data", tar().file("file", &inner).file("after", "x").end()),
        ("an old regular file", tar().entry(&Header::new(0, "file"), &inner).end()),
        ("a contiguous file", tar().entry(&Header::new(b'7', "file"), &inner).end()),
        ("a link", old(link)),
        ("a prefix", prefixed),
        ("the magic of GNU, where the prefix is none", gnu),
        ("a global header", tar().pax(b'g', &[("comment", b"x")]).file("after", "x").end()),
        ("no end marker", tar().file("after", "x").cut()),
        ("a name of a hundred bytes", tar().file("n".repeat(100), "x").end()),
        ("a long name", tar().long(b'L', &[b'n'; 200]).file("n".repeat(100), "x").end()),
        ("base 256", {
            let mut header = Header::new(b'0', "file");
            header.size = Some(b"\x80\0\0\0\0\0\0\0\0\0\x02\0".to_vec());
            tar().raw(&header.block(0)).raw(&[b'y'; 512]).file("after", "x").end()
        }),
        ("spaces in numbers", {
            let mut header = Header::new(b'0', "file");
            header.size = Some(b"         4 \0".to_vec());
            tar().raw(&header.block(0)).raw(b"data").pad().file("after", "x").end()
        }),
    ]
}

#[test]
fn attack_12_the_same_entries_as_other_readers() {
    if !have(&["tar", "bsdtar"]) {
        return;
    }
    every_user(|ground| {
        for (what, bytes) in oddities() {
            let file = ground.place().file("ctx/odd.tar", &bytes);
            let image = ground.build("FROM scratch\nADD odd.tar /\n").run().built();
            let mine: Vec<_> = image
                .tree
                .iter()
                .filter(|(_, node)| node.kind != Kind::Folder)
                .map(|(name, _)| name.clone())
                .collect();
            for reader in ["tar", "bsdtar"] {
                let mut list = std::process::Command::new(reader);
                let listed = ok(list.arg("-tf").arg(&file));
                let mut theirs: Vec<_> = listed.lines().map(str::to_owned).collect();
                theirs.sort();
                assert_eq!(mine, theirs, "{what}, by {reader}");
                for name in &theirs {
                    if let Kind::File(Some(content)) = &image.tree[name].kind {
                        let mut show = std::process::Command::new(reader);
                        let content = String::from_utf8_lossy(content);
                        assert_eq!(
                            ok(show.arg("-xOf").arg(&file).arg(name)),
                            content,
                            "{what}: {name}"
                        );
                    }
                }
            }
            assert!(!mine.contains(&"smuggled".to_owned()), "{what}");
        }
    });
    // As a layer: a size in PAX that the header contradicts either way.
    check(|_| {
        let layers = oddities().into_iter().take(2);
        layers.map(|(_, bytes)| fine(bytes, "test ! -e /smuggled; test -e /after")).collect()
    });
}

fn broken_records(_: &Ground) -> Vec<Case> {
    let data =
        |data: &[u8]| tar().entry(&Header::new(b'x', "PaxHeader"), data).file("file", "").end();
    let mut cases: Vec<_> = [
        &b"18 path=good.txt\n"[..],
        b"16 path=good.txt\n",
        b"-1 path=good.txt\n",
        b"+17 path=good.txt\n",
        b"99999999999999999999 path=x\n",
        b"18446744073709551616 path=x\n",
        b"12 pathgood\n",
        b"5 =x\n",
        b"0 ",
        b"9 path=a ",
        b"path=x\n",
        b"9 path=a\n9 path=b\n",
        b"11 path=a\0b\n",
        b"15 linkpath=\0x\n",
        b"12 size=-12\n",
        b"14 size=1e100\n",
        b"29 size=99999999999999999999\n",
        b"9 path=a\n\0\0\0\0",
    ]
    .iter()
    .map(|records| refused(data(records), "PAX"))
    .collect();
    // A NUL in a key.
    cases.push(refused(data(&record("pa\0th", b"x")), "PAX"));
    // A header that is followed by nothing, and two of them.
    cases.push(refused(tar().pax(b'x', &[("path", b"x")]).end(), "truncated"));
    let two = tar().pax(b'x', &[("path", b"x")]).pax(b'x', &[("path", b"y")]).file("f", "");
    cases.push(refused(two.end(), "two extension headers"));
    cases
}

#[test]
fn attack_13_malformed_pax_records() {
    check(broken_records);
}

fn global(_: &Ground) -> Vec<Case> {
    let records: &[(&str, &[u8])] =
        &[("path", b"evil"), ("size", b"512"), ("linkpath", b"/evil"), ("uid", b"1")];
    let layer = tar().pax(b'g', records).file("a", "1").file("b", "2").symlink("l", "a").end();
    let script = "test $(cat /a) = 1; test $(cat /b) = 2; test $(readlink /l) = a; test ! -e /evil";
    vec![
        fine(layer, script),
        refused(tar().entry(&Header::new(b'g', "g"), b"9 bad").file("a", "").end(), "PAX"),
    ]
}

#[test]
fn attack_14_a_global_header_names_nothing() {
    check(global);
}

fn long(_: &Ground) -> Vec<Case> {
    let claimed = |kind: u8, size: &[u8]| {
        let mut header = Header::new(kind, "long");
        header.size = Some(size.to_vec());
        tar().raw(&header.block(0)).raw(&[b'n'; 4096]).file("f", "").end()
    };
    let mut cases = Vec::new();
    for kind in *b"xgLK" {
        cases.push(refused(claimed(kind, b"10000000000\0"), "limit of 1048576"));
        let data = record("comment", &vec![b'c'; (1 << 20) + 1]);
        let real = tar().entry(&Header::new(kind, "long"), &data).file("f", "").end();
        cases.push(refused(real, "limit of 1048576"));
    }
    let keys: Vec<u8> = (0..1_000_000).flat_map(|key| record(&format!("k{key}"), b"")).collect();
    let many = tar().entry(&Header::new(b'x', "many"), &keys).file("f", "").end();
    cases.push(refused(many, "limit of 1048576"));
    // As many as fit, in one piece: time is linear.
    let keys: Vec<u8> = (0..80_000).flat_map(|key| record(&format!("k{key}"), b"")).collect();
    let many = tar().entry(&Header::new(b'x', "many"), &keys).file("f", "").end();
    cases.push(fine(many, "test -f /f"));
    cases
}

#[test]
fn attack_15_headers_without_end() {
    check(long);
}

/// A file in GNU's old sparse form.
fn old_sparse(pieces: &[(&[u8], &[u8])], size: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = Header::new(b'S', "sparse");
    header.patch = vec![(257, b"ustar  \0".to_vec()), (483, size.to_vec())];
    for (at, (offset, length)) in pieces.iter().enumerate() {
        header.patch.push((386 + 24 * at, offset.to_vec()));
        header.patch.push((398 + 24 * at, length.to_vec()));
    }
    tar().entry(&header, data).file("after", "x").end()
}

fn sparse(_: &Ground) -> Vec<Case> {
    let exbi8 = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice();
    let (zero, block) = (b"00000000000\0".as_slice(), b"00000001000\0".as_slice());
    let (half, quarter) = (b"00000000400\0".as_slice(), b"00000000200\0".as_slice());
    let data = [b'd'; 512];
    let pax = |records: &[(&str, &[u8])], data: &[u8]| {
        tar().pax(b'x', records).file("sparse", data).file("after", "x").end()
    };
    let major: [(&str, &[u8]); 2] = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")];
    let form1 = |map: &[u8], size: &[u8]| {
        let mut content = map.to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        content.extend_from_slice(&data);
        let records = [major[0], major[1], ("GNU.sparse.realsize", size)];
        pax(&records, &content)
    };
    let fits = "test $(stat -c %s /sparse) = 16777216; test -f /after\n\
                test $(head -c 512 /sparse | tr -d d | wc -c) = 0; test $(stat -c %b /sparse) -lt 100";
    let mib16 = b"00100000000\0".as_slice();
    let limit = "the content of the archive is over the limit";
    vec![
        refused(old_sparse(&[(zero, block)], exbi8, &data), limit),
        fine(old_sparse(&[(zero, block)], mib16, &data), fits),
        refused(old_sparse(&[(zero, half), (quarter, half)], mib16, &data), "sparse map"),
        refused(old_sparse(&[(half, half), (zero, half)], mib16, &data), "sparse map"),
        refused(old_sparse(&[(exbi8, block)], exbi8, &data), "sparse map"),
        // Form 0.0
        refused(
            pax(
                &[("GNU.sparse.size", b"9223372036854775807"), ("GNU.sparse.map", b"0,512")],
                &data,
            ),
            limit,
        ),
        refused(
            pax(
                &[
                    ("GNU.sparse.size", b"1024"),
                    ("GNU.sparse.offset", b"512"),
                    ("GNU.sparse.numbytes", b"256"),
                    ("GNU.sparse.offset", b"0"),
                    ("GNU.sparse.numbytes", b"256"),
                ],
                &data,
            ),
            "sparse map",
        ),
        // Form 0.1
        fine(pax(&[("GNU.sparse.size", b"16777216"), ("GNU.sparse.map", b"0,512")], &data), fits),
        refused(
            pax(&[("GNU.sparse.size", b"1024"), ("GNU.sparse.map", b"0,400,300,112")], &data),
            "sparse map",
        ),
        refused(
            pax(&[("GNU.sparse.size", b"1024"), ("GNU.sparse.map", b"0,512,")], &data),
            "sparse map",
        ),
        refused(pax(&[("GNU.sparse.map", b"0,512")], &data), "no size"),
        // Form 1.0
        fine(form1(b"1\n0\n512\n", b"16777216"), fits),
        refused(form1(b"1\n0\n512\n", b"9223372036854775807"), limit),
        refused(form1(b"2\n256\n256\n0\n256\n", b"1024"), "sparse map"),
        refused(form1(b"99999999999999999999\n", b"1024"), "sparse map"),
        refused(form1(b"4611686018427387904\n0\n512\n", b"1024"), "sparse map"),
        refused(form1(b"-1\n", b"1024"), "sparse map"),
        refused(
            pax(&[("GNU.sparse.major", b"9"), ("GNU.sparse.size", b"1")], &data),
            "unknown form",
        ),
    ]
}

#[test]
fn attack_16_sparse_files() {
    check(sparse);
}

fn numbers(_: &Ground) -> Vec<Case> {
    let sized = |size: &[u8]| {
        let mut header = Header::new(b'0', "f");
        header.size = Some(size.to_vec());
        tar().raw(&header.block(0)).raw(&[0; 512]).file("g", "").end()
    };
    let mut wrong = tar().file("f", "x").end();
    wrong[150] ^= 1;
    vec![
        refused(sized(&[0xff; 12]), "negative or too large"),
        refused(sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0"), "negative or too large"),
        refused(sized(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), "negative or too large"),
        refused(
            sized(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            "negative or too large",
        ),
        refused(sized(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "limit"),
        refused(sized(b"77777777777\0"), "truncated"),
        refused(sized(b"0000000001x\0"), "a number in a header is none"),
        refused(sized(b"        -1 \0"), "a number in a header is none"),
        refused(sized(b"00 00000001\0"), "a number in a header is none"),
        refused(wrong, "checksum"),
        refused(vec![b'x'; 2048], "a number in a header is none"),
    ]
}

#[test]
fn attack_17_numbers_and_checksums() {
    check(numbers);
}
