//! `onbuild-used`: ONBUILD in the image, or in its base.

use crate::instruction::Instruction;
use crate::policy::{Around, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "onbuild-used",
    title: "ONBUILD runs instructions nobody sees in the child Dockerfile.",
    text: "Finds ONBUILD in the stages that become the image, and triggers in the config of the \
          base.",
    text_check: Some(check),
    bad: &["FROM busybox\nONBUILD RUN true\n", "FROM base:1\n"],
    good: &["FROM busybox\nRUN true\n"],
    around: Around {
        bases: r#"{"base:1": {"config": {"OnBuild": ["RUN true"]}}}"#,
        ..Around::NONE
    },
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let chain = outline.chain();
    for item in chain.iter().flat_map(|stage| &stage.items) {
        if let Instruction::Onbuild(onbuild) = item.instruction {
            let message = format!("`{}` will run where nobody reads it", onbuild.text);
            let help = "write it into the Dockerfiles that need it";
            found.tell(item.place, onbuild.keyword, message, "runs in images built on this", help);
        }
    }
    let Some(bottom) = chain.first() else { return };
    for trigger in bottom.config.into_iter().flat_map(|config| config.on_build.iter()) {
        let message = format!("the base runs `{trigger}` here");
        let help = "choose a base without ONBUILD";
        let span = bottom.from.base.span;
        found.tell(bottom.place, span, message, "a trigger of the base", help);
    }
}
