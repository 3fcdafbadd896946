//! Bases from a real registry, from layouts, and from registries that lie.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::base::{ImagePath, Secret, skipped};
use crate::image::{Config, INDEX, Index};
use crate::layer::{Compression, Entry, EntryKind, LayerWriter};
use crate::registry::{Credentials, Network, RegistryConfig};

fn registry(credentials: Credentials) -> Registry {
    Registry::new(RegistryConfig::default(), credentials, Events::silent(), Network::Online)
        .unwrap()
}

fn offline() -> Registry {
    Registry::new(
        RegistryConfig::default(),
        Credentials::none(),
        Events::silent(),
        Network::Offline,
    )
    .unwrap()
}

fn store(folder: &Path) -> Store {
    Store::open(&folder.join("store")).unwrap()
}

fn layer(text: &str, compression: Compression) -> (Vec<u8>, LayerRef) {
    let mut writer = LayerWriter::new(Vec::new(), compression, 1, Vec::new()).unwrap();
    let path = ImagePath::from_entry(b"file").unwrap();
    let entry = Entry::new(path, EntryKind::File { size: text.len() as u64 }, 0o644);
    writer.entry(&entry, &mut text.as_bytes()).unwrap();
    let (bytes, written) = writer.finish().unwrap();
    let descriptor = Descriptor::new(written.media_type, written.blob, written.packed);
    let kind = LayerKind::of(written.media_type).unwrap();
    (bytes, LayerRef { descriptor, kind, diff: written.diff })
}

fn blob(layout: &Path, bytes: &[u8]) {
    let name = Digest::<Blob>::of(bytes).hex();
    std::fs::write(layout.join("blobs/sha256").join(name), bytes).unwrap();
}

// A layout with an index for two platforms, two layers each; `change` may spoil the layers' refs.
fn layout(folder: &Path, change: impl Fn(&mut LayerRef)) -> PathBuf {
    let path = folder.join("layout");
    std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let entries = ["linux/amd64", "linux/arm/v6"].map(|platform| {
        let layers = [Compression::Gzip { level: 6 }, Compression::Zstd { level: 3 }]
            .map(|compression| {
                let (bytes, mut layer) = layer(platform, compression);
                blob(&path, &bytes);
                change(&mut layer);
                layer
            })
            .to_vec();
        let mut image =
            Image::write(Config::empty(&Platform::parse(platform).unwrap()), Vec::new(), &[]);
        // By hand: `Image::write` would correct the media types.
        image.config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff).collect();
        image.config_bytes = image.config.to_bytes();
        image.manifest.config = Descriptor::of(image::CONFIG, &image.config_bytes);
        image.manifest.layers = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let manifest = image.manifest.to_bytes();
        blob(&path, &image.config_bytes);
        blob(&path, &manifest);
        let mut entry = Descriptor::of(image::MANIFEST, &manifest);
        entry.platform = Some(image.platform());
        entry
    });
    let index = Index::new(entries.to_vec()).to_bytes();
    blob(&path, &index);
    let mut entry = Descriptor::of(INDEX, &index);
    entry.annotations.insert("org.opencontainers.image.ref.name".into(), "1".into());
    std::fs::write(path.join("index.json"), Index::new(vec![entry]).to_bytes()).unwrap();
    path
}

fn get(
    source: &BaseSource,
    platform: &str,
    store: &Store,
    registry: &Registry,
) -> Result<BaseImage, BaseError> {
    let events = Events::silent();
    let platform = Platform::parse(platform).unwrap();
    let base = resolve("base", source, &platform, store, registry, &events)?;
    fetch_layers(&base, store, registry, &events)?;
    Ok(base)
}

fn whole(base: &BaseImage, store: &Store) {
    let problems = image::validate(&base.image, |digest| {
        let blob = store.blob(digest).map_err(io::Error::other)?;
        Ok(Box::new(blob.verified()))
    });
    assert!(problems.is_empty(), "{problems:?}");
    assert!(store.has(base.digest.as_blob()));
}

#[test]
fn values_of_named_contexts() {
    let layout =
        |path: &str, selector| Some(Ok(BaseSource::Layout { path: path.into(), selector }));
    let digest = Digest::of(b"x");
    for (value, want) in [
        ("oci-layout:///a/b:1.2", layout("/a/b", Selector::Tag("1.2".into()))),
        ("oci-layout://a:b/c", layout("a:b/c", Selector::Only)),
        (&format!("oci-layout:///a@{digest}"), layout("/a", Selector::Digest(digest))),
        (&format!("oci-layout:///a:t@{digest}"), layout("/a", Selector::Digest(digest))),
        ("/some/folder", None),
        ("https://example.com/x.git", None),
        (
            "docker-image://127.0.0.1:5000/x:1",
            Some(ImageRef::parse("127.0.0.1:5000/x:1").map(BaseSource::Registry)),
        ),
    ] {
        assert_eq!(BaseSource::of_context(value), want, "{value}");
    }
    assert!(BaseSource::of_context("oci-layout:///a@sha256:xyz").unwrap().is_err());
    assert!(BaseSource::of_context("docker-image://A").unwrap().is_err());
}

#[test]
fn a_layout_is_read_and_its_layers_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let source = BaseSource::Layout {
        path: layout(folder.path(), |_| {}),
        selector: Selector::Tag("1".into()),
    };
    let base = get(&source, "linux/arm/v7", &store, &offline()).unwrap();
    assert_eq!(base.image.platform().to_string(), "linux/arm/v6");
    assert_eq!(base.pinned, None);
    whole(&base, &store);
}

#[test]
fn damaged_layers_of_a_layout_are_not_taken_over() {
    let check = |spoil: &dyn Fn(&Path, &LayerRef), change: &dyn Fn(&mut LayerRef), want: &str| {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = layout(folder.path(), change);
        let source = BaseSource::Layout { path: path.clone(), selector: Selector::Only };
        let platform = Platform::parse("linux/amd64").unwrap();
        let base =
            resolve("base", &source, &platform, &store, &offline(), &Events::silent()).unwrap();
        let first = &base.image.layers[0];
        spoil(&path.join("blobs/sha256").join(first.descriptor.digest.hex()), first);
        let error = fetch_layers(&base, &store, &offline(), &Events::silent()).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(!store.has(first.descriptor.digest));
        error
    };
    let nothing = |_: &Path, _: &LayerRef| {};
    let flip = |path: &Path, _: &LayerRef| {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let keep = |_: &mut LayerRef| {};
    assert!(check(&flip, &keep, "damaged").is_mismatch());
    let cut = |path: &Path, _: &LayerRef| std::fs::write(path, b"\x1f\x8b\x08\x00").unwrap();
    assert!(check(&cut, &keep, "found 4").is_mismatch());
    let gone = |path: &Path, _: &LayerRef| std::fs::remove_file(path).unwrap();
    assert!(!check(&gone, &keep, "has no blob").is_mismatch());
    let claim = |layer: &mut LayerRef| {
        let kind = if layer.kind == LayerKind::Gzip { LayerKind::Zstd } else { LayerKind::Gzip };
        layer.descriptor.media_type = kind.media_type().into();
    };
    assert!(check(&nothing, &claim, "its media type says zstd, its content is gzip").is_mismatch());
}

// ---- a real registry: Debian's docker-registry, filled by skopeo ----

struct RealRegistry {
    child: Child,
    host: String,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// `me`, `hunter2-PASS`, bcrypt with 2^5 rounds.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuua4LNIwCUqGk6iZW4hxdWM2hA44ViKzy\n";

fn needs(programs: &[&str]) -> Result<(), String> {
    for program in programs {
        Command::new(program)
            .arg(if *program == "openssl" { "version" } else { "--version" })
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("{program}: {error}"))?;
    }
    Ok(())
}

// Starts it with an empty storage in `folder`, or says why not.
fn real_registry(folder: &Path, login: bool) -> Result<RealRegistry, String> {
    needs(&["docker-registry", "skopeo"])?;
    start_registry(folder, login, false)
}

fn start_registry(folder: &Path, login: bool, tls: bool) -> Result<RealRegistry, String> {
    let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    std::fs::write(folder.join("htpasswd"), HTPASSWD).unwrap();
    let mut config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
         http: {{addr: '{host}'}}\n",
        folder.display()
    );
    if login {
        config +=
            &format!("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", folder.display());
    }
    if tls {
        let at = folder.display();
        config = config.replace(
            &format!("http: {{addr: '{host}'}}"),
            &format!(
                "http: {{addr: '{host}', tls: {{certificate: {at}/tls.crt, key: {at}/tls.key}}}}"
            ),
        );
    }
    let file = folder.join("registry.yml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let running = RealRegistry { child, host };
    let started = Instant::now();
    while TcpStream::connect(&running.host).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

fn push(folder: &Path, layout: &Path, to: &str, login: bool) {
    let mut command = Command::new("skopeo");
    command
        .args(["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"])
        .env("HOME", folder)
        .env("TMPDIR", folder);
    if login {
        command.args(["--dest-creds", "me:hunter2-PASS"]);
    }
    let output = command
        .arg(format!("oci:{}:1", layout.display()))
        .arg(format!("docker://{to}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_real_registry_gives_what_was_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let server = match real_registry(folder.path(), false) {
        Ok(server) => server,
        Err(why) => return skipped("a_real_registry_gives_what_was_pushed", &why),
    };
    let layout = layout(folder.path(), |_| {});
    let to = format!("{}/team/app:1", server.host);
    push(folder.path(), &layout, &to, false);
    let (store, registry) = (store(folder.path()), registry(Credentials::none()));
    let source = BaseSource::of_name(&to).unwrap();
    let base = get(&source, "linux/arm/v7", &store, &registry).unwrap();
    whole(&base, &store);
    let local =
        image::read_layout(&layout, &Selector::Only, &Platform::parse("linux/arm/v7").unwrap());
    assert_eq!(*base.image, local.unwrap());

    // By digest it is in the store now: no network is needed.
    let pinned = base.pinned.as_ref().unwrap().image().clone();
    let again = get(&BaseSource::Registry(pinned), "linux/arm/v7", &store, &offline()).unwrap();
    assert_eq!(again.digest, base.digest);

    for (name, want) in
        [("team/app:nope", "not found on"), ("team/nonesuch:1", "team/nonesuch:1`: not found on")]
    {
        let source = BaseSource::of_name(&format!("{}/{name}", server.host)).unwrap();
        let error = get(&source, "linux/amd64", &store, &registry).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("UNKNOWN"), "{error}");
    }
    let error = get(&source, "linux/s390x", &store, &registry).unwrap_err();
    assert!(
        error.to_string().ends_with("platform linux/s390x; there is linux/amd64, linux/arm/v6")
    );
}

#[test]
fn a_real_registry_with_logins() {
    let folder = tempfile::tempdir().unwrap();
    let server = match real_registry(folder.path(), true) {
        Ok(server) => server,
        Err(why) => return skipped("a_real_registry_with_logins", &why),
    };
    let to = format!("{}/team/app:1", server.host);
    push(folder.path(), &layout(folder.path(), |_| {}), &to, true);
    let store = store(folder.path());
    let source = BaseSource::of_name(&to).unwrap();
    let with = |password: &str| {
        let mut credentials = Credentials::none();
        let login = ("me".to_owned(), Secret::new(password.as_bytes().to_vec()));
        credentials.by_host.insert(server.host.clone(), login);
        get(&source, "linux/amd64", &store, &registry(credentials))
    };
    let error = get(&source, "linux/amd64", &store, &registry(Credentials::none())).unwrap_err();
    assert!(error.to_string().contains("denied access (401 UNAUTHORIZED"), "{error}");
    assert!(error.help().unwrap().contains("--authfile"));
    let error = with("wrong-PASS").unwrap_err().to_string();
    assert!(error.contains("a login was used") && !error.contains("wrong-PASS"), "{error}");
    whole(&with("hunter2-PASS").unwrap(), &store);
}

// On the loopback, TLS is used where it is answered, and then it must be right.
#[test]
fn a_real_registry_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = needs(&["docker-registry", "skopeo", "openssl"]) {
        return skipped("a_real_registry_with_tls", &why);
    }
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "tls.key"])
        .args(["-out", "tls.crt"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = match start_registry(folder.path(), false, true) {
        Ok(server) => server,
        Err(why) => return skipped("a_real_registry_with_tls", &why),
    };
    let to = format!("{}/team/app:1", server.host);
    push(folder.path(), &layout(folder.path(), |_| {}), &to, false);
    let store = store(folder.path());
    let source = BaseSource::of_name(&to).unwrap();

    let error = get(&source, "linux/amd64", &store, &registry(Credentials::none())).unwrap_err();
    assert!(error.to_string().contains("no TLS connection to"), "{error}");
    assert!(error.help().unwrap().contains("ca = "), "{error}");

    for line in ["ca = \"tls.crt\"", "insecure = true"] {
        let text = format!("[host.\"{}\"]\n{line}", server.host);
        let config = RegistryConfig::parse(&text, folder.path()).unwrap();
        let registry =
            Registry::new(config, Credentials::none(), Events::silent(), Network::Online).unwrap();
        whole(&get(&source, "linux/amd64", &store, &registry).unwrap(), &store);
    }
}
