//! `device-node`: a device in a layer.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "device-node",
    title: "A device in a layer is a door to the host's hardware when run with privileges.",
    text: "Finds character and block devices in any layer, hidden later or not.",
    image_check: Some(check),
    ..Rule::NEW
};

fn check(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in &layer.table.files {
            if matches!(file.kind, FileKind::Char | FileKind::Block) {
                let finding = found
                    .finding(format!("`{}` is a device", file.path))
                    .in_image(file.path.as_str(), Some(index))
                    .evidence("mode", format!("{:04o}", file.mode))
                    .help("leave devices to the runtime: remove it in the step that makes it");
                let finding = origin(finding, judged, index);
                found.add(finding);
            }
        }
    }
}
