//! `cache-mount-sharing`: a cache that two builds want at once.

use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "cache-mount-sharing",
    title: "apt and dpkg take an exclusive lock: a shared cache mount breaks parallel builds.",
    text: "Finds a cache mount over the folders of apt, dpkg, dnf or rpm, which take a lock, \
          without `sharing=locked` or `sharing=private`.",
    text_check: Some(check),
    bad: &[
        "FROM debian:bookworm-slim\nRUN --mount=type=cache,target=/var/cache/apt apt-get update\n",
    ],
    good: &[
        "FROM debian:bookworm-slim\nRUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let tops =
        ["/var/cache/apt", "/var/lib/apt", "/var/cache/dnf", "/var/cache/yum", "/var/lib/rpm"];
    for item in outline.items() {
        for mount in item.mounts().iter().filter(|mount| mount.kind() == "cache") {
            let Some(target) = mount.value("target").and_then(|word| item.expand(&word.raw)) else {
                continue;
            };
            let sharing = mount.value("sharing").map_or("shared", |word| word.raw.as_str());
            let held = tops
                .iter()
                .any(|top| crate::policy::context::under(target.trim_end_matches('/'), top));
            if !held || matches!(sharing, "locked" | "private") {
                continue;
            }
            let text = outline.written(mount.span);
            let mut finding = found
                .finding(format!("`{target}` is used by one build at a time"))
                .at(mount.span, "two builds may mount it at once")
                .of(item.place)
                .help("add `sharing=locked`");
            if mount.value("sharing").is_none() && !text.ends_with('"') {
                finding = finding.fix(mount.span, format!("{text},sharing=locked"));
            }
            found.add(finding);
        }
    }
}
