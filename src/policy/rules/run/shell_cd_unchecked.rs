//! `shell-cd-unchecked`: cd that may fail.

use crate::facts::shell::Join;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-cd-unchecked",
    title: "If cd fails, what follows runs in the wrong place.",
    text: "Finds `cd` followed by `;` or a new line, without `set -e`.",
    aliases: &[Alias::of("SC2164")],
    text_check: Some(check),
    bad: &["FROM busybox\nRUN cd /tmp/x; rm -rf ./*\n"],
    good: &[
        "FROM busybox\nRUN cd /tmp/x && rm -rf ./*\n",
        "FROM busybox\nRUN set -e; cd /tmp/x; make\n",
        "FROM busybox\nRUN cd /tmp/x || exit 1; make\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("cd")) {
        let status = command.status;
        let moves = !command.args().is_empty();
        if !moves || !status.lost || status.errexit || status.asked {
            continue;
        }
        // `cd x && make; more` stops what follows in the same list.
        let script = item.script();
        let next = script.commands.iter().find(|other| {
            other.list == command.list
                && other.span.start > command.span.start
                && other.join == Join::And
        });
        if next.is_none() {
            let message = "if this fails, what follows runs in another folder";
            found.tell(item.place, command.span, message, "its failure is lost", "write `cd … &&`");
        }
    }
}
