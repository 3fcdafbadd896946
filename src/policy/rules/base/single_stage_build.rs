//! `single-stage-build`: tools and product in one stage.

use crate::facts::shell::Command;
use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "single-stage-build",
    title: "Compilers and package managers end up in what you ship; build in one stage, copy \
           artefacts into another.",
    text: "Finds a file that takes nothing from another stage and whose steps install packages, \
          compile or fetch. Stages that are only built upon make no difference.",
    text_check: Some(check),
    bad: &[
        "FROM debian:12\nRUN apt-get update && apt-get install -y gcc\nCOPY a.c /a.c\nRUN gcc -o /a /a.c\n",
    ],
    good: &[
        "FROM gcr.io/distroless/static\nCOPY app /app\n",
        "FROM golang:1 AS build\nRUN go build -o /a .\nFROM scratch\nCOPY --from=build /a /a\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    let Some(target) = chain.last() else { return };
    if outline.is_multi_stage() {
        return;
    }
    let works =
        |command: &&Command| command.install().is_some() || command.fetches() || compiles(command);
    let work = outline.shipped().find_map(|item| item.script().commands.iter().find(works));
    if let Some(command) = work {
        let finding = found
            .finding("one stage builds and ships")
            .at(target.from.span, "the only stage")
            .of(target.place)
            .also(command.span, "work that leaves tools behind")
            .help("build in a first stage, and COPY --from it what ships");
        found.add(finding);
    }
}

fn compiles(command: &Command) -> bool {
    let verb =
        command.args().iter().filter_map(|arg| arg.known()).find(|arg| !arg.starts_with('-'));
    match command.name() {
        Some(
            "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" | "make" | "cmake" | "ninja"
            | "meson" | "javac" | "rustc" | "mvn" | "gradle" | "tsc" | "bazel",
        ) => true,
        Some("cargo" | "go" | "dotnet") => matches!(verb, Some("build" | "install" | "publish")),
        Some("npm" | "yarn" | "pnpm") => matches!(verb, Some("run" | "build")),
        _ => false,
    }
}
