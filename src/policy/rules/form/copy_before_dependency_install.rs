//! `copy-before-dependency-install`: sources before dependencies.

use crate::base::Span;
use crate::facts::shell::Command;
use crate::policy::{Found, Item, Outline, Rule, Transfer};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-before-dependency-install",
    title: "Copying the sources before installing dependencies busts the dependency layer on \
           every edit: four minutes instead of twelve seconds.",
    text: "Finds, in a stage, a COPY or ADD of the whole context (or of a folder of it that holds \
          the list of dependencies together with sources) before a RUN that installs \
          dependencies from that list, with no earlier COPY of the list alone.\n\nNot found: \
          an installation with a cache mount, or of the project alone (`--no-deps`).",
    text_check: Some(check),
    bad: &["FROM busybox\nWORKDIR /app\nCOPY . .\nRUN pip install -r requirements.txt\n"],
    good: &[
        "FROM busybox\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n",
        "FROM node\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN npm run build\n",
        "FROM golang\nCOPY . .\nRUN --mount=type=cache,target=/go/pkg/mod go mod download\n",
        "FROM busybox\nCOPY . .\nRUN npm install -g typescript\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let mut whole: Option<(&Item<'_>, Span)> = None;
        let mut lists: BTreeSet<&str> = BTreeSet::new();
        let mut told = false;
        for item in &stage.items {
            if let Some(transfer) = item.transfer().filter(Transfer::from_context) {
                for (span, source) in &transfer.sources {
                    let clean = crate::policy::context::clean(source);
                    if clean.is_empty() || clean == "*" {
                        whole.get_or_insert((item, *span));
                    } else if whole.is_none() {
                        let name = clean.rsplit('/').next().unwrap_or("");
                        lists.extend(MANIFESTS.iter().filter_map(|(tool, names)| {
                            let fits = |n: &&&str| {
                                crate::policy::glob::matches(name, n)
                                    || crate::policy::glob::matches(n, name)
                            };
                            names.iter().find(fits).map(|_| *tool)
                        }));
                    }
                }
            }
            let Some((copy, span)) = whole.filter(|_| item.is_run() && !told) else { continue };
            if item.mounts().iter().any(|mount| matches!(mount.kind(), "cache" | "bind")) {
                continue;
            }
            let install = item.script().commands.iter().find_map(|command| {
                dependencies(command)
                    .filter(|tool| !lists.contains(tool))
                    .map(|tool| (tool, command))
            });
            if let Some((tool, command)) = install {
                told = true;
                let finding = found
                    .finding("every change of a source installs all dependencies again")
                    .at(span, "all sources, before the dependencies")
                    .of(copy.place)
                    .also(command.span, "installs dependencies")
                    .evidence("tool", tool)
                    .help("COPY the list of dependencies, install them, then COPY the rest");
                found.add(finding);
            }
        }
    }
}

const MANIFESTS: &[(&str, &[&str])] = &[
    (
        "npm",
        &[
            "package.json",
            "package-lock.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "bun.lockb",
            "bun.lock",
        ],
    ),
    (
        "pip",
        &[
            "requirements.txt",
            "requirements-prod.txt",
            "requirements*.txt",
            "pyproject.toml",
            "setup.py",
            "constraints.txt",
        ],
    ),
    (
        "poetry",
        &["pyproject.toml", "poetry.lock", "uv.lock", "pdm.lock", "Pipfile", "Pipfile.lock"],
    ),
    ("bundle", &["Gemfile", "Gemfile.lock"]),
    ("composer", &["composer.json", "composer.lock"]),
    ("go", &["go.mod", "go.sum"]),
    ("cargo", &["Cargo.toml", "Cargo.lock"]),
    ("maven", &["pom.xml"]),
    ("gradle", &["build.gradle", "build.gradle.kts", "settings.gradle", "gradle.lockfile"]),
];

// The tool, if a command installs what a list in the sources names.
fn dependencies(command: &Command) -> Option<&'static str> {
    let args: Vec<&str> = command.args().iter().filter_map(|arg| arg.known()).collect();
    let operands: Vec<&&str> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let verb = operands.first().map(|verb| **verb);
    let alone = operands.len() == 1 && !args.iter().any(|arg| matches!(*arg, "-g" | "--global"));
    match command.name()? {
        "npm" | "pnpm" | "bun" if alone && matches!(verb, Some("ci" | "install" | "i")) => {
            Some("npm")
        }
        "yarn" if operands.is_empty() || (alone && verb == Some("install")) => {
            (!args.iter().any(|arg| matches!(*arg, "--version" | "-v"))).then_some("npm")
        }
        name if name.starts_with("pip") && verb == Some("install") => {
            let list = args.iter().any(|arg| {
                *arg == "-r" || arg.starts_with("-r") || arg.starts_with("--requirement")
            });
            (list && !args.contains(&"--no-deps")).then_some("pip")
        }
        "poetry" | "pipenv" | "pdm" if verb == Some("install") => Some("poetry"),
        "uv" if verb == Some("sync") => Some("poetry"),
        "bundle" if matches!(verb, None | Some("install")) => Some("bundle"),
        "composer" if alone && verb == Some("install") => Some("composer"),
        "go" if args.starts_with(&["mod", "download"]) => Some("go"),
        "cargo" if verb == Some("fetch") => Some("cargo"),
        "mvn" | "mvnw" if args.iter().any(|arg| arg.starts_with("dependency:")) => Some("maven"),
        "gradle" | "gradlew" if verb == Some("dependencies") => Some("gradle"),
        _ => None,
    }
}
