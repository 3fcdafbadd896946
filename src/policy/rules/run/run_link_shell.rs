//! `run-link-shell`: another shell under the name of sh.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-link-shell",
    title: "SHELL sets the build's shell without changing the image's.",
    text: "Finds `ln` to /bin/sh or /usr/bin/sh.",
    aliases: &[Alias::of("DL4005")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN ln -sfv /bin/bash /bin/sh\n"],
    good: &["FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("ln")) {
        let last =
            command.args().iter().rev().find_map(|arg| arg.known().filter(|a| !a.starts_with('-')));
        if matches!(last, Some("/bin/sh" | "/usr/bin/sh")) {
            let message = "this changes the shell of the image, to change that of the build";
            let help = "SHELL [\"/bin/bash\", \"-c\"]";
            found.tell(item.place, command.span, message, "replaces /bin/sh", help);
        }
    }
}
