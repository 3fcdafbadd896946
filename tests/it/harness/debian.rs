//! A base image that is a real Debian, made of this machine's mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::busybox::write_layout;
use super::host::{have, skip};
use super::process::{ok, run};

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
