//! `base-end-of-life`: a distribution that nobody mends any more.

use crate::policy::{BaseName, Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-end-of-life",
    title: "No one patches it any more.",
    text: "Finds FROM of an official image whose tag names a release past its end, by the table \
          in this rule (its date is in the message); where the base was looked up, by its \
          /etc/os-release.\n\n`table` adds releases or corrects them: `debian:12 = \
          \"2028-06-30\"`.",
    params: &[Param {
        name: "table",
        kind: ParamKind::Words,
        default: "{}",
        help: "ends of releases, `name:version = \"YYYY-MM-DD\"`",
    }],
    text_check: Some(check),
    bad: &["FROM alpine:3.18\n", "FROM debian:stretch\n"],
    good: &[
        "FROM debian:trixie\n",
        "FROM debian:12-slim\nFROM alpine:3.22\nFROM node:24\n",
        "FROM ubuntu:24.04\nFROM debian:bookworm-20250101\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let Some(today) = outline.input.today else { return };
    let own = found.table("table");
    for stage in &outline.stages {
        let BaseName::Image(image) = &stage.base else { continue };
        let release = stage.facts.and_then(|facts| facts.os_release.as_ref());
        let mut candidates: Vec<(String, String)> = Vec::new();
        if let Some(release) = release {
            if let (Some(id), Some(version)) = (release.get("ID"), release.get("VERSION_ID")) {
                candidates.push((id.clone(), version.trim_matches('"').to_owned()));
            }
        } else if let Some(name) = image.repository().strip_prefix("library/")
            && image.registry() == "docker.io"
        {
            // `3.18.4-foo`, `bookworm-slim`, `3.12-alpine3.18`.
            for part in image.tag().unwrap_or("").split('-') {
                candidates.push((name.to_owned(), part.to_owned()));
                for (alias, of) in [("alpine", "alpine"), ("", "debian")] {
                    if let Some(rest) = part.strip_prefix(alias).filter(|_| name != of) {
                        let code = of == "debian" && !rest.chars().all(|c| c.is_ascii_alphabetic());
                        if !rest.is_empty() && !code {
                            candidates.push((of.to_owned(), rest.to_owned()));
                        }
                    }
                }
            }
        }
        let end = candidates.iter().find_map(|(name, version)| {
            let mine = own.iter().find(|(key, _)| **key == format!("{name}:{version}"));
            match mine {
                Some((_, end)) => Some((name, version, end.as_str())),
                None => end_of(name, version).map(|end| (name, version, end)),
            }
        });
        let Some((name, version, end)) = end.filter(|(.., end)| today > *end) else { continue };
        let finding = found
            .finding(format!("{name} {version} has had no fixes since {end}"))
            .at(stage.from.base.span, "past its end")
            .of(stage.place)
            .evidence("end", end)
            .evidence("table", TABLE_DATE)
            .help("move to a release that is kept up");
        found.add(finding);
    }
}

// When the table was written.
const TABLE_DATE: &str = "2025-06-01";

// Ends of support, security updates by volunteers included; from the distributions' own pages.
const ENDS: &[(&str, &[&str], &str)] = &[
    ("debian", &["7", "wheezy"], "2018-05-31"),
    ("debian", &["8", "jessie"], "2020-06-30"),
    ("debian", &["9", "stretch"], "2022-06-30"),
    ("debian", &["10", "buster"], "2024-06-30"),
    ("debian", &["11", "bullseye"], "2026-08-31"),
    ("debian", &["12", "bookworm"], "2028-06-30"),
    ("ubuntu", &["14.04", "trusty"], "2019-04-25"),
    ("ubuntu", &["16.04", "xenial"], "2021-04-30"),
    ("ubuntu", &["18.04", "bionic"], "2023-05-31"),
    ("ubuntu", &["20.04", "focal"], "2025-05-31"),
    ("ubuntu", &["23.04", "lunar"], "2024-01-25"),
    ("ubuntu", &["23.10", "mantic"], "2024-07-11"),
    ("ubuntu", &["24.10", "oracular"], "2025-07-10"),
    ("alpine", &["3.14"], "2023-05-01"),
    ("alpine", &["3.15"], "2023-11-01"),
    ("alpine", &["3.16"], "2024-05-23"),
    ("alpine", &["3.17"], "2024-11-22"),
    ("alpine", &["3.18"], "2025-05-09"),
    ("alpine", &["3.19"], "2025-11-01"),
    ("alpine", &["3.20"], "2026-04-01"),
    ("alpine", &["3.21"], "2026-11-01"),
    ("alpine", &["3.22"], "2027-05-01"),
    ("centos", &["6"], "2020-11-30"),
    ("centos", &["7"], "2024-06-30"),
    ("centos", &["8"], "2021-12-31"),
    ("fedora", &["38"], "2024-05-21"),
    ("fedora", &["39"], "2024-11-26"),
    ("fedora", &["40"], "2025-05-13"),
    ("node", &["12"], "2022-04-30"),
    ("node", &["14"], "2023-04-30"),
    ("node", &["16"], "2023-09-11"),
    ("node", &["18"], "2025-04-30"),
    ("node", &["20"], "2026-04-30"),
    ("python", &["2.7"], "2020-01-01"),
    ("python", &["3.6"], "2021-12-23"),
    ("python", &["3.7"], "2023-06-27"),
    ("python", &["3.8"], "2024-10-07"),
    ("python", &["3.9"], "2025-10-31"),
    ("php", &["7.4"], "2022-11-28"),
    ("php", &["8.0"], "2023-11-26"),
    ("php", &["8.1"], "2025-12-31"),
    ("ruby", &["2.7"], "2023-03-31"),
    ("ruby", &["3.0"], "2024-04-23"),
    ("ruby", &["3.1"], "2025-03-26"),
    ("postgres", &["11"], "2023-11-09"),
    ("postgres", &["12"], "2024-11-21"),
    ("postgres", &["13"], "2025-11-13"),
];

fn end_of(name: &str, version: &str) -> Option<&'static str> {
    let fits = |known: &str| {
        version == known || version.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'))
    };
    // Old releases of Alpine end before the table begins.
    if name == "alpine"
        && let Some(minor) = version.strip_prefix("3.")
        && let Ok(minor) = minor.split('.').next().unwrap_or("").parse::<u32>()
        && minor < 14
    {
        return Some("2022-11-01");
    }
    ENDS.iter()
        .find(|(known, versions, _)| *known == name && versions.iter().any(|v| fits(v)))
        .map(|(.., end)| *end)
}
