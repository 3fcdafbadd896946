//! `network-tool-present`: curl in the image.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{FileFact, FileKind};
use crate::policy::rules::{origin, present};
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "network-tool-present",
    title: "The attacker relied on curl being present.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder \
          named as in `names`; links followed. Also finds such a tool under another name: a file \
          that may be run and has the content of one, as another layer or place of the image has \
          it, or as the package database knows it.",
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "scp", "sftp", "ftp", "tftp", "telnet", "rsync", "nmap", "aria2c", "tcpdump"]"#,
        help: "names of such tools",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    let probe = judged.facts.config.config.healthcheck.as_ref().map(|health| format!("{health:?}"));
    present(
        judged,
        found,
        |name| names.iter().any(|n| n == name),
        |name, _| {
            let probes = probe.as_ref().is_some_and(|probe| probe.contains(name));
            Some(match probes {
                true => format!(
                    "the image has `{name}`, for its HEALTHCHECK: let the program probe itself"
                ),
                false => format!("the image has `{name}`"),
            })
        },
        "leave it in the build stage",
    );
    copies(judged, found, &names);
}

// Tools by their content, under names that say something else.
fn copies(judged: &Judged<'_>, found: &mut Found<'_>, names: &[String]) {
    let is_tool = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        names.iter().find(|known| *known == name)
    };
    let mut tools: BTreeMap<&str, &str> = BTreeMap::new();
    for layer in &judged.facts.layers {
        // One program for all names (busybox) is none of them.
        let others: BTreeSet<&str> = layer
            .table
            .files
            .iter()
            .filter(|file| is_tool(&file.path).is_none())
            .filter_map(|file| match &file.kind {
                FileKind::Hardlink(to) => Some(to.as_str()),
                _ => None,
            })
            .collect();
        for file in layer.table.files.iter().filter(|file| file.is_program()) {
            if let Some(name) = is_tool(&file.path)
                && !others.contains(file.path.as_str())
            {
                tools.insert(&file.sha256, name);
            }
        }
    }
    let packages = judged.packages();
    let known = |file: &FileFact| {
        let name = tools.get(file.sha256.as_str()).map(|name| (*name).to_owned());
        name.or_else(|| {
            let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
            let owned = |name: &&String| {
                folders
                    .iter()
                    .any(|dir| packages.holds(&format!("{dir}/{name}"), file) == Some(true))
            };
            names.iter().find(owned).cloned()
        })
    };
    for (path, at) in judged.visible() {
        let content = judged.content(at.layer, at.file);
        if !content.is_program() || content.mode & 0o111 == 0 || is_tool(path).is_some() {
            continue;
        }
        let Some(name) = known(content) else { continue };
        let finding = found
            .finding(format!("`{path}` is `{name}` by another name"))
            .in_image(*path, Some(at.layer))
            .evidence("sha256", content.sha256.as_str())
            .evidence("tool", name)
            .help("leave it in the build stage");
        found.add(origin(finding, judged, at.layer));
    }
}
