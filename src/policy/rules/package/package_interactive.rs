//! `package-interactive`: a question that nobody answers.

use crate::policy::{Alias, Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-interactive",
    title: "Without -y the build hangs or fails.",
    text: "Finds install, remove and upgrade of apt-get, yum, dnf, microdnf, zypper and pacman \
          without the flag that answers yes.",
    aliases: &[
        Alias::part("DL3014", "apt"),
        Alias::part("DL3030", "yum"),
        Alias::part("DL3034", "zypper"),
        Alias::part("DL3038", "dnf"),
        Alias::part("DS-0021", "apt"),
    ],
    facets: &["apt", "yum", "dnf", "zypper", "pacman"],
    text_check: Some(check),
    bad: &[
        "FROM opensuse/leap:15.6\nRUN zypper install httpd\n",
        "FROM rockylinux:9\nRUN dnf install httpd\n",
        "FROM rockylinux:9\nRUN yum install httpd\n",
        "FROM debian:12\nRUN apt-get update && apt-get install --no-install-recommends curl\n",
        "FROM archlinux\nRUN pacman -S git\n",
    ],
    good: &[
        "FROM debian:12\nRUN apt-get update && apt-get -qy install curl\n",
        "FROM debian:12\nRUN yes | apt-get install curl\n",
        "FROM archlinux\nRUN pacman -Syu --noconfirm git\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.manages) {
        let Some(operation) = command.operation() else { continue };
        let verb = operation.verb.unwrap_or("");
        let changes = matches!(
            verb,
            "install"
                | "remove"
                | "purge"
                | "upgrade"
                | "dist-upgrade"
                | "full-upgrade"
                | "update"
                | "erase"
                | "autoremove"
                | "reinstall"
                | "groupinstall"
                | "build-dep"
                | "in"
                | "rm"
                | "dup"
                | "up"
                | "localinstall"
                | "autoclean"
        );
        let says = |word: &str| {
            let values = operation.values.iter().map(|(_, value)| value.prefix());
            values
                .chain(operation.flags.iter().copied())
                .any(|value| value.to_ascii_lowercase().contains(word))
        };
        let (facet, silent, flag) = match (operation.manager, operation.name) {
            ("apt", _) if changes && !matches!(verb, "update" | "autoclean") => (
                "apt",
                ["-y", "--yes", "--assume-yes"].iter().any(|flag| operation.has(flag))
                    || operation.flags.iter().any(|flag| flag.starts_with("-q") && quiet(flag))
                    || operation.flags.iter().filter(|flag| **flag == "-q").count() > 1
                    || ["-s", "--simulate", "--dry-run", "--print-uris"]
                        .iter()
                        .any(|f| operation.has(f))
                    || says("apt::get::assume-yes"),
                "-y",
            ),
            ("dnf", "yum") if changes => ("yum", yes(&operation), "-y"),
            ("dnf", _) if changes => ("dnf", yes(&operation), "-y"),
            ("zypper", _) if changes => (
                "zypper",
                yes(&operation)
                    || operation.has("-n")
                    || operation.has("--non-interactive")
                    || operation.has("--no-confirm"),
                "-y",
            ),
            ("pacman", _) => {
                let acts = operation.flags.iter().any(|flag| {
                    flag.starts_with("-S") && !flag.contains(['s', 'i', 'l', 'g', 'p'])
                        || flag.starts_with("-U")
                        || flag.starts_with("-R")
                });
                if !acts {
                    continue;
                }
                ("pacman", operation.has("--noconfirm"), "--noconfirm")
            }
            _ => continue,
        };
        // `yes |` answers, and so does apt.conf.
        let answered =
            outline.feeders(item, command).any(|name| matches!(name, "yes" | "echo" | "printf"));
        if silent || answered || configured(outline, item) {
            continue;
        }
        let name = command.argv[0].span;
        let mut finding = found
            .finding(format!("`{} {verb}` asks, and nobody answers", operation.name))
            .at(command.span, format!("no {flag}"))
            .of(item.place)
            .facet(facet)
            .help(format!("add {flag}"));
        if let Some(verb) = command.args().iter().find(|arg| arg.known() == operation.verb) {
            finding = finding.fix(verb.span, format!("{} {flag}", outline.written(verb.span)));
        } else {
            finding = finding.fix(name, format!("{} {flag}", outline.written(name)));
        }
        found.add(finding);
    }
}

// `-qq` and `-q=2` mean yes to apt-get.
fn quiet(flag: &str) -> bool {
    flag.matches('q').count() > 1 || flag == "-q=2"
}

fn yes(operation: &crate::facts::shell::Operation<'_>) -> bool {
    ["-y", "--assumeyes", "--yes", "--assume-yes", "--assumeno", "--downloadonly"]
        .iter()
        .any(|flag| operation.has(flag))
}

fn configured(outline: &Outline<'_>, item: &Item<'_>) -> bool {
    outline.before(item).into_iter().chain([item]).any(|other| {
        let text = outline.written(other.place.span).to_ascii_lowercase();
        text.contains("assume-yes") && text.contains("/etc/apt/") || text.contains("assumeyes=1")
    })
}
