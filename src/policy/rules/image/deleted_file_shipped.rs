//! `deleted-file-shipped`: a file that is removed too late.

use crate::facts::{FileFact, FileKind, How};
use crate::policy::rules::{hidden_by, origin};
use crate::policy::{Alias, Found, Judged, Param, ParamKind, Rule};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "deleted-file-shipped",
    title: "Gone from the view, still in the tarball.",
    text: "Finds files of own layers that a later layer removes, when they are `min` bytes or \
          more together: they are gone from the view, and still in what everybody pulls. Told \
          for each thing removed, with the layer that has it and the step that removes it. Files \
          of the base are another rule's (`base-file-hidden`), overwritten ones those of the \
          budget.\n\n\
          Remove it in the step that makes it, or squash the build's layers: `--squash`.",
    aliases: &[Alias::of("highestWastedBytes")],
    params: &[Param {
        name: "min",
        kind: ParamKind::Size,
        default: r#""1MiB""#,
        help: "bytes that may be hidden, together",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    // By layer, by what removes, by the path that was removed.
    let mut groups: BTreeMap<(usize, usize, &str), Vec<&FileFact>> = BTreeMap::new();
    let mut total = 0_u64;
    for hidden in judged.hidden() {
        let How::Removed(path) = hidden.how else { continue };
        if hidden.file.kind == FileKind::File && !judged.is_base(hidden.layer) {
            total = total.saturating_add(hidden.file.size);
            groups.entry((hidden.layer, hidden.by, path)).or_default().push(hidden.file);
        }
    }
    if total < found.size("min") {
        return;
    }
    for ((layer, by, path), files) in groups {
        let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let (path, what) = match files.as_slice() {
            [file] => (file.path.as_str(), format!("`{}` is", file.path)),
            files => (path, format!("{} files of `{path}` are", files.len())),
        };
        let mut largest = files.clone();
        largest.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
        let largest: Vec<&str> = largest.iter().take(10).map(|file| file.path.as_str()).collect();
        let finding = found
            .finding(format!(
                "{what} removed by a later layer, and shipped all the same: {bytes} bytes"
            ))
            .in_image(path, Some(layer))
            .evidence("bytes", bytes)
            .evidence("files", files.len())
            .evidence("largest", largest)
            .help("remove it in the step that makes it, or build with --squash");
        let finding = origin(finding, judged, layer);
        found.add(hidden_by(finding, judged, by, path));
    }
}
