//! `package-manager-present`: the image has a package manager.

use crate::facts::{FileKind, ImageFacts};
use crate::policy::{Found, Judged, Level, Param, ParamKind, Rule};

use crate::policy::rules::origin;

pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-manager-present",
    title: "No apk, no second stage for the intruder.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder that \
           is named as a package manager, links followed. The databases of packages alone \
           (/var/lib/dpkg/status.d, /lib/apk/db) are wanted: scanners read them.\n\n\
           An image whose program is an interpreter has the managers of that language by nature: \
           they count one level less.\n\n\
           Start from a base without one, or copy the artefact into `scratch`.",
    standards: &["CIS 4.3", "NIST 800-190 4.1.2"],
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["apk", "apt", "apt-get", "aptitude", "dpkg", "rpm", "yum", "dnf", "microdnf", "tdnf", "zypper", "pacman", "opkg", "pip", "pip3", "uv", "conda", "npm", "npx", "yarn", "pnpm", "corepack", "gem", "cargo"]"#,
        help: "names of package managers",
    }],
    image_check: Some(check),
    ..Rule::NEW
};

fn check(judged: &Judged<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    let visible = judged.visible();
    let config = &judged.facts.config.config;
    let program = config.entrypoint.iter().chain(&config.cmd).flatten().next();
    let program = program.map_or("", |path| path.rsplit('/').next().unwrap_or(path));
    for (path, at) in visible {
        let mut parts = path.rsplit('/');
        let (Some(name), Some(folder)) = (parts.next(), parts.next()) else { continue };
        if !matches!(folder, "bin" | "sbin") || !names.iter().any(|known| known == name) {
            continue;
        }
        let Some(end) = ImageFacts::resolve(visible, path) else { continue };
        if end.file.kind != FileKind::File || end.file.mode & 0o111 == 0 {
            continue;
        }
        let level = if of_language(program, name) {
            match found.level() {
                Level::Error => Level::Warn,
                _ => Level::Note,
            }
        } else {
            Level::Error
        };
        let mut finding = found
            .finding(format!("the image has the package manager `{name}`"))
            .in_image(*path, Some(at.layer))
            .evidence("mode", format!("{:04o}", end.file.mode))
            .help(
                "start from a base without a package manager, or copy the artefact into `scratch`",
            );
        finding = origin(finding, judged, at.layer);
        found.add_at(level, finding);
    }
}

fn of_language(program: &str, manager: &str) -> bool {
    match manager {
        "pip" | "pip3" | "uv" | "conda" => program.starts_with("python"),
        "npm" | "npx" | "yarn" | "pnpm" | "corepack" => program == "node",
        "gem" => program == "ruby",
        _ => false,
    }
}
