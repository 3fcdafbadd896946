//! Compression, ends that come early or not at all, sizes beyond measure, a death in the middle.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rbuild::layer::{Limits, Reader};

use super::{Case, check, check_case, fine, refused};
use crate::canary::walk;
use crate::ground::{Ground, every_mode, every_user, sound_store};
use crate::harness::have;
use crate::layout::{Hostile, Layer, gzip};
use crate::tarbytes::{Header, Tar};

fn tar() -> Tar {
    Tar::new()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

/// A layer of these bytes, which say that they are `media` and unpack to `tar`.
#[track_caller]
fn layer_is_refused(ground: &Ground, bytes: Vec<u8>, media: &str, tar: &[u8], said: &str) {
    let Some(base) = Hostile::on_busybox([Layer::packed(bytes, media, tar)]) else { return };
    ground.build_on(&base, "FROM base\nRUN true\n").run().refused(&[said]);
}

#[test]
fn attack_18_ends_that_are_none() {
    let honest = tar().file("first", "1").file("big", vec![b'x'; 3000]).end();
    let second = tar().file("second", "2").end();
    check(|_| {
        let after = |more: &[u8]| [honest.as_slice(), more].concat();
        let seen = "test $(cat /first) = 1; test ! -e /second";
        let mut cases: Vec<Case> = [100, 700, 1500, 3000]
            .iter()
            .map(|cut| refused(honest[..*cut].to_vec(), "truncated"))
            .collect();
        cases.push(fine(after(&second), seen));
        cases.push(fine(after(b"garbage that is no header"), seen));
        cases.push(fine(after(&vec![b'x'; 100_000]), seen));
        let gap = [&honest[..honest.len() - 512], &second].concat();
        cases.push(refused(gap, "zeros stands between"));
        cases
    });
    every_mode(|ground| {
        let (packed, other) = (gzip(&honest), zstd(&honest));
        layer_is_refused(ground, packed[..1].to_vec(), "tar+gzip", &honest, "says gzip");
        for cut in [15, packed.len() / 2, packed.len() - 1] {
            layer_is_refused(ground, packed[..cut].to_vec(), "tar+gzip", &honest, "truncated");
        }
        layer_is_refused(ground, other[..3].to_vec(), "tar+zstd", &honest, "says zstd");
        for cut in [other.len() / 4, other.len() / 2, other.len() - 1] {
            layer_is_refused(ground, other[..cut].to_vec(), "tar+zstd", &honest, "truncated");
        }
        let trailed = |bytes: &[u8]| [bytes, b"trailing"].concat();
        layer_is_refused(ground, trailed(&packed), "tar+gzip", &honest, "cannot unpack");
        layer_is_refused(ground, trailed(&other), "tar+zstd", &honest, "cannot unpack");
        // What follows the end marker counts for the diff id: here it is that of the rest alone.
        let more = [honest.as_slice(), &second].concat();
        layer_is_refused(ground, gzip(&more), "tar+gzip", &honest, "unpacks to");
        // Members of a gzip, frames of a zstd, are one stream; a flipped bit is not the stream.
        let (left, right) = honest.split_at(1000);
        for (bytes, media) in [
            ([gzip(left), gzip(right)].concat(), "tar+gzip"),
            ([zstd(left), zstd(right)].concat(), "tar+zstd"),
        ] {
            let layer = Layer::packed(bytes, media, &honest);
            let Some(base) = Hostile::on_busybox([layer]) else { return };
            let build = ground.build_on(&base, "FROM base\nRUN test $(cat /first) = 1\n");
            build.arg("--output=type=cacheonly").run().passed();
        }
        let mut flipped = packed;
        let checksum = flipped.len() - 6;
        flipped[checksum] ^= 1;
        layer_is_refused(ground, flipped, "tar+gzip", &honest, "cannot");
    });
}

#[test]
fn attack_19_names_and_depths_beyond_measure() {
    check(|_| {
        let long = |name: &[u8]| tar().long(b'L', name).file("short", "x").end();
        let pax = |name: &[u8]| tar().pax(b'x', &[("path", name)]).file("short", "x").end();
        let deep = "d/".repeat(300);
        // Deeper than any path: a link to the bottom, and on from there.
        let wide = format!("{}/", "w".repeat(200));
        let bottom = wide.repeat(20);
        let linked = tar()
            .long(b'L', format!("{bottom}f").as_bytes())
            .file("short", "x")
            .symlink("bottom", &bottom)
            .long(b'L', format!("bottom/{wide}f").as_bytes())
            .file("short", "x")
            .end();
        vec![
            refused(long(&vec![b'n'; (1 << 20) - 1]), "long"),
            refused(pax(&vec![b'n'; 1 << 20]), "limit"),
            refused(long(&[b'n'; 256]), "long"),
            fine(long(&[b'n'; 255]), format!("test -f /{}", "n".repeat(255))),
            refused(long("d/".repeat(100_000).as_bytes()), "long"),
            fine(long(format!("{deep}f").as_bytes()), "test -d /d/d/d"),
            refused(linked, "long"),
        ]
    });
}

/// Headers of many files in one folder; made while they are read.
struct Many(u32, Vec<u8>);

impl Read for Many {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_empty() {
            match self.0 {
                0 => self.1 = vec![0; 1024],
                left => self.1 = Header::new(b'0', format!("d/{left}")).block(0).to_vec(),
            }
            self.0 = self.0.saturating_sub(1);
        }
        let size = buffer.len().min(self.1.len());
        buffer[..size].copy_from_slice(&self.1[..size]);
        self.1.drain(..size);
        Ok(size)
    }
}

#[test]
fn attack_19_many_entries() {
    // The reader takes any number, one at a time; a tree is made of few, to spare the disk.
    const COUNT: u32 = 60_000;
    let mut reader = Reader::layer(Many(COUNT, Vec::new()), Limits::default());
    let mut count = 0;
    while reader.next_entry().expect("an entry").is_some() {
        count += 1;
    }
    assert_eq!(count, COUNT);
    let few = Limits { entries: 9, ..Limits::default() };
    let mut reader = Reader::layer(Many(COUNT, Vec::new()), few);
    let error = std::iter::repeat_with(|| reader.next_entry()).find_map(Result::err);
    assert!(error.expect("a limit").to_string().contains("the number of entries"));
    const SOME: u32 = 500;
    let layer = (0..SOME).fold(tar(), |tar, at| tar.file(format!("d/{at}"), "")).end();
    let script = format!("test $(ls /d | wc -l) = {SOME}");
    every_user(|ground| check_case(ground, &fine(layer.clone(), script.as_str())));
}

/// A tar with a file of zeros, 84 MB, as this program packs it.
fn bomb(packer: &str) -> Option<Vec<u8>> {
    if !have(&[packer]) {
        return None;
    }
    let mut child = Command::new(packer)
        .args(if packer == "zstd" { &["-19", "-c"][..] } else { &["-9", "-c"] })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    let writer = std::thread::spawn(move || {
        let mut header = Header::new(b'0', "zeros");
        header.size = Some(b"00500000000\0".to_vec());
        stdin.write_all(&header.block(0)).expect("a pipe");
        let zeros = vec![0; 1 << 20];
        (0..80).for_each(|_| stdin.write_all(&zeros).expect("a pipe"));
        stdin.write_all(&[0; 1024]).expect("a pipe");
    });
    let mut packed = Vec::new();
    child.stdout.take().expect("it is piped").read_to_end(&mut packed).expect("a pipe");
    writer.join().expect("it wrote");
    assert!(child.wait().expect("a child").success());
    Some(packed)
}

/// The bombs, each packed once, with the media type of a layer where there is one.
fn bombs() -> &'static [(&'static str, Vec<u8>)] {
    static BOMBS: OnceLock<Vec<(&'static str, Vec<u8>)>> = OnceLock::new();
    BOMBS.get_or_init(|| {
        let packers = ["gzip", "zstd", "xz", "bzip2"].into_iter();
        packers.filter_map(|packer| Some((packer, bomb(packer)?))).collect()
    })
}

#[test]
fn attack_20_bombs() {
    // A frame that asks for a window of 2^31 bytes, before anything is allocated for it.
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    every_user(|ground| {
        layer_is_refused(ground, wide.to_vec(), "tar+zstd", b"", "cannot decompress");
        for (packer, packed) in bombs() {
            if ["gzip", "zstd"].contains(packer) {
                let media = format!("tar+{packer}");
                layer_is_refused(ground, packed.clone(), &media, b"", "ratio");
            }
            ground.place().file("ctx/bomb", packed);
            let build = ground.build("FROM scratch\nADD bomb /\n");
            build.run().refused(&["bomb", "ratio"]);
        }
        // A bomb in a bomb stays what it is: nothing unpacks twice.
        ground.place().file("ctx/bomb", gzip(&bombs()[0].1));
        let image = ground.build("FROM scratch\nADD bomb /kept\n").run().built();
        assert!(image.tree.contains_key("kept"));
    });
}

#[test]
fn attack_21_another_format_than_the_media_type_says() {
    let honest = tar().file("f", "x").end();
    every_user(|ground| {
        for (bytes, media) in [
            (zstd(&honest), "tar+gzip"),
            (honest.clone(), "tar+gzip"),
            (gzip(&honest), "tar+zstd"),
            (honest.clone(), "tar+zstd"),
            (gzip(&honest), "tar"),
            (zstd(&honest), "tar"),
            (b"PK\x03\x04 a zip".to_vec(), "tar+gzip"),
        ] {
            layer_is_refused(ground, bytes, media, &honest, "its media type says");
        }
        layer_is_refused(ground, honest.clone(), "tar+xz", &honest, "tar+xz");
        // A local archive of ADD is told by its content, whatever its name.
        ground.place().file("ctx/x.tar.zst", gzip(&honest));
        let image = ground.build("FROM scratch\nADD x.tar.zst /\n").run().built();
        assert_eq!(image.text("f"), "x");
    });
}

#[test]
fn attack_28_killed_in_the_middle_of_a_layer() {
    const FILES: usize = 150;
    let content = vec![b'c'; 50_000];
    let layer = (0..FILES).fold(tar(), |tar, at| tar.file(format!("d/{at}"), &content)).end();
    every_mode(|ground| {
        let Some(base) = Hostile::on_busybox([Layer::gzip(&layer)]) else { return };
        let text = format!("FROM base\nRUN test $(cat /d/* | wc -c) = {}\n", content.len() * FILES);
        for delay in [20, 40, 60, 90, 130, 180, 240] {
            let _ = fs::remove_dir_all(ground.place().at("image.oci"));
            let mut command = ground.build_on(&base, &text).command();
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = quiet.spawn().expect("the program");
            std::thread::sleep(Duration::from_millis(delay));
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
            // No tree that has a name is a part of one.
            let trees = ground.place().at("store/trees");
            for tree in fs::read_dir(trees).into_iter().flatten().flatten() {
                let files = walk(&tree.path().join("fs/d")).len();
                assert!(files == 1 || files == FILES + 1, "half a layer: {files} files");
            }
        }
        let _ = fs::remove_dir_all(ground.place().at("image.oci"));
        let run = ground.build_on(&base, &text).run();
        run.built();
        sound_store(&ground.place().at("store"), "");
    });
}
