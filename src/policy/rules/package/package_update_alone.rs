//! `package-update-alone`: a list of packages that grows old.

use crate::facts::shell::Program;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-update-alone",
    title: "A cached `update` layer freezes an old package list.",
    text: "Finds a step that updates the list of apt, apk, yum, dnf, zypper or pacman, and \
          installs nothing.",
    aliases: &[Alias::of("CIS-DI-0007"), Alias::of("DS-0017")],
    standards: &["CIS 4.7"],
    facets: &["apt", "apk", "yum", "dnf", "zypper"],
    text_check: Some(check),
    bad: &[
        "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y --no-install-recommends curl\n",
    ],
    good: &[
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl\n",
        "FROM alpine:3.20\nRUN apk --update add curl\n",
        "FROM ros:jazzy\nRUN apt-get update && rosdep install --from-paths src -y\n",
        "FROM debian:12\nRUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get update\n",
    ],
    ..Rule::NEW
};

/// Commands that have the system's package manager install something.
const INSTALLERS: &[&str] =
    &["rosdep", "mk-build-deps", "gdebi", "playwright", "install-php-extensions"];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.manages) {
        let commands = &item.script().commands;
        let cached = || {
            item.mounts().iter().any(|mount| {
                mount.kind() == "cache"
                    && mount.value("target").is_some_and(|word| {
                        word.raw.contains("/apt")
                            || word.raw.contains("/apk")
                            || word.raw.contains("/dnf")
                            || word.raw.contains("/yum")
                            || word.raw.contains("/zypp")
                    })
            })
        };
        let Some(operation) = command.operation() else { continue };
        let verb = operation.verb.unwrap_or("");
        let (facet, refresh) = match (operation.manager, operation.name) {
            ("apt", _) => ("apt", verb == "update"),
            ("apk", _) => ("apk", verb == "update"),
            ("dnf", "yum") => ("yum", verb == "makecache"),
            ("dnf", _) => ("dnf", verb == "makecache"),
            ("zypper", _) => ("zypper", matches!(verb, "refresh" | "ref")),
            _ => continue,
        };
        if !refresh || cached() {
            continue;
        }
        let used = commands.iter().any(|other| {
            let same = other.operation().filter(|other| other.manager == operation.manager);
            same.is_some_and(|other| {
                let verb = other.verb.unwrap_or("");
                !matches!(
                    verb,
                    "update" | "makecache" | "refresh" | "ref" | "clean" | "" | "autoclean"
                )
            })
        });
        // What a script of the build calls is not seen: it may install.
        let scripts = commands.iter().any(|other| {
            other.name().is_some_and(|name| INSTALLERS.contains(&name))
                || matches!(other.program(), Some(Program::File(_)))
                || other
                    .argv
                    .first()
                    .is_some_and(|arg| arg.text.contains('/') && !arg.text.starts_with("/usr/bin/"))
        });
        if !used && !scripts {
            let message =
                format!("`{} {verb}` alone: its list is cached, and grows old", operation.name);
            let finding = found
                .finding(message)
                .at(command.span, "installs nothing")
                .of(item.place)
                .facet(facet)
                .help("join it with the installation by `&&`");
            found.add(finding);
        }
    }
}
