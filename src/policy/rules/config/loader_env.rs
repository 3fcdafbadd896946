//! `loader-env`: a library before all others.

use crate::instruction::Instruction;
use crate::policy::{Found, Inline, Judged, Level, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "loader-env",
    title: "LD_PRELOAD in the config loaded the attacker's library before anything else.",
    text: "Finds ENV (and environment in the config of an image) of LD_PRELOAD, LD_AUDIT, \
          LD_LIBRARY_PATH, LD_DEBUG, LD_PROFILE, LD_ORIGIN_PATH, GLIBC_TUNABLES and DYLD_…: the \
          loader obeys before the program begins. LD_LIBRARY_PATH of absolute paths outside \
          /tmp, /home and the like is a warning below `paranoid`. `allow` lists NAME=VALUE.",
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: "[]",
        help: "NAME=VALUE that may be set",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nENV LD_PRELOAD=/usr/lib/.x.so\n",
        "FROM busybox\nENV LD_LIBRARY_PATH=lib\n",
    ],
    good: &["FROM busybox\nENV OLD_PRELOADER=1\n", "FROM busybox\nENV LD_PRELOADER=1\n"],
    ..Rule::NEW
};

const NAMES: &[&str] = &[
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_DEBUG",
    "LD_PROFILE",
    "LD_ORIGIN_PATH",
    "GLIBC_TUNABLES",
];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for pair in &env.pairs {
            let value = item.expand(&pair.value.raw).unwrap_or_else(|| pair.value.raw.clone());
            let Some(level) = level(&pair.name.raw, &value, found) else { continue };
            let name = &pair.name.raw;
            let finding = found
                .finding(format!("`{name}` has the loader obey before the program begins"))
                .at(pair.name.span.to(pair.value.span), "set in every container")
                .of(item.place)
                .evidence("name", name.as_str())
                .help("a file in /etc/ld.so.conf.d, or an rpath in the program");
            found.add_at(level, finding);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for pair in &judged.facts.config.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(level) = level(name, value, found) else { continue };
        let finding = found
            .finding(format!("`{name}` has the loader obey before the program begins"))
            .in_image("config", None)
            .evidence("name", name)
            .help("leave it out");
        found.add_at(level, finding);
    }
}

fn level(name: &str, value: &str, found: &Found<'_>) -> Option<Level> {
    let known = NAMES.contains(&name) || name.starts_with("DYLD_");
    let pair = format!("{name}={value}");
    if !known || value.is_empty() || found.texts("allow").contains(&pair.as_str()) {
        return None;
    }
    let odd = ["/tmp", "/var/tmp", "/dev/shm", "/home", "/run"];
    let plain = name == "LD_LIBRARY_PATH"
        && value.split(':').filter(|path| !path.is_empty()).all(|path| {
            path.starts_with('/') && !odd.iter().any(|top| crate::policy::context::under(path, top))
        });
    let paranoid = found.policy().inline == Inline::Deny;
    Some(if plain && !paranoid { Level::Warn } else { Level::Error })
}
