//! `package-recommends`: packages that nobody asked for.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-recommends",
    title: "Recommended packages pull in half of X11.",
    text: "Finds an installation by apt without --no-install-recommends, by dnf without \
          install_weak_deps=False, by zypper without --no-recommends. A setting made by an \
          earlier step of the same stages counts.",
    aliases: &[Alias::part("DL3015", "apt"), Alias::part("DS-0029", "apt")],
    standards: &["CIS 4.3"],
    facets: &["apt", "dnf", "zypper"],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN apt-get update && apt-get install -y curl\n"],
    good: &[
        "FROM debian:12\nRUN apt-get update && apt-get install -y -o APT::Install-Recommends=false curl\n",
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl\n",
        "FROM debian:12\nRUN echo 'APT::Install-Recommends \"false\";' > /etc/apt/apt.conf.d/99no\nRUN apt-get install -y curl\n",
        "FROM debian:12\nRUN apt-get install -y ./local.deb --no-install-recommends && apt-get install -f\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.manages) {
        if !matches!(command.verb(), Some("install" | "in")) {
            continue;
        }
        // An installation of nothing mends what is half installed.
        let Some(operation) = command.operation().filter(|call| !call.operands.is_empty()) else {
            continue;
        };
        let values = || {
            operation
                .values
                .iter()
                .map(|(_, value)| value.prefix())
                .chain(operation.flags.iter().copied())
        };
        let says = |word: &str| values().any(|value| value.to_ascii_lowercase().contains(word));
        let (facet, flag, set) = match operation.manager {
            "apt" => (
                "apt",
                "--no-install-recommends",
                operation.has("--no-install-recommends")
                    || says("apt::install-recommends=false")
                    || says("apt::install-recommends=0")
                    || says("apt::install-recommends=no"),
            ),
            "dnf" => ("dnf", "--setopt=install_weak_deps=False", says("install_weak_deps=")),
            "zypper" => ("zypper", "--no-recommends", operation.has("--no-recommends")),
            _ => continue,
        };
        if set || configured(outline, item, facet) {
            continue;
        }
        let verb = command.args().iter().find(|arg| arg.known() == operation.verb);
        let mut finding = found
            .finding(format!(
                "`{} {}` also installs what is only recommended",
                operation.name,
                operation.verb.unwrap_or("install")
            ))
            .at(command.span, format!("no {flag}"))
            .of(item.place)
            .facet(facet)
            .help(format!("add {flag}"));
        if let Some(verb) = verb {
            finding =
                finding.unsafe_fix(verb.span, format!("{} {flag}", outline.written(verb.span)));
        }
        found.add(finding);
    }
}

// Whether an earlier step has set it for good.
fn configured(outline: &Outline<'_>, item: &Item<'_>, facet: &str) -> bool {
    let word = match facet {
        "apt" => "install-recommends",
        "dnf" => "install_weak_deps",
        _ => "solver.onlyrequires",
    };
    outline.before(item).into_iter().chain([item]).any(|other| {
        let text = outline.written(other.place.span).to_ascii_lowercase();
        let writes = other.script().commands.iter().any(|command| {
            command.redirects.iter().any(|redirect| redirect.target.text.contains("/etc/"))
                || command.name() == Some("sed")
        });
        let copied = matches!(other.instruction, Instruction::Copy(_)) && text.contains("<<");
        (writes || copied) && text.contains(word)
    })
}
