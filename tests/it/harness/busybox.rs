//! A base image of busybox, and how layouts are written.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::host::skip;

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

/// Writes a layout of one image with one gzip layer, under the name `latest`.
pub(super) fn write_layout(folder: &Path, tar: &mut dyn Read, config: Value) {
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
