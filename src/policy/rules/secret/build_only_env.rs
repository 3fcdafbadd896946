//! `build-only-env`: a setting of the build in the image.

use crate::instruction::Instruction;
use crate::policy::{Found, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "build-only-env",
    title: "Build-time settings leak into the runtime, and proxies often carry credentials.",
    text: "Finds ENV of DEBIAN_FRONTEND, proxies, PIP_INDEX_URL, UV_INDEX_URL, GOPROXY, \
          NPM_CONFIG_REGISTRY, DOCKER_BUILDKIT, CI and MAKEFLAGS in the stages that become the \
          image; an error if the value holds a password.",
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM debian:12\nENV DEBIAN_FRONTEND=noninteractive\n"],
    good: &["FROM debian:12\nARG DEBIAN_FRONTEND=noninteractive\n"],
    ..Rule::NEW
};

const NAMES: &[&str] = &[
    "DEBIAN_FRONTEND",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "GOPROXY",
    "NPM_CONFIG_REGISTRY",
    "DOCKER_BUILDKIT",
    "CI",
    "MAKEFLAGS",
];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.shipped_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for pair in &env.pairs {
            let name = &pair.name.raw;
            if !NAMES.contains(&name.to_ascii_uppercase().as_str()) || pair.value.raw.is_empty() {
                continue;
            }
            let value = item.expand(&pair.value.raw).unwrap_or_default();
            let mut finding = found
                .finding(format!("`{name}` is for the build, and ENV keeps it in the image"))
                .at(pair.name.span.to(pair.value.span), "set in every container")
                .of(item.place)
                .evidence("name", name.as_str())
                .help(format!("write `ARG {name}=…`"));
            if holds_user(&value) {
                finding = finding.hide();
            }
            found.add(finding);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for pair in &judged.facts.config.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if NAMES.contains(&name.to_ascii_uppercase().as_str()) && !value.is_empty() {
            let finding = found
                .finding(format!("`{name}` is for the build, and the image sets it"))
                .in_image("config", None)
                .evidence("name", name)
                .help(format!("write `ARG {name}=…`"));
            found.add(finding);
        }
    }
}

fn holds_user(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
    host.contains('@')
}
