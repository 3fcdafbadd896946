//! The parts that are measured, each on an input of its own that is always the same.

use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::base::{Blob, Digest, ImagePath, Platform};
use rbuild::diag::Sources;
use rbuild::dockerfile::parse;
use rbuild::input::{Context, Ignore, Pick, select};
use rbuild::instruction::parse_all;
use rbuild::layer::{
    Bounds, Compression, Entry, EntryKind, Format, LayerWriter, Limits, Reader, decompress,
};
use rbuild::plan::{Found, Request, Wanted, plan};
use rbuild::policy::{Bases, Policy, TextInput, check_text};
use rbuild::rootfs::{Nothing, Stacking, changes};
use rbuild::store::Store;
use rbuild::sys::{IdMode, Root};

/// One part.
pub struct Part {
    /// Its name, as in the table of counts.
    pub name: &'static str,
    /// Makes its input, on disk in the folder, and gives what does the work once.
    pub make: fn(&Path) -> Round,
}

/// Does the work of a part once.
pub type Round = Box<dyn FnMut()>;

const GZIP: Compression = Compression::Gzip { level: Compression::GZIP_LEVEL };

/// All parts.
pub const PARTS: &[Part] = &[
    Part { name: "parse, 300 instructions", make: |_| parsing(false) },
    Part { name: "plan and judge, 300 instructions", make: |_| parsing(true) },
    Part { name: "40 ignore patterns, 2000 paths", make: |_| ignoring() },
    Part {
        name: "write a tar, 2000 entries",
        make: |_| Box::new(|| assert!(tar(2000).len() > 1 << 20)),
    },
    Part { name: "read a tar, 2000 entries", make: |_| reading() },
    Part { name: "SHA-256, 1 MiB", make: |_| hashing() },
    Part { name: "gzip, 1 MiB", make: |_| packing() },
    Part { name: "gunzip, 1 MiB", make: |_| unpacking() },
    Part { name: "changes of a tree, 1000 files", make: changing },
    // Above 64 files there are threads, whose turns nobody counts alike.
    Part { name: "key of a context, 60 files", make: keying },
];

fn parsing(judged: bool) -> Round {
    let text = dockerfile(300);
    let policy = judged.then(|| Policy::builtin("hardened").expect("a profile"));
    Box::new(move || planned(&text, policy.as_ref()))
}

fn ignoring() -> Round {
    let ignore = Ignore::parse(patterns().as_bytes()).expect("patterns");
    let paths: Vec<ImagePath> = (0..2000).map(path).collect();
    Box::new(move || {
        let out = paths.iter().filter(|path| ignore.excludes(path)).count();
        assert!(out > 0 && out < paths.len());
    })
}

fn reading() -> Round {
    let tar = tar(2000);
    Box::new(move || read(&tar))
}

fn hashing() -> Round {
    let plain = words(1 << 20);
    Box::new(move || {
        black_box(Digest::<Blob>::of(&plain));
    })
}

fn packing() -> Round {
    let plain = words(1 << 20);
    Box::new(move || assert!(packed(&plain, GZIP).len() < plain.len()))
}

fn unpacking() -> Round {
    let gzip = packed(&words(1 << 20), GZIP);
    Box::new(move || assert_eq!(unpacked(&gzip), 1 << 20))
}

fn changing(place: &Path) -> Round {
    let root = Arc::new(Root::open_host(&tree(place, 1000)).expect("a folder"));
    Box::new(move || {
        let stacking = Stacking::Overlay { most: 500 };
        let found = changes(&root, stacking, IdMode::Root, &Nothing).expect("changes");
        assert!(found.len() > 1000);
    })
}

fn keying(place: &Path) -> Round {
    let files = tree(place, 60);
    let place = place.to_owned();
    Box::new(move || {
        // A store that has seen none of them.
        let store = tempfile::tempdir_in(&place).expect("a folder");
        let store = Store::open(store.path()).expect("a store");
        let context = Context::open(&files, None).expect("a context");
        let pick = Pick { sources: vec!["/".into()], ..Pick::default() };
        let found = select(&context, &pick, None).expect("files");
        black_box(found.digest(&store).expect("a digest"));
    })
}

/// A Dockerfile of so many instructions, of the kinds that people write.
fn dockerfile(instructions: usize) -> String {
    let mut text = String::from("FROM debian:12.7 AS base\nUSER 10001:10001\n");
    for n in 0..instructions {
        text += &match n % 6 {
            0 => format!("ENV VARIABLE_{n}=\"value ${{VARIABLE_{}}}\" OTHER=plain\n", n / 2),
            1 => format!(
                "RUN set -eu; for f in a b; do echo \"$f {n}\" >> /tmp/log; done && \\\n  rm /tmp/log\n"
            ),
            2 => format!("COPY --chown=10001 --chmod=0644 source/{n} other/*.txt /srv/{n}/\n"),
            3 => format!("LABEL org.example.label{n}=\"some words of {n}\"\n"),
            4 => format!("WORKDIR /srv/{n}\n"),
            _ => format!("RUN --mount=type=cache,target=/cache/{n} make -C /srv target{n}\n"),
        };
    }
    text + "CMD [\"/srv/program\", \"--serve\"]\n"
}

/// Parses; with a policy, plans and judges as well.
fn planned(text: &str, policy: Option<&Policy>) {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let (file, errors) = parse(source, text);
    let (instructions, more) = parse_all(&file);
    assert!(errors.is_empty() && more.is_empty());
    let Some(policy) = policy else { return };
    let request = Request::new(Platform::new("linux", "amd64", None));
    let unread = |_: &Wanted| Ok(Found::Unread);
    plan(&file, &instructions, &request, &unread, &mut sources).expect("a plan");
    let bases = Bases::none();
    let input = TextInput {
        file: &file,
        instructions: &instructions,
        errors: &[],
        sources: &sources,
        request: &request,
        bases: &bases,
        squash: false,
        today: None,
        tags: None,
        context: None,
    };
    assert!(!check_text(input, policy).findings.is_empty());
}

fn patterns() -> String {
    let mut text = String::from("**/*.tmp\n!d1/**\nd3/f7*\n");
    for n in 0..37 {
        text += &format!("d{n}/**/nothing{n}*\n");
    }
    text
}

fn path(number: usize) -> ImagePath {
    let name =
        format!("d{}/f{number}{}", number % 50, if number.is_multiple_of(3) { ".tmp" } else { "" });
    ImagePath::from_entry(name.as_bytes()).expect("a path")
}

/// Text that compresses about as source code does. The same each time.
fn words(size: usize) -> Vec<u8> {
    let some =
        ["let ", "return ", "value", "(self) ", "\n    ", "if ", "buffer", ".len() ", "=> ", "0x"];
    let (mut text, mut state) = (Vec::with_capacity(size + 16), 1u64);
    while text.len() < size {
        // Knuth's generator (MMIX).
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        text.extend_from_slice(some[(state >> 33) as usize % some.len()].as_bytes());
        if state >> 61 == 0 {
            text.extend_from_slice(format!("{:x}", state >> 40).as_bytes());
        }
    }
    text.truncate(size);
    text
}

fn tar(entries: usize) -> Vec<u8> {
    let mut paths: Vec<ImagePath> = (0..entries).map(path).collect();
    paths.sort();
    let mut tar = LayerWriter::new(Vec::new(), Compression::None, 1, Vec::new()).expect("a writer");
    for path in paths {
        let entry = Entry::new(path, EntryKind::File { size: 700 }, 0o644);
        tar.entry(&entry, &mut &[b'x'; 700][..]).expect("an entry");
    }
    tar.finish().expect("a tar").0
}

fn read(tar: &[u8]) {
    let mut tar = Reader::layer(tar, Limits::default());
    let (mut entries, mut content) = (0, Vec::new());
    while let Some(_entry) = tar.next_entry().expect("an entry") {
        content.clear();
        tar.content().read_to_end(&mut content).expect("content");
        entries += 1;
    }
    assert_eq!(entries, 2000);
}

/// One file in a layer, packed by one thread.
fn packed(plain: &[u8], how: Compression) -> Vec<u8> {
    let mut layer = LayerWriter::new(Vec::new(), how, 1, Vec::new()).expect("a writer");
    let path = ImagePath::from_entry(b"file").expect("a path");
    let entry = Entry::new(path, EntryKind::File { size: plain.len() as u64 }, 0o644);
    layer.entry(&entry, &mut &*plain).expect("an entry");
    layer.finish().expect("a layer").0
}

/// The bytes of content in a packed layer.
fn unpacked(gzip: &[u8]) -> usize {
    let plain = decompress(gzip, Format::Gzip, Bounds::default()).expect("gzip");
    let mut tar = Reader::layer(plain, Limits::default());
    tar.next_entry().expect("tar").expect("an entry");
    let mut content = Vec::new();
    tar.content().read_to_end(&mut content).expect("content");
    content.len()
}

/// A folder with so many small files.
fn tree(place: &Path, files: usize) -> PathBuf {
    let top = place.join("tree");
    for number in 0..files {
        let folder = top.join(format!("d{}", number % 40));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("f{number}")), words(200 + number)).expect("a file");
    }
    top
}
