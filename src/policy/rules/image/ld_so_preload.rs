//! `ld-so-preload`: a library for every process.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "ld-so-preload",
    title: "One line in this file puts a library into every process.",
    text: "Finds /etc/ld.so.preload with something in it, in any layer, deleted later or not.",
    image_check: Some(check),
    ..Rule::NEW
};

fn check(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in &layer.table.files {
            let is_link = matches!(file.kind, FileKind::Symlink(_) | FileKind::Hardlink(_));
            if file.path == "/etc/ld.so.preload"
                && (is_link || (file.kind == FileKind::File && file.size > 0))
            {
                let finding = found
                    .finding("`/etc/ld.so.preload` puts a library into every process")
                    .in_image(file.path.as_str(), Some(index))
                    .evidence("size", file.size)
                    .help("remove the file in the step that makes it");
                let finding = origin(finding, judged, index);
                found.add(finding);
            }
        }
    }
}
