//! `package-version-unpinned`: a package without a version.

use crate::facts::shell::Install;
use crate::policy::{Alias, Found, Item, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-version-unpinned",
    title: "You build today and get 1.2; tomorrow 1.3.",
    text: "Finds a package that is installed without a version: apt and apk without `=`, yum, dnf \
          and zypper without a version after `-` or `=`, pip without `==` or `@`, npm without \
          `@`, gem without `:` or -v, `go install` without `@v…`, `cargo install` without `@` or \
          --version.\n\nLists (`-r file`), files, URLs and words whose value is not known \
          pass. The facets of distributions are off below `paranoid`: their archives drop old \
          versions. A dated snapshot of an archive (`snapshot`) pins all that comes from it.",
    aliases: &[
        Alias::part("DL3008", "apt"),
        Alias::part("DL3013", "pip"),
        Alias::part("DL3016", "npm"),
        Alias::part("DL3018", "apk"),
        Alias::part("DL3028", "gem"),
        Alias::part("DL3033", "yum"),
        Alias::part("DL3037", "zypper"),
        Alias::part("DL3041", "dnf"),
        Alias::part("DL3062", "go"),
    ],
    params: &[Param {
        name: "snapshot",
        kind: ParamKind::Texts,
        default: r#"["snapshot.debian.org", "snapshot.ubuntu.com"]"#,
        help: "archives of one day",
    }],
    facets: &["apt", "apk", "yum", "dnf", "zypper", "pip", "npm", "gem", "go", "cargo"],
    text_check: Some(check),
    bad: &[
        "FROM python:3.12\nRUN pip install --no-cache-dir flask\n",
        "FROM node:22\nRUN npm install -g express\n",
        "FROM golang:1.23\nRUN go install example.org/cmd/tool@latest\n",
        "FROM rust:1\nRUN cargo install ripgrep\n",
        "FROM ruby:3.3\nRUN gem install bundler\n",
    ],
    good: &[
        "FROM python:3.12\nRUN pip install -r requirements.txt && pip install flask==3.0.0 . ./x.whl\n",
        "FROM node:22\nRUN npm install && npm install express@4.19.2 @types/node@20.1.0\n",
        "FROM a\nRUN cargo install --locked ripgrep@14.1.0 && gem install rake -v 13.0 && go install x.org/y@v1.2.3\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let archives: Vec<String> = found.texts("snapshot").into_iter().map(str::to_owned).collect();
    for (item, command) in outline.calls(|head| head.manages) {
        let (Some(install), Some(operation)) = (command.install(), command.operation()) else {
            continue;
        };
        let Some(facet) = facet_of(install.manager, install.name) else { continue };
        if matches!(facet, "apt" | "apk" | "yum" | "dnf" | "zypper")
            && snapshot(outline, item, &archives)
        {
            continue;
        }
        if let Some(package) = unpinned(facet, &operation, &install) {
            let finding = found
                .finding(format!("`{package}` is installed in whatever version there is"))
                .at(command.span, "no version")
                .of(item.place)
                .facet(facet)
                .evidence("package", package.as_str())
                .help(match facet {
                    "apt" | "apk" => format!("write `{package}=VERSION`"),
                    "pip" => format!("write `{package}==VERSION`, or a list with hashes"),
                    "npm" | "go" | "cargo" => format!("write `{package}@VERSION`"),
                    _ => format!("write `{package}-VERSION`"),
                });
            found.add(finding);
        }
    }
}

fn facet_of(manager: &str, name: &str) -> Option<&'static str> {
    Some(match (manager, name) {
        ("apt", _) => "apt",
        ("apk", _) => "apk",
        ("dnf", "yum") => "yum",
        ("dnf", _) => "dnf",
        ("zypper", _) => "zypper",
        ("pip" | "uv" | "pipx", _) => "pip",
        ("npm" | "pnpm" | "yarn" | "bun", _) => "npm",
        ("gem", _) => "gem",
        ("go", _) => "go",
        ("cargo", _) => "cargo",
        _ => return None,
    })
}

fn snapshot(outline: &Outline<'_>, item: &Item<'_>, archives: &[String]) -> bool {
    outline.before(item).into_iter().chain([item]).any(|other| {
        let text = outline.written(other.place.span);
        archives.iter().any(|archive| text.contains(archive.as_str()))
    })
}

fn unpinned(
    facet: &str,
    operation: &crate::facts::shell::Operation<'_>,
    install: &Install<'_>,
) -> Option<String> {
    let value = |names: &[&str]| operation.values.iter().any(|(flag, _)| names.contains(flag));
    let flag = |names: &[&str]| names.iter().any(|name| operation.has(name));
    match facet {
        "gem" if value(&["-v", "--version"]) || flag(&["--version", "-v"]) => return None,
        "cargo"
            if value(&["--version", "--git", "--path"])
                || flag(&["--version", "--git", "--path", "--vers"]) =>
        {
            return None;
        }
        // `uv sync`, `uv add`: the lock file.
        "pip" if install.name == "uv" && install.verb == "sync" => return None,
        "apt" | "apk" | "yum" | "dnf" | "zypper"
            if matches!(
                install.verb,
                "upgrade" | "update" | "up" | "dup" | "patch" | "build-dep"
            ) || install.verb.ends_with("-upgrade")
                || install.verb.ends_with("upgrade") =>
        {
            return None;
        }
        _ => {}
    }
    install.packages.iter().find_map(|package| {
        let text = package.known()?;
        let file = text.starts_with(['.', '/', '-', '~', '@', '$']) && facet != "npm"
            || text.contains("://")
            || text.starts_with("git+")
            || text.ends_with(".deb")
            || text.ends_with(".rpm")
            || text.ends_with(".apk")
            || text.ends_with(".whl")
            || text.ends_with(".gem")
            || text.ends_with(".tgz")
            || text.ends_with(".tar.gz")
            || text == "."
            || text.starts_with("./")
            || text.starts_with('/');
        if file || text.is_empty() {
            return None;
        }
        let pinned = match facet {
            "apt" | "apk" => text.contains(['=', '~']) || text.ends_with('-'),
            "yum" | "dnf" | "zypper" => {
                text.contains('=')
                    || text
                        .match_indices('-')
                        .any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
                    || text.starts_with('@')
            }
            "pip" => text.contains("==") || text.contains('@'),
            "npm" => {
                let version = text[1..].split_once('@').map(|(_, version)| version);
                version.is_some_and(|version| {
                    version.contains(|c: char| c.is_ascii_digit()) && !version.starts_with("npm:")
                }) || text.contains('/') && !text.starts_with('@')
            }
            "gem" => text.contains(':'),
            "go" => {
                let version = text.split_once('@').map(|(_, version)| version);
                match version {
                    Some(version) => !matches!(version, "latest" | "master" | "main" | "upgrade"),
                    // Of the module at hand.
                    None => install.verb == "get" || text.starts_with("./") || text.contains("..."),
                }
            }
            "cargo" => text.contains('@'),
            _ => true,
        };
        (!pinned).then(|| text.to_owned())
    })
}
