//! `base-file-hidden`: a file of the base that nobody sees.

use crate::facts::{FileKind, How};
use crate::policy::rules::hidden_by;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "base-file-hidden",
    title: "What the build removes from the base is still pulled by everyone.",
    text: "Finds files of the base of `min` bytes and more that the build removes: who pulls the \
          image pulls them still.\n\n\
          Start from a smaller base, or take what is needed to a stage `FROM scratch`.",
    params: &[Param {
        name: "min",
        kind: ParamKind::Size,
        default: r#""1MiB""#,
        help: "smaller files are none",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let min = found.size("min");
    for hidden in judged.hidden() {
        let removed = matches!(hidden.how, How::Removed(_));
        if !removed
            || hidden.file.kind != FileKind::File
            || hidden.file.size < min
            || !judged.is_base(hidden.layer)
            || judged.is_base(hidden.by)
        {
            continue;
        }
        let path = hidden.file.path.as_str();
        let finding = found
            .finding(format!("`{path}` of the base is removed, and shipped all the same"))
            .in_image(path, Some(hidden.layer))
            .evidence("bytes", hidden.file.size)
            .help("start from a smaller base, or COPY what is needed to a stage FROM scratch");
        found.add(hidden_by(finding, judged, hidden.by, path));
    }
}
