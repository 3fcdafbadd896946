//! Every output through the same checks, read back by other tools.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use super::*;
use crate::base::{ImagePath, Platform, skipped};
use crate::event::Events;
use crate::image::{
    Config, Descriptor, Index, LayerKind, LayerRef, Layout, Selector, unpack_layout,
};
use crate::layer::{Compression, Entry, EntryKind, LayerWriter, Limits, Reader};
use crate::registry::realserver::RealServer;
use crate::registry::{Credentials, Network, RegistryConfig};

fn registry(server: Option<&RealServer>) -> Registry {
    let mut credentials = Credentials::none();
    if let Some(server) = server {
        let password = crate::base::Secret::new(b"hunter2-PASS".to_vec());
        credentials.by_host.insert(server.host().to_owned(), ("me".to_owned(), password));
    }
    Registry::new(RegistryConfig::default(), credentials, Events::silent(), Network::Online)
        .unwrap()
}

struct World {
    folder: tempfile::TempDir,
    store: Store,
    registry: Registry,
    origins: BTreeMap<Digest<base::Blob>, ImageRef>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        World { folder, store, registry: registry(None), origins: BTreeMap::new() }
    }

    fn means(&self) -> Means<'_> {
        Means {
            store: &self.store,
            registry: &self.registry,
            id_mode: IdMode::Single,
            origins: &self.origins,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    // Packs layers, each a list of lines: `dir a 755`, `file a/f text`, `link a/l target`,
    // `hard a/h a/f`, `gone a/x`, `opaque a`, `node a/null`; owner and mode may follow: `1:2 4755`.
    fn image(&self, layers: &[&str]) -> Image {
        let layers = layers.iter().map(|text| self.layer(text)).collect();
        Image::write(Config::empty(&Platform::host()), layers, &[])
    }

    fn layer(&self, text: &str) -> LayerRef {
        let mut draft = self.store.raw_draft().unwrap();
        let gzip = Compression::Gzip { level: 6 };
        let mut writer = LayerWriter::new(&mut draft, gzip, 1, Vec::new()).unwrap().any_order();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let path = path(words.next().unwrap());
            let (mut content, mut mode) = ("", 0o644);
            let kind = match kind {
                "dir" => {
                    mode = 0o755;
                    EntryKind::Dir
                }
                "file" => {
                    content = words.next().unwrap_or_default();
                    EntryKind::File { size: content.len() as u64 }
                }
                "link" => EntryKind::Symlink(words.next().unwrap().as_bytes().to_vec()),
                "hard" => EntryKind::Hardlink(self::path(words.next().unwrap())),
                "gone" => EntryKind::Whiteout,
                "opaque" => EntryKind::Opaque,
                "node" => EntryKind::Char { major: 1, minor: 3 },
                "pipe" => EntryKind::Fifo,
                other => panic!("{other}"),
            };
            let mut entry = Entry::new(path, kind, mode);
            entry.mtime = 1_000_000;
            if let Some((uid, gid)) = words.next().and_then(|word| word.split_once(':')) {
                (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
            }
            if let Some(mode) = words.next() {
                entry.mode = u32::from_str_radix(mode, 8).unwrap();
            }
            writer.entry(&entry, &mut content.as_bytes()).unwrap();
        }
        let (_, written) = writer.finish().unwrap();
        draft.commit(written.blob, written.packed).unwrap();
        LayerRef {
            descriptor: Descriptor::new(LayerKind::Gzip.media_type(), written.blob, written.packed),
            kind: LayerKind::Gzip,
            diff: written.diff,
        }
    }
}

fn path(text: &str) -> ImagePath {
    ImagePath::from_entry(text.as_bytes()).unwrap()
}

fn target(text: &str) -> Result<Target, TargetError> {
    let pairs: Vec<(String, String)> = text
        .split(',')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Target::from_attributes(&pairs)
}

fn write(world: &World, spec: &str, image: &Image, tags: &[&str]) -> Result<String, Error> {
    let tags: Vec<ImageRef> = tags.iter().map(|tag| ImageRef::parse(tag).unwrap()).collect();
    let target = target(spec).unwrap();
    target.check(&tags)?;
    target.write(image, &tags, &world.means())
}

#[test]
fn attributes_become_targets() {
    let check = |text: &str, want: Result<&str, &str>| match (target(text), want) {
        (Ok(found), Ok(want)) => assert_eq!(format!("{:?}", found.output), want),
        (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
        (found, want) => panic!("{text}: {found:?} instead of {want:?}"),
    };
    check(
        "type=oci,dest=x,tar=false",
        Ok(r#"Oci { dest: "x", tar: false, names: [], append: false, shallow: false }"#),
    );
    check(
        "type=oci,destination=-",
        Ok(r#"Oci { dest: "-", tar: true, names: [], append: false, shallow: false }"#),
    );
    check("type=oci,dest=-,tar=false", Err("archive"));
    check("type=oci,append=true", Err("write tar=false"));
    check("type=oci,blobs=some", Err("full or shallow"));
    check(
        "type=registry,name-canonical=true",
        Ok("Push { names: [], by_digest: false, insecure: false }"),
    );
    check("type=oci,dets=x", Err("did you mean `dest`"));
    check("type=oic", Err("did you mean `oci`"));
    check("type=zip", Err("there are oci, docker, local, tar, registry, image, cacheonly"));
    check("dest=x", Err("needs `type=`"));
    check("type=oci,tar=maybe", Err("write true or false"));
    check("type=oci,dest=", Err("is empty"));
    check("type=docker", Ok(r#"Docker { dest: "image.docker.tar", names: [] }"#));
    check("type=tar", Ok(r#"Tar { dest: "-" }"#));
    check("type=local,dest=x", Ok(r#"Local { dest: "x", delete: false, split: false }"#));
    check("type=local", Err("needs dest="));
    check("type=local,dest=-", Err("type=tar"));
    check("type=local,dest=x,mode=move", Err("copy or delete"));
    check("type=cacheonly", Ok("CacheOnly"));
    check("type=cacheonly,dest=x", Err("unknown key `dest`"));
    check("type=image", Err("push=true"));
    check("type=image,push=true", Ok("Push { names: [], by_digest: false, insecure: false }"));
    check(
        "type=registry,push-by-digest",
        Ok("Push { names: [], by_digest: true, insecure: false }"),
    );
    check(
        "type=registry,insecure=true",
        Ok("Push { names: [], by_digest: false, insecure: true }"),
    );
    check("type=local,dest=x,annotation.a=b", Err("unknown key `annotation.a`"));
    check("type=oci,annotation=b", Err("annotation.KEY=VALUE"));
    check("type=oci,annotation-layer.a=b", Err("annotation.KEY=VALUE"));
    check("type=oci,annotation.=b", Err("annotation.KEY=VALUE"));
    let annotations = |text: &str| target(text).unwrap().annotations().to_vec();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        annotations("type=oci,annotation.org.a=b,annotation[linux/arm64].c=d,annotation-index.e=f"),
        [pair("index:e", "f"), pair("manifest:org.a", "b"), pair("manifest[linux/arm64]:c", "d")]
    );
    let names = [ImageRef::parse("r.example.com:5000/a:1").unwrap()];
    let hosts = |text: &str| target(text).unwrap().insecure_hosts(&names);
    assert_eq!(hosts("type=registry,insecure=true"), ["r.example.com:5000"]);
    assert_eq!(hosts("type=registry,insecure=true,name=x.example.com/b"), ["x.example.com"]);
    assert_eq!(hosts("type=registry"), Vec::<String>::new());
    check("type=registry,name=A", Err("lower-case"));
    assert_eq!(target("type=local,dest=x,mode=delete").unwrap().permission(), Some("local.delete"));
}

#[test]
fn outputs_without_attributes() {
    let check = |text: &str, want: Option<&str>| {
        assert_eq!(Target::bare(text).map(|found| format!("{:?}", found.output)).as_deref(), want);
    };
    check("Out", Some(r#"Local { dest: "Out", delete: false, split: false }"#));
    check("-", Some(r#"Tar { dest: "-" }"#));
    check("type=tar", None);
    check("", None);
}

// What is in a tar, in its order: `path kind`, or `path=content`.
fn list(bytes: &[u8]) -> Vec<String> {
    let mut reader = Reader::archive(bytes, Limits::default());
    let mut lines = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let path = String::from_utf8(entry.path.relative().to_vec()).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader.content(), &mut content).unwrap();
        let content = String::from_utf8_lossy(&content);
        lines.push(match entry.kind {
            EntryKind::File { .. } => format!("{path}={content}"),
            EntryKind::Dir => format!("{path}/ {:o}", entry.mode),
            EntryKind::Symlink(to) => format!("{path} -> {}", String::from_utf8(to).unwrap()),
            EntryKind::Hardlink(to) => format!("{path} == {}", to.display()),
            other => format!("{path} {other:?}"),
        });
    }
    lines
}

fn flat(layers: &[&str]) -> Result<String, String> {
    let world = World::new();
    let image = world.image(layers);
    let dest = world.at("root.tar");
    write(&world, &format!("type=tar,dest={}", dest.display()), &image, &[])
        .map_err(|error| error.to_string())?;
    Ok(list(&fs::read(dest).unwrap()).join("; "))
}

#[test]
fn layers_become_one_tree() {
    let check = |layers: &[&str], want: &str| assert_eq!(flat(layers).unwrap(), want, "{layers:?}");
    check(&[], "");
    check(&["dir a\nfile a/f 1", "file a/f 2"], "a/ 755; a/f=2");
    // Whiteouts hide what lower layers have, not what their own has.
    check(&["dir a\nfile a/f 1\nfile a/g 1", "gone a/f\nfile a/n 2"], "a/ 755; a/g=1; a/n=2");
    check(&["file f 1", "file f 2\ngone f"], "f=2");
    check(&["file f 1", "gone f\nfile f 2"], "f=2");
    check(&["dir a\nfile a/f 1", "dir a\nfile a/n 2\ngone a"], "a/ 755; a/n=2");
    check(&["dir a\ndir a/b\nfile a/b/f 1\nfile ab 1", "gone a"], "ab=1");
    check(&["dir a\nfile a/f 1\ndir a/s\nfile a/s/f 1", "opaque a\nfile a/n 2"], "a/ 755; a/n=2");
    check(&["dir a\nfile a/f 1", "dir a\nfile a/n 2\nopaque a"], "a/ 755; a/n=2");
    check(&["gone a\nopaque b\nfile f 1"], "b/ 755; f=1");
    // Kinds change.
    check(&["dir a\nfile a/f 1", "file a 2"], "a=2");
    check(&["file a 1", "dir a\nfile a/f 2"], "a/ 755; a/f=2");
    check(&["file a 1", "file a/f 2"], "a/ 755; a/f=2");
    check(&["dir a 0:0 700\nfile a/f 1", "dir a"], "a/ 755; a/f=1");
    // Links on the way are followed, within the root.
    check(
        &["dir usr\ndir usr/lib\nlink lib usr/lib", "file lib/x 2"],
        "usr/ 755; usr/lib/ 755; lib -> usr/lib; usr/lib/x=2",
    );
    check(&["link up ../../../etc", "file up/x 2"], "etc/ 755; up -> ../../../etc; etc/x=2");
    check(&["dir d\nlink d/l /d", "gone d/l/f\nfile d/l/g 1"], "d/ 755; d/l -> /d; d/g=1");
    check(&["dir lib\nlink lib2 lib", "dir lib2\nfile lib2/x 1"], "lib/ 755; lib2/ 755; lib2/x=1");
    // Further names of a file, also of one that has lost its first.
    check(&["file a 1\nhard b a\nhard c a"], "a=1; b == /a; c == /a");
    check(&["file a 1\nhard b a", "gone a"], "b=1");
    check(&["file a 1\nhard b a", "file a 2"], "b=1; a=2");
    check(&["file a 1", "hard b a"], "a=1; b == /a");
    check(&["node null\npipe p"], "null Char { major: 1, minor: 3 }; p Fifo");
}

#[test]
fn trees_that_cannot_be_are_refused() {
    let check = |layers: &[&str], want: &str| {
        let error = flat(layers).unwrap_err();
        assert!(error.contains(want), "{error}");
    };
    check(&["link a b\nlink b a\nfile a/f 1"], "layer 1: `/a` leads through too many links");
    check(&["file a 1\nfile a/f 1"], "leads through what is no folder");
    check(&["hard b a"], "is a hard link to what is not there");
    check(&["dir a\nhard b a"], "is a hard link to a folder");
    check(&["file a 1\nhard a a"], "is a hard link to itself");
    check(&["file a 1", "opaque ."], "replaces or hides the root");
}

fn tree(folder: &Path) -> String {
    let out = Command::new("find")
        .arg(folder)
        .args(["-mindepth", "1", "-printf", "%P %y %m %l\n"])
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.sort_unstable();
    lines.join("; ")
}

const LOCAL: &str = "dir a 0:0\ndir a/ro 0:0 555\nfile a/ro/f 1\nlink a/l ../../../../etc/passwd
    file a/suid x 0:0 4755\nfile mine y 1000:1000\nnode null\nhard also mine\nhard null2 null\npipe p";

#[test]
fn a_folder_of_files() {
    let world = World::new();
    let image = world.image(&[LOCAL]);
    let dest = world.at("out");
    let spec = format!("type=local,dest={}", dest.display());
    let want = "a d 755; a/l l 777 ../../../../etc/passwd; a/ro d 555; a/ro/f f 644; \
                a/suid f 755; also f 644; mine f 644; p p 644";
    write(&world, &spec, &image, &[]).unwrap();
    assert_eq!(tree(&dest), want);
    let meta = fs::metadata(dest.join("a")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&meta), 1_000_000);
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&fs::metadata(dest.join("mine")).unwrap()), 2);
    assert_eq!(
        fs::read_to_string(world.at("out.owners")).unwrap(),
        "#mtree\n/set uid=0 gid=0\n\
         ./a/suid type=file uid=0 gid=0 mode=4755\n\
         ./also type=file uid=1000 gid=1000 mode=0644\n\
         ./null type=char uid=0 gid=0 mode=0644 device=linux,1,3\n"
    );
    // Again, with what the user put there in between.
    fs::write(dest.join("a/own"), "").unwrap();
    fs::remove_file(dest.join("mine")).unwrap();
    write(&world, &spec, &image, &[]).unwrap();
    assert_eq!(tree(&dest), want.replace("a/ro d", "a/own f 644; a/ro d"));

    write(&world, &format!("{spec},mode=delete"), &world.image(&["file f 1"]), &[]).unwrap();
    assert_eq!(tree(&dest), "f f 644");
    assert!(!world.at("out.owners").exists());
    let names: Vec<_> = fs::read_dir(world.folder.path()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 2, "nothing is left aside: {names:?}");
}

#[test]
fn files_do_not_leave_the_folder() {
    let world = World::new();
    let (dest, outside) = (world.at("out"), world.at("outside"));
    fs::create_dir_all(&outside).unwrap();
    let spec = format!("type=local,dest={}", dest.display());
    write(
        &world,
        &spec,
        &world.image(&[&format!("link a {}\nlink f {}/x", outside.display(), outside.display())]),
        &[],
    )
    .unwrap();
    let error = write(&world, &spec, &world.image(&["dir a\nfile a/x 1"]), &[]).unwrap_err();
    assert!(error.to_string().contains("`/a` is no folder, in the image it is one"), "{error}");
    write(&world, &spec, &world.image(&["file f 1"]), &[]).unwrap();
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert!(fs::symlink_metadata(dest.join("f")).unwrap().is_file());
}

// A reader of layouts is the judge of both archives.
fn check_archive(kind: &str) {
    let world = World::new();
    let image = world.image(&["dir a\nfile a/f 1", "file b 2", "file b 2"]);
    let dest = world.at("x.tar");
    let spec = format!("type={kind},dest={}", dest.display());
    write(&world, &spec, &image, &["a/b:1", "127.0.0.1:5000/x/y"]).unwrap();
    let first = fs::read(&dest).unwrap();
    write(&world, &spec, &image, &["a/b:1", "127.0.0.1:5000/x/y"]).unwrap();
    assert_eq!(first, fs::read(&dest).unwrap());

    let folder = world.at("unpacked");
    fs::create_dir(&folder).unwrap();
    unpack_layout(&first[..], &folder).unwrap();
    let layout = Layout::open(&folder).unwrap();
    let read = layout.image(&Selector::Tag("latest".into()), &Platform::host()).unwrap();
    assert_eq!(read.manifest_bytes, image.manifest_bytes);
    assert_eq!(layout.entry(&Selector::Only).unwrap().manifest_digest(), image.digest);
    for layer in &image.layers {
        layout.read_blob(layer.descriptor.digest, 1 << 20).unwrap();
    }
}

#[test]
fn archives_are_layouts() {
    check_archive("oci");
    check_archive("docker");
}

#[test]
fn a_docker_archive() {
    let world = World::new();
    let image = world.image(&["dir a\nfile a/f 1", "file b 2"]);
    let dest = world.at("x.tar");
    let spec = format!("type=docker,dest={}", dest.display());
    write(&world, &spec, &image, &["debian:12", "127.0.0.1:5000/x/y"]).unwrap();
    let files = list(&fs::read(&dest).unwrap());
    let blob = |hex: String| format!("blobs/sha256/{hex}");
    let layers: Vec<_> = image.layers.iter().map(|one| one.descriptor.digest.hex()).collect();
    let manifest = format!(
        r#"manifest.json=[{{"Config":"{}","Layers":["{}","{}"],"RepoTags":["debian:12","127.0.0.1:5000/x/y:latest"]}}]"#,
        blob(image.config_digest().hex()),
        blob(layers[0].clone()),
        blob(layers[1].clone()),
    );
    assert!(files.contains(&manifest), "{files:#?}");
    let top = &layers[1];
    let repositories = format!(
        r#"repositories={{"127.0.0.1:5000/x/y":{{"latest":"{top}"}},"debian":{{"12":"{top}"}}}}"#
    );
    assert!(files.contains(&repositories), "{files:#?}");

    let mut skopeo = Command::new("skopeo");
    skopeo
        .args(["inspect", "--config"])
        .arg(format!("docker-archive:{}:debian:12", dest.display()));
    match skopeo.stderr(Stdio::inherit()).output() {
        Err(error) => skipped("skopeo reads the archive", &error.to_string()),
        Ok(output) => {
            assert!(output.status.success());
            let config = String::from_utf8_lossy(&output.stdout);
            assert!(config.contains(&image.layers[0].diff.to_string()), "{config}");
        }
    }
}

// Nothing stays aside, whatever goes wrong.
#[test]
fn a_lost_blob_leaves_nothing_behind() {
    let world = World::new();
    let image = world.image(&["file a 1"]);
    fs::remove_file(world.store.blob_path(image.layers[0].descriptor.digest)).unwrap();
    fs::create_dir(world.at("to")).unwrap();
    for kind in ["oci", "docker", "tar", "local", "oci,tar=false"] {
        let spec = format!("type={kind},dest={}", world.at("to/x").display());
        write(&world, &spec, &image, &[]).unwrap_err();
        let left: Vec<_> = fs::read_dir(world.at("to")).unwrap().collect();
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let world = World::new();
    let image = world.image(&["file a 1"]);
    fs::create_dir(world.at("folder")).unwrap();
    fs::write(world.at("folder/thesis.txt"), "x").unwrap();
    fs::write(world.at("file"), "x").unwrap();
    for (spec, name) in [
        ("type=oci", "folder"),
        ("type=docker", "folder"),
        ("type=tar", "folder"),
        ("type=oci,tar=false", "folder"),
        ("type=oci,tar=false", "file"),
        ("type=local", "file"),
    ] {
        let spec = format!("{spec},dest={}", world.at(name).display());
        let error = write(&world, &spec, &image, &[]).unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{spec}: {error}");
    }
    assert_eq!(tree(&world.at("folder")), "thesis.txt f 644");
    assert!(matches!(write(&world, "type=registry", &image, &[]), Err(Error::Nameless)));
}

#[test]
fn a_push_of_an_image_and_of_a_layout() {
    let mut world = World::new();
    let server = match RealServer::start(world.folder.path(), true) {
        Ok(server) => server,
        Err(why) => return println!("skipped: {why}"),
    };
    world.registry = registry(Some(&server));
    let base = world.image(&["dir a\nfile a/f 1"]);
    let name = |rest: &str| format!("{}/{rest}", server.host());
    write(&world, "type=registry", &base, &[&name("base:1")]).unwrap();

    // The layer of the base is known to the registry: it is taken over.
    let image = world.image(&["dir a\nfile a/f 1", "file b 2"]);
    world
        .origins
        .insert(base.layers[0].descriptor.digest, ImageRef::parse(&name("base:1")).unwrap());
    let before = server.log().len();
    let said = write(&world, "type=registry", &image, &[&name("team/app:1")]).unwrap();
    assert_eq!(said, format!("{}@{}", name("team/app:1"), image.digest));
    let log = server.log().split_off(before);
    let taken = |line: &&String| line.contains(" 201 ");
    let count = |what: &str| log.iter().filter(taken).filter(|line| line.contains(what)).count();
    assert_eq!((count("mount=sha256"), count("PUT /v2/team/app/blobs/")), (1, 2), "{log:#?}");

    // An index in a layout goes with all that it names, unchanged.
    let layout = world.at("layout");
    write(&world, &format!("type=oci,tar=false,dest={}", layout.display()), &image, &[]).unwrap();
    let index = Index::new(vec![image.descriptor()]);
    let bytes = index.to_bytes();
    let top = Descriptor::of(crate::image::INDEX, &bytes);
    fs::write(layout.join("blobs/sha256").join(top.digest.hex()), &bytes).unwrap();
    fs::write(layout.join("index.json"), Index::new(vec![top.clone()]).to_bytes()).unwrap();
    let layout = Layout::open(&layout).unwrap();
    let names = [ImageRef::parse(&name("team/multi:1")).unwrap()];
    let pushed = push_layout(&layout, &Selector::Only, &names, false, &world.registry).unwrap();
    assert_eq!(pushed.names, [format!("{}@{}", name("team/multi:1"), top.digest)]);

    for (what, want) in [("team/app:1", &image.manifest_bytes), ("team/multi:1", &bytes)] {
        let output = Command::new("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", "--creds", "me:hunter2-PASS"])
            .arg(format!("docker://{}", name(what)))
            .env("HOME", world.folder.path())
            .stderr(Stdio::inherit())
            .output();
        match output {
            Err(error) => skipped("skopeo reads the archive", &error.to_string()),
            Ok(output) => assert_eq!(&output.stdout, want, "{what}"),
        }
    }
}

#[test]
fn a_damaged_blob_is_not_handed_on() {
    let check = |spec: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let world = World::new();
        let image = world.image(&["file f content"]);
        let blob = world.store.blob_path(image.layers[0].descriptor.digest);
        let mut bytes = fs::read(&blob).unwrap();
        damage(&mut bytes);
        fs::write(&blob, bytes).unwrap();
        let dest = world.at("out");
        write(&world, &format!("{spec},dest={}", dest.display()), &image, &[]).unwrap_err();
        assert!(!dest.exists(), "{spec}");
    };
    let last = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    check("type=oci", &last);
    check("type=docker", &last);
    check("type=tar", &last);
    check("type=oci,tar=false", &|bytes| bytes.truncate(bytes.len() / 2));
    check("type=oci,tar=false", &Vec::clear);
}
