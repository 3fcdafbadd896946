//! `dependency-lock-unenforced`: dependencies that are resolved anew.

use crate::policy::{Around, Found, Inline, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "dependency-lock-unenforced",
    title: "Resolving at build time is not reproducible.",
    text: "Finds installations that may change what the lock file says: `npm install` where a \
          lock file is in the context, yarn without --frozen-lockfile or --immutable, pnpm \
          without --frozen-lockfile, `pip install -r` without --require-hashes (in `paranoid`), \
          `uv sync` without --locked or --frozen, `poetry lock` and `update`, bundle without \
          frozen or deployment, `composer update`, cargo without --locked, `go get` and `go mod \
          tidy`.",
    facets: &["npm", "yarn", "pnpm", "pip", "uv", "poetry", "bundle", "composer", "cargo", "go"],
    text_check: Some(check),
    bad: &[
        "FROM node:22\nCOPY package.json package-lock.json ./\nRUN npm install\n",
        "FROM node:22\nRUN yarn install\n",
        "FROM rust:1\nRUN cargo build --release\n",
        "FROM golang:1\nRUN go mod tidy\n",
    ],
    good: &[
        "FROM node:22\nCOPY package.json package-lock.json ./\nRUN npm ci\n",
        "FROM rust:1\nRUN cargo build --release --locked && cargo --version\n",
    ],
    around: Around {
        files: &[("package.json", "{}"), ("package-lock.json", "{}")],
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let paranoid = found.policy().inline == Inline::Deny;
    let files = outline.input.context.and_then(|context| context.files()).unwrap_or(&[]);
    let locked = files.iter().any(|file| {
        file.path.ends_with("package-lock.json") || file.path.ends_with("npm-shrinkwrap.json")
    });
    for (item, command) in outline.calls(|head| head.name.is_some_and(locks)) {
        let args: Vec<&str> = command.args().iter().map(|arg| arg.text.as_str()).collect();
        let has = |words: &[&str]| {
            args.iter().any(|arg| words.contains(&arg.split('=').next().unwrap_or(arg)))
        };
        let operands: Vec<&str> = match command.operation() {
            Some(operation) => operation
                .verb
                .into_iter()
                .chain(operation.operands.iter().map(|arg| arg.prefix()))
                .collect(),
            None => Vec::new(),
        };
        let verb = operands.first().copied().unwrap_or("");
        let env = |name: &str| {
            item.value(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
                || command.assignments.iter().any(|(key, _)| key == name)
        };
        let global = has(&["-g", "--global", "--version", "--help"]);
        let (facet, help) = match command.name() {
            Some("npm")
                if locked && operands.len() == 1 && matches!(verb, "install" | "i") && !global =>
            {
                ("npm", "write `npm ci`")
            }
            Some("yarn")
                if operands.len() <= 1
                    && matches!(verb, "" | "install")
                    && !global
                    && !has(&["--frozen-lockfile", "--immutable", "-v"])
                    && !env("YARN_ENABLE_IMMUTABLE_INSTALLS") =>
            {
                ("yarn", "add --frozen-lockfile (from yarn 2 on, --immutable)")
            }
            Some("pnpm")
                if operands.len() == 1
                    && matches!(verb, "install" | "i")
                    && !global
                    && !has(&["--frozen-lockfile"])
                    && !env("CI") =>
            {
                ("pnpm", "add --frozen-lockfile")
            }
            Some(name)
                if paranoid
                    && name.starts_with("pip")
                    && verb == "install"
                    && has(&["-r", "--requirement"])
                    && !has(&["--require-hashes"]) =>
            {
                ("pip", "add --require-hashes, and the hashes to the list")
            }
            Some("uv")
                if verb == "sync"
                    && !has(&["--locked", "--frozen"])
                    && !env("UV_FROZEN")
                    && !env("UV_LOCKED") =>
            {
                ("uv", "add --locked")
            }
            Some("poetry") if matches!(verb, "lock" | "update") => {
                ("poetry", "write `poetry install`")
            }
            Some("bundle")
                if matches!(verb, "" | "install")
                    && !has(&["--frozen", "--deployment", "--version", "-v"])
                    && !env("BUNDLE_FROZEN")
                    && !env("BUNDLE_DEPLOYMENT")
                    && !bundled(outline, item) =>
            {
                ("bundle", "before it: `bundle config set frozen true`, or BUNDLE_FROZEN=1")
            }
            Some("composer") if verb == "update" => ("composer", "write `composer install`"),
            Some("cargo")
                if matches!(
                    args.iter().find(|arg| !arg.starts_with(['-', '+'])),
                    Some(&("build" | "install"))
                ) && !has(&["--locked", "--frozen", "--offline"]) =>
            {
                ("cargo", "add --locked")
            }
            Some("go") if args.starts_with(&["mod", "tidy"]) || args.first() == Some(&"get") => {
                ("go", "write `go mod download`, and commit go.sum")
            }
            _ => continue,
        };
        let finding = found
            .finding(format!("`{}` may take other versions than were locked", command.shown()))
            .at(command.span, "resolves anew")
            .of(item.place)
            .facet(facet)
            .help(help);
        found.add(finding);
    }
}

// What has a list of the versions that were taken.
fn locks(name: &str) -> bool {
    let names = ["npm", "yarn", "pnpm", "uv", "poetry", "bundle", "composer", "cargo", "go"];
    names.contains(&name) || name.starts_with("pip")
}

fn bundled(outline: &Outline<'_>, item: &Item<'_>) -> bool {
    outline.before(item).into_iter().chain([item]).any(|other| {
        other.script().commands.iter().any(|command| {
            let args = || command.args().iter().map(|arg| arg.prefix());
            command.name() == Some("bundle")
                && args().any(|arg| arg == "config")
                && args().any(|arg| matches!(arg, "frozen" | "deployment"))
        })
    })
}
