//! `final-base-not-minimal`: a whole distribution under the image.

use crate::facts::{FileFact, FileKind, Origin};
use crate::policy::{BaseName, Found, Judged, Outline, Param, ParamKind, Rule, budget};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "final-base-not-minimal",
    title: "The FROM line is the most consequential line: size, attack surface, debugging.",
    text: "Finds a target on an official image of a full distribution or language whose tag is \
          none of `slim`, `alpine`, `distroless`, `static`, `chiseled`, `minimal` and `micro`; and \
          an image whose base has a package manager and is larger than `max_base`.",
    params: &[Param {
        name: "max_base",
        kind: ParamKind::Size,
        default: r#""40MiB""#,
        help: "how large a base with a package manager may be",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM ubuntu:24.04\n", "FROM python:3.12 AS a\nFROM a\n"],
    good: &[
        "FROM python:3.12-slim\n",
        "FROM gcr.io/distroless/static-debian12:nonroot\n",
        "FROM ubuntu:24.04 AS build\nFROM scratch\n",
    ],
    ..Rule::NEW
};

const FULL: &[&str] = &[
    "debian",
    "ubuntu",
    "centos",
    "fedora",
    "rockylinux",
    "almalinux",
    "oraclelinux",
    "amazonlinux",
    "archlinux",
    "opensuse/leap",
    "opensuse/tumbleweed",
    "python",
    "node",
    "ruby",
    "php",
    "perl",
    "golang",
    "rust",
    "openjdk",
    "eclipse-temurin",
    "maven",
    "gradle",
    "gcc",
    "buildpack-deps",
    "erlang",
    "elixir",
    "haskell",
    "swift",
    "julia",
    "r-base",
];
const SMALL: &[&str] =
    &["slim", "alpine", "distroless", "static", "chiseled", "minimal", "micro", "busybox"];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    let Some(bottom) = chain.first() else { return };
    let BaseName::Image(image) = &bottom.base else { return };
    let name = image.repository().strip_prefix("library/").unwrap_or(image.repository());
    let tag = image.tag().unwrap_or("");
    if image.registry() != "docker.io"
        || !FULL.contains(&name)
        || SMALL.iter().any(|word| tag.contains(word))
    {
        return;
    }
    let message = format!("the image is built on all of `{}`", image.familiar());
    let help = "ship on a slim or distroless base, or on `scratch`";
    found.tell(bottom.place, bottom.from.base.span, message, "a full distribution", help);
}

const MANAGERS: &[&str] =
    &["apt-get", "dpkg", "apk", "dnf", "yum", "microdnf", "tdnf", "rpm", "zypper", "pacman"];

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let layers = judged.facts.layers.iter().enumerate();
    let base: Vec<_> = layers.filter(|(_, layer)| layer.origin == Origin::Base).collect();
    let size: u64 = base.iter().map(|(index, _)| judged.facts.layer_size(*index)).sum();
    let manages = |file: &&FileFact| {
        let mut parts = file.path.rsplit('/');
        file.kind == FileKind::File
            && file.mode & 0o111 != 0
            && parts.next().is_some_and(|name| MANAGERS.contains(&name))
            && matches!(parts.next(), Some("bin" | "sbin"))
    };
    let manager = base.iter().find_map(|(index, layer)| {
        layer.table.files.iter().find(manages).map(|file| (*index, file.path.as_str()))
    });
    let Some((layer, manager)) = manager.filter(|_| size > found.size("max_base")) else { return };
    let finding = found
        .finding(format!(
            "the base has {} and the package manager `{manager}`",
            budget::bytes(size)
        ))
        .in_image(manager, Some(layer))
        .evidence("size", size)
        .help("ship on a slim or distroless base, or on `scratch`")
        .once();
    let bottom = judged.outline.and_then(|outline| outline.chain().first().copied());
    found.add(match bottom {
        Some(stage) => finding.at(stage.from.base.span, "a full distribution").of(stage.place),
        None => finding,
    });
}
