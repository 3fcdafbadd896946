//! `sbom-incomplete`: an SBOM that leaves programs out.

use crate::facts::FileKind;
use crate::policy::rules::beside;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};
use std::collections::BTreeSet;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "sbom-incomplete",
    title: "Most of them are wrong.",
    text: "Finds an image whose SBOM names files, but fewer than the share `min_coverage` of the \
          programs and libraries that are visible in the image. An SBOM that names no files at \
          all is skipped: of packages alone nobody can tell what they cover.",
    params: &[Param {
        name: "min_coverage",
        kind: ParamKind::Share,
        default: "0.95",
        help: "the share of programs that it must name",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(beside) = beside(judged, found) else { return };
    if !beside.attestations.iter().any(|paper| paper.kind == "sbom") {
        return;
    }
    let Some(files) = &beside.sbom_files else {
        found.skip("the SBOM names no files");
        return;
    };
    let known: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let visible = judged.visible();
    let programs = || {
        visible.iter().filter(|(_, at)| {
            at.file.kind == FileKind::File
                && (at.file.program.is_some() || at.file.mode & 0o111 != 0)
        })
    };
    let all = programs().count();
    let missing: Vec<&str> =
        programs().map(|(path, _)| *path).filter(|path| !known.contains(path)).collect();
    if all == 0 {
        return;
    }
    let covered = (all - missing.len()) as f64 / all as f64;
    let least = found.share("min_coverage");
    if covered < least {
        let shown: Vec<&str> = missing.iter().copied().take(20).collect();
        let finding = found
            .finding(format!(
                "the SBOM names {} of {all} programs and libraries; `{}` is none of them",
                all - missing.len(),
                shown[0]
            ))
            .in_image("image", None)
            .evidence("coverage", covered)
            .evidence("missing", shown)
            .help("make the SBOM of the finished image, files included");
        found.add(finding);
    }
}
