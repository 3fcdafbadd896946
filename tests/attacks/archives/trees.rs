//! Names, links, whiteouts, metadata: entries that want to be somewhere else, or somebody else.

use super::{Case, Want, check, fine, refused};
use crate::ground::{Ground, Mode, every_mode};
use crate::harness::Kind;
use crate::layout::{Hostile, Layer};
use crate::tarbytes::{Header, Tar};

fn tar() -> Tar {
    Tar::new()
}

/// Attacks 1 to 9, 24 and 25: all of them about where an entry ends up.
pub(crate) fn paths(ground: &Ground) -> Vec<Case> {
    let all = [
        names,
        through_link,
        deep_link,
        two_steps,
        hard_links,
        relinked,
        folder_over_link,
        last_is_link,
        twice,
        roots,
    ];
    all.iter().flat_map(|cases| cases(ground)).collect()
}

fn names(_: &Ground) -> Vec<Case> {
    let mut cases: Vec<_> = ["../x", "a/../../x", "./../x", "a/..", "..", "/../x"]
        .iter()
        .map(|name| refused(tar().dir("a").file(name, "evil").end(), "`..`"))
        .collect();
    for name in ["/x", "//x", "./x", "././/x", "///./x"] {
        cases.push(fine(tar().file(name, "good").end(), "test $(cat /x) = good"));
    }
    cases
}

#[test]
fn attack_01_names_that_leave_the_tree() {
    check(names);
}

fn through_link(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let layer = tar()
        .symlink("d", &host)
        .file("d/secret", "pwned")
        .file("d/new", "")
        .file("d/etc/passwd", "pwned");
    let script = format!(
        "test -L /d; test $(cat {host}/secret) = pwned; test -f {host}/new; test -f {host}/etc/passwd"
    );
    vec![fine(layer.end(), script)]
}

#[test]
fn attack_02_a_file_through_a_link_to_the_host() {
    check(through_link);
}

fn deep_link(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let link = format!("{}{host}", "../".repeat(20).trim_end_matches('/'));
    let layer = tar().dir("a").symlink("a/d", &link).file("a/d/secret", "pwned");
    let script = format!("test $(readlink /a/d) = {link}; test $(cat {host}/secret) = pwned");
    vec![fine(layer.end(), script)]
}

#[test]
fn attack_03_a_link_with_more_steps_up_than_its_depth() {
    check(deep_link);
}

fn two_steps(_: &Ground) -> Vec<Case> {
    let layer = tar().symlink("a", ".").symlink("a/b", "..").file("a/b/c", "x");
    let chain = tar().symlink("a", "/").symlink("a/b", "a/..").symlink("a/c", "../b/./..");
    let chain = chain.file("c/../x", "");
    vec![
        fine(layer.end(), "test -L /b; test $(cat /c) = x"),
        refused(chain.end(), "`..`"),
        refused(tar().symlink("l", "m").symlink("m", "l").file("l/x", "").end(), "symbolic links"),
    ]
}

#[test]
fn attack_04_links_in_two_steps() {
    check(two_steps);
}

#[test]
fn attack_05_a_link_and_a_file_in_different_layers() {
    check(|ground| {
        let host = ground.canary().path().display().to_string();
        let link = tar().symlink("d", &host).end();
        let file = tar().file("d/secret", "pwned").end();
        let listed = tar().dir("d").file("d/secret", "pwned").end();
        let folder = tar().dir("d").file("d/old", "").end();
        let there = format!("test $(cat {host}/secret) = pwned; test -L /d");
        vec![
            Case { layers: vec![link.clone(), file.clone()], want: Want::Tree(there.clone()) },
            Case { layers: vec![folder.clone(), link.clone(), file], want: Want::Tree(there) },
            // With an entry of its own the folder replaces the link.
            Case {
                layers: vec![folder, link, listed],
                want: Want::Tree("test ! -L /d; test $(cat /d/secret) = pwned".into()),
            },
        ]
    });
}

fn hard_links(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let leaving = tar().symlink("l", format!("{host}/secret")).hardlink("h", "l");
    let through = tar().symlink("l", &host).hardlink("h", "l/secret");
    vec![
        refused(tar().hardlink("h", "../../x").end(), "`..`"),
        refused(tar().hardlink("h", format!("{host}/secret")).end(), "not there"),
        refused(through.end(), "not there"),
        refused(tar().hardlink("h", "h").end(), "itself"),
        refused(tar().file("h", "").hardlink("h", "./h").end(), "itself"),
        refused(tar().hardlink("h", "later").file("later", "").end(), "not there"),
        refused(tar().dir("d").hardlink("h", "d").end(), "directory"),
        refused(tar().hardlink("h", "/").end(), "directory"),
        fine(leaving.end(), "test -L /h; test ! -e /h"),
    ]
}

#[test]
fn attack_06_hard_links() {
    check(|ground| {
        let mut cases = hard_links(ground);
        // A layer's links are to its own files, or to those below it: never to the host's.
        cases.push(refused(tar().hardlink("h", "/etc/passwd").end(), "not there"));
        let own = tar().file("etc/passwd", "root:x:0:0::/:/bin/sh").hardlink("h", "/etc/passwd");
        cases.push(fine(own.end(), "test $(cat /h) = root:x:0:0::/:/bin/sh"));
        cases
    });
}

fn relinked(_: &Ground) -> Vec<Case> {
    let layer = tar().file("a", "old").hardlink("b", "a").file("a", "new");
    vec![fine(layer.end(), "test $(cat /a) = new; test $(cat /b) = old")]
}

#[test]
fn attack_07_a_file_over_a_name_of_a_hard_link() {
    check(relinked);
}

fn folder_over_link(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let mut open = Header::new(b'5', "l");
    (open.mode, open.uid, open.mtime) = (0o777, 1, b"00000000001\0".to_vec());
    let mut mine = Header::new(b'5', "t");
    mine.mode = 0o700;
    let outside = tar().symlink("l", format!("{host}/sub")).entry(&open, b"");
    let inside = tar().entry(&mine, b"").symlink("l", "t");
    let inside = inside.pax(b'x', &[("SCHILY.xattr.user.x", b"y")]).entry(&open, b"");
    vec![
        fine(outside.end(), "test -d /l; test ! -L /l"),
        fine(inside.end(), "test $(stat -c %a:%u /t) = 700:0; test $(stat -c %Y /t) -gt 1000"),
    ]
}

#[test]
fn attack_08_a_folder_over_a_link() {
    check(folder_over_link);
}

fn last_is_link(ground: &Ground) -> Vec<Case> {
    let host = ground.canary().path().display().to_string();
    let mut target = Header::new(b'0', "t");
    target.mode = 0o600;
    let link = |to: &str| {
        let mut link = Header::new(b'2', "l");
        (link.mode, link.uid, link.gid) = (0o6777, 1, 1);
        (link.link, link.mtime) = (to.into(), b"00000000001\0".to_vec());
        link
    };
    let xattr: &[(&str, &[u8])] = &[("SCHILY.xattr.user.x", b"y")];
    let inside = tar().entry(&target, b"t").pax(b'x', xattr).entry(&link("t"), b"");
    let outside = tar().pax(b'x', xattr).entry(&link(&format!("{host}/secret")), b"");
    let over = tar().symlink("l", format!("{host}/open")).file("l", "new");
    vec![
        fine(inside.end(), "test $(stat -c %a:%u /t) = 600:0; test $(stat -c %Y /t) -gt 1000"),
        fine(outside.end(), "test -L /l"),
        fine(over.end(), "test ! -L /l; test $(cat /l) = new"),
    ]
}

#[test]
fn attack_09_metadata_of_a_link_stays_with_the_link() {
    check(last_is_link);
}

#[test]
fn attack_10_whiteouts() {
    check(|ground| {
        let host = ground.canary().path().display().to_string();
        let over = |layer: Tar, script: &str| {
            let below = tar().dir("d").file("d/x", "lower").file("d/y", "lower").end();
            Case { layers: vec![below, layer.end()], want: Want::Tree(script.into()) }
        };
        let refuses = ["..", ".", "", ".wh..opq"].map(|name| format!(".wh.{name}"));
        let mut cases: Vec<_> = refuses
            .iter()
            .map(|name| {
                let said = if name == ".wh..wh..opq" { "hides the whole image" } else { ".wh." };
                refused(tar().file(name, "").end(), said)
            })
            .collect();
        cases.push(refused(tar().file("d/.wh..", "").end(), ".wh."));
        cases.push(refused(tar().file(".wh./x", "").end(), ".wh."));
        cases.push(refused(tar().file(".wh.d/x", "").end(), ".wh."));
        cases.push(over(tar().file("d/.wh.x", ""), "test ! -e /d/x; test -e /d/y"));
        cases.push(over(tar().file("d/.wh..wh..opq", ""), "test ! -e /d/x; test ! -e /d/y"));
        // Through a link: in the tree, not on the host.
        let linked = tar().symlink("l", &host).file("l/.wh.secret", "").file("l/.wh..wh..opq", "");
        cases.push(fine(linked.end(), format!("test -d {host}; test ! -e {host}/secret")));
        // An entry of the same layer is not hidden, wherever the whiteout stands.
        let before = tar().dir("d").file("d/.wh.x", "").file("d/x", "own");
        let after = tar().dir("d").file("d/x", "own").file("d/.wh.x", "");
        let opaque = tar().dir("d").file("d/x", "own").file("d/.wh..wh..opq", "");
        cases.push(over(before, "test $(cat /d/x) = own; test -e /d/y"));
        cases.push(over(after, "test $(cat /d/x) = own; test -e /d/y"));
        cases.push(over(opaque, "test $(cat /d/x) = own; test ! -e /d/y"));
        cases
    });
}

#[test]
fn attack_22_devices_are_records() {
    every_mode(|ground| {
        let node = |kind, name: &str, device| {
            let mut header = Header::new(kind, name);
            (header.device, header.mode) = (device, 0o666);
            header
        };
        let layer = tar()
            .entry(&node(b'3', "mem", (1, 1)), b"")
            .entry(&node(b'3', "null", (1, 3)), b"")
            .entry(&node(b'4', "disk", (8, 0)), b"")
            .entry(&node(b'6', "pipe", (0, 0)), b"");
        let Some(base) = Hostile::on_busybox([Layer::tar(&layer.end())]) else { return };
        let script = "set -eux\n\
            for name in mem null disk; do test $(head -c 9 /$name | wc -c) = 0; done\n\
            echo x > /written-to-null; cat /written-to-null > /null; test -p /pipe\n\
            mkdir /to; mv /disk /to/moved; ln /mem /linked\n";
        let text = format!(
            "FROM base AS one\nRUN <<EOT\n{script}EOT\nFROM scratch\nCOPY --from=one /mem /pipe /linked /to/moved /\n"
        );
        let image = ground.build_on(&base, &text).run().built();
        for name in ["mem", "pipe", "linked", "moved"] {
            assert_eq!(image.tree[name].kind, Kind::Other, "{name}");
        }
    });
}

#[test]
fn attack_23_privileged_bits_and_attributes() {
    every_mode(|ground| {
        let mut setuid = Header::new(b'0', "setuid");
        (setuid.mode, setuid.uid, setuid.gid) = (0o6755, 1, 2);
        // VFS_CAP_REVISION_3 with another root: CAP_NET_RAW, effective, root id 1000.
        let words = [0x0300_0001_u32, 1 << 13, 0, 0, 0, 1000];
        let capability: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let records: &[(&str, &[u8])] = &[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.security.selinux", b"evil"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.fine", b"kept"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.whiteout", b"y"),
            ("SCHILY.xattr.user.rbuild.own", b"4242:4242:c:1:1"),
        ];
        let opaque: &[(&str, &[u8])] = &[("SCHILY.xattr.user.overlay.opaque", b"y")];
        let below = tar().dir("d").file("d/kept", "").end();
        let layer = tar()
            .entry(&setuid, b"x")
            .pax(b'x', records)
            .file("marked", "x")
            .pax(b'x', opaque)
            .dir("d");
        let layers = [Layer::tar(&below), Layer::tar(&layer.end())];
        let Some(base) = Hostile::on_busybox(layers) else { return };
        let text = "FROM base AS one\n\
            RUN test -e /d/kept && test -f /marked && test $(stat -c %a /setuid) = 6755\n\
            FROM scratch\nCOPY --from=one /setuid /marked /\n";
        let image = ground.build_on(&base, text).arg("--compression=uncompressed").run();
        let tar = ground.place().at("image.oci/blobs/sha256");
        let all: Vec<u8> = crate::canary::walk(&tar)
            .iter()
            .filter(|path| path.is_file())
            .flat_map(|path| std::fs::read(path).expect("a blob"))
            .collect();
        let text = String::from_utf8_lossy(&all);
        let image = image.built();
        let setuid = &image.tree["setuid"];
        assert_eq!((setuid.mode, setuid.owner), (0o6755, (1, 2)), "{:?}", ground.mode());
        assert_eq!(image.tree["marked"].owner, (0, 0));
        assert!(matches!(image.tree["marked"].kind, Kind::File(_)));
        for name in ["user.overlay", "user.rbuild", "trusted.", "security.selinux"] {
            assert!(!text.contains(name), "{name}");
        }
        assert!(text.contains("SCHILY.xattr.user.fine=kept"));
    });
}

fn twice(_: &Ground) -> Vec<Case> {
    let types = tar()
        .dir("n")
        .file("n/inner", "")
        .file("n", "file")
        .symlink("n", "/etc")
        .dir("n")
        .file("n/x", "last");
    let odd = tar().file("Name", "1").file("name", "2").file(b"\xff\xfe".as_slice(), "raw");
    let odd = odd.file("new\nline", "n").file("sp ace\t", "s");
    vec![
        fine(
            types.end(),
            "test ! -L /n; test ! -e /n/inner; test $(cat /n/x) = last; test ! -e /etc/x",
        ),
        fine(
            odd.end(),
            "test $(cat /Name) = 1; test $(cat /name) = 2; test $(cat \"/$(printf '\\377\\376')\") = raw\n\
             test \"$(cat \"/$(printf 'new\\nline')\")\" = n",
        ),
    ]
}

#[test]
fn attack_24_one_path_twice_and_odd_names() {
    check(twice);
}

fn roots(_: &Ground) -> Vec<Case> {
    let mut cases = vec![refused(tar().file("", "x").end(), "empty")];
    for name in [".", "/", "./", "//", "./."] {
        cases.push(refused(tar().symlink(name, "/tmp").end(), "root"));
        cases.push(refused(tar().hardlink(name, "bin").end(), "root"));
    }
    cases.push(refused(tar().file(".", "x").end(), "root"));
    // The root's own folder entry is honest.
    cases.push(fine(tar().dir("./").file("./x", "").end(), "test -f /x"));
    cases
}

#[test]
fn attack_25_a_root_that_is_replaced() {
    check(roots);
}

#[test]
fn attack_26_times_out_of_range() {
    check(|_| {
        let mut layer = tar();
        let fields: [&[u8]; 5] = [
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"77777777777\0",
        ];
        for (at, field) in fields.iter().enumerate() {
            let mut header = Header::new(b'0', format!("f{at}"));
            header.mtime = field.to_vec();
            layer = layer.entry(&header, b"");
        }
        let times = ["-1", "253402300800", "1.999999999999999", "-0.5", "99999999999999999999999"];
        for (at, time) in times.iter().enumerate() {
            let records: &[(&str, &[u8])] = &[("mtime", time.as_bytes()), ("atime", b"9e99")];
            layer = layer.pax(b'x', records).file(format!("p{at}"), "").pax(b'x', records);
            layer = layer.dir(format!("d{at}"));
        }
        let now = "test -e /f0; test -e /f4; test -e /p4; test -d /d4; test $(stat -c %Y /p2) = 1";
        let mut bad = vec![fine(layer.end(), now)];
        for time in ["1e5", "nan", "0x5", "--1", "1.-5"] {
            let layer = tar().pax(b'x', &[("mtime", time.as_bytes())]).file("x", "");
            bad.push(refused(layer.end(), "PAX time"));
        }
        bad
    });
}

#[test]
fn attack_27_owners_out_of_range() {
    every_mode(|ground| {
        let owned = |uid: u64, gid: u64| {
            let mut header = Header::new(b'0', "owned");
            (header.uid, header.gid) = (uid, gid);
            tar().entry(&header, b"").end()
        };
        let pax =
            |key: &str, value: &[u8]| tar().pax(b'x', &[(key, value)]).file("owned", "").end();
        for (layer, said) in [
            (owned(1 << 33, 0), "8589934592"),
            (owned(0, 1 << 32), "4294967296"),
            (owned(u64::MAX >> 1, 0), "negative or too large"),
            (pax("uid", b"4294967296"), "4294967296"),
            (pax("gid", b"-1"), "PAX number"),
            (pax("uid", b"99999999999999999999999"), "PAX number"),
        ] {
            super::check_case(ground, &refused(layer, said));
        }
        let mut negative = Header::new(b'0', "owned");
        negative.patch = vec![(108, vec![0xff; 8])];
        super::check_case(ground, &refused(tar().entry(&negative, b"").end(), "negative"));
        // Ids that exist, but not for everybody.
        for id in [100_000, u64::from(u32::MAX) - 1] {
            let Some(base) = Hostile::on_busybox([Layer::tar(&owned(id, id))]) else { return };
            let run = ground.build_on(&base, "FROM base\nRUN test -e /owned\n").run();
            match ground.mode() {
                Mode::Range => {
                    run.refused(&[&id.to_string(), "/owned", "subuid"]);
                }
                Mode::Root | Mode::Single | Mode::Chroot => {
                    run.built();
                }
            }
        }
        // The kernel's word for "nobody in particular" is no id.
        let Some(base) = Hostile::on_busybox([Layer::tar(&owned(u64::from(u32::MAX), 0))]) else {
            return;
        };
        ground.build_on(&base, "FROM base\nRUN true\n").run().survived();
    });
}
