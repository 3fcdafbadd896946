//! `hidden-layer-executable`: a program that only a layer shows.

use crate::facts::How;
use crate::instruction::{Instruction, Network};
use crate::policy::rules::{hidden_by, origin};
use crate::policy::{Found, Judged, Maker, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "hidden-layer-executable",
    title: "Inserted in layer 3, 'deleted' in layer 4, waiting.",
    text: "Finds, in any layer, machine code, or a script that may be run, that the image does \
          not show: a later layer removes it or puts something else in its place. It is pulled \
          with the image, and one step away from being run. What the package database of its \
          layer knows as a package's own file is exempt: upgrades and removals hide such files.\n\n\
          In `baseline` the part `suspicious` is an error already: set-uid or set-gid, a name \
          that begins with a dot, or made by a RUN that had the network.\n\n\
          Remove it in the step that makes it, or build what needs it in another stage. Of a \
          base: do not use it before somebody has looked at the file.",
    facets: &["suspicious"],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let seen: BTreeSet<&str> = judged
        .visible()
        .values()
        .map(|at| judged.content(at.layer, at.file).sha256.as_str())
        .collect();
    for hidden in judged.hidden() {
        let content = judged.content(hidden.layer, hidden.file);
        if !content.is_program()
            || seen.contains(content.sha256.as_str())
            || judged.packages_in(hidden.layer).holds(&hidden.file.path, content) == Some(true)
        {
            continue;
        }
        let path = hidden.file.path.as_str();
        let name = path.rsplit('/').next().unwrap_or(path);
        let how = match hidden.how {
            How::Removed(_) => "removes it",
            How::Replaced(_) => "puts something else in its place",
        };
        let mut finding = found
            .finding(format!(
                "the program `{path}` is in layer {}, and layer {} {how}",
                hidden.layer, hidden.by
            ))
            .in_image(path, Some(hidden.layer))
            .evidence("sha256", content.sha256.as_str())
            .evidence("size", content.size)
            .evidence("mode", format!("{:04o}", content.mode))
            .help("remove it in the step that makes it, or build in another stage");
        let networked = match judged.maker(hidden.layer, path) {
            Maker::Run(Some(item)) => {
                matches!(item.instruction, Instruction::Run(run) if run.network != Network::None)
            }
            _ => false,
        };
        if content.mode & 0o6000 != 0 || name.starts_with('.') || networked {
            finding = finding.facet("suspicious");
        }
        let finding = origin(finding, judged, hidden.layer);
        found.add(hidden_by(finding, judged, hidden.by, path));
    }
}
