//! `secret-file-in-layer`: a key in a layer.

use crate::facts::{FileKind, MarkKind};
use crate::policy::rules::{lower, origin};
use crate::policy::{Alias, Found, Judged, Level, Param, ParamKind, Rule, glob};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-file-in-layer",
    title: "Three cloud keys and a database password were found in layers of a 'secure' image.",
    text: "Finds, in any layer, deleted later or not, a file that holds a private key (PEM, \
          OpenSSH, PuTTY, PKCS #12), keys of AWS, or a login: `.docker/config.json`, a \
          kubeconfig, `.netrc`, `.npmrc`, `.pgpass`, `.pypirc`, `.git-credentials`, a Terraform \
          state with sensitive values. Files that are only named as such files are \
          (`credentials.json`, `*.jks`, `.env` …) are told one level lower; so are keys that a \
          package brought, or that lie among the tests of a library.\n\n\
          Exempt: public keys and certificates, `allow`, the key of the package ssl-cert in the \
          base. Host keys of SSH are no exception: each container needs its own, made when it \
          starts.\n\n\
          Take the file out of the step that brings it, and give it to the step that needs it: \
          `--mount=type=secret`. Revoke what has left the machine.",
    aliases: &[Alias::of("CIS-DI-0010")],
    standards: &["CIS 4.10", "NIST 800-190 4.1.4"],
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: "[]",
        help: "paths that are no secrets",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

const NAMES: &[&str] = &[
    "credentials.json",
    "*.jks",
    "*.keystore",
    "*.ovpn",
    ".env",
    ".env.*",
    "*.kdbx",
    "*.tfvars",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "secring.*",
    "wp-config.php",
    ".htpasswd",
];
const SAMPLES: &[&str] = &[".pub", ".example", ".sample", ".template", ".dist", ".test"];

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in layer.table.files.iter().filter(|file| file.kind == FileKind::File) {
            let path = file.path.as_str();
            let mark =
                file.marks.iter().find(|m| matches!(m.kind, MarkKind::Key | MarkKind::Login));
            if (mark.is_none() && !is_named(path, file.size))
                || allow.iter().any(|pattern| glob::matches(pattern, path))
                || (path.ends_with("/ssl-cert-snakeoil.key") && judged.is_base(index))
            {
                continue;
            }
            let packaged = judged.packages_in(index).genuine(file) == Some(true);
            if packaged && judged.is_base(index) {
                continue;
            }
            let message = match mark {
                Some(mark) => format!("`{path}` holds {}", mark.what),
                None => format!("`{path}` is a file of secrets by its name"),
            };
            let mut finding = found.finding(message).in_image(path, Some(index));
            if let Some(mark) = mark {
                finding = finding.evidence("in_line", mark.line);
                if !mark.shown.is_empty() {
                    finding = finding.evidence("value", mark.shown.as_str());
                }
            }
            let finding = finding.evidence("sha256", file.sha256.as_str()).help(
                "give it to the step that needs it by --mount=type=secret; what has left is to be revoked",
            );
            let level = match mark.is_some() && !packaged && !is_test_of_library(path) {
                true => Level::Error,
                false => lower(found),
            };
            found.add_at(level, origin(finding, judged, index));
        }
    }
}

fn is_named(path: &str, size: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    size > 0
        && !SAMPLES.iter().any(|ending| name.ends_with(ending))
        && NAMES.iter().any(|pattern| glob::matches(pattern, name))
}

/// Tells whether a file lies among the tests of a library that was installed: keys there are known to
/// all.
pub(super) fn is_test_of_library(path: &str) -> bool {
    let mut parts = path.split('/');
    let library = |part: &str| {
        matches!(part, "node_modules" | "site-packages" | "dist-packages" | "gems" | "go" | "perl5")
            || part.starts_with("python3.")
    };
    parts.any(library)
        && parts.any(|part| {
            let words =
                ["test", "tests", "testdata", "fixtures", "fixture", "example", "examples", "spec"];
            words.contains(&part) || part.starts_with("test_") || part == "__tests__"
        })
}
