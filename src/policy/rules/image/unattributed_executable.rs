//! `unattributed-executable`: a program that nobody brought.

use crate::facts::{FileFact, Origin};
use crate::policy::rules::origin;
use crate::policy::scripts;
use crate::policy::{Found, Judged, Maker, Param, ParamKind, Rule, flow, glob};
use std::collections::{BTreeMap, BTreeSet};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "unattributed-executable",
    title: "We need to know exactly what is in the bin folder.",
    text: "Finds, in what is visible of own layers, machine code, or a script that may be run, in \
          the folders of `dirs`, that no package owns and no COPY or ADD brought: a RUN made it. \
          Told once for each step, with all files and their SHA-256.\n\n\
          Exempt: what has the content of a file of the base or of a COPY, and what is made by a \
          RUN that checks a sum or a signature.\n\n\
          Build it in another stage and COPY it, fetch it with `ADD --checksum`, or check its \
          sum in the RUN.",
    params: &[Param {
        name: "dirs",
        kind: ParamKind::Texts,
        default: r#"["/bin", "/sbin", "/usr", "/lib*", "/opt"]"#,
        help: "folders of programs",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let dirs: Vec<String> = found.texts("dirs").iter().map(|dir| format!("{dir}/**")).collect();
    let packages = judged.packages();
    let mut candidates: Vec<(&str, usize, &FileFact)> = Vec::new();
    for (path, at) in judged.visible() {
        if at.file.is_program()
            && packages.owner(path).is_none()
            && matches!(judged.maker(at.layer, path), Maker::Run(_))
            && dirs.iter().any(|dir| glob::matches(dir, path))
        {
            candidates.push((path, at.layer, at.file));
        }
    }
    if candidates.is_empty() {
        return;
    }
    // What is known by its content, wherever it was brought from.
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in
            layer.table.files.iter().filter(|file| file.is_machine_code() || file.mode & 0o111 != 0)
        {
            if !matches!(judged.maker(index, &file.path), Maker::Run(_)) {
                known.insert(&file.sha256);
            }
        }
    }
    // By layer and the instruction's place.
    let mut steps: BTreeMap<(usize, Option<usize>), Vec<_>> = BTreeMap::new();
    // A script is read once, whatever it makes.
    let mut checked = BTreeMap::new();
    for (path, layer, file) in candidates {
        if known.contains(file.sha256.as_str()) {
            continue;
        }
        let step = judged.item(layer, path).map(|item| item.place.index);
        if !*checked.entry((layer, step)).or_insert_with(|| is_checked(judged, layer, path)) {
            steps.entry((layer, step)).or_default().push((path, file));
        }
    }
    for ((layer, _), files) in steps {
        let path = files[0].0;
        let message = match files.len() {
            1 => format!("`{path}` was made by a RUN, and belongs to no package"),
            n => format!(
                "`{path}` and {} more programs were made by a RUN, and belong to no package",
                n - 1
            ),
        };
        let list: Vec<serde_json::Value> = files
            .iter()
            .take(100)
            .map(|(path, file)| serde_json::json!({ "path": path, "sha256": file.sha256 }))
            .collect();
        let finding = found
            .finding(message)
            .in_image(path, Some(layer))
            .evidence("count", files.len())
            .evidence("files", list)
            .help("build it in another stage and COPY it, or check its sum in the RUN");
        found.add(origin(finding, judged, layer));
    }
}

// Whether the step that made a path checks sums or signatures.
fn is_checked(judged: &Judged<'_>, layer: usize, path: &str) -> bool {
    match judged.maker(layer, path) {
        Maker::Run(Some(item)) => {
            let script = item.script();
            script.commands.iter().any(|command| flow::verifies(command, script, ""))
        }
        Maker::Run(None) => {
            let Some(Origin::Foreign(text)) =
                judged.facts.layers.get(layer).map(|facts| &facts.origin)
            else {
                return false;
            };
            let body = text.split_once("-c ").map_or(text.as_str(), |(_, body)| body);
            let script = scripts::text(body.trim_end_matches("# buildkit"));
            script.commands.iter().any(|command| flow::verifies(command, &script, ""))
        }
        _ => false,
    }
}
