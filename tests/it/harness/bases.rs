//! Base images that the tests make themselves: one of busybox, and a real Debian.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::host::{have, skip};
use super::process::{ok, run};

/// Programs of busybox that get a name of their own: no package manager, which a policy would find.
const APPLETS: &[&str] = &[
    "ash",
    "awk",
    "base64",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "dd",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "gzip",
    "head",
    "id",
    "ifconfig",
    "ip",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "mv",
    "nc",
    "nproc",
    "ping",
    "printf",
    "ps",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "wc",
];

/// Makes a layout with one image, busybox with root and nobody, at `folder`; `None` without busybox.
pub(crate) fn busybox(folder: &Path) -> Option<PathBuf> {
    let program = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let Some(program) = program else {
        skip("`busybox` is not installed (tests/run installs busybox-static)");
        return None;
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        if kind == tar::EntryType::Symlink {
            let target = String::from_utf8_lossy(content).into_owned();
            tar.append_link(&mut header, name, target).expect("a tar in memory");
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).expect("a tar in memory");
        }
    };
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        add(&format!("{name}/"), tar::EntryType::Directory, mode, b"");
    }
    add("bin/busybox", tar::EntryType::Regular, 0o755, &program);
    for applet in APPLETS {
        add(&format!("bin/{applet}"), tar::EntryType::Symlink, 0o777, b"busybox");
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    add("etc/passwd", tar::EntryType::Regular, 0o644, passwd);
    add("etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    let tar = tar.into_inner().expect("a tar in memory");
    write_layout(folder, &mut tar.as_slice(), json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]}));
    Some(folder.to_owned())
}

/// The layout of a minimal Debian of this machine's release and mirror; `None` where it cannot be
/// made. It is kept for the next run of the tests, for a week.
pub(crate) fn debian() -> Option<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_matches('"').to_owned())
    };
    let (Some("debian"), Some(suite)) = (field("ID=").as_deref(), field("VERSION_CODENAME="))
    else {
        skip("not a Debian: there is no mirror to make a base from");
        return None;
    };
    if !have(&["mmdebstrap", "apt-config"]) {
        return None;
    }
    let sources = apt_sources(&suite);
    let options = apt_options();
    let key = Sha256::digest(format!("2 {suite} {sources} {options}"));
    let name: String = key[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{name}"));
    let week = Duration::from_secs(7 * 24 * 3600);
    let age = fs::metadata(folder.join("index.json")).and_then(|file| file.modified());
    if age.is_ok_and(|time| time.elapsed().unwrap_or(week) < week) {
        return Some(folder);
    }
    let _ = fs::remove_dir_all(&folder);
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder of cargo's");
    let at = |name: &str| work.path().join(name);
    fs::write(at("apt.conf"), &options).expect("a file of ours");
    let mut make = Command::new("mmdebstrap");
    make.args(["--variant=minbase", "--quiet", "--format=tar"]);
    make.arg(format!("--aptopt={}", at("apt.conf").display()));
    for path in ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
    {
        make.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    if sources.contains("https://") {
        // The machine's own authorities, for a mirror behind one of them.
        make.arg("--include=ca-certificates");
        make.arg("--customize-hook=copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs");
    }
    make.arg(&suite).arg(at("tar"));
    if !sources.is_empty() {
        let name = if sources.contains("Types:") { "debian.sources" } else { "debian.list" };
        fs::write(at(name), &sources).expect("a file of ours");
        make.arg(at(name));
    }
    let done = run(&mut make, Duration::from_secs(900));
    if !done.status.success() {
        skip(&format!("mmdebstrap made no Debian: {}", done.err().trim()));
        return None;
    }
    let mut tar = fs::File::open(at("tar")).expect("mmdebstrap wrote it");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    write_layout(&at("layout"), &mut tar, json!({"Cmd": ["bash"], "Env": [path]}));
    fs::rename(at("layout"), &folder).expect("renaming a folder of ours");
    Some(folder)
}

// The machine's own sources of this release: stanzas or lines that name it and are signed by
// Debian's keys. Empty: mmdebstrap takes its default.
fn apt_sources(suite: &str) -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    let ours = |text: &str| {
        let names = text.split_whitespace().any(|word| {
            word == suite || word.strip_prefix(suite).is_some_and(|rest| rest.starts_with('-'))
        });
        let signed =
            text.to_ascii_lowercase().split_once("signed-by").map(|(_, rest)| rest.to_owned());
        names && signed.is_none_or(|by| by.contains("debian-archive"))
    };
    let (mut lines, mut stanzas) = (String::new(), String::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => {
                for line in text.lines().filter(|line| line.starts_with("deb ") && ours(line)) {
                    lines += &format!("{line}\n");
                }
            }
            Some("sources") => {
                for stanza in text.split("\n\n").filter(|stanza| ours(stanza)) {
                    let kept = stanza.lines().filter(|line| !line.starts_with('#'));
                    stanzas += &kept.fold(String::new(), |all, line| format!("{all}{line}\n"));
                    stanzas.push('\n');
                }
            }
            _ => {}
        }
    }
    if stanzas.is_empty() { lines } else { stanzas }
}

// How this machine's apt reaches its mirror: a proxy, a clock that is off.
fn apt_options() -> String {
    let dump = ok(Command::new("apt-config").arg("dump"));
    let wanted = ["Acquire::Check-", "Acquire::http::", "Acquire::https::", "Acquire::Retries"];
    dump.lines()
        .filter(|line| wanted.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Writes a layout of one image with one gzip layer, under the name `latest`.
fn write_layout(folder: &Path, tar: &mut dyn Read, config: Value) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder of ours");
    let put = |bytes: &[u8], media: &str| {
        let digest = hex(&Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes).expect("a file of ours");
        json!({"mediaType": format!("application/vnd.oci.image.{media}"),
               "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let mut diff = Sha256::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let size = tar.read(&mut buffer).expect("reading a tar");
        if size == 0 {
            break;
        }
        diff.update(&buffer[..size]);
        packed.write_all(&buffer[..size]).expect("memory");
    }
    let layer = put(&packed.finish().expect("memory"), "layer.v1.tar+gzip");
    let created = "2024-01-01T00:00:00Z";
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": created, "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&diff.finalize()))]},
        "history": [{"created": created, "created_by": "made by a test"}],
    });
    let config = put(config.to_string().as_bytes(), "config.v1+json");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = put(manifest.to_string().as_bytes(), "manifest.v1+json");
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).expect("a file of ours");
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("a file of ours");
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
