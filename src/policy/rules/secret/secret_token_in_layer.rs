//! `secret-token-in-layer`: a token in a file.

use crate::facts::MarkKind;
use crate::policy::rules::{lower, origin};
use crate::policy::{Found, Judged, Level, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "secret-token-in-layer",
    title: "Tokens hide in configuration files and shell histories.",
    text: "Finds credentials that can be told by their form (those of `secret-literal`: tokens of \
          AWS, GitHub, GitLab, Slack, Stripe, Google, npm, PyPI; where a form has a checksum, it \
          must hold) in the text files of a layer, histories of shells included, deleted later \
          or not. The value is not told: its first four letters and a digest are. Files with a \
          NUL byte are no text.\n\n\
          Passwords in URLs and web tokens in libraries and documents are mostly examples: they \
          are told one level lower. Files that are as their package brought them are exempt.\n\n\
          Revoke the token, and give it to the step that needs it by `--mount=type=secret`.",
    standards: &["NIST 800-190 4.1.4"],
    params: &[
        Param {
            name: "max_file",
            kind: ParamKind::Size,
            default: r#""1MiB""#,
            help: "larger files are not looked at",
        },
        Param {
            name: "layers",
            kind: ParamKind::Word(&["own", "all"]),
            default: r#""own""#,
            help: "`all`: those of the base too",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let (limit, all) = (found.size("max_file"), found.text("layers") == "all");
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        if judged.is_base(index) && !all {
            continue;
        }
        for file in layer.table.files.iter().filter(|file| file.size <= limit) {
            let tokens = || file.marks.iter().filter(|mark| mark.kind == MarkKind::Token);
            if tokens().next().is_none() || judged.packages_in(index).genuine(file) == Some(true) {
                continue;
            }
            for mark in tokens() {
                let finding = found
                    .finding(format!("{} in `{}`: {}", mark.what, file.path, mark.shown))
                    .in_image(file.path.as_str(), Some(index))
                    .evidence("in_line", mark.line)
                    .evidence("sha256", file.sha256.as_str())
                    .help("revoke it; give tokens to steps by --mount=type=secret");
                let loose = mark.what.contains("URL") || mark.what.contains("web token");
                let level = match loose && is_example(&file.path) {
                    true => lower(found),
                    false => Level::Error,
                };
                found.add_at(level, origin(finding, judged, index));
            }
        }
    }
}

// Where examples stand: documents, and what others have written.
fn is_example(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let documents =
        [".md", ".rst", ".html", ".txt", ".adoc", ".1", ".3", ".7", ".pod", ".d.ts", ".map"];
    documents.iter().any(|ending| name.ends_with(ending))
        || path.split('/').any(|part| {
            let libraries = [
                "node_modules",
                "site-packages",
                "dist-packages",
                "gems",
                "vendor",
                "go",
                "perl5",
                "doc",
                "docs",
                "man",
                "test",
                "tests",
            ];
            libraries.contains(&part) || part.starts_with("python3.")
        })
}
