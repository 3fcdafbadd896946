//! A real registry (`docker-registry`) on a free port of the loopback.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::folder::Folder;
use super::process::ok;
use super::readers::skopeo_copy;
use super::server::{Server, wait_for};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The password of user `tester` at a registry with a login.
pub(crate) const PASSWORD: &str = "open-sesame";
// bcrypt of it, cost 5, salt `abcdefghijklmnopqrstuu`.
const HTPASSWD: &str = "tester:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n";

/// A running registry with its own storage.
pub(crate) struct Registry {
    _server: Server,
    folder: Folder,
    host: String,
    login: bool,
}

impl Registry {
    /// Starts one that everybody may read and write.
    pub(crate) fn start() -> Registry {
        Registry::with_login(false)
    }

    /// Starts one; with `login`, only `tester` with [`PASSWORD`] may enter.
    pub(crate) fn with_login(login: bool) -> Registry {
        Registry::launch(login, false)
    }

    /// Starts one that speaks TLS alone, with a certificate that nobody knows but [`Registry::ca`].
    pub(crate) fn with_tls() -> Registry {
        Registry::launch(false, true)
    }

    /// The certificate authority of one with TLS: a PEM file that everybody may read.
    pub(crate) fn ca(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn launch(login: bool, tls: bool) -> Registry {
        let folder = Folder::new();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(at("htpasswd"), HTPASSWD).expect("a file of ours");
        // Port 0: the kernel picks a free one, and the log tells which.
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            at("storage")
        );
        if login {
            config += &format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", at("htpasswd"));
        }
        if tls {
            certificate(folder.path());
            config = config.replace(
                "addr: \"127.0.0.1:0\"",
                &format!(
                    "addr: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}}}",
                    at("leaf.pem"),
                    at("leaf.key")
                ),
            );
        }
        fs::write(at("config.yml"), config).expect("a file of ours");
        let log = folder.path().join("log");
        let server = Server::start(&["docker-registry", "serve", &at("config.yml")], &log);
        let host = wait_for(&server, &log, || listening(&log));
        Registry { _server: server, folder, host, login }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Pushes the image of a layout under this name.
    pub(crate) fn push(&self, layout: &Path, name: &str) {
        let from = format!("oci:{}", layout.display());
        let credentials = format!("--dest-creds=tester:{PASSWORD}");
        let mut flags = vec!["--dest-tls-verify=false"];
        flags.extend(self.login.then_some(credentials.as_str()));
        skopeo_copy(&flags, &from, &format!("docker://{}/{name}", self.host));
    }

    /// The digest that the registry has for a name.
    pub(crate) fn digest(&self, name: &str) -> String {
        let mut inspect = Command::new("skopeo");
        inspect.args(["--insecure-policy", "inspect", "--no-tags", "--tls-verify=false"]);
        inspect.arg(format!("docker://{}/{name}", self.host));
        let answer: Value = serde_json::from_str(&ok(&mut inspect)).expect("JSON of skopeo");
        answer["Digest"].as_str().expect("a digest").to_owned()
    }

    /// What it was asked for and how it answered, by its access log: `PUT /v2/a/manifests/1 201`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).expect("a log of ours");
        // `127.0.0.1 - - [time] "GET /v2/ HTTP/1.1" 401 87 "" "agent"`
        let request = |line: &str| {
            let (_, rest) = line.split_once("] \"")?;
            let (request, rest) = rest.split_once(" HTTP/1.1\" ")?;
            Some(format!("{request} {}", rest.split(' ').next()?))
        };
        log.lines().filter_map(request).collect()
    }

    /// Puts an artifact of one file into its storage, as if it had been pushed; returns the digests of
    /// manifest and file.
    pub(crate) fn hold(&self, name: &str, kind: &str, content: &[u8]) -> (String, String) {
        let hex = |bytes: &[u8]| {
            let digest = Sha256::digest(bytes);
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let descriptor = |kind: &str, bytes: &[u8]| {
            let digest = format!("sha256:{}", hex(bytes));
            serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind,
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [descriptor(kind, content)],
        });
        let manifest = manifest.to_string().into_bytes();
        let top = self.folder.path().join("storage/docker/registry/v2");
        for (bytes, place) in [
            (b"{}".as_slice(), "_layers"),
            (content, "_layers"),
            (&manifest, "_manifests/revisions"),
        ] {
            let hex = hex(bytes);
            let files = [
                (top.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), bytes.to_vec()),
                (
                    top.join(format!("repositories/{name}/{place}/sha256/{hex}/link")),
                    format!("sha256:{hex}").into_bytes(),
                ),
            ];
            for (path, bytes) in files {
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of ours");
                fs::write(path, bytes).expect("a file of ours");
            }
        }
        (format!("sha256:{}", hex(&manifest)), format!("sha256:{}", hex(content)))
    }

    /// Writes zeros over the blob, as a rotten disk or an attacker would.
    pub(crate) fn falsify(&self, digest: &str) {
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256");
        let path = format!("storage/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let path = self.folder.path().join(path);
        let size = fs::metadata(&path).expect("a blob of the registry").len();
        fs::write(path, vec![0; size as usize]).expect("a file of ours");
    }
}

// A certificate authority, `ca.pem`, and a certificate of it for 127.0.0.1, `leaf.pem`.
fn certificate(folder: &Path) {
    let script = "set -e
        new() { openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 \"$@\"; }
        new -x509 -days 30 -subj '/CN=tests of rbuild' -keyout ca.key -out ca.pem
        new -subj /CN=leaf -keyout leaf.key -out leaf.csr
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > ext
        openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
            -extfile ext -out leaf.pem
        chmod 0644 ca.pem";
    ok(Command::new("sh").args(["-c", script]).current_dir(folder));
}

// `msg="listening on 127.0.0.1:43567"`
fn listening(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let rest = text.split_once("listening on ")?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')?;
    Some(rest[..end].to_owned())
}
