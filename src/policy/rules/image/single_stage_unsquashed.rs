//! `single-stage-unsquashed`: several layers of a single-stage build.

use crate::instruction::Instruction;
use crate::policy::{Found, Level, Outline, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "single-stage-unsquashed",
    title: "What one layer deletes, the layer below still ships.",
    text: "Finds a build that takes files from no other stage and makes two or more layers of its \
           own, unless these become one (`--squash`). A build with stages is exempt: it says what \
           it ships by COPY --from.\n\n\
           With `action = \"squash\"` the builder does it itself and says so in one line.",
    params: &[Param {
        name: "action",
        kind: ParamKind::Word(&["report", "squash"]),
        default: r#""report""#,
        help: "`squash`: merge the layers rather than report them",
    }],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nCOPY a /a\nRUN true > /b\n",
        "FROM busybox AS a\nRUN true > /a\nFROM a\nRUN true > /b\n",
    ],
    good: &[
        "FROM busybox AS build\nRUN true > /b\nFROM busybox\nCOPY --from=build /b /b\nRUN true > /c\n",
        "FROM busybox\nCOPY a /a\nUSER 1\nENV A=b\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    let Some(target) = chain.last() else { return };
    if outline.input.squash || outline.is_multi_stage() {
        return;
    }
    let layers = chain
        .iter()
        .flat_map(|stage| &stage.items)
        .filter(|item| {
            matches!(
                item.instruction,
                Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_)
            )
        })
        .count();
    if layers < 2 {
        return;
    }
    if found.text("action") == "squash" {
        let finding = found
            .finding(format!("{layers} layers of one stage are squashed into one"))
            .at(target.from.span, "the only stage")
            .of(target.place)
            .evidence("layers", layers)
            .evidence("action", "squash");
        found.add_at(Level::Note, finding);
        return;
    }
    let finding = found
        .finding(format!("one stage makes {layers} layers of its own"))
        .at(target.from.span, "the only stage")
        .of(target.place)
        .evidence("layers", layers)
        .help("build with --squash, or in stages: COPY --from a build stage what ships");
    found.add(finding);
}
