//! `stage-unused`: a stage that nothing uses.

use crate::policy::{Found, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "stage-unused",
    title: "A stage nobody consumes is dead code that still looks reviewed.",
    text: "Finds a stage that is not the target, that the target is not built FROM, that gives it \
          no files, and that is not in `targets`.",
    params: &[Param {
        name: "targets",
        kind: ParamKind::Texts,
        default: "[]",
        help: "other targets of the file, such as `test`",
    }],
    text_check: Some(check),
    bad: &["FROM scratch AS orphan\nLABEL a=b\nFROM busybox\n"],
    good: &[
        "FROM busybox AS used\nRUN true > /a\nFROM scratch\nCOPY --from=used /a /a\n",
        "FROM busybox AS a\nFROM a AS b\nFROM scratch\nRUN --mount=from=b,target=/b true\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let mut live = outline.live();
    let named: Vec<String> = found.texts("targets").into_iter().map(str::to_owned).collect();
    for name in &named {
        if let Some(index) = outline.stage_named(name, outline.stages.len()) {
            live.extend(outline.live_from(index));
        }
    }
    for stage in outline.stages.iter().filter(|stage| !live.contains(&stage.index)) {
        let message = format!("nothing uses the stage `{}`", stage.shown());
        let help = "delete it, or name it in [rules.stage-unused] targets";
        found.tell(stage.place, stage.from.span, message, "not part of the image", help);
    }
}
