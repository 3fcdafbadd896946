//! `--ca-bundle`: steps trust more, and nothing of it stays.

use std::fs;
use std::path::Path;

use crate::harness::{Build, Kind, Place, Who};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nTUlJQm5vdC1hLXJlYWwtY2VydGlmaWNhdGUtZm9yLXRlc3Rz\n\
    -----END CERTIFICATE-----\n";
const MARK: &[u8] = b"hLXJlYWwtY2VydGlmaWNhdGUtZm9y";

/// Steps that look at the list, add to it, change its rights, and put another in its place.
const TEXT: &str = "FROM busybox\n\
    COPY list /etc/ssl/certs/ca-certificates.crt\n\
    RUN ln -s certs/ca-certificates.crt /etc/ssl/cert.pem && mkdir -p /etc/pki/tls/certs && \
        echo fedora > /etc/pki/tls/certs/ca-bundle.crt\n\
    RUN cat /etc/ssl/cert.pem | wc -l; wc -l < $SSL_CERT_FILE; wc -l < $NODE_EXTRA_CA_CERTS; \
        wc -l < /etc/pki/tls/certs/ca-bundle.crt; echo pip=${PIP_CERT:-none}; \
        ls -ld /etc/ssl/certs | cut -c1-10\n\
    RUN echo more >> /etc/ssl/certs/ca-certificates.crt\n\
    RUN chmod 600 /etc/pki/tls/certs/ca-bundle.crt\n\
    RUN echo new > /new && mv /new /etc/ssl/certs/ca-certificates.crt\n\
    RUN cp /etc/ssl/certs/ca-certificates.crt /copy; rm /etc/ssl/certs/ca-certificates.crt; \
        cat /copy > /dev/null; rm /copy\n";

fn files_with(folder: &Path, mark: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("a kind of file");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                if bytes.windows(mark.len()).any(|part| part == mark) {
                    found.push(entry.path());
                }
            }
        }
    }
    found
}

#[test]
fn steps_trust_a_bundle_and_no_layer_has_it() {
    for who in Who::every() {
        let place = Place::new(who);
        place.file("ctx/list", "own\n");
        let bundle = place.file("bundle.pem", CERTIFICATE);
        let with = format!("--ca-bundle={}", bundle.display());
        let (outcome, image) =
            Build::text(&place, TEXT).arg(&with).arg("--compression=none").image();
        // own, two comments, the lines around them, three of the certificate; the bundle; the other list.
        let lines: Vec<String> = outcome
            .err()
            .lines()
            .filter_map(|line| line.split_once("] | ").map(|(_, said)| said.trim().to_owned()))
            .collect();
        assert_eq!(
            lines,
            ["8", "8", "3", "8", "pip=/run/.rbuild/ca-certificates.pem", "drwxr-xr-x"],
            "{}",
            outcome.story()
        );
        assert_eq!(image.text("etc/pki/tls/certs/ca-bundle.crt"), "fedora\n");
        assert_eq!(image.tree["etc/pki/tls/certs/ca-bundle.crt"].mode & 0o777, 0o600);
        assert!(!image.tree.contains_key("etc/ssl/certs/ca-certificates.crt"));
        assert!(!image.tree.keys().any(|path| path.starts_with("run")), "no mount point stays");
        assert!(matches!(image.tree["etc/ssl/cert.pem"].kind, Kind::Link(_)));
        let kept: Vec<_> = [place.at("store"), place.at("image.oci")]
            .iter()
            .flat_map(|folder| files_with(folder, MARK))
            .collect();
        assert_eq!(kept, Vec::<std::path::PathBuf>::new());

        // It is no part of a key, and makes no other bytes.
        let again = Build::of(&place)
            .arg(format!(
                "--build-context=busybox=oci-layout://{}:latest",
                place.at("busybox").display()
            ))
            .arg("--compression=none");
        let cached = again.run();
        assert_eq!(cached.digest(), image.digest);
        assert!(!cached.err().contains("miss:"), "{}", cached.story());
        let fresh = again.arg("--no-cache").run();
        assert_eq!(fresh.digest(), image.digest, "{}", fresh.story());
        assert!(fresh.err().contains("pip=none"), "{}", fresh.story());
    }
}

#[test]
fn only_certificates_are_taken() {
    let place = Place::new(Who::usual());
    let key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n";
    for (content, said) in [("hello\n", "no certificate"), (key, "a private key")] {
        let file = place.file("wrong.pem", content);
        let build = Build::text(&place, "FROM busybox\nRUN true\n");
        build.arg(format!("--ca-bundle={}", file.display())).run().fails(2, &[said]);
    }
}
