//! `shell-present`: a shell in the image.

use crate::policy::rules::present_of_names;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-present",
    title: "Just the binary and the void: without a shell an attacker has a much harder time.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder that \
          is named as a shell, or BusyBox; links followed.",
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "busybox", "toybox", "pwsh", "rbash"]"#,
        help: "names of shells",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    present_of_names(
        judged,
        found,
        |name, _| Some(format!("the image has the shell `{name}`")),
        "copy the program into `scratch` or a distroless base",
    );
}
