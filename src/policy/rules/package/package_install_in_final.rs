//! `package-install-in-final`: packages are installed in the stage that ships.

use crate::facts::Executed;
use crate::facts::shell::Install;
use crate::instruction::Instruction;
use crate::policy::executed;
use crate::policy::{Acts, Confidence, Found, Outline, Param, ParamKind, Rule, Stage};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-install-in-final",
    title: "Build elsewhere, copy the artefact; every package is an attack surface.",
    text: "Finds a command that installs or upgrades packages (apt, apk, dnf, yum, zypper, dpkg, \
           rpm, pacman, pip, uv, poetry, conda, npm, pnpm, yarn, gem, bundle, cargo, go, composer \
           and more) in the target or a stage that it is built FROM. Wrappers (`sudo`, `env`, \
           `timeout`, `sh -c`, `python -m pip`) are looked through; text that is only printed is \
           not a command; under an audit, what scripts run counts.\n\n\
           Not found: an installation into a folder of its own (`--root`, `--installroot`, \
           `--prefix`) in a stage whose files the target copies; packages that are all in \
           `allow_packages`.\n\n\
           Install in a build stage and COPY --from it what is needed.",
    standards: &["CIS 4.3"],
    params: &[
        Param {
            name: "managers",
            kind: ParamKind::Texts,
            default: "[]",
            help: "only these commands count; empty: all that are known",
        },
        Param {
            name: "allow_packages",
            kind: ParamKind::Texts,
            default: "[]",
            help: "packages that may be installed, for example ca-certificates, tzdata",
        },
    ],
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &[
        "FROM alpine:3.20\nRUN apk add --no-cache curl\nUSER 10001\n",
        "FROM alpine:3.20\nRUN sh -c 'env X=1 timeout 60 apk add curl'\n",
        "FROM debian:12 AS base\nRUN apt-get install -y curl\nFROM base\nUSER 10001\n",
        "FROM debian:12\nRUN [\"apt-get\", \"install\", \"-y\", \"curl\"]\n",
        "FROM python:3\nRUN <<EOF\npython3 -m pip install flask\nEOF\n",
        "FROM python:3\nARG PIP=pip\nRUN $PIP install flask\n",
    ],
    good: &[
        "FROM alpine:3.20 AS build\nRUN apk add --no-cache gcc\nFROM scratch\nCOPY --from=build /usr/bin/gcc /gcc\nUSER 10001\n",
        "FROM busybox\nRUN echo 'apt-get install curl' > /usage.txt\n",
        "FROM busybox\nRUN apt-get update && npm run install && command -v apk\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    let Some(target) = chain.last() else { return };
    for stage in &chain {
        for (item, command) in stage.calls(|head| head.manages) {
            let Some(install) = command.install() else { continue };
            if allowed(&install, stage, outline, found) {
                continue;
            }
            let packages: Vec<String> =
                install.packages.iter().map(|package| package.shown()).collect();
            let what = if install.verb == install.name {
                install.name.to_owned()
            } else {
                format!("{} {}", install.name, install.verb)
            };
            let mut finding = found
                .finding(format!("`{what}` installs packages in the stage that ships"))
                .at(command.span, "this command")
                .of(item.place)
                .also(target.from.span, "the final stage starts here")
                .evidence("manager", install.manager)
                .evidence("packages", packages.clone())
                .help(help(&packages));
            if !item.script().parsed {
                finding = finding.confidence(Confidence::Low);
            }
            found.add(finding);
        }
    }
}

fn help(packages: &[String]) -> String {
    let plain = |name: &&String| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._@/".contains(&byte))
    };
    let names: Vec<String> =
        packages.iter().filter(plain).take(5).map(|name| format!("\"{name}\"")).collect();
    let move_it = "move it to a build stage and COPY --from what is needed";
    if names.is_empty() {
        move_it.to_owned()
    } else {
        format!(
            "{move_it}, or allow it: [rules.package-install-in-final] allow_packages = [{}]",
            names.join(", ")
        )
    }
}

fn allowed(
    install: &Install<'_>,
    stage: &Stage<'_>,
    outline: &Outline<'_>,
    found: &Found<'_>,
) -> bool {
    let managers = found.texts("managers");
    if !managers.is_empty() && !managers.contains(&install.name) {
        return true;
    }
    let allow = found.texts("allow_packages");
    let is_allowed = |name: &str| {
        // A version may follow: `tzdata=2024a`, `flask==3`, `left-pad@1`.
        let end = name.find(['=', '<', '>', '~', '@']).filter(|at| *at > 0).unwrap_or(name.len());
        allow.contains(&&name[..end])
    };
    if !install.packages.is_empty()
        && install.packages.iter().all(|package| package.known().is_some_and(is_allowed))
    {
        return true;
    }
    install.root.is_some() && is_copied_from(stage, outline)
}

// Whether another stage copies from this one, which is then more than a base.
fn is_copied_from(stage: &Stage<'_>, outline: &Outline<'_>) -> bool {
    outline.stages.iter().filter(|other| other.index > stage.index).any(|other| {
        other.items.iter().any(|item| match item.instruction {
            Instruction::Copy(copy) => copy.from.as_ref().is_some_and(|from| {
                outline.stage_named(&from.raw, other.index) == Some(stage.index)
            }),
            _ => false,
        })
    })
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let stage = act.place().and_then(|place| place.stage);
        let stage = stage.and_then(|index| acts.outline.stages.get(index));
        for (index, program) in seen.execs.iter().enumerate().filter(|_| act.ships) {
            let script = executed::script_of(program, act.span);
            let Some(command) = executed::command_of(&script) else { continue };
            let Some(install) = command.install() else { continue };
            // What a package manager runs itself is its own affair.
            let manager = |above: &&Executed| {
                let script = executed::script_of(above, act.span);
                executed::command_of(&script).is_some_and(|command| command.install().is_some())
            };
            if seen.chain(index).iter().any(manager)
                || stage.is_some_and(|stage| allowed(&install, stage, acts.outline, found))
            {
                continue;
            }
            let packages: Vec<String> =
                install.packages.iter().map(|package| package.shown()).collect();
            let message = format!("`{}` installs packages in the stage that ships", install.name);
            let finding = act
                .finding(found, seen, Some(index), message)
                .evidence("manager", install.manager)
                .evidence("packages", packages.clone())
                .help(help(&packages));
            found.add(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::tests::{Text, lines};

    #[test]
    fn what_the_policy_allows_passes() {
        let set = ["rules.package-install-in-final.allow_packages=[\"tzdata\"]"];
        let text = |file| Text { set: &set, ..Text::new("package-install-in-final", file) };
        assert_eq!(lines(&text("FROM a\nRUN apk add tzdata=1\n")), [] as [usize; 0]);
        assert_eq!(lines(&text("FROM a\nRUN apk add tzdata curl\n")), [2]);
        assert_eq!(lines(&text("FROM a\nRUN apk add\n")), [2]);
    }
}
