//! `unneeded-file`: droppings of version control, editors and builds.

use crate::policy::glob;
use crate::policy::rules::origin;
use crate::policy::{Alias, Found, Judged, Param, ParamKind, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "unneeded-file",
    title: "Version control, editor and OS droppings; build files.",
    text: "Finds files and folders that serve those who build the image, not those who run it: \
          version control, editors' folders, Dockerfiles and compose files, caches of tools, \
          logins of clouds, core dumps. Only the topmost folder is told. What is inside \
          `node_modules`, `vendor` and `site-packages` belongs to its package.\n\n\
          Name them in the ignore file, or copy only what is needed.",
    aliases: &[Alias::of("DKL-LI-0003")],
    standards: &["CIS 4.3"],
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["Dockerfile*", "Containerfile*", "docker-compose*.yml", "docker-compose*.yaml", "compose.yml", "compose.yaml", ".dockerignore", ".git", ".svn", ".hg", ".github", ".vscode", ".idea", ".DS_Store", ".vimrc", "*.swp", ".cache", ".npm", ".aws", ".azure", ".gcp", "__MACOSX", "*.orig", "*.rej"]"#,
        help: "patterns of names",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    let visible = judged.visible();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (path, at) in visible {
        let mut end = 0;
        for part in path.split('/').skip(1) {
            end += 1 + part.len();
            let top = &path[..end];
            if PACKAGES.contains(&part) || told.contains(top) {
                break;
            }
            let whole = end == path.len();
            if !names.iter().any(|name| glob::matches(name, part)) {
                // A core dump goes by its content: the name may be anything.
                let core = whole && at.file.program.as_deref().is_some_and(is_core);
                if !core {
                    continue;
                }
            }
            told.insert(top);
            // The row of the folder itself, if it has one.
            let layer = visible.get(top).map_or(at.layer, |folder| folder.layer);
            let finding = found
                .finding(format!("`{top}` is of no use to who runs the image"))
                .in_image(top, Some(layer))
                .help("name it in .dockerignore, or copy only what is needed");
            found.add(origin(finding, judged, layer));
            break;
        }
    }
}

const PACKAGES: &[&str] = &["node_modules", "vendor", "site-packages", "dist-packages"];

fn is_core(program: &crate::facts::Program) -> bool {
    matches!(program, crate::facts::Program::Elf(elf) if elf.kind == 4)
}
