//! `package-cache-left`: what package managers keep for later.

use crate::facts::Origin;
use crate::facts::shell::Command;
use crate::policy::rules::origin;
use crate::policy::{Alias, Found, Inline, Item, Judged, Outline, Param, ParamKind, Rule, budget};
use std::collections::{BTreeMap, BTreeSet};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-cache-left",
    title: "Caches of a package manager are dead weight in the layer.",
    text: "Finds, in the stages that become the image (in all with `all_stages`), an installation \
          after which the same step neither removes the manager's cache nor has a cache mount \
          over it: /var/lib/apt/lists, /var/cache/apk (or `apk --no-cache`), `clean all` of yum, \
          dnf and zypper, pip's --no-cache-dir (or PIP_NO_CACHE_DIR), `yarn cache clean`, `npm \
          cache clean` (in `paranoid`), `conda clean`. In an image: `min` bytes or more in such a \
          folder of one of its own layers, also if a later layer removes them.",
    aliases: &[
        Alias::part("DL3009", "apt"),
        Alias::part("DL3019", "apk"),
        Alias::part("DL3032", "yum"),
        Alias::part("DL3036", "zypper"),
        Alias::part("DL3040", "dnf"),
        Alias::part("DL3040", "microdnf"),
        Alias::part("DL3042", "pip"),
        Alias::part("DL3060", "yarn"),
        Alias::part("DKL-DI-0004", "apk"),
        Alias::part("DKL-DI-0005", "apt"),
        Alias::part("DS-0015", "yum"),
        Alias::part("DS-0019", "dnf"),
        Alias::part("DS-0020", "zypper"),
        Alias::part("DS-0025", "apk"),
        Alias::part("DS-0027", "dnf"),
    ],
    params: &[
        Param {
            name: "min",
            kind: ParamKind::Size,
            default: r#""64KiB""#,
            help: "the least that counts in an image",
        },
        Param {
            name: "all_stages",
            kind: ParamKind::Flag,
            default: "false",
            help: "whether stages count that do not ship",
        },
    ],
    facets: &["apt", "apk", "yum", "dnf", "microdnf", "zypper", "pip", "yarn", "npm", "conda"],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM rockylinux:9\nRUN yum install -y httpd-2.4.24\n",
        "FROM opensuse/leap:15.6\nRUN zypper install -y httpd=2.4\n",
        "FROM node:22\nRUN yarn install --frozen-lockfile\n",
        "FROM ubi9-minimal:9\nRUN microdnf install -y httpd\n",
        "FROM rockylinux:9\nRUN dnf install -y httpd-2.4\n",
        "FROM python:3.12\nRUN pip install flask==3.0.0\n",
        "FROM alpine:3.20\nRUN apk add curl\n",
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl\n",
    ],
    good: &[
        "FROM python:3.12\nENV PIP_NO_CACHE_DIR=1\nRUN pip install flask==3.0.0\n",
        "FROM debian:12\nRUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n  apt-get update && apt-get install -y curl\n",
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl \\\n && rm -rf /var/lib/apt/lists/*\n",
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends curl && rm -f /var/lib/apt/lists/*_*\n",
        "FROM debian:12 AS build\nRUN apt-get update && apt-get install -y gcc\nFROM scratch\nCOPY --from=build /a /a\n",
        "FROM rockylinux:9\nRUN dnf install -y httpd && dnf clean all\n",
        "FROM alpine:3.20\nRUN apk add curl && rm -rf /var/cache/apk/*\n",
        "FROM node:22\nRUN yarn install --frozen-lockfile && yarn cache clean\n",
        "FROM a\nRUN --mount=type=cache,target=/root/.cache pip install x\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let shipped: Vec<usize> = outline.chain().iter().map(|stage| stage.index).collect();
    let all = found.flag("all_stages");
    let paranoid = found.policy().inline == Inline::Deny;
    for stage in outline.stages.iter().filter(|stage| all || shipped.contains(&stage.index)) {
        let mut told: BTreeSet<(usize, &str)> = BTreeSet::new();
        for (item, command) in stage.calls(|head| head.manages) {
            let Some(operation) = command.operation() else { continue };
            let Some(cache) = cache_of(&operation, command, paranoid) else { continue };
            // Triggers of a base stand at one place.
            let key = (std::ptr::from_ref(item).addr(), cache.facet);
            if told.contains(&key) || cleaned(item, outline, &cache) {
                continue;
            }
            told.insert(key);
            let mut finding = found
                .finding(format!("`{}` leaves its cache in the layer", operation.name))
                .at(command.span, "nothing removes it in this step")
                .of(item.place)
                .facet(cache.facet)
                .help(cache.help);
            let verb = command.args().iter().find(|arg| arg.known() == operation.verb);
            if let (Some(flag), Some(verb)) = (cache.flag, verb) {
                let text = format!("{} {flag}", outline.written(verb.span));
                finding = finding.fix(verb.span, text);
            }
            found.add(finding);
        }
    }
}

struct Cache {
    facet: &'static str,
    // Folders; any of them emptied or mounted will do.
    folders: &'static [&'static str],
    // Subcommands that empty it, of any name of the manager.
    cleans: &'static [&'static str],
    flag: Option<&'static str>,
    help: &'static str,
}

fn cache_of(
    operation: &crate::facts::shell::Operation<'_>,
    command: &Command,
    paranoid: bool,
) -> Option<Cache> {
    let verb = operation.verb.unwrap_or("");
    // A `-d` or a dry run installs nothing; `apt-get update` fills the lists alone.
    let installs = command.install().is_some();
    Some(match operation.manager {
        "apt" if installs => Cache {
            facet: "apt",
            folders: &["/var/lib/apt/lists", "/var/lib/apt"],
            cleans: &["distclean"],
            flag: None,
            help: "add `&& rm -rf /var/lib/apt/lists/*`",
        },
        "apk" if installs && !operation.has("--no-cache") => Cache {
            facet: "apk",
            folders: &["/var/cache/apk", "/etc/apk/cache"],
            cleans: &["cache"],
            flag: Some("--no-cache"),
            help: "add --no-cache",
        },
        "dnf" if installs => Cache {
            facet: match operation.name {
                "yum" => "yum",
                "microdnf" => "microdnf",
                _ => "dnf",
            },
            folders: &["/var/cache/yum", "/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/tdnf"],
            cleans: &["clean"],
            flag: None,
            help: "add `&& dnf clean all` (or of yum, microdnf)",
        },
        "zypper" if installs => Cache {
            facet: "zypper",
            folders: &["/var/cache/zypp"],
            cleans: &["clean", "cc"],
            flag: None,
            help: "add `&& zypper clean --all`",
        },
        "pip" if verb == "install" && !operation.has("--no-cache-dir") => Cache {
            facet: "pip",
            folders: &["/root/.cache/pip", "/root/.cache"],
            cleans: &["cache"],
            flag: Some("--no-cache-dir"),
            help: "add --no-cache-dir",
        },
        "yarn" if installs => Cache {
            facet: "yarn",
            folders: &[
                "/usr/local/share/.cache",
                "/root/.cache/yarn",
                "/root/.yarn",
                "/root/.cache",
            ],
            cleans: &["cache"],
            flag: None,
            help: "add `&& yarn cache clean`",
        },
        "npm" if installs && paranoid => Cache {
            facet: "npm",
            folders: &["/root/.npm"],
            cleans: &["cache"],
            flag: None,
            help: "add `&& npm cache clean --force`",
        },
        "conda" if installs => Cache {
            facet: "conda",
            folders: &["/opt/conda/pkgs", "/root/.cache"],
            cleans: &["clean"],
            flag: None,
            help: "add `&& conda clean -afy`",
        },
        _ => return None,
    })
}

fn cleaned(item: &Item<'_>, outline: &Outline<'_>, cache: &Cache) -> bool {
    let mounted = item.mounts().iter().any(|mount| {
        let target = mount.value("target").and_then(|word| item.expand(&word.raw));
        matches!(mount.kind(), "cache" | "tmpfs")
            && target.is_some_and(|target| {
                let target = target.trim_end_matches('/').to_owned();
                // A home is not always /root.
                cache.folders.iter().any(|folder| {
                    *folder == target
                        || crate::policy::context::under(folder, &target)
                        || (folder.starts_with("/root/")
                            && target.ends_with(folder.trim_start_matches("/root")))
                })
            })
    });
    if mounted {
        return true;
    }
    // pip and yarn take a variable.
    let set = |name: &str| {
        let off = |value: &str| matches!(value, "" | "0" | "false" | "off" | "no");
        let env = item.value(name).is_some_and(|value| !off(&value));
        env || item.script().commands.iter().any(|command| {
            command.assignments.iter().any(|(key, value)| key == name && !off(value.prefix()))
        })
    };
    if cache.facet == "pip" && set("PIP_NO_CACHE_DIR") {
        return true;
    }
    let configured = cache.facet == "pip"
        && outline.before(item).into_iter().any(|other| {
            other.script().commands.iter().any(|command| {
                let args: Vec<&str> = command.args().iter().map(|arg| arg.prefix()).collect();
                args.first() == Some(&"config")
                    && args.iter().any(|arg| arg.contains("no-cache-dir"))
            })
        });
    configured
        || item.script().commands.iter().any(|command| {
            let args = || command.args().iter().map(|arg| arg.prefix());
            let folder = |path: &str| {
                // `/*`, and `/*_*` as Debian names its lists.
                let path = match path.rsplit_once('/') {
                    Some((folder, "*" | "*_*" | "**")) => folder,
                    _ => path.trim_end_matches('*'),
                };
                let path = path.trim_end_matches('/');
                cache.folders.iter().any(|folder| {
                    *folder == path
                        || folder
                            .strip_prefix(path)
                            .is_some_and(|rest| rest.starts_with('/') && path.len() > 1)
                        || (folder.starts_with("/root") && path.ends_with(&folder["/root".len()..]))
                })
            };
            match command.name() {
                Some("rm" | "find") => args().any(folder),
                Some(_) => {
                    let manager = command.operation();
                    manager.is_some_and(|operation| {
                        let verb = operation.verb.unwrap_or("");
                        let cleaner = verb != "cache"
                            || operation.operands.iter().any(|word| {
                                matches!(word.prefix(), "clean" | "purge" | "remove" | "rm")
                            });
                        cache.cleans.contains(&verb) && cleaner
                    })
                }
                None => false,
            }
        })
}

// Folders of caches; those that begin with a dot are in some home.
const FOLDERS: &[(&str, &str)] = &[
    ("apt", "/var/lib/apt/lists"),
    ("apt", "/var/cache/apt"),
    ("apk", "/var/cache/apk"),
    ("apk", "/etc/apk/cache"),
    ("yum", "/var/cache/yum"),
    ("dnf", "/var/cache/dnf"),
    ("dnf", "/var/cache/libdnf5"),
    ("zypper", "/var/cache/zypp"),
    ("pip", ".cache/pip"),
    ("yarn", ".cache/yarn"),
    ("npm", ".npm/_cacache"),
    ("conda", "/opt/conda/pkgs"),
];

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let least = found.size("min");
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        if layer.origin == Origin::Base {
            continue;
        }
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for file in layer.table.files.iter().filter(|file| file.size > 0) {
            let cache = FOLDERS.iter().find_map(|(facet, folder)| {
                let start = match folder.starts_with('/') {
                    true => file.path.starts_with(folder).then_some(0),
                    false => file.path.find(&format!("/{folder}/")).map(|at| at + 1),
                }?;
                let top = &file.path[..start + folder.len()];
                file.path[top.len()..].starts_with('/').then_some((*facet, top))
            });
            if let Some(cache) = cache {
                *sums.entry(cache).or_default() += file.size;
            }
        }
        for ((facet, folder), sum) in sums.into_iter().filter(|(_, sum)| *sum >= least) {
            let finding = found
                .finding(format!("`{folder}` holds {} of a cache", budget::bytes(sum)))
                .in_image(folder, Some(index))
                .facet(facet)
                .evidence("size", sum)
                .help("empty it in the step that fills it, or mount a cache over it")
                .once();
            found.add(origin(finding, judged, index));
        }
    }
}
