//! `empty-file-in-bin`: an empty file among programs.

use crate::facts::{FileKind, Origin};
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "empty-file-in-bin",
    title: ".pwned, zero bytes, in /usr/bin: a marker, or a tool disabled.",
    text: "Finds, in own layers, a file of no bytes in a folder of programs: a marker, or the \
          rest of one.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let tops = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        if layer.origin == Origin::Base {
            continue;
        }
        for file in layer.table.files.iter().filter(|f| f.kind == FileKind::File && f.size == 0) {
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if tops.contains(&folder) {
                let finding = found
                    .finding(format!("`{}` is empty, among programs", file.path))
                    .in_image(file.path.as_str(), Some(index))
                    .help("find out what made it");
                found.add(origin(finding, judged, index));
            }
        }
    }
}
