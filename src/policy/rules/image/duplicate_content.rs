//! `duplicate-content`: the same bytes under several names.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "duplicate-content",
    title: "The same bytes under two names are stored and pulled twice.",
    text: "Finds files of at least `min` bytes that are visible in the image under two or more \
          paths with the same content and are not hard links of each other, if all such copies \
          together have five times `min`.\n\n\
          Link them: `ln` in the step that makes them.",
    params: &[Param {
        name: "min",
        kind: ParamKind::Size,
        default: r#""1MiB""#,
        help: "the smallest file that counts",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let least = found.size("min");
    let visible = judged.visible();
    let mut same: BTreeMap<&str, Vec<(&str, usize, u64)>> = BTreeMap::new();
    for (path, at) in visible {
        if at.file.kind == FileKind::File && at.file.size >= least && at.file.size > 0 {
            same.entry(&at.file.sha256).or_default().push((path, at.layer, at.file.size));
        }
    }
    // The one of the lowest layer is the original.
    let mut copies: Vec<(&str, usize, u64, &str)> = Vec::new();
    for files in same.values_mut().filter(|files| files.len() > 1) {
        files.sort_by_key(|(path, layer, _)| (*layer, *path));
        let first = files[0].0;
        copies.extend(files[1..].iter().map(|(path, layer, size)| (*path, *layer, *size, first)));
    }
    let sum: u64 = copies.iter().map(|(_, _, size, _)| *size).sum();
    if sum < least.saturating_mul(5) {
        return;
    }
    for (path, layer, size, first) in copies {
        let finding = found
            .finding(format!("`{path}` has the same {size} bytes as `{first}`"))
            .in_image(path, Some(layer))
            .evidence("same_as", first)
            .evidence("size", size)
            .help("make one a link to the other");
        found.add(origin(finding, judged, layer));
    }
}
